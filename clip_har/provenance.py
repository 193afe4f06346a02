"""Where a product comes from: git revision, versions, machine."""

import platform
import subprocess
from collections.abc import Sequence
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path


def provenance(packages: Sequence[str]) -> dict[str, object]:
    """What a record says of how a product came about; packages that are not there are left out."""
    return {
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "git_revision": git_revision(Path(__file__).parent),
        "python": platform.python_version(),
        "machine": platform.machine(),
        "versions": {name: found for name in packages if (found := _version(name))},
    }


def git_revision(folder: Path) -> str:
    """The checkout's commit, with `-dirty` where files differ from it; `unknown` outside of one."""
    command = ["git", "-C", str(folder), "describe", "--always", "--dirty", "--abbrev=40"]
    try:
        told = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return told.stdout.strip()


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
