"""Live streams on the real server: each frame is encoded once, and no stream sees another's.

T frames of a window, K classes.
"""

import io
import itertools
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import tritonclient.grpc
import tritonclient.http
from PIL import Image

from builder.parity import torch_answer
from clip_har.contract import FRAME, HAR_STREAM, HAR_TEMPORAL, PROBS, VISION_ENCODER
from clip_har.dataset import DataSet
from clip_har.limits import Limits
from clip_har.media import clip_from_media, pixels_from_picture
from clip_har.nn.model import CLIPHARModel
from clip_har.sampling import every_frame
from server.process import RunningServer

pytestmark = pytest.mark.triton
RATE = 5
IDS = itertools.count(1)
Client = tritonclient.grpc.InferenceServerClient


@pytest.fixture
def client(line: RunningServer) -> Iterator[Client]:
    with Client(line.grpc_url) as connected:
        yield connected


@pytest.fixture(scope="session")
def model(models: dict[str, CLIPHARModel]) -> CLIPHARModel:
    return models[HAR_TEMPORAL.name]


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
    key: int,
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
        assert np.abs(torch_answer(model, pixels[window], times).probs - probs).max() <= 1e-4
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
        assert np.abs(one - other).max() <= 1e-5
    between = np.abs(together[0] - together[1]).max()
    assert between > 1e-3, "the streams look alike: this shows no cross-talk"
