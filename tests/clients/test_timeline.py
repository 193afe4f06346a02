import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from clients.backoff import Backoff
from clients.errors import DeadlineExceeded, InvalidMedia, ModelUnavailable, ServerOverloaded
from clients.recognizer import Recognizer
from server.process import RunningServer

pytestmark = pytest.mark.triton
ClipOf = Callable[[str], bytes]


@pytest.fixture
def grpc(stand_in: RunningServer) -> Recognizer:
    with Recognizer(stand_in.grpc_url) as connected:
        yield connected


def cancelled(recognizer: Recognizer) -> int:
    """Timelines that the stand-in has broken off."""
    return round(next(recognizer.timeline(b"cancelled?")).start)


def test_segments_come_one_by_one(grpc: Recognizer, clip_of: ClipOf) -> None:
    seen = list(grpc.timeline(clip_of("red")))
    assert [(one.start, one.end) for one in seen] == [(n, n + 1) for n in range(5)]
    assert {(one.label, one.index) for one in seen} == {("red", 0)}
    assert all(0.9 < one.score <= 1 for one in seen)


def test_closing_the_iterator_cancels_the_request(grpc: Recognizer, clip_of: ClipOf) -> None:
    before = cancelled(grpc)
    segments = grpc.timeline(clip_of("red"))
    next(segments)
    segments.close()
    end = time.monotonic() + 30
    while cancelled(grpc) == before:
        assert time.monotonic() < end, "the server was not told"
        time.sleep(0.1)


def test_bad_media_are_the_media_s_fault(grpc: Recognizer) -> None:
    with pytest.raises(InvalidMedia, match="MEDIA: "):
        list(grpc.timeline(b"junk"))


def test_a_missing_model_is_named(grpc: Recognizer) -> None:
    with pytest.raises(ModelUnavailable, match="har_missing"):
        list(grpc.timeline(b"junk", "har_missing"))


def test_a_timeline_ends_at_its_deadline(grpc: Recognizer, clip_of: ClipOf) -> None:
    with pytest.raises(DeadlineExceeded, match=r"within 0\.3 s"):
        list(grpc.timeline(clip_of("red"), timeout=0.3))


def test_a_busy_server_is_asked_again(stand_in: RunningServer, clip_of: ClipOf) -> None:
    def ask(tries: int) -> int | str:
        with Recognizer(stand_in.grpc_url, backoff=Backoff(tries=tries)) as one:
            try:
                return len(list(one.timeline(clip_of("red"))))
            except ServerOverloaded as error:
                return error.kind

    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(ask, [1] * 4)) == {5, "server_overloaded"}
        assert set(pool.map(ask, [1000] * 4)) == {5}


def test_http_cannot(stand_in: RunningServer) -> None:
    with (
        Recognizer(stand_in.http_url, protocol="http") as one,
        pytest.raises(ValueError, match="use protocol='grpc'"),
    ):
        next(one.timeline(b""))
