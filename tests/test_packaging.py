"""What is shipped, and what may be imported without torch."""

import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from clip_har.config import tomllib

ROOT = Path(__file__).parent.parent
PACKAGES = {"clip_har", "training", "builder", "server", "clients"}
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text())
TORCH_HALF = {"clip_har.checkpoint", "clip_har.nn"}

# Imports the modules named on the command line where torch and transformers do not exist.
WITHOUT_TORCH = """
import importlib, sys
for name in ("torch", "transformers"):
    sys.modules[name] = None
for name in sys.argv[1:]:
    importlib.import_module(name)
"""


def modules_of(package: str) -> list[str]:
    """Modules below a package; folders without an __init__.py are not part of it."""
    files = [
        path.relative_to(ROOT).with_suffix("")
        for path in sorted((ROOT / package).rglob("*.py"))
        if (path.parent / "__init__.py").exists() and path.name != "__init__.py"
    ]
    return [".".join(file.parts) for file in files]


def light_modules() -> list[str]:
    core = [m for m in modules_of("clip_har") if not any(m.startswith(t) for t in TORCH_HALF)]
    # What Triton's own processes import needs a module that exists only there.
    server = [m for m in modules_of("server") if not m.startswith("server.backends.")]
    return core + modules_of("clients") + server


def python(*args: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *args], capture_output=True, text=True, cwd=ROOT)


def test_the_wheel_ships_the_five_packages_and_nothing_else(tmp_path: Path) -> None:
    done = python("-m", "hatchling", "build", "-t", "wheel", "-d", tmp_path)
    assert done.returncode == 0, done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert {n.split("/")[0] for n in names if ".dist-info/" not in n} == PACKAGES
    kept = [n for n in names if n.endswith((".pyc", ".onnx", ".safetensors"))]
    assert kept == []
    for package in PACKAGES:
        shipped = {n for n in names if n.startswith(f"{package}/")}
        here = {str(p.relative_to(ROOT)) for p in (ROOT / package).rglob("*.py")}
        assert here <= shipped


def test_clients_server_and_the_light_half_import_without_torch() -> None:
    done = python("-c", WITHOUT_TORCH, *light_modules())
    assert done.returncode == 0, done.stderr


def test_the_torch_half_is_what_cannot_be_imported_without_torch() -> None:
    for module in ("clip_har.checkpoint", "clip_har.nn.temporal"):
        assert "import of torch halted" in python("-c", WITHOUT_TORCH, module).stderr


def test_the_import_contract_lists_the_whole_light_half() -> None:
    contracts = SETTINGS["tool"]["importlinter"]["contracts"]
    listed = {name for contract in contracts for name in contract.get("source_modules", [])}
    assert {m for m in light_modules() if m.startswith("clip_har.")} <= listed


@pytest.mark.parametrize("package", sorted(PACKAGES - {"clip_har"}))
def test_help_is_light(package: str) -> None:
    done = python("-X", "importtime", "-m", package, "--help")
    assert done.returncode == 0, done.stderr
    assert "Usage" in done.stdout
    imported = set(re.findall(r"\|\s+(\w+)$", done.stderr, re.MULTILINE))
    assert "typer" in imported
    heavy = {"torch", "transformers", "onnx", "onnxruntime", "tritonclient", "av", "matplotlib"}
    assert imported & heavy == set()


def test_the_client_api_is_light() -> None:
    modules = "import clients.recognizer, clients.async_recognizer"
    done = python("-X", "importtime", "-c", modules)
    assert done.returncode == 0, done.stderr
    imported = set(re.findall(r"\|\s+(\w+)$", done.stderr, re.MULTILINE))
    assert "numpy" in imported
    heavy = {"torch", "transformers", "grpc", "httpx2", "tritonclient", "av", "PIL", "matplotlib"}
    assert imported & (heavy | {"pydantic", "rich", "typer"}) == set()


def test_packages_have_empty_init_files_and_tests_have_none() -> None:
    inits = [path for package in PACKAGES for path in (ROOT / package).rglob("__init__.py")]
    assert {path.parent.name for path in inits} >= PACKAGES
    assert [path for path in inits if path.read_text()] == []
    assert list((ROOT / "tests").rglob("__init__.py")) == []


def test_extras_are_named_after_the_packages_and_clients_need_no_torch() -> None:
    extras = SETTINGS["project"]["optional-dependencies"]
    assert PACKAGES - {"clip_har"} <= set(extras)
    for light in ("clients", "server"):
        assert not [need for need in extras[light] if re.match(r"torch|transformers", need)]
    assert "Private :: Do Not Upload" in SETTINGS["project"]["classifiers"]
