"""How `python -m clients web` ends where it cannot serve."""

import socket
import subprocess
import sys

import pytest

WITHOUT = "import sys; sys.modules[{name!r}] = None; from clients.__main__ import main; main()"


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *command], capture_output=True, text=True, check=False, timeout=120
    )


@pytest.mark.parametrize("package", ["starlette", "uvicorn", "websockets"])
def test_missing_package_is_told_with_its_command(package: str) -> None:
    done = run("-c", WITHOUT.format(name=package), "web", "--port", "0")
    assert done.returncode == 1
    assert f'{package} is not installed. Install it with: pip install ".[clients,web]"' in (
        done.stderr
    )
    assert "Traceback" not in done.stderr


def test_port_in_use_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = run("-m", "clients", "web", "--port", port)
    assert done.returncode == 2
    assert f"port {port}" in done.stderr
    assert "Traceback" not in done.stderr


def test_address_that_cannot_be_is_told() -> None:
    done = run("-m", "clients", "web", "--url", "http://127.0.0.1:8001", "--port", "0")
    assert (done.returncode, "expected HOST:PORT" in done.stderr) == (2, True)
