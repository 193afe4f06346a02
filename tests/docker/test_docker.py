"""The container's files, as far as they can be checked without a Docker engine."""

import json
import re
import shutil
import subprocess
import sys
from importlib.metadata import requires
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement

from clip_har.config import tomllib
from server.discovery import find_server

PROJECT = Path(__file__).resolve().parents[2]
DOCKERFILE = PROJECT / "docker" / "server.Dockerfile"
COMPOSE = PROJECT / "docker" / "compose.yaml"
TOOLS = Path(sys.executable).parent

FIRST_FIXED_RELEASE = (26, 3)
"""The oldest release that SECURITY.md allows."""

IMPORTED = ["clip_har.contract", "clip_har.media", "clip_har.picture", "clip_har.video"]
"""What `preprocess` needs, with what it imports late."""


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile's instructions: name and the rest of the line."""
    text = re.sub(r"^\s*#.*\n", "", DOCKERFILE.read_text(), flags=re.M).replace("\\\n", " ")
    lines = [line.split(maxsplit=1) for line in text.splitlines() if line.strip()]
    return [(name, " ".join(rest.split())) for name, rest in lines]


def the(name: str) -> str:
    """The one instruction of this name."""
    (rest,) = (rest for found, rest in instructions() if found == name)
    return rest


def copied() -> list[str]:
    """Everything that is copied from the build context."""
    return [
        source for name, rest in instructions() if name == "COPY" for source in rest.split()[:-1]
    ]


def service() -> dict[str, Any]:
    return yaml.safe_load(COMPOSE.read_text())["services"]["server"]


def with_defaults(text: str) -> str:
    """A compose value as it is where no variable is set."""
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text)


def pip_requirements() -> list[str]:
    """What the image's one pip command names, the project aside."""
    words = the("RUN").split()
    assert words[:2] == ["pip3", "install"]
    constraint = words.index("--constraint")
    assert words[constraint + 1] in copied()
    named = [word for word in words[2:constraint] + words[constraint + 2 :] if word[0] != "-"]
    assert named[0] == ".", "the project itself comes first"
    return named[1:]


def project() -> dict[str, Any]:
    return tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]


def names_of(requirements: list[str]) -> set[str]:
    """Packages that are asked for on this Python, extras aside."""
    parsed = map(Requirement, requirements)
    return {
        one.name.lower().replace("_", "-")
        for one in parsed
        if one.marker is None or one.marker.evaluate({"extra": ""})
    }


def installed_closure() -> set[str]:
    """The image's packages with all that they ask for in turn."""
    waiting = names_of([*project()["dependencies"], *pip_requirements()])
    seen: set[str] = set()
    while waiting:
        package = waiting.pop()
        seen.add(package)
        waiting |= names_of(requires(package) or []) - seen
    return seen


def test_the_linter_finds_nothing() -> None:
    done = subprocess.run(
        [TOOLS / "hadolint", DOCKERFILE], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_compose_file_is_valid() -> None:
    schema = ["--builtin-schema", "vendor.compose-spec"]
    done = subprocess.run(
        [TOOLS / "check-jsonschema", *schema, COMPOSE], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_copied_path_exists_and_is_sent_to_the_engine() -> None:
    ignored = (PROJECT / ".dockerignore").read_text().splitlines()
    rules = [line for line in ignored if line and not line.startswith("#")]
    assert rules[0] == "*"
    assert {rule[1:] for rule in rules if rule.startswith("!")} == set(copied())
    assert [path for path in copied() if not (PROJECT / path).exists()] == []


def test_compose_builds_this_dockerfile_from_the_repository_root() -> None:
    build = service()["build"]
    context = (COMPOSE.parent / build["context"]).resolve()
    assert context == PROJECT
    assert context / build["dockerfile"] == DOCKERFILE


def test_the_mounted_repository_is_what_the_demo_writes_and_cannot_be_written() -> None:
    (mount,) = service()["volumes"]
    source = (COMPOSE.parent / with_defaults(mount["source"])).resolve()
    assert str(source.relative_to(PROJECT)) in (PROJECT / "Makefile").read_text()
    assert mount["read_only"]
    assert f"--model-repository={mount['target']}" in json.loads(the("ENTRYPOINT"))


def test_packages_are_those_of_the_server_extra_without_its_engine() -> None:
    wanted = names_of(project()["optional-dependencies"]["server"]) - {"onnxruntime", "openvino"}
    assert names_of([*project()["dependencies"], *pip_requirements()]) >= wanted
    assert set(pip_requirements()) <= wanted


def test_nothing_that_is_installed_asks_for_torch_or_an_engine() -> None:
    packages = installed_closure()
    assert {"numpy", "pillow", "pydantic-core"} <= packages
    assert packages.isdisjoint({"torch", "transformers", "onnxruntime", "openvino"})


def test_what_is_copied_is_enough_to_preprocess_and_to_check_health(tmp_path: Path) -> None:
    for name in copied():
        source = PROJECT / name
        if source.is_dir():
            shutil.copytree(source, tmp_path / name)
    modules = [*IMPORTED, the("HEALTHCHECK").split('"-m", "')[1].split('"')[0] + ".__main__"]
    script = (
        "import importlib, json, sys\n"
        f"sys.path.insert(0, {str(tmp_path)!r})\n"
        f"found = [importlib.import_module(name).__file__ for name in {modules}]\n"
        "print(json.dumps([found, 'torch' in sys.modules]))"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-c", script], capture_output=True, text=True, check=True
    )
    files, torch_loaded = json.loads(done.stdout)
    assert [file for file in files if not file.startswith(str(tmp_path))] == []
    assert not torch_loaded


def test_published_ports_are_the_exposed_ones_on_the_loopback_address() -> None:
    published = [with_defaults(port).split(":") for port in service()["ports"]]
    assert {address for address, _, _ in published} == {"127.0.0.1"}
    assert [inside for _, _, inside in published] == the("EXPOSE").split()


def test_the_server_runs_without_privileges() -> None:
    user, group = the("USER").split(":")
    assert int(user) > 0
    assert int(group) > 0
    settings = service()
    assert settings["read_only"]
    assert settings["cap_drop"] == ["ALL"]
    assert "cap_add" not in settings
    assert "no-new-privileges:true" in settings["security_opt"]


def test_memory_and_processes_are_limited() -> None:
    assert service().keys() >= {"shm_size", "mem_limit", "pids_limit"}


def test_health_is_a_real_inference_on_the_port_of_http() -> None:
    command = json.loads(the("HEALTHCHECK").partition("CMD ")[2])
    http_port = the("EXPOSE").split()[0]
    assert command == ["python3", "-m", "server", "status", "--url", f"127.0.0.1:{http_port}"]


def test_the_default_triton_has_the_known_holes_fixed() -> None:
    release = re.fullmatch(r"TRITON_RELEASE=(\d+)\.(\d+)", the("ARG"))
    assert release is not None
    assert tuple(map(int, release.groups())) >= FIRST_FIXED_RELEASE


def test_triton_starts_strict_and_takes_no_orders_about_models() -> None:
    program, *arguments = json.loads(the("ENTRYPOINT"))
    assert program == "tritonserver"
    assert set(arguments) >= {
        "--model-control-mode=none",
        "--exit-on-error=true",
        "--strict-readiness=true",
        "--disable-auto-complete-config",
    }


@pytest.mark.triton
def test_triton_knows_every_option_of_the_entrypoint(installed: None) -> None:
    server = find_server()
    assert server is not None
    given = {word[2:].partition("=")[0] for word in json.loads(the("ENTRYPOINT"))[1:]}
    assert given - server.options() == set()
