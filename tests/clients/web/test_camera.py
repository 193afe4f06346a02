"""The camera of the page while the browser asks the user, and when it does not come."""

from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, WebSocket, expect

pytestmark = pytest.mark.triton
HELD_BACK = """() => {
    const media = navigator.mediaDevices, given = media.getUserMedia.bind(media);
    window.cameras = [];
    const permitted = new Promise((permit) => (window.permit = permit));
    media.getUserMedia = async (wishes) => {
        await permitted;
        window.cameras.push(await given(wishes));
        return window.cameras.at(-1);
    };
}"""
"""Every camera waits for `permit()`, as for a user's answer."""


@pytest.fixture
def page(visit: Callable[[str], Page], full_site: str) -> Page:
    """A page whose cameras wait for `permit()`."""
    page = visit(full_site)
    page.evaluate(HELD_BACK)
    expect(page.locator("#server")).to_contain_text("triton ")
    return page


def filming(page: Page) -> int:
    """Cameras that are on."""
    tracks = "window.cameras.flatMap((one) => one.getTracks())"
    return page.evaluate(f"{tracks}.filter((track) => track.readyState === 'live').length")


def permit(page: Page, cameras: int) -> None:
    """Gives all cameras that were asked for."""
    page.evaluate("permit()")
    page.wait_for_function("(count) => window.cameras.length === count", arg=cameras)


def test_clicks_while_the_browser_asks_end_with_one_camera(page: Page) -> None:
    sockets: list[WebSocket] = []
    page.on("websocket", lambda socket: sockets.append(socket))
    button = page.locator("#camera")
    for text in ("Stop the camera", "Use the camera", "Stop the camera"):
        button.click()
        expect(button).to_have_text(text)
    permit(page, cameras=2)
    expect(page.locator("#seen-hint")).to_have_text("by har_stream")
    assert (filming(page), len(sockets)) == (1, 1)
    button.click()
    expect(button).to_have_text("Use the camera")
    assert filming(page) == 0


def test_file_that_is_chosen_while_the_browser_asks_stays(page: Page, coloured: Path) -> None:
    page.locator("#camera").click()
    page.set_input_files("#file", coloured)
    permit(page, cameras=1)
    expect(page.locator("#seen-hint")).to_have_text("by har_temporal")
    expect(page.locator("#video")).to_be_visible()
    expect(page.locator("#camera")).to_have_text("Use the camera")
    assert filming(page) == 0


def test_camera_that_cannot_be_shown_is_off(page: Page) -> None:
    refusal = "live => void (live.play = () => Promise.reject(new Error('No')))"
    page.locator("#live").evaluate(refusal)
    page.locator("#camera").click()
    permit(page, cameras=1)
    expect(page.get_by_role("alert")).to_have_text("The camera cannot be used: No.")
    expect(page.locator("#camera")).to_have_text("Use the camera")
    assert filming(page) == 0
