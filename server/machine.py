"""What this machine must offer to the Triton of the PyPI wheel, and to any Python backend."""

import platform
import shutil
import sys
import sysconfig
import tempfile
from pathlib import Path

from server.errors import ServerError

OLDEST_PYTHON, NEWEST_PYTHON = (3, 10), (3, 12)
"""numpy 1.26, the last that Triton 2.51 can read, runs on these."""
SHARED_MEMORY = Path("/dev/shm")
LEAST_SHARED_MEMORY = 32 * 2**20
"""Bytes. Every instance of a Python backend takes 1 MiB at once, and its tensors on top."""


def check_machine() -> None:
    """Raises ServerError where Triton's wheel or its Python backend cannot run here."""
    system, machine = platform.system(), platform.machine()
    if (system, machine) != ("Linux", "x86_64"):
        raise ServerError(
            f"Triton's wheel runs on Linux on x86-64, but this is {system} on {machine}. "
            "Use NVIDIA's container image nvcr.io/nvidia/tritonserver there."
        )
    version = sys.version_info[:2]
    if not OLDEST_PYTHON <= version <= NEWEST_PYTHON:
        raise ServerError(
            f"the server needs Python {_dotted(OLDEST_PYTHON)} to {_dotted(NEWEST_PYTHON)} "
            f"(numpy 1.26 runs on no other), but this is {_dotted(version)}. "
            f"Make .venv with one of them: python{_dotted(NEWEST_PYTHON)} -m venv .venv"
        )
    find_libpython()


def find_libpython() -> Path:
    """The folder of this Python's shared library, which Triton's Python backend loads.

    Raises ServerError where there is none.
    """
    name = f"libpython{_dotted(sys.version_info[:2])}.so.1.0"
    libdir = Path(sysconfig.get_config_var("LIBDIR") or sys.base_prefix)
    multiarch = sysconfig.get_config_var("MULTIARCH") or ""
    folders = (libdir, libdir / multiarch, Path(sys.base_prefix, "lib"))
    for folder in folders:
        if (folder / name).exists():
            return folder
    raise ServerError(
        f"this Python has no shared library: {name} is not in {folders[0]} nor in {folders[2]}. "
        f"On Debian and Ubuntu install the package {name.split('.so')[0]}; with pyenv build with "
        "PYTHON_CONFIGURE_OPTS=--enable-shared."
    )


def check_shared_memory() -> None:
    """Raises ServerError where /dev/shm cannot carry the tensors of Python backends."""
    try:
        with tempfile.TemporaryFile(dir=SHARED_MEMORY):
            free = shutil.disk_usage(SHARED_MEMORY).free
    except OSError as error:
        raise ServerError(
            f"{SHARED_MEMORY} cannot be written ({error.strerror}), but Triton's Python backend "
            "passes its tensors there. In Docker start the container with --shm-size=1g."
        ) from error
    if free < LEAST_SHARED_MEMORY:
        raise ServerError(
            f"{SHARED_MEMORY} has {free // 2**20} MiB free, but Triton's Python backend needs "
            f"{LEAST_SHARED_MEMORY // 2**20} MiB at least. In Docker start the container with "
            "--shm-size=1g."
        )


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(str(part) for part in version)
