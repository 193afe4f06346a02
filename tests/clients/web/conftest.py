"""The page as people start it, in front of a real tritonserver with the small trained models."""

import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from playwright.sync_api import Browser, Page, expect, sync_playwright

from clip_har.dataset import DataSet, data_set_from_folder
from server.process import RunningServer

CHROMIUM = shutil.which("chromium")
OPTIONS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
)
COLOURS = ((255, 0, 0), (0, 255, 0), (0, 0, 255))
Open = Callable[[str], Page]


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
def full_site(stand_in: RunningServer) -> Generator[str]:
    """HOST:PORT of a page in front of stand-ins for all that it has a place for."""
    with started("--url", stand_in.grpc_url) as address:
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


@pytest.fixture(scope="session")
def coloured(movie: Callable[..., bytes], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A video that is red, green and blue for a second each: segments to the stand-in."""

    def draw(index: int, width: int, height: int) -> NDArray[np.uint8]:
        return np.full((height, width, 3), COLOURS[index], np.uint8)

    path = tmp_path_factory.mktemp("coloured") / "coloured.mp4"
    path.write_bytes(movie(3, rate=1, draw=draw))
    return path


@pytest.fixture(scope="session")
def browser() -> Generator[Browser]:
    if CHROMIUM is None:
        pytest.skip("no chromium is installed; on Debian: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(OPTIONS))
        yield browser
        browser.close()


@pytest.fixture
def visit(browser: Browser) -> Generator[Open]:
    """Opens the page of a site; at the end it must not have complained."""
    complaints: list[str] = []
    context = browser.new_context()
    context.set_default_timeout(60_000)
    expect.set_options(timeout=60_000)

    def opened(site: str) -> Page:
        page = context.new_page()
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda said: complaints.append(said.text))
        page.goto(f"http://{site}/")
        return page

    yield opened
    context.close()
    # Chromium itself notes every answer that is an error.
    assert [one for one in complaints if not one.startswith("Failed to load resource")] == []
