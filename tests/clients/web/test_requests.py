"""What the page's server answers, and whom."""

import http.client
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from clients.recognizer import Recognizer
from server.process import RunningServer

pytestmark = pytest.mark.triton
MAX_BYTES = 64 * 2**20


@dataclass(frozen=True)
class Answer:
    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def told(self) -> Any:
        return json.loads(self.body)


def ask(
    site: str,
    path: str,
    body: bytes | Iterable[bytes] | None = None,
    headers: dict[str, str] | None = None,
) -> Answer:
    """GET, or POST with a body."""
    connection = http.client.HTTPConnection(site, timeout=60)
    connection.request("GET" if body is None else "POST", path, body, headers or {})
    answer = connection.getresponse()
    told = Answer(answer.status, answer.headers, answer.read())
    connection.close()
    return told


def test_server_tells_what_the_page_can_offer(site: str) -> None:
    told = ask(site, "/api/server").told
    assert told["server"].startswith("triton ")
    assert {"har_temporal", "har_base"} <= set(told["models"])
    assert told["max_bytes"] == MAX_BYTES


@pytest.mark.parametrize("model", ["har_temporal", "har_base"])
def test_answers_are_the_recognizers(
    site: str, line: RunningServer, clip: Path, model: str
) -> None:
    told = ask(site, f"/api/classify?model={model}", clip.read_bytes()).told
    with Recognizer(line.grpc_url) as recognizer:
        seen = recognizer.classify(clip, model, top_k=5)
    ranking = [(one.label, one.score) for one in seen.predictions]
    assert [(one["label"], one["score"]) for one in told["predictions"]] == ranking


def test_time_is_split_by_step(site: str, clip: Path) -> None:
    told = ask(site, "/api/classify", clip.read_bytes()).told
    steps = {step["name"]: step["ms"] for step in told["steps"]}
    order = ["preprocess", "encoder", "temporal", "classifier", "waiting", "network"]
    assert list(steps) == order
    assert all(steps[name] > 0 for name in order[:4])
    assert sum(steps.values()) == pytest.approx(told["total_ms"], rel=0.05, abs=0.1)


def test_bad_file_is_told_as_the_server_tells_it(site: str) -> None:
    answer = ask(site, "/api/classify", b"this is no video")
    assert answer.status == 422
    assert answer.told["kind"] == "invalid_media"
    assert "Not a file that is read here" in answer.told["error"]


def test_no_file_is_an_error(site: str) -> None:
    answer = ask(site, "/api/classify", b"")
    assert (answer.status, "No file came" in answer.told["error"]) == (422, True)


def test_model_that_is_no_classifier_is_an_error(site: str, clip: Path) -> None:
    answer = ask(site, "/api/classify?model=vision_encoder", clip.read_bytes())
    assert (answer.status, "vision_encoder" in answer.told["error"]) == (400, True)


def test_model_that_the_server_lacks_is_an_error(lonely_site: str, site: str, clip: Path) -> None:
    answer = ask(lonely_site, "/api/classify", clip.read_bytes())
    assert (answer.status, answer.told["kind"]) == (502, "server_unavailable")
    assert "127.0.0.1:1" in answer.told["error"]


def test_length_over_the_limit_is_refused_before_it_is_read(site: str) -> None:
    answer = ask(site, "/api/classify", b"x", {"Content-Length": str(MAX_BYTES + 1)})
    assert (answer.status, "64 MB" in answer.told["error"]) == (413, True)


def test_stream_without_a_length_is_cut_at_the_limit(site: str) -> None:
    connection = http.client.HTTPConnection(site, timeout=60)
    connection.putrequest("POST", "/api/classify")
    connection.putheader("Transfer-Encoding", "chunked")
    connection.endheaders()
    mega = bytes(2**20)
    for _ in range(65):
        connection.send(b"%x\r\n%s\r\n" % (len(mega), mega))
    answer = connection.getresponse()
    assert (answer.status, "64 MB" in json.loads(answer.read())["error"]) == (413, True)
    connection.close()


def test_browser_may_load_nothing_from_elsewhere(site: str) -> None:
    for path in ("/", "/page.js", "/page.css", "/api/server", "/no-such-page"):
        headers = ask(site, path).headers
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        assert "unsafe" not in headers["Content-Security-Policy"]
        assert headers["X-Content-Type-Options"] == "nosniff"


def test_page_names_nothing_elsewhere(site: str) -> None:
    page = ask(site, "/").body.decode()
    assert "<script" in page
    assert "http:" not in page
    assert "https:" not in page


@pytest.mark.parametrize("origin", ["https://elsewhere.example", "http://127.0.0.1:9", "null"])
def test_other_sites_cannot_ask(site: str, clip: Path, origin: str) -> None:
    answer = ask(site, "/api/classify", clip.read_bytes(), {"Origin": origin})
    assert (answer.status, answer.told["kind"]) == (403, "cross_site")
    with pytest.raises(InvalidStatus), connect(f"ws://{site}/api/camera", origin=origin):
        pass


def test_own_page_can_ask(site: str, clip: Path) -> None:
    answer = ask(site, "/api/classify", clip.read_bytes(), {"Origin": f"http://{site}"})
    assert answer.status == 200


def test_names_that_a_stranger_points_here_are_refused(site: str) -> None:
    port = site.partition(":")[2]
    assert ask(site, "/", headers={"Host": f"elsewhere.example:{port}"}).status == 403
    assert ask(site, "/", headers={"Host": f"localhost:{port}"}).status == 200


def test_camera_answers_each_frame_and_survives_a_bad_one(site: str, still: Path) -> None:
    with connect(f"ws://{site}/api/camera", origin=f"http://{site}") as socket:  # type: ignore[arg-type]
        answers = []
        for frame in (still.read_bytes(), b"no picture", still.read_bytes()):
            socket.send(frame)
            answers.append(json.loads(socket.recv(timeout=60)))
    assert answers[0]["predictions"] == answers[2]["predictions"]
    assert answers[1]["kind"] == "invalid_media"
