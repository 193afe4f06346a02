"""The Python environment in which Triton runs its Python backends: small, no torch, numpy 1.26."""

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from server.discovery import PRODUCTS, TritonServer
from server.errors import ServerError

VENV = PRODUCTS / "venv"
FIRST_WITH_NUMPY_2 = (2, 52)
"""Triton 24.11; older releases silently turn every numpy 2 tensor into zeros."""

_VERSIONS = """
import json, platform
from importlib import metadata
found = {d.metadata["Name"]: d.version for d in metadata.distributions()}
print(json.dumps({"python": platform.python_version(), **{
    name: found.get(name, "") for name in ("numpy", "onnxruntime", "openvino")}}))
"""


@dataclass(frozen=True)
class ServingEnvironment:
    """What is installed where the Python backends run."""

    python: str
    """Version of the interpreter."""
    numpy: str
    """Version of numpy, empty where it is missing."""
    onnxruntime: str
    """Version of ONNX Runtime, empty where it is missing."""
    openvino: str = ""
    """Version of OpenVINO, empty where it is missing."""


def read_environment(venv: Path) -> ServingEnvironment:
    """Asks an environment's interpreter what it has; raises ServerError if it does not run."""
    python = venv / "bin" / "python"
    try:
        shown = subprocess.run(
            [python, "-I", "-c", _VERSIONS], capture_output=True, text=True, timeout=60, check=True
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise ServerError(
            f"{python} does not run; install the server with: python -m server install"
        ) from error
    return ServingEnvironment(**json.loads(shown.stdout))


def check_environment(environment: ServingEnvironment, server: TritonServer) -> None:
    """Raises ServerError where this Triton would corrupt tensors or lacks numpy."""
    if not environment.numpy:
        raise ServerError(
            "the serving environment has no numpy; install it again with: python -m server install"
        )
    too_old = server.version is None or server.version < FIRST_WITH_NUMPY_2
    if too_old and int(environment.numpy.split(".")[0]) >= 2:
        raise ServerError(
            f"Triton {server.version_text} silently corrupts every tensor under numpy "
            f"{environment.numpy}, the version in the serving environment. Install numpy<2 there, "
            "or delete .triton/venv and run: python -m server install"
        )


def process_environment(venv: Path, libpython: Path) -> dict[str, str]:
    """Variables for tritonserver: its Python backend takes the first python on PATH."""
    variables = dict(os.environ)
    variables.pop("PYTHONHOME", None)
    variables["PATH"] = f"{venv / 'bin'}:{variables.get('PATH', os.defpath)}"
    inherited = variables.get("LD_LIBRARY_PATH")
    variables["LD_LIBRARY_PATH"] = f"{libpython}:{inherited}" if inherited else str(libpython)
    variables["ORT_DISABLE_TELEMETRY"] = "1"
    # A repository is a product whose files are listed: no __pycache__ may grow in it.
    variables["PYTHONDONTWRITEBYTECODE"] = "1"
    return variables
