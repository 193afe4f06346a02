"""The page as people start it, in front of a real tritonserver with the small trained models."""

import re
import subprocess
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from clip_har.dataset import DataSet, data_set_from_folder
from server.process import RunningServer


@contextmanager
def started(*options: str) -> Generator[str]:
    """Runs `python -m clients web`; gives its HOST:PORT."""
    command = [sys.executable, "-m", "clients", "web", "--port", "0", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            told = re.match(r"http://(\S+)/ ", process.stdout.readline())
            assert told, "the page does not tell its address"
            yield told[1]
        finally:
            process.terminate()


@pytest.fixture(scope="session")
def line(built: Path, serve: Callable[[Path], RunningServer]) -> RunningServer:
    """A server on the built repository."""
    return serve(built / "model_repository")


@pytest.fixture(scope="session")
def site(line: RunningServer) -> Generator[str]:
    """HOST:PORT of the page in front of the line."""
    with started("--url", line.grpc_url) as address:
        yield address


@pytest.fixture(scope="session")
def lonely_site() -> Generator[str]:
    """HOST:PORT of a page behind which there is no server."""
    with started("--url", "127.0.0.1:1") as address:
        yield address


@pytest.fixture(scope="session")
def data_set(mocap: Path) -> DataSet:
    return data_set_from_folder(mocap)


@pytest.fixture(scope="session")
def clip(mocap: Path, data_set: DataSet) -> Path:
    """A good MP4."""
    return mocap / data_set.split("test")[0].path


@pytest.fixture(scope="session")
def still(mocap: Path, data_set: DataSet) -> Path:
    """A good JPEG."""
    return mocap / data_set.stills[0].path
