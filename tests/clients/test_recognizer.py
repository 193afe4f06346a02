from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from clients.backoff import Backoff
from clients.errors import (
    DeadlineExceeded,
    InvalidMedia,
    ModelUnavailable,
    RecognizerError,
    ServerFault,
    ServerOverloaded,
    ServerUnavailable,
)
from clients.recognizer import Protocol, Recognizer
from server.process import RunningServer

LABELS = ("red", "green", "blue", "brightening", "darkening")

ClipOf = Callable[[str], bytes]


def frame(colour: tuple[int, int, int]) -> np.ndarray:
    return np.full((48, 64, 3), colour, np.uint8)


@pytest.mark.triton
@pytest.mark.parametrize("label", LABELS)
def test_names_the_action_in_a_video(
    recognizer: Recognizer, clip_of: ClipOf, tmp_path: Path, label: str
) -> None:
    path = tmp_path / "clip.avi"
    path.write_bytes(clip_of(label))
    seen = recognizer.classify(path, top_k=2)
    assert seen.model == "har_temporal"
    assert seen.latency_ms > 0
    assert len(seen.predictions) == 2
    best, second = seen.predictions
    assert (best.label, best.index) == (label, LABELS.index(label))
    assert best.score > second.score


@pytest.mark.triton
def test_a_path_its_bytes_and_its_pixels_get_one_answer(
    recognizer: Recognizer, tmp_path: Path
) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
    path = tmp_path / "frame.png"
    Image.fromarray(pixels).save(path)
    image = Image.open(path)
    ways = (path, str(path), path.read_bytes(), image, pixels)
    answers = [recognizer.probabilities(way) for way in ways]
    assert all(np.array_equal(answer, answers[0]) for answer in answers)


@pytest.mark.triton
def test_probabilities_are_all_classes_in_the_order_of_labels(
    recognizer: Recognizer, clip_of: ClipOf
) -> None:
    probabilities = recognizer.probabilities(clip_of("blue"), "har_base")
    assert probabilities.dtype == np.float32
    assert probabilities.shape == (5,)
    assert probabilities.sum() == pytest.approx(1)
    assert recognizer.labels("har_base") == LABELS
    told = recognizer.classify(clip_of("blue"), "har_base", top_k=5).predictions
    for one in told:
        assert one.label == LABELS[one.index]
        assert one.score == pytest.approx(probabilities[one.index], abs=1e-6)


@pytest.mark.triton
def test_a_batch_is_one_request_with_an_answer_for_each_item(
    recognizer: Recognizer, clip_of: ClipOf
) -> None:
    seen = recognizer.classify_batch([clip_of(label) for label in LABELS[:4]], top_k=1)
    assert [one.predictions[0].label for one in seen] == list(LABELS[:4])
    assert len({one.latency_ms for one in seen}) == 1


def test_an_empty_batch_needs_no_server() -> None:
    assert Recognizer("127.0.0.1:1").classify_batch([]) == []


@pytest.mark.triton
def test_asking_for_more_classes_than_there_are_gives_all(recognizer: Recognizer) -> None:
    assert len(recognizer.classify(frame((255, 0, 0)), top_k=99).predictions) == len(LABELS)


@pytest.mark.triton
def test_embeddings_have_unit_length_and_depend_on_the_media(
    recognizer: Recognizer, clip_of: ClipOf
) -> None:
    red, blue = (recognizer.embed(clip_of(label)) for label in ("red", "blue"))
    assert np.linalg.norm(red) == pytest.approx(1)
    assert not np.allclose(red, blue)


@pytest.mark.triton
def test_64_megabytes_pass_in_one_request(recognizer: Recognizer, tmp_path: Path) -> None:
    path = tmp_path / "large.png"
    Image.fromarray(frame((0, 255, 0))).save(path)
    room = 64 * 2**20 - path.stat().st_size  # a PNG ends before its end: the rest is passed over
    assert recognizer.classify(path.read_bytes() + bytes(room)).predictions[0].label == "green"


@pytest.mark.triton
@pytest.mark.parametrize(
    ("media", "model", "kind"),
    [
        (b"not media", "har_base", InvalidMedia),
        (b"", "har_base", InvalidMedia),
        (b"fault", "har_base", ServerFault),
        (frame((0, 0, 0)), "har_missing", ModelUnavailable),
    ],
    ids=["no media", "nothing", "fault", "no such model"],
)
def test_each_failure_has_its_own_error(
    recognizer: Recognizer, media: bytes, model: str, kind: type[RecognizerError]
) -> None:
    with pytest.raises(kind) as caught:
        recognizer.classify(media, model)
    assert "\n" not in str(caught.value)
    assert recognizer.classify(frame((255, 0, 0))).predictions[0].label == "red"


@pytest.mark.triton
def test_the_server_says_what_is_wrong_with_media(recognizer: Recognizer) -> None:
    with pytest.raises(InvalidMedia, match="MEDIA: "):
        recognizer.classify(b"not media")


@pytest.mark.triton
def test_a_full_queue_is_overload(stand_in: RunningServer, recognizer: Recognizer) -> None:
    urls: dict[Protocol, str] = {"grpc": stand_in.grpc_url, "http": stand_in.http_url}

    def ask(_: int) -> str:
        url, protocol = urls[recognizer.protocol], recognizer.protocol
        with Recognizer(url, protocol=protocol, backoff=Backoff(tries=1)) as one:
            try:
                return one.classify(frame((255, 0, 0)), "har_slow").predictions[0].label
            except ServerOverloaded as error:
                return error.kind

    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(ask, range(6)))
    assert set(answers) == {"red", "server_overloaded"}


@pytest.mark.triton
def test_a_request_ends_at_its_deadline(stand_in: RunningServer, recognizer: Recognizer) -> None:
    urls: dict[Protocol, str] = {"grpc": stand_in.grpc_url, "http": stand_in.http_url}
    hurried = Recognizer(urls[recognizer.protocol], protocol=recognizer.protocol, timeout=0.1)
    with hurried, pytest.raises(DeadlineExceeded, match=r"within 0\.1 s"):
        hurried.classify(frame((255, 0, 0)), "har_slow")


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_no_server_is_named_with_its_address(protocol: Protocol) -> None:
    with (
        Recognizer("127.0.0.1:1", protocol=protocol) as one,
        pytest.raises(ServerUnavailable, match=r"No server answers at 127\.0\.0\.1:1"),
    ):
        one.classify(frame((0, 0, 0)))


@pytest.mark.triton
def test_the_port_of_the_other_protocol_is_no_server(stand_in: RunningServer) -> None:
    swapped: dict[Protocol, str] = {"grpc": stand_in.http_url, "http": stand_in.grpc_url}
    for protocol, url in swapped.items():
        with Recognizer(url, protocol=protocol) as one, pytest.raises(ServerUnavailable):
            one.classify(frame((0, 0, 0)))


@pytest.mark.parametrize("url", ["http://127.0.0.1:8000", "localhost"])
def test_an_address_is_a_host_and_a_port(url: str) -> None:
    with pytest.raises(ValueError, match="expected HOST:PORT"):
        Recognizer(url)


def test_fewer_than_one_class_cannot_be_asked_for() -> None:
    with Recognizer("127.0.0.1:1") as one, pytest.raises(ValueError, match="top_k is 0"):
        one.classify(b"", top_k=0)
