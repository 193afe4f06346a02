"""What is read of this machine, and of a Triton by its folder."""

import stat
import sys
from pathlib import Path

import pytest

from builder.machine import read_machine, read_triton


def test_the_facts_of_this_machine_are_read() -> None:
    machine = read_machine()
    assert machine.cores >= 1
    if "avx2" in Path("/proc/cpuinfo").read_text():
        assert "avx2" in machine.cpu_flags


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A tritonserver laid out like NVIDIA's."""
    home = tmp_path / "tritonserver"
    for name in ("bin/tritonserver", "lib/libnvinfer.so.10.13.2"):
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).touch()
    for name in ("onnxruntime/libonnxruntime.so.1.27.0", "openvino/model.py", "tensorrt/lib.so"):
        (home / "backends" / name).parent.mkdir(parents=True)
        (home / "backends" / name).touch()
    (home / "lib" / "libnvinfer.so.10").symlink_to("libnvinfer.so.10.13.2")
    (home / "TRITON_VERSION").write_text("2.73.0\n")
    return home


def test_the_facts_of_a_triton_are_read_from_its_folder(home: Path) -> None:
    triton = read_triton(home, Path(sys.executable))
    assert triton is not None
    assert (triton.version, triton.version_text) == ((2, 73, 0), "2.73.0")
    assert triton.backends == {"onnxruntime", "openvino", "tensorrt"}
    assert triton.python_backends == {"python", "openvino"}
    assert triton.library("tensorrt") == "10.13.2"
    assert triton.library("onnxruntime") == "1.27.0"
    assert triton.library("openvino") == triton.packages["openvino"]
    assert triton.packages["python"].startswith(f"{sys.version_info[0]}.{sys.version_info[1]}.")


def test_a_wrong_folder_or_interpreter_is_named(home: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no bin/tritonserver in it"):
        read_triton(tmp_path)
    broken = tmp_path / "python"
    broken.write_text("#!/bin/sh\nexit 1\n")
    broken.chmod(broken.stat().st_mode | stat.S_IXUSR)
    with pytest.raises(ValueError, match="does not run, so what it has cannot be told"):
        read_triton(home, broken)
