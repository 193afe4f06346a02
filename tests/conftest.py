"""A real tritonserver for the tests marked `triton`."""

import os
from collections.abc import Callable, Generator
from contextlib import ExitStack
from pathlib import Path

# Before anything loads ONNX Runtime: its telemetry writes a file under the user's home.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import pytest

from server.installation import install
from server.process import RunningServer, running


@pytest.fixture(scope="session")
def installed() -> None:
    """What serving needs; installs it on the first run, like `python -m server install`."""
    install(print)


@pytest.fixture(scope="session")
def serve(
    installed: None, tmp_path_factory: pytest.TempPathFactory
) -> Generator[Callable[[Path], RunningServer]]:
    """Gives the running server of a repository: started once, stopped at the end of the session."""
    servers: dict[Path, RunningServer] = {}
    with ExitStack() as stack:

        def server_of(repository: Path) -> RunningServer:
            if repository not in servers:
                log = tmp_path_factory.mktemp("server") / "server.log"
                servers[repository] = stack.enter_context(running(repository, log_path=log))
            return servers[repository]

        yield server_of
