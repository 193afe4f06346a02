"""The page in a real Chromium, used as people use it."""

import base64
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import FileChooser, Page, expect

from clients.recognizer import Recognizer
from server.process import RunningServer

pytestmark = pytest.mark.triton
Open = Callable[[str], Page]


@pytest.fixture
def page(visit: Open, site: str) -> Page:
    """The page when it has met its server."""
    page = visit(site)
    expect(page.locator("#server")).to_contain_text("triton ")
    return page


def best(page: Page) -> tuple[str, str]:
    """The first label and its score."""
    first = page.locator("#bars li").first
    return first.locator(".label").inner_text(), first.locator(".score").inner_text()


def expected(line: RunningServer, media: Path, model: str = "har_temporal") -> tuple[str, str]:
    with Recognizer(line.grpc_url) as recognizer:
        prediction = recognizer.classify(media, model).predictions[0]
    return prediction.label, f"{prediction.score:.1%}"


def test_video_is_answered_shown_and_timed(page: Page, line: RunningServer, clip: Path) -> None:
    page.set_input_files("#file", clip)
    expect(page.locator("#bars li")).to_have_count(5)
    assert best(page) == expected(line, clip)
    expect(page.locator("#announced")).to_have_text(", ".join(best(page)))
    steps = page.locator("#steps dt").all_inner_texts()
    assert steps[:4] == ["preprocess", "encoder", "temporal", "classifier"]
    page.wait_for_function("document.querySelector('#video').videoWidth > 0")


def test_picture_is_answered_and_shown(page: Page, line: RunningServer, still: Path) -> None:
    page.set_input_files("#file", still)
    expect(page.locator("#bars li")).to_have_count(5)
    assert best(page) == expected(line, still)
    page.wait_for_function("document.querySelector('#picture').naturalWidth > 0")


def test_dropped_file_is_answered(page: Page, line: RunningServer, clip: Path) -> None:
    content = base64.b64encode(clip.read_bytes()).decode()
    dropped = page.evaluate_handle(
        """content => {
            const bytes = Uint8Array.from(atob(content), (one) => one.charCodeAt(0));
            const data = new DataTransfer();
            data.items.add(new File([bytes], "dropped.mp4", { type: "video/mp4" }));
            return data;
        }""",
        content,
    )
    page.dispatch_event("#stage", "drop", {"dataTransfer": dropped})
    expect(page.locator("#bars li")).to_have_count(5)
    assert best(page) == expected(line, clip)


def test_keyboard_reaches_all_and_shows_where_it_is(
    page: Page, line: RunningServer, clip: Path
) -> None:
    choosers: list[FileChooser] = []
    page.on("filechooser", lambda chooser: choosers.append(chooser))
    page.keyboard.press("Tab")
    expect(page.locator("#file")).to_be_focused()
    ring = "getComputedStyle(document.querySelector('label.button')).outlineStyle"
    assert page.evaluate(ring) == "solid"
    while not choosers:  # Chromium drops a key press that it gets to only after seconds
        page.keyboard.press("Enter")
        page.wait_for_timeout(500)
    choosers[0].set_files(clip)
    expect(page.locator("#bars li")).to_have_count(5)
    page.keyboard.press("Tab")
    expect(page.locator("#camera")).to_be_focused()
    page.keyboard.press("Tab")
    page.keyboard.press("ArrowRight")
    chosen = page.locator("#models input:checked")
    expect(chosen).to_be_focused()
    model = chosen.get_attribute("value") or ""
    assert model != "har_temporal"
    expect(page.locator("#seen-hint")).to_have_text(f"by {model}")
    assert best(page) == expected(line, clip, model)


def test_bad_file_is_an_error_on_the_page_until_a_good_one(
    page: Page, tmp_path: Path, clip: Path
) -> None:
    bad = tmp_path / "bad.mp4"
    bad.write_bytes(b"this is no video")
    page.set_input_files("#file", bad)
    expect(page.get_by_role("alert")).to_contain_text("Not a file that is read here")
    expect(page.locator("#unshown")).to_be_visible()
    page.set_input_files("#file", clip)
    expect(page.locator("#bars li")).to_have_count(5)
    expect(page.locator("#error")).to_be_hidden()


def test_file_that_is_too_large_is_not_sent(page: Page, tmp_path: Path) -> None:
    large = tmp_path / "large.mp4"
    with large.open("wb") as file:
        file.truncate(300 * 2**20)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.set_input_files("#file", large)
    expect(page.get_by_role("alert")).to_contain_text("MB, the most that the server takes")
    assert asked == []


def test_server_that_is_away_is_told(visit: Open, lonely_site: str) -> None:
    page = visit(lonely_site)
    expect(page.locator("#server")).to_contain_text("No server answers at 127.0.0.1:1")
    expect(page.locator("#server")).to_have_attribute("data-state", "away")


def test_camera_is_answered_frame_by_frame_until_stopped(page: Page) -> None:
    camera = page.get_by_role("button", name="Use the camera")
    camera.focus()
    page.keyboard.press("Enter")
    expect(page.locator("#bars li")).to_have_count(5)
    page.wait_for_function("document.querySelector('#live').videoWidth > 0")
    page.get_by_role("button", name="Stop the camera").press("Enter")
    expect(camera).to_be_visible()
    expect(page.locator("#live")).to_be_hidden()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_its_ground(page: Page, clip: Path, scheme: str) -> None:
    page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    page.set_input_files("#file", clip)
    expect(page.locator("#bars li")).to_have_count(5)
    for text, ground in ((".label", ".card"), (".hint", "body"), (".button", ".button")):
        style = "(place, what) => getComputedStyle(document.querySelector(place))[what]"
        ink = page.evaluate(f"([place]) => ({style})(place, 'color')", [text])
        paper = page.evaluate(f"([place]) => ({style})(place, 'backgroundColor')", [ground])
        assert contrast(ink, paper) >= 4.5, (text, ink, paper)


def contrast(first: str, second: str) -> float:
    """WCAG's ratio of two colours `rgb(r, g, b)`."""
    dark, light = sorted(map(luminance, (first, second)))
    return (light + 0.05) / (dark + 0.05)


def luminance(colour: str) -> float:
    parts = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
    linear = [one / 12.92 if one <= 0.04045 else ((one + 0.055) / 1.055) ** 2.4 for one in parts]
    return sum(weight * one for weight, one in zip((0.2126, 0.7152, 0.0722), linear, strict=True))
