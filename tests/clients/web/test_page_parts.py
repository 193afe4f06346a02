"""The parts of the page that need more than a classifier, in front of stand-ins for the models."""

import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, Route, expect

from clients.recognizer import Recognizer
from clip_har.kinds import ACCEPTED
from server.process import RunningServer

pytestmark = pytest.mark.triton


@pytest.fixture
def page(visit: Callable[[str], Page], full_site: str) -> Page:
    page = visit(full_site)
    expect(page.locator("#server")).to_contain_text("triton ")
    return page


def test_invitation_names_what_is_read(page: Page) -> None:
    expect(page.locator("#invitation")).to_contain_text(ACCEPTED)


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


def refuse(route: Route) -> None:
    route.fulfill(status=500, json={"error": "It broke", "kind": "fault"})


def test_timeline_that_fails_is_not_looked_for_any_longer(page: Page, coloured: Path) -> None:
    page.route("**/api/timeline", refuse)
    page.set_input_files("#file", coloured)
    expect(page.get_by_role("alert")).to_have_text("It broke")
    expect(page.locator("#timeline-hint")).to_have_text("No answer.")


def test_timeline_that_breaks_off_says_so(page: Page, coloured: Path) -> None:
    segment = {"start": 0, "end": 1, "label": "red", "score": 0.9}
    broken = "".join(f"{json.dumps(line)}\n" for line in (segment, {"error": "It broke"}))
    page.route("**/api/timeline", lambda route: route.fulfill(body=broken))
    page.set_input_files("#file", coloured)
    expect(page.locator("#timeline button")).to_have_text(["red"])
    expect(page.locator("#timeline-hint")).to_have_text("No answer about the rest.")


def test_words_of_the_last_file_are_not_left_beside_the_next(page: Page, coloured: Path) -> None:
    page.get_by_role("textbox", name="In your own words").fill("blue, darkening")
    page.set_input_files("#file", coloured)
    expect(page.locator("#words-bars li")).to_have_count(2)
    held: list[Route] = []
    page.route("**/api/classify?*", lambda route: held.append(route))
    page.set_input_files("#file", coloured)
    expect(page.locator("#seen-hint")).to_have_text("asking …")
    expect(page.locator("#words-bars li")).to_have_count(0)
    expect(page.locator("#words-state")).to_be_empty()
    held[0].continue_()
    expect(page.locator("#words-bars li")).to_have_count(2)


def test_words_that_fail_or_are_emptied_leave_no_answer(page: Page, coloured: Path) -> None:
    words = page.get_by_role("textbox", name="In your own words")
    bars, state = page.locator("#words-bars li"), page.locator("#words-state")
    words.fill("blue, darkening")
    page.set_input_files("#file", coloured)
    expect(state).to_contain_text("by har_zero_shot")
    words.fill("")
    expect(bars).to_have_count(0)
    expect(state).to_be_empty()
    words.fill("blue")
    expect(bars).to_have_count(1)
    page.route("**/api/zero-shot?*", refuse)
    words.fill("red, blue")
    expect(state).to_have_text("It broke")
    expect(bars).to_have_count(0)


def test_refused_file_has_no_times(page: Page, coloured: Path, tmp_path: Path) -> None:
    page.set_input_files("#file", coloured)
    expect(page.locator("#steps dt")).not_to_have_count(0)
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"this is no picture")
    page.set_input_files("#file", bad)
    expect(page.get_by_role("alert")).to_contain_text("Not a file that is read here")
    for part in ("#total", "#latency", "#steps"):
        expect(page.locator(part)).to_be_empty()


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
