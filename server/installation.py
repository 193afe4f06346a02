"""Installs what serving needs into .triton/: a Python environment, and Triton where none is."""

import fcntl
import shutil
import subprocess
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass

from clip_har.config import tomllib
from clip_har.product import fingerprint, is_current, record_inputs, staged
from server.discovery import (
    PRODUCTS,
    PROJECT,
    VERSION_FILE,
    WHEEL_TREE,
    TritonServer,
    find_server,
    system_server,
    wheel_executable,
)
from server.environment import VENV
from server.errors import ServerError
from server.interruption import tie_to_parent
from server.machine import check_machine

WHEEL, WHEEL_VERSION = "nvidia-pytriton==0.7.0", "2.51.0"
CONSTRAINTS = PROJECT / "constraints-server.txt"
BACKENDS = PROJECT / "server" / "backends"


@dataclass(frozen=True)
class Installation:
    """What an installation came to."""

    server: TritonServer
    """The tritonserver that will be used."""
    changed: bool
    """False where everything was there already."""


def install(announce: Callable[[str], None]) -> Installation:
    """Makes the machine able to serve; `announce` hears each step that is not done already.

    Raises ServerError where the machine cannot serve or a download fails.
    """
    check_machine()
    with _alone():
        changed = False
        if not _venv_is_current():
            _install_venv(announce)
            changed = True
        if system_server() is None and not is_current(WHEEL_TREE, _wheel_inputs()):
            announce("installing Triton 2.51 from its wheel (55 MB to download)")
            _install_wheel()
            changed = True
    server = find_server()
    assert server is not None
    return Installation(server, changed)


def _venv_is_current() -> bool:
    return (VENV / "bin" / "python").exists() and is_current(VENV, _venv_inputs())


def _venv_inputs() -> str:
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    return fingerprint(
        {
            "python": sys.version,
            "project": str(PROJECT),
            "constraints": CONSTRAINTS,
            "requires": [project["dependencies"], project["optional-dependencies"]["server"]],
        }
    )


def _wheel_inputs() -> str:
    return fingerprint(
        {"wheel": WHEEL, "python": sys.version, "project": str(PROJECT), "backends": _backends()}
    )


def _backends() -> list[str]:
    return sorted(path.parent.name for path in BACKENDS.glob("*/model.py"))


def _install_venv(announce: Callable[[str], None]) -> None:
    """In place, since a venv cannot be renamed; `record_inputs` marks it complete."""
    announce("making the serving environment")
    _call([sys.executable, "-m", "venv", "--clear", str(VENV)])
    announce("installing numpy 1.26, ONNX Runtime, OpenVINO and PyAV into it")
    _pip("--constraint", str(CONSTRAINTS), "--editable", f"{PROJECT}[server]")
    record_inputs(VENV, _venv_inputs())


def _install_wheel() -> None:
    with staged(WHEEL_TREE) as tree:
        # Its metadata asks for other packages; only the server inside is used.
        _pip("--no-deps", "--target", str(tree), WHEEL)
        home = wheel_executable(tree).parents[1]
        version = f"{sys.version_info[0]}.{sys.version_info[1]}"
        stub = home / "python_backend_stubs" / version / "triton_python_backend_stub"
        # Its RPATH leads to the wheel's libraries from the backend's folder only.
        shutil.copy2(stub, home / "backends" / "python")
        for name in _backends():
            (home / "backends" / name).symlink_to(BACKENDS / name)
        (home / VERSION_FILE).write_text(f"{WHEEL_VERSION}\n")
        record_inputs(tree, _wheel_inputs())


def _pip(*arguments: str) -> None:
    python = VENV / "bin" / "python"
    _call([str(python), "-m", "pip", "install", "--quiet", *arguments])


def _call(command: list[str]) -> None:
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, preexec_fn=tie_to_parent
    )
    if done.returncode:
        told = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
        raise ServerError(
            f"{' '.join(command[1:4])} failed:\n" + "\n".join(told[-10:]) + "\n"
            "Once that is mended, run again: python -m server install"
        )


@contextmanager
def _alone() -> Generator[None]:
    """Keeps a second `install` waiting until this one is done."""
    PRODUCTS.mkdir(exist_ok=True)
    with (PRODUCTS / "install.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
