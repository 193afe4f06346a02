"""NVIDIA's perf_analyzer, installed into .perf/ from PyPI.

    python benchmarks/perf_tools.py

The wheel of tritonclient 2.51 holds the last one that runs on glibc below 2.38, so on Debian 12.
The two libraries that it misses come with the Triton of `python -m server install`.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from clip_har.product import fingerprint, is_current, record_inputs, staged
from server.discovery import PROJECT, WHEEL_TREE

TREE = PROJECT / ".perf"
WHEEL = "tritonclient==2.51.0"
LIBRARIES = {"libb64.so.0d": "libb64-*.so.0d", "libcudart.so.12": "libcudart-*.so.12*"}
"""Names that it asks for, and what the wheel of Triton calls them."""


def perf_analyzer() -> tuple[Path, dict[str, str]]:
    """The program, and the variables that it needs; raises ValueError where there is none."""
    if found := shutil.which("perf_analyzer"):  # as in NVIDIA's SDK container
        return Path(found), dict(os.environ)
    program = TREE / "bin" / "perf_analyzer"
    if not program.exists():
        raise ValueError("perf_analyzer is not installed; run: make perf-tools")
    return program, os.environ | {"LD_LIBRARY_PATH": str(TREE / "lib")}


def install() -> Path:
    """Installs it where it is missing; raises ValueError where that cannot be done."""
    if not shutil.which("perf_analyzer") and not is_current(TREE, _made_from()):
        with staged(TREE) as tree:
            _install(tree)
            record_inputs(tree, _made_from())
    return perf_analyzer()[0]


def version() -> str:
    """What perf_analyzer calls itself, which shows that it runs."""
    program, variables = perf_analyzer()
    shown = subprocess.run(
        [program, "--version"], env=variables, capture_output=True, text=True, check=False
    )
    if shown.returncode:
        raise ValueError(f"{program} does not run: {(shown.stderr or shown.stdout).strip()}")
    return (shown.stdout or shown.stderr).strip().splitlines()[0]


def _made_from() -> str:
    return fingerprint({"wheel": WHEEL, "libraries": str(WHEEL_TREE), "code": Path(__file__)})


def _install(tree: Path) -> None:
    (tree / "lib").mkdir()
    for name, pattern in LIBRARIES.items():
        copies = sorted((WHEEL_TREE / "nvidia_pytriton.libs").glob(pattern))
        if not copies:
            raise ValueError(
                f"{WHEEL_TREE} has no {pattern}, which perf_analyzer needs. Run: python -m server "
                "install; beside another Triton, use the perf_analyzer of NVIDIA's SDK container."
            )
        (tree / "lib" / name).symlink_to(copies[0])
    command = [
        sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--only-binary=:all:",
        "--platform", "manylinux1_x86_64", "--target", str(tree / "wheel"), WHEEL,
    ]  # fmt: skip
    if subprocess.run(command, check=False).returncode:
        raise ValueError(f"pip could not install {WHEEL}; what it said stands above")
    (tree / "bin").mkdir()
    (tree / "wheel" / "bin" / "perf_analyzer").rename(tree / "bin" / "perf_analyzer")
    shutil.rmtree(tree / "wheel")


if __name__ == "__main__":
    try:
        print(f"{install()}: {version()}")
    except ValueError as error:
        sys.exit(f"error: {error}")
