import os
import signal
import subprocess

import pytest

from server.address import ANY_FREE
from server.errors import ServerError
from server.process import running
from server.supervisor import Supervision, supervise

pytestmark = pytest.mark.triton


class EnoughError(Exception):
    """Raised by a test to leave the endless watch."""


def test_a_server_with_a_dead_python_model_is_restarted_at_the_same_address(
    installed, har_repository, tmp_path
):
    heard: list[str] = []

    def announce(text: str) -> None:
        heard.append(text)
        if "answers again" in text:
            raise EnoughError

    with running(har_repository, ANY_FREE, tmp_path / "log") as server:
        first, url = server.pid, server.http_url
        stub = subprocess.run(["ps", "-o", "pid=", "--ppid", str(first)], capture_output=True)
        os.kill(int(stub.stdout), signal.SIGKILL)
        with pytest.raises(EnoughError):
            supervise(server, Supervision(canary_seconds=0.2), announce)
        assert "process has died" in heard[0]
        assert server.pid != first
        assert server.http_url == url
        assert server.fault() is None


def test_a_server_that_keeps_dying_is_given_up(installed, har_repository, tmp_path):
    with running(har_repository, ANY_FREE, tmp_path / "log") as server:

        def kill(_: str = "") -> None:
            os.kill(server.pid, signal.SIGKILL)

        kill()
        supervision = Supervision(canary_seconds=0.2, restarts=1)

        def kill_again(text: str) -> None:
            if "answers again" in text:
                kill()

        with pytest.raises(ServerError, match="failed again after 1 restarts"):
            supervise(server, supervision, kill_again)
