"""Which tritonserver is used: the one on PATH, NVIDIA's container's, or the wheel's in .triton/."""

import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
PRODUCTS = PROJECT / ".triton"
WHEEL_TREE = PRODUCTS / "server"
"""Where `install` puts Triton's wheel."""
VERSION_FILE = "TRITON_VERSION"
"""Beside bin/ and backends/, as NVIDIA's container has it; `install` writes the same."""


@dataclass(frozen=True)
class TritonServer:
    """A tritonserver on this machine, laid out as bin/, backends/ and caches/ in one folder."""

    executable: Path
    """The program itself."""

    @property
    def home(self) -> Path:
        """The folder that holds bin/, backends/ and caches/."""
        return self.executable.resolve().parents[1]

    @property
    def bundled(self) -> bool:
        """True where `python -m server install` put it here."""
        return self.home.is_relative_to(WHEEL_TREE)

    @property
    def version(self) -> tuple[int, ...] | None:
        """Triton's version, for example (2, 51, 0); None where the installation does not say."""
        try:
            text = (self.home / VERSION_FILE).read_text()
        except OSError:
            return None
        return tuple(int(part) for part in re.findall(r"\d+", text)[:3]) or None

    @property
    def version_text(self) -> str:
        """The version for people."""
        return ".".join(map(str, self.version)) if self.version else "of unknown version"

    @property
    def python_backends(self) -> list[str]:
        """Names of the backends that are Python: Triton's own, and folders with a model.py."""
        backends = self.home / "backends"
        return ["python", *sorted(path.parent.name for path in backends.glob("*/model.py"))]

    def options(self) -> frozenset[str]:
        """The options that this release knows, without their dashes."""
        shown = subprocess.run(
            [self.executable, "--help"], capture_output=True, text=True, timeout=60, check=False
        )
        return frozenset(re.findall(r"^\s+--([a-z0-9-]+)", shown.stdout + shown.stderr, re.M))


def wheel_executable(tree: Path) -> Path:
    """Where the wheel keeps tritonserver."""
    return tree / "pytriton" / "tritonserver" / "bin" / "tritonserver"


def system_server() -> TritonServer | None:
    """A tritonserver that was on this machine before us."""
    found = shutil.which("tritonserver") or shutil.which("/opt/tritonserver/bin/tritonserver")
    return TritonServer(Path(found)) if found else None


def find_server() -> TritonServer | None:
    """The tritonserver to run: the machine's own before the wheel's."""
    executable = wheel_executable(WHEEL_TREE)
    bundled = TritonServer(executable) if executable.exists() else None
    return system_server() or bundled
