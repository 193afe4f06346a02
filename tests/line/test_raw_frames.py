"""Decoded frames at the live line: what is served is what the trained model says of them."""

from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
import tritonclient.grpc
import tritonclient.http
import tritonclient.utils.shared_memory as shm
from numpy.typing import NDArray
from tritonclient.utils import InferenceServerException

from clip_har.limits import Limits
from clip_har.media import Clip, clip_from_media
from clip_har.nn.model import CLIPHARModel
from clip_har.preprocess import pixels_from_image
from clip_har.sampling import centred
from server.process import RunningServer

pytestmark = pytest.mark.triton
MODEL = "har_temporal_frames"
Ask = Callable[..., NDArray[np.float32]]


@pytest.fixture(params=["grpc", "http"])
def ask(request: pytest.FixtureRequest, line: RunningServer) -> Iterator[Ask]:
    """Asks about RAW_FRAMES and TIMES, over each protocol in turn."""
    triton: ModuleType = {"grpc": tritonclient.grpc, "http": tritonclient.http}[request.param]
    url = {"grpc": line.grpc_url, "http": line.http_url}[request.param]
    client: Any = triton.InferenceServerClient(url)

    def infer(frames: NDArray[np.uint8], times: NDArray[np.float32]) -> NDArray[np.float32]:
        inputs = [
            triton.InferInput("RAW_FRAMES", list(frames.shape), "UINT8"),
            triton.InferInput("TIMES", list(times.shape), "FP32"),
        ]
        inputs[0].set_data_from_numpy(frames)
        inputs[1].set_data_from_numpy(times)
        return client.infer(MODEL, inputs).as_numpy("PROBS")

    yield infer
    client.close()


def decoded(media: bytes, count: int) -> Clip:
    return clip_from_media(media, centred(count), Limits())


@pytest.mark.parametrize("count", [1, 3, 8, 21])
def test_probabilities_are_those_of_the_trained_model(
    ask: Ask, models: dict[str, CLIPHARModel], clip: bytes, count: int
) -> None:
    model = models["har_temporal"]
    frames, times = np.stack(decoded(clip, count).frames), decoded(clip, count).times
    size = model.spec.preprocessing.image_size
    shaped = np.stack([pixels_from_image(frame, size) for frame in frames])
    with torch.inference_mode():
        trained = model(torch.from_numpy(shaped[None]), torch.from_numpy(times[None])).probs[0]
    served = ask(frames[None], times[None])
    assert served.shape == (1, len(model.spec.labels))
    assert np.abs(served[0] - trained.numpy()).max() <= 1e-4


def test_frames_of_a_file_get_the_answer_of_the_file(
    ask: Ask, recognizer: Any, models: dict[str, CLIPHARModel], clip: bytes
) -> None:
    seen = decoded(clip, models["har_temporal"].spec.frames)
    assert ask(np.stack(seen.frames)[None], seen.times[None])[0] == pytest.approx(
        recognizer.probabilities(clip), abs=1e-6
    )


def test_frames_through_shared_memory_get_the_same_bits(line: RunningServer, clip: bytes) -> None:
    seen = decoded(clip, 8)
    tensors = {"RAW_FRAMES": np.stack(seen.frames)[None], "TIMES": seen.times[None]}
    dtypes = {"RAW_FRAMES": "UINT8", "TIMES": "FP32"}
    plain = []
    for name, values in tensors.items():
        plain.append(tritonclient.grpc.InferInput(name, list(values.shape), dtypes[name]))
        plain[-1].set_data_from_numpy(values)
    size = sum(values.nbytes for values in tensors.values())
    region = shm.create_shared_memory_region("frames", "/clip_har_test_frames", size)
    with tritonclient.grpc.InferenceServerClient(line.grpc_url) as client:
        try:
            shm.set_shared_memory_region(region, list(tensors.values()))
            client.register_system_shared_memory("frames", "/clip_har_test_frames", size)
            shared, offset = [], 0
            for name, values in tensors.items():
                shared.append(tritonclient.grpc.InferInput(name, list(values.shape), dtypes[name]))
                shared[-1].set_shared_memory("frames", values.nbytes, offset)
                offset += values.nbytes
            answers = [client.infer(MODEL, inputs).as_numpy("PROBS") for inputs in (plain, shared)]
        finally:
            client.unregister_system_shared_memory("frames")
            shm.destroy_shared_memory_region(region)
    assert answers[0].tobytes() == answers[1].tobytes()


def some(frames: int, height: int = 8, width: int = 8) -> NDArray[np.uint8]:
    return np.zeros((1, frames, height, width, 3), np.uint8)


def seconds(*times: float) -> NDArray[np.float32]:
    return np.array([times], np.float32)


BAD = {
    "times too few": (some(3), seconds(0, 1), "TIMES has 2 values for 3 frames"),
    "times fall": (some(2), seconds(1, 0), "TIMES must be finite and may not fall"),
    "times not numbers": (some(2), seconds(0, np.nan), "TIMES must be finite"),
    "too many": (some(65), seconds(*range(65)), "65 frames, but 1 to 64 are taken .max_frames"),
    "none": (some(0), seconds(), "0 frames|frames"),
    "narrow": (some(1, 1, 501), seconds(0), "too narrow: 501x1 pixels.*500 times .*max_aspect"),
    "large": (some(1, 7100, 7100), seconds(0), "7100x7100 pixels, but the limit is 50000000"),
    "grey": (some(1)[..., :1], seconds(0), r"expect.*\[-1,-1,-1,-1,3\]|unexpected shape"),
}


@pytest.mark.parametrize("kind", BAD)
def test_bad_frames_are_refused_with_the_reason(ask: Ask, line: RunningServer, kind: str) -> None:
    frames, times, message = BAD[kind]
    with pytest.raises(InferenceServerException, match=message) as refused:
        ask(frames, times)
    assert "Traceback" not in str(refused.value)
    assert line.fault() is None
