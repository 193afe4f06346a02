"""Live streams on the real server: each frame is encoded once, and no stream sees another's.

T frames of a window, K classes.
"""

import io
import itertools
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
import tritonclient.grpc
import tritonclient.http
from numpy.typing import NDArray
from PIL import Image
from tritonclient.utils import InferenceServerException

from clip_har.contract import FRAME, HAR_STREAM, PROBS, VISION_ENCODER
from clip_har.dataset import DataSet
from clip_har.limits import Limits
from clip_har.media import clip_from_media, pixels_from_picture
from clip_har.nn.model import CLIPHARModel
from clip_har.preprocess import Pixels
from clip_har.sampling import every_frame
from server.process import RunningServer

pytestmark = pytest.mark.triton
RATE = 5
IDS = itertools.count(1)
Client = tritonclient.grpc.InferenceServerClient


@pytest.fixture(scope="session")
def films(mocap: Path, data_set: DataSet) -> list[list[bytes]]:
    """The frames of 16 clips, 12 each, as JPEG."""
    clips = (mocap / sample.path for sample in data_set.clips[:16])
    return [jpegs(path.read_bytes())[:12] for path in clips]


def jpegs(video: bytes) -> list[bytes]:
    return [jpeg(frame) for frame in clip_from_media(video, every_frame, Limits()).frames]


