"""python -m server, as its users type it."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from server.address import ANY_FREE
from server.machine import SHARED_MEMORY
from server.process import running

FREE = ["--http-port", "0", "--grpc-port", "0", "--metrics-port", "0"]


def server(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "server", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def descendants(pid: int) -> list[int]:
    shown = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True)
    children = [int(child) for child in shown.stdout.split()]
    return children + [pid for child in children for pid in descendants(child)]


def mapped(region: Path) -> bool:
    """True where some living process uses a region of shared memory."""
    found = subprocess.run(f"grep -qs {region.name} /proc/[0-9]*/maps", shell=True, check=False)
    return found.returncode == 0


def test_help_names_the_three_commands():
    shown = server("--help")
    assert shown.returncode == 0
    for name in ("install", "run", "status"):
        assert name in shown.stdout


def test_a_missing_repository_is_a_usage_error_without_a_traceback(tmp_path):
    shown = server("run", tmp_path / "absent")
    assert shown.returncode == 2
    assert "no such folder" in shown.stderr
    assert "Traceback" not in shown.stderr


def test_status_without_a_server_fails():
    shown = server("status", "--url", "127.0.0.1:1")
    assert shown.returncode == 1
    assert "no answer from 127.0.0.1:1" in shown.stderr


@pytest.mark.triton
def test_a_second_install_has_nothing_to_do(installed):
    shown = server("install")
    assert shown.returncode == 0
    assert "nothing to do" in shown.stdout


@pytest.mark.triton
def test_a_command_runs_against_the_ready_server_and_gives_its_exit_code(installed, har_repository):
    ask = (
        "import sys, urllib.request as u\n"
        "for url in sys.argv[1:3]: u.urlopen('http://' + url).read()\n"
        "print('grpc at', sys.argv[3]); sys.exit(7)"
    )
    urls = ["{http_url}/v2/health/ready", "{metrics_url}/metrics", "{grpc_url}"]
    shown = server("run", har_repository, *FREE, "--", sys.executable, "-c", ask, *urls)
    assert shown.returncode == 7, shown.stderr
    assert "ready: http 127.0.0.1:" in shown.stdout
    assert "grpc at 127.0.0.1:" in shown.stdout


@pytest.mark.triton
def test_status_asks_a_running_server_for_an_inference(installed, har_repository, tmp_path):
    with running(har_repository, ANY_FREE, tmp_path / "log") as started:
        shown = server("status", "--url", started.http_url)
    assert shown.returncode == 0, shown.stderr
    assert "har_base" in shown.stdout
    assert "inference" in shown.stdout
    assert "1.26.4" in shown.stdout


@pytest.mark.triton
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("moment", ["while it starts", "when it is ready"])
def test_a_signal_ends_the_server_at_any_moment(installed, har_repository, number, moment):
    before = set(SHARED_MEMORY.glob("triton_python_backend_shm_region_*"))
    command = [sys.executable, "-m", "server", "run", str(har_repository), *FREE]
    launcher = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    with launcher:
        if moment == "when it is ready":
            assert "ready" in launcher.stdout.readline()
        else:
            while not (children := descendants(launcher.pid)):
                time.sleep(0.02)
        children = descendants(launcher.pid)
        launcher.send_signal(number)
        assert launcher.wait() == 128 + number
    assert not [pid for pid in children if Path(f"/proc/{pid}").exists()]
    new = set(SHARED_MEMORY.glob("triton_python_backend_shm_region_*")) - before
    assert not [region.name for region in new if not mapped(region)]  # others may run servers too
