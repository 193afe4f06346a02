"""The parts of the page that need more than a classifier, in front of stand-ins for the models."""

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from playwright.sync_api import Page, Route, expect

from clients.recognizer import Recognizer
from server.process import RunningServer

pytestmark = pytest.mark.triton
COLOURS = ((255, 0, 0), (0, 255, 0), (0, 0, 255))
"""A second each: the stand-in's timeline has a segment for each frame."""


@pytest.fixture
def page(visit: Callable[[str], Page], full_site: str) -> Page:
    page = visit(full_site)
    expect(page.locator("#server")).to_contain_text("triton ")
    return page


@pytest.fixture(scope="session")
def coloured(movie: Callable[..., bytes], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A video that is red, green and blue for a second each."""

    def draw(index: int, width: int, height: int) -> NDArray[np.uint8]:
        return np.full((height, width, 3), COLOURS[index], np.uint8)

    path = tmp_path_factory.mktemp("coloured") / "coloured.mp4"
    path.write_bytes(movie(3, rate=1, draw=draw))
    return path


def test_words_are_ranked_while_they_are_typed(
    page: Page, coloured: Path, stand_in: RunningServer
) -> None:
    page.set_input_files("#file", coloured)
    expect(page.locator("#bars li")).to_have_count(5)
    page.get_by_role("textbox", name="In your own words").press_sequentially("blue, darkening")
    labels = page.locator("#words-bars .label")
    expect(labels).to_have_count(2)
    with Recognizer(stand_in.grpc_url) as recognizer:
        seen = recognizer.zero_shot(coloured, ["blue", "darkening"])
    expect(labels).to_have_text([one.label for one in seen.predictions])
    page.keyboard.type("\nred")
    expect(labels).to_have_count(3)


def test_segments_lead_to_their_place_in_the_video(page: Page, coloured: Path) -> None:
    page.set_input_files("#file", coloured)
    segments = page.locator("#timeline button")
    expect(segments).to_have_text(["red", "green", "blue"])
    expect(page.locator("#timeline-hint")).to_contain_text("3 parts")
    page.evaluate("document.querySelector('#video').pause()")
    segments.nth(1).click()
    now = "document.querySelector('#video').currentTime"
    assert page.evaluate(now) == 1
    expect(segments.nth(1)).to_have_attribute("aria-current", "true")
    page.keyboard.press("ArrowRight")
    expect(segments.nth(2)).to_be_focused()
    page.keyboard.press("Enter")
    assert page.evaluate(now) == 2
    page.keyboard.press("Home")
    expect(segments.nth(0)).to_be_focused()


def test_timeline_is_one_stop_of_the_tab_key(page: Page, coloured: Path) -> None:
    page.set_input_files("#file", coloured)
    segments = page.locator("#timeline button")
    expect(segments).to_have_count(3)
    segments.first.focus()
    page.keyboard.press("Tab")
    expect(page.locator("#file")).to_be_focused()


def test_page_that_goes_away_ends_the_work(
    page: Page, movie: Callable[..., bytes], tmp_path: Path, stand_in: RunningServer
) -> None:
    long = tmp_path / "long.mp4"
    long.write_bytes(movie(20, rate=1))

    def cancelled() -> float:
        with Recognizer(stand_in.grpc_url) as recognizer:
            return next(iter(recognizer.timeline(b"cancelled?"))).start

    before = cancelled()
    page.set_input_files("#file", long)
    expect(page.locator("#timeline button").first).to_be_visible()
    page.close()
    while cancelled() == before:
        time.sleep(0.2)


def test_camera_is_a_stream_and_its_words_are_the_classes(page: Page) -> None:
    page.get_by_role("button", name="Use the camera").click()
    expect(page.locator("#seen-hint")).to_have_text("by har_stream")
    expect(page.locator("#bars li")).to_have_count(5)
    expect(page.locator("#steps dt")).to_have_text(["server", "waiting", "network", "browser"])
    page.get_by_role("button", name="Stop the camera").click()


def test_part_without_its_model_is_hidden_and_told(
    page: Page, visit: Callable[[str], Page], full_site: str
) -> None:
    expect(page.locator("#words-part")).to_be_visible()
    expect(page.locator("#absent li")).to_have_count(0)

    def without(route: Route) -> None:
        told = route.fetch().json()
        route.fulfill(json={**told, "models": ["har_temporal"]})

    page.route("**/api/server", without)
    page.reload()
    expect(page.locator("#absent li")).to_have_count(3)
    expect(page.locator("#absent")).to_contain_text("no har_zero_shot")
    expect(page.locator("#words-part")).to_be_hidden()
    expect(page.locator("#models")).to_be_hidden()


def test_file_that_was_dropped_before_its_server_came_is_answered(
    page: Page, coloured: Path
) -> None:
    away = [True]

    def maybe(route: Route) -> None:
        if away[0]:
            told = {"error": "No server answers at nowhere", "kind": "server_unavailable"}
            route.fulfill(status=502, json=told)
        else:
            route.continue_()

    page.route("**/api/**", maybe)
    page.set_input_files("#file", coloured)
    expect(page.locator("#server")).to_have_text("No server answers at nowhere")
    away[0] = False
    expect(page.locator("#bars li")).to_have_count(5)
    expect(page.locator("#server")).to_contain_text("triton ")
    expect(page.locator("#error")).to_be_hidden()