def jpeg(frame: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(frame).save(file, "JPEG")
    return file.getvalue()


def send(
    client: Client,
    key: int | str,
    picture: bytes,
    *,
    start: bool = False,
    end: bool = False,
    **more: object,
) -> np.ndarray:
    tensor = tritonclient.grpc.InferInput(FRAME.name, [1, 1], FRAME.dtype)
    tensor.set_data_from_numpy(np.array([[picture]], object))
    answer = client.infer(
        HAR_STREAM.name,
        [tensor],
        sequence_id=key,
        sequence_start=start,
        sequence_end=end,
        parameters=more or None,
    )
    return answer.as_numpy(PROBS.name)[0]


def send_all(client: Client, pictures: Sequence[bytes]) -> np.ndarray:
    """A whole stream: (frames, K)."""
    key = next(IDS)
    last = len(pictures) - 1
    return np.stack(
        [send(client, key, one, start=i == 0, end=i == last) for i, one in enumerate(pictures)]
    )


def trained_probs(model: CLIPHARModel, pixels: Pixels, times: NDArray[np.float32]) -> np.ndarray:
    """What the trained model says of one clip: (T, S, S, 3), (T,) -> (K,)."""
    with torch.inference_mode():
        seen = model(torch.from_numpy(pixels.copy())[None], torch.from_numpy(times)[None])
    return seen.probs[0].numpy()


def encoded_frames(client: Client) -> int:
    told = client.get_inference_statistics(VISION_ENCODER.name, as_json=True)
    return int(told["model_stats"][0].get("inference_count", 0))


def test_each_answer_is_the_trained_models_for_the_window_so_far(
    client: Client, films: list[list[bytes]], model: CLIPHARModel
) -> None:
    size = model.spec.preprocessing.image_size
    pixels = np.stack([pixels_from_picture(one, size, Limits()) for one in films[0]])
    told = send_all(client, films[0])
    for last, probs in enumerate(told):
        window = slice(max(0, last + 1 - model.spec.frames), last + 1)
        times = np.arange(len(pixels[window]), dtype=np.float32) / RATE
        assert np.abs(trained_probs(model, pixels[window], times) - probs).max() <= 1e-4
    assert np.ptp(told, axis=0).max() > 0.05, "all windows look alike: this compares nothing"


def test_streams_at_once_are_answered_as_each_alone_and_each_frame_is_encoded_once(
    client: Client, films: list[list[bytes]]
) -> None:
    alone = [send_all(client, film) for film in films]  # (frames, K) each
    before = encoded_frames(client)
    with ThreadPoolExecutor(len(films)) as threads:
        together = list(threads.map(lambda film: send_all(client, film), films))
    assert encoded_frames(client) - before == sum(map(len, films))
    for one, other in zip(alone, together, strict=True):
        assert np.abs(one - other).max() <= 1e-4
    between = np.abs(together[0] - together[1]).max()
    assert between > 1e-3, "the streams look alike: this shows no cross-talk"


def refused(client: Client, *arguments: object, **more: object) -> str:
    with pytest.raises(InferenceServerException) as refusal:
        send(client, *arguments, **more)
    assert refusal.value.status() == "StatusCode.INVALID_ARGUMENT"
    return refusal.value.message()


def test_a_frame_that_was_dropped_is_a_longer_step_in_time(
    client: Client, films: list[list[bytes]], model: CLIPHARModel
) -> None:
    size = model.spec.preprocessing.image_size
    key, times = next(IDS), (3.0, 3.2, 4.0, 4.2)
    told = [
        send(client, key, one, start=i == 0, end=i == 3, time=str(times[i]))
        for i, one in enumerate(films[0][:4])
    ]
    pixels = np.stack([pixels_from_picture(one, size, Limits()) for one in films[0][:4]])
    said = trained_probs(model, pixels, np.array(times, np.float32) - 3)
    assert np.abs(said - told[-1]).max() <= 1e-4
    evenly = trained_probs(model, pixels, np.arange(4, dtype=np.float32))
    assert np.abs(evenly - told[-1]).max() > 1e-4, "times make no difference here"


@pytest.mark.parametrize("time", [1, 1.5, "1.5"])
def test_a_time_may_be_a_number_or_a_text(
    client: Client, films: list[list[bytes]], time: object
) -> None:
    key, (first, second) = next(IDS), films[0][:2]
    send(client, key, first, start=True, time=0)
    send(client, key, second, time=time)
    assert "came after that of" in refused(client, key, second, time=time, end=True)


def test_an_id_may_be_a_text(client: Client, films: list[list[bytes]]) -> None:
    first = send(client, "hall camera", films[0][0], start=True)
    second = send(client, "hall camera", films[0][1], end=True)
    assert np.abs(first - second).max() > 0
    assert np.abs(send_all(client, films[0][:2]) - [first, second]).max() <= 1e-5


def test_a_faulty_stream_is_told_so_and_leaves_others_alone(
    client: Client, films: list[list[bytes]], line: RunningServer
) -> None:
    good, bad = films[0][:8], next(IDS)
    alone = send_all(client, good)
    key = next(IDS)

    def next_good(at: int) -> None:
        answer = send(client, key, good[at], start=at == 0, end=at == len(good) - 1)
        assert np.abs(answer - alone[at]).max() <= 1e-4

    next_good(0)
    assert "must specify the START flag" in refused(client, bad, good[0])
    next_good(1)
    assert "Not a file that is read here" in refused(client, bad, b"a letter", start=True)
    next_good(2)
    assert "ends early" in refused(client, bad, good[0][:-300])
    next_good(3)
    send(client, bad, good[0])
    assert "is under way already" in refused(client, bad, good[0], start=True)
    next_good(4)
    assert "is under way already" in refused(client, key, good[0], start=True)
    next_good(5)
    assert "no frame for 9.2 s" in refused(client, bad, good[0], time=9.6)
    next_good(6)
    assert "is not under way" in refused(client, bad, good[0], end=True)
    next_good(7)
    assert line.fault() is None


def test_two_frames_in_one_request_are_refused(client: Client, films: list[list[bytes]]) -> None:
    tensor = tritonclient.grpc.InferInput(FRAME.name, [2, 1], FRAME.dtype)
    tensor.set_data_from_numpy(np.array([[films[0][0]]] * 2, object))
    with pytest.raises(InferenceServerException, match="must specify batch-size 1"):
        client.infer(
            HAR_STREAM.name, [tensor], sequence_id=next(IDS), sequence_start=True, sequence_end=True
        )


def test_http_streams_too(client: Client, films: list[list[bytes]], line: RunningServer) -> None:
    key, pictures = next(IDS), films[0][:4]
    with tritonclient.http.InferenceServerClient(line.http_url) as http:
        for place, (picture, expected) in enumerate(
            zip(pictures, send_all(client, pictures), strict=True)
        ):
            tensor = tritonclient.http.InferInput(FRAME.name, [1, 1], FRAME.dtype)
            tensor.set_data_from_numpy(np.array([[picture]], object))
            told = http.infer(
                HAR_STREAM.name,
                [tensor],
                sequence_id=key,
                sequence_start=place == 0,
                sequence_end=place == 3,
                parameters={"time": str(place / RATE)},
            )
            assert np.abs(told.as_numpy(PROBS.name)[0] - expected).max() <= 1e-4
