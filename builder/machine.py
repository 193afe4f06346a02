"""Facts of this machine and of the Triton on it, read from files and from its own Python."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from builder.cpu import cpu_flags, usable_cores
from builder.engines.gpu import Gpu, gpus

PROJECT = Path(__file__).parents[1]
INSTALLED = PROJECT / ".triton"
"""Where `python -m server install` puts things."""
HOMES = (Path("/opt/tritonserver"), INSTALLED / "server" / "pytriton" / "tritonserver")
"""Where Triton is, unless it is on PATH: NVIDIA's container's, the wheel's."""
LIBRARIES = {
    "tensorrt": "libnvinfer.so.*.*",
    "tensorrt_rtx": "libtensorrt_rtx.so.*.*",
    "onnxruntime": "libonnxruntime.so.*.*",
}
"""Engines that Triton's C++ backends load; their file names end in their version."""
SYSTEM_LIBRARIES = (Path("/usr/lib/x86_64-linux-gnu"), Path("/usr/local/lib"))
PACKAGES = """
import json, platform
from importlib import metadata
found = {one.metadata["Name"]: one.version for one in metadata.distributions()}
print(json.dumps({"python": platform.python_version(), **found}))
"""


@dataclass(frozen=True)
class Machine:
    """What an engine may run on."""

    cpu_flags: frozenset[str] = frozenset()
    """CPU features as /proc/cpuinfo names them; none where it does not."""
    cores: int = 1
    """Cores that a process may use."""
    gpus: tuple[Gpu, ...] = ()
    """NVIDIA's GPUs in CUDA's order."""


@dataclass(frozen=True)
class TritonFacts:
    """What a tritonserver is and what it finds when it starts."""

    home: Path
    """Folder that holds bin/ and backends/."""
    version: tuple[int, ...] = ()
    """Such as (2, 51, 0); empty where it does not say."""
    backends: frozenset[str] = frozenset()
    """Names of all its backends."""
    python_backends: frozenset[str] = frozenset()
    """Those of them that are Python and run in the serving environment."""
    libraries: Mapping[str, str] = field(default_factory=dict[str, str])
    """Versions of the libraries that its C++ backends load, by engine, where they are known."""
    packages: Mapping[str, str] = field(default_factory=dict[str, str])
    """Versions in the serving environment, by package, and of `python`."""

    def library(self, engine: str) -> str:
        """Version of what runs an engine's files here; empty where it is not known."""
        found = self.packages if engine in self.python_backends else self.libraries
        return found.get(engine, "")

    @property
    def version_text(self) -> str:
        """The version for people."""
        return ".".join(map(str, self.version)) or "of unknown version"


def read_machine() -> Machine:
    """The machine that this process is on."""
    return Machine(cpu_flags(), usable_cores(), gpus())


def read_triton(home: Path | None = None, python: Path | None = None) -> TritonFacts | None:
    """The tritonserver in `home`, by default the one that is served with; None where there is none.

    `python` is the interpreter of its Python backends, by default that of `python -m server`, then
    the first on PATH. Raises ValueError where one that is named is not there.
    """
    home = home or _found_home()
    if home is None:
        return None
    if not (home / "bin" / "tritonserver").exists():
        raise ValueError(
            f"{home}: no bin/tritonserver in it. Expected Triton's own folder, such as {HOMES[0]}."
        )
    backends = home / "backends"
    return TritonFacts(
        home=home,
        version=_version(home / "TRITON_VERSION"),
        backends=frozenset(path.name for path in backends.glob("*") if path.is_dir()),
        python_backends=frozenset(
            {"python"} | {path.parent.name for path in backends.glob("*/model.py")}
        ),
        libraries=_libraries((*backends.glob("*"), home / "lib", *SYSTEM_LIBRARIES)),
        packages=_packages(python or _found_python()),
    )


def _found_home() -> Path | None:
    if on_path := shutil.which("tritonserver"):
        return Path(on_path).resolve().parents[1]
    return next((home for home in HOMES if (home / "bin" / "tritonserver").exists()), None)


def _found_python() -> Path:
    installed = INSTALLED / "venv" / "bin" / "python"
    return installed if installed.exists() else Path(shutil.which("python3") or "python3")


def _version(file: Path) -> tuple[int, ...]:
    text = file.read_text() if file.is_file() else ""
    return tuple(int(part) for part in re.findall(r"\d+", text)[:3])


def _libraries(folders: Iterable[Path]) -> dict[str, str]:
    found: dict[str, str] = {}
    for folder in folders:
        for engine, pattern in LIBRARIES.items():
            # The longest name says most: libnvinfer.so.10 is a link to libnvinfer.so.10.3.0.
            names = sorted((path.name for path in folder.glob(pattern)), key=len)
            if names and engine not in found:
                found[engine] = names[-1].partition(".so.")[2]
    return found


def _packages(python: Path) -> dict[str, str]:
    command = [str(python), "-I", "-c", PACKAGES]
    try:
        told = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        raise ValueError(
            f"{python} does not run, so what it has cannot be told. Name the interpreter of "
            "Triton's Python backends, or run: python -m server install"
        ) from error
    return {name.lower(): version for name, version in json.loads(told.stdout).items()}
