"""Bad requests to the live line: each is told what is wrong, and the next good one is answered."""

import io
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc
import tritonclient.http
from PIL import Image
from tritonclient.utils import InferenceServerException

from clients.errors import InvalidMedia
from clients.recognizer import Recognizer
from clip_har.limits import Limits
from server.process import RunningServer

pytestmark = pytest.mark.triton
Movie = Callable[..., bytes]
Make = Callable[[], bytes]


@pytest.fixture(autouse=True)
def unharmed(recognizer: Recognizer, line: RunningServer, clip: bytes) -> Iterator[None]:
    """A good clip gets the same bits before and after each test."""
    before = recognizer.probabilities(clip)
    yield
    assert recognizer.probabilities(clip).tobytes() == before.tobytes()
    assert line.fault() is None


@pytest.fixture(scope="session")
def bad(
    movie: Movie, sound: bytes, png_header: Callable[[int, int], bytes], clip: bytes, still: bytes
) -> dict[str, bytes]:
    return {
        "empty": b"",
        "text": b"This is a letter, not a film.\n" * 100,
        "half a jpeg": still[: len(still) // 2],
        "half an mp4": clip[: len(clip) // 2],
        "a bomb": png_header(30_000, 30_000),
        "sound": sound,
        "no frames": movie(0, container="avi", codec="mjpeg"),
        "too large": bytes(Limits().max_bytes + 1),
    }


REASONS = {
    "empty": "The file is empty",
    "text": "Not a file that is read here: it begins with b'This is a le'",
    "half a jpeg": "ends early",
    "half an mp4": "ends early",
    "a bomb": "30000x30000 pixels, but the limit is 50000000 pixels",
    "sound": "no video stream",
    "no frames": "no frames",
    "too large": "67108865 bytes, but the limit is 67108864",
}


@pytest.mark.parametrize("kind", REASONS)
def test_bad_media_are_refused_with_the_reason(
    recognizer: Recognizer, bad: dict[str, bytes], kind: str
) -> None:
    with pytest.raises(InvalidMedia) as refused:
        recognizer.probabilities(bad[kind])
    message = str(refused.value)
    assert "Item 1 of 1: " in message
    assert REASONS[kind] in message
    assert "Traceback" not in message


def test_one_pixel_is_answered(recognizer: Recognizer) -> None:
    file = io.BytesIO()
    Image.new("RGB", (1, 1), (200, 100, 50)).save(file, "PNG")
    probs = recognizer.probabilities(file.getvalue())
    assert probs.sum() == pytest.approx(1, abs=1e-5)


def test_a_bad_item_is_named_among_its_neighbours(
    recognizer: Recognizer, clip: bytes, bad: dict[str, bytes]
) -> None:
    with pytest.raises(InvalidMedia, match=r"Item 2 of 2: The file is empty"):
        recognizer.classify_batch([clip, bad["empty"]])


def test_more_items_than_a_batch_holds_are_refused(recognizer: Recognizer, still: bytes) -> None:
    with pytest.raises(InvalidMedia, match="batch-size must be <= 8"):
        recognizer.classify_batch([still] * 9)


Ask = Callable[..., object]


@pytest.fixture
def ask(recognizer: Recognizer) -> Iterator[Ask]:
    """Asks har_temporal with tritonclient itself, for any tensor: name, dtype, values."""
    triton: ModuleType = {"grpc": tritonclient.grpc, "http": tritonclient.http}[recognizer.protocol]
    client: Any = triton.InferenceServerClient(recognizer.url)

    def infer(name: str, dtype: str, values: np.ndarray, wanted: str = "PROBS") -> object:
        tensor = triton.InferInput(name, list(values.shape), dtype)
        tensor.set_data_from_numpy(values)
        outputs = [triton.InferRequestedOutput(wanted)]
        return client.infer("har_temporal", [tensor], outputs=outputs).as_numpy(wanted)

    yield infer
    client.close()


WRONG_TENSORS: dict[str, tuple[tuple[str, str, np.ndarray], str]] = {
    "dtype": (
        ("MEDIA", "FP32", np.zeros((1, 1), np.float32)),
        "data-type is 'FP32', but model 'har_temporal' expects 'BYTES'",
    ),
    "shape": (
        ("MEDIA", "BYTES", np.array([[b"a", b"b"]], object)),
        r"Expected \[-1,1\], got \[1,2\]",
    ),
    "no batch axis": (
        ("MEDIA", "BYTES", np.array([b"a"], object)),
        r"Expected \[-1,1\], got \[1\]",
    ),
    "unknown input": (
        ("VIDEO", "BYTES", np.array([[b"a"]], object)),
        "unexpected inference input 'VIDEO'",
    ),
}


@pytest.mark.parametrize("kind", WRONG_TENSORS)
def test_a_wrong_tensor_is_refused_with_what_is_expected(ask: Ask, kind: str) -> None:
    given, reason = WRONG_TENSORS[kind]
    with pytest.raises(InferenceServerException, match=reason):
        ask(*given)


def test_an_unknown_output_is_refused_by_its_name(ask: Ask, clip: bytes) -> None:
    with pytest.raises(InferenceServerException, match="unexpected inference output 'SCORES'"):
        ask("MEDIA", "BYTES", np.array([[clip]], object), "SCORES")


def test_the_command_line_names_a_bad_file_and_answers_the_others(
    recognizer: Recognizer, tmp_path: Path, clip: bytes, still: bytes, bad: dict[str, bytes]
) -> None:
    files = {"a.mp4": clip, "b.mp4": bad["half an mp4"], "c.jpg": still}
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    given = ("--url", recognizer.url, "--protocol", recognizer.protocol, "--json")
    command = [sys.executable, "-m", "clients", "classify", str(tmp_path), *given]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [Path(line["path"]).name for line in lines] == list(files)
    assert ["predictions" in line for line in lines] == [True, False, True]
    assert lines[1]["kind"] == "invalid_media"
    assert "ends early" in lines[1]["error"]
    assert "Traceback" not in done.stderr
