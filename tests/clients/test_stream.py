import numpy as np
import pytest

from clients.errors import InvalidMedia, ServerUnavailable
from clients.recognizer import Recognizer

GREYS = [np.full((48, 64, 3), level, np.uint8) for level in (0, 60, 120, 180, 255)]


def under_way(recognizer: Recognizer) -> int:
    """Streams that the stand-in keeps, but for the one that asks."""
    with recognizer.stream() as stream:
        return round(stream.send(b"streams?").best.score)


@pytest.mark.triton
def test_each_frame_is_answered_for_the_window_that_it_ends(recognizer: Recognizer) -> None:
    with recognizer.stream(top_k=2) as stream:
        seen = [stream.send(frame) for frame in GREYS]
        assert under_way(recognizer) == 1
    assert seen[-1].model == "har_stream"
    assert seen[-1].best.label == "brightening"
    scores = [
        next(p.score for p in one.predictions if p.label == "brightening") for one in seen[2:]
    ]
    assert scores == sorted(scores)
    assert under_way(recognizer) == 0


@pytest.mark.triton
def test_streams_do_not_see_each_others_frames(recognizer: Recognizer) -> None:
    with recognizer.stream() as up, recognizer.stream() as down:
        for rising, falling in zip(GREYS, GREYS[::-1], strict=True):
            seen = up.send(rising), down.send(falling)
    assert [one.best.label for one in seen] == ["brightening", "darkening"]


@pytest.mark.triton
def test_a_bad_frame_is_an_error_and_the_stream_goes_on(recognizer: Recognizer) -> None:
    with recognizer.stream() as stream:
        for bad in (b"junk", np.zeros(3, np.uint8)):
            with pytest.raises(InvalidMedia):
                stream.send(bad)
        for frame in GREYS:
            seen = stream.send(frame)
            with pytest.raises(InvalidMedia):
                stream.send(b"junk")
    assert seen.best.label == "brightening"
    assert under_way(recognizer) == 0


@pytest.mark.triton
def test_a_stream_ends_where_its_block_fails(recognizer: Recognizer) -> None:
    def fail() -> None:
        with recognizer.stream() as stream:
            stream.send(GREYS[0])
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert under_way(recognizer) == 0


def test_a_stream_needs_a_server() -> None:
    with Recognizer("127.0.0.1:1") as one, pytest.raises(ServerUnavailable):
        one.stream()
