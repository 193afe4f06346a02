import os
import signal
import socket
import subprocess
import sys
import time
import venv
from pathlib import Path
from urllib.request import urlopen

import pytest

import server.process as process_module
from server.address import ANY_FREE, Endpoints
from server.discovery import TritonServer
from server.environment import ServingEnvironment, check_environment, read_environment
from server.errors import ServerError
from server.machine import SHARED_MEMORY
from server.process import RunningServer, prepare, running

LAUNCHER = """
import sys, time
from pathlib import Path
from server.process import running
with running(Path(sys.argv[1]), log_path=Path(sys.argv[2])) as server:
    print(server.pid, server._shm_prefix, flush=True)
    time.sleep(600)
"""


def stubs_of(server: RunningServer) -> list[int]:
    shown = subprocess.run(["ps", "-o", "pid=", "--ppid", str(server.pid)], capture_output=True)
    return [int(pid) for pid in shown.stdout.split()]


def alive(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


def regions(prefix: str) -> list[Path]:
    return list(SHARED_MEMORY.glob(f"{prefix}*"))


def wait_until(condition, seconds: float = 60) -> bool:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.1)
    return condition()


@pytest.mark.triton
def test_a_stopped_server_leaves_no_process_and_no_shared_memory(
    installed, har_repository, tmp_path
):
    with running(har_repository, ANY_FREE, tmp_path / "log") as server:
        assert server.fault() is None
        pids = [server.pid, *stubs_of(server)]
        prefix = server._shm_prefix
        assert len(pids) == 2
        assert regions(prefix)
    assert not any(map(alive, pids))
    assert regions(prefix) == []


@pytest.mark.triton
def test_a_server_dies_with_its_killed_launcher(installed, har_repository, tmp_path):
    launcher = subprocess.Popen(
        [sys.executable, "-c", LAUNCHER, har_repository, tmp_path / "log"],
        stdout=subprocess.PIPE,
        text=True,
    )
    with launcher:
        pid, prefix = launcher.stdout.readline().split()
        assert alive(int(pid))
        launcher.kill()
    assert wait_until(lambda: not alive(int(pid)))
    assert wait_until(lambda: regions(prefix) == [])


@pytest.mark.triton
def test_a_dead_python_model_is_a_fault_though_health_is_green(installed, har_repository, tmp_path):
    with running(har_repository, ANY_FREE, tmp_path / "log") as server:
        (stub,) = stubs_of(server)
        os.kill(stub, signal.SIGKILL)
        assert wait_until(lambda: not alive(stub))
        with urlopen(f"http://{server.http_url}/v2/health/ready") as answer:
            assert answer.status == 200
        assert "process has died" in str(server.fault())


@pytest.mark.triton
def test_a_model_that_answers_zeros_does_not_count_as_ready(installed, har_repository, tmp_path):
    model = har_repository / "har_base" / "1" / "model.py"
    model.write_text(model.read_text().replace("[0.25, 0.75]", "[0.0, 0.0]"))
    with (
        pytest.raises(ServerError, match="har_base: an answer without meaning"),
        running(har_repository, ANY_FREE, tmp_path / "log"),
    ):
        pass


@pytest.mark.triton
def test_a_failed_start_shows_why(installed, har_repository, tmp_path):
    model = har_repository / "har_base" / "1" / "model.py"
    model.write_text("import no_such_module\n")
    with (
        pytest.raises(ServerError, match="No module named 'no_such_module'") as caught,
        running(har_repository, ANY_FREE, tmp_path / "log"),
    ):
        pass
    assert "CudaDriverHelper" not in str(caught.value)


@pytest.mark.triton
def test_a_busy_port_is_named_before_anything_starts(installed, har_repository):
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        with pytest.raises(ServerError, match=rf"port {port} .* in use.*--grpc-port"):
            prepare(har_repository, Endpoints(http_port=0, grpc_port=port, metrics_port=0))


def test_a_folder_without_models_is_refused(tmp_path):
    with pytest.raises(ValueError, match="no model in it"):
        prepare(tmp_path)
    with pytest.raises(ValueError, match="no such folder"):
        prepare(tmp_path / "absent")


@pytest.mark.triton
def test_numpy_2_in_the_serving_environment_is_refused(
    installed, har_repository, tmp_path, monkeypatch
):
    """A real environment: one that sees the toolkit's numpy, which is 2 or newer."""
    import numpy

    assert int(numpy.__version__.split(".")[0]) >= 2
    venv.create(tmp_path / "venv", symlinks=True)
    (site,) = (tmp_path / "venv" / "lib").glob("python*/site-packages")
    (site / "toolkit.pth").write_text(str(Path(numpy.__file__).parents[1]))
    monkeypatch.setattr(process_module, "VENV", tmp_path / "venv")
    with pytest.raises(ServerError, match=r"under numpy 2.*Install numpy<2 there"):
        prepare(har_repository)


@pytest.mark.parametrize(
    ("version", "numpy", "served"),
    [("2.51.0", "1.26.4", True), ("2.51.0", "2.0.0", False), ("2.73.0", "2.4.6", True)],
)
def test_old_triton_and_new_numpy_never_meet(tmp_path, version, numpy, served):
    (tmp_path / "TRITON_VERSION").write_text(version + "\n")
    triton = TritonServer(tmp_path / "bin" / "tritonserver")
    environment = ServingEnvironment(python="3.11", numpy=numpy, onnxruntime="1.32.0")
    if served:
        check_environment(environment, triton)
    else:
        with pytest.raises(ServerError, match="corrupts every tensor"):
            check_environment(environment, triton)


def test_an_absent_environment_names_the_command_that_makes_it(tmp_path):
    with pytest.raises(ServerError, match="python -m server install"):
        read_environment(tmp_path)
