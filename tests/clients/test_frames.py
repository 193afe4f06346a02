"""Decoded frames: (T, H, W, 3) with their times."""

import asyncio
import errno
import os
from multiprocessing.shared_memory import SharedMemory
from pathlib import Path

import numpy as np
import pytest
import torch

from clients.address import Address, Protocol
from clients.async_recognizer import AsyncRecognizer
from clients.backoff import Deadline
from clients.errors import InvalidMedia, ModelUnavailable, SharedMemoryRefused
from clients.query import unregistration
from clients.recognizer import Recognizer
from clients.shared_memory import Blocks
from clients.sources import RawFrames
from server.process import RunningServer

TIMES = np.arange(5) / 10
SHARED = Path("/dev/shm")


@pytest.fixture
def frames() -> np.ndarray:
    """Five frames that grow darker."""
    return (
        np.full((5, 48, 64, 3), 255, np.uint8)
        - 50 * np.arange(5, dtype=np.uint8)[:, None, None, None]
    )


@pytest.mark.triton
@pytest.mark.parametrize("shared", [True, False, None])
def test_frames_get_the_same_answer_by_either_way(
    recognizer: Recognizer, frames: np.ndarray, shared: bool | None
) -> None:
    for turn in range(3):  # a block of memory is used again
        seen = recognizer.classify_frames(frames[:, : 48 - turn], TIMES, shared_memory=shared)
        assert seen.model == "har_temporal_frames"
        assert seen.best.label == "darkening"
    backwards = recognizer.classify_frames(frames[::-1], TIMES, shared_memory=shared)
    assert backwards.best.label == "brightening"


@pytest.mark.triton
def test_torch_tensors_are_frames_in_either_layout(
    recognizer: Recognizer, frames: np.ndarray
) -> None:
    tensor = torch.from_numpy(frames.copy())
    expected = recognizer.classify_frames(frames, TIMES).predictions
    for layout in (tensor, tensor.permute(0, 3, 1, 2)):
        assert recognizer.classify_frames(layout, TIMES).predictions == expected
    still = recognizer.probabilities(frames[0])
    for layout in (tensor[0], tensor[0].permute(2, 0, 1)):
        assert np.array_equal(recognizer.probabilities(layout), still)


@pytest.mark.triton
def test_shared_memory_is_freed(recognizer: Recognizer, frames: np.ndarray) -> None:
    before = set(SHARED.iterdir())
    recognizer.classify_frames(frames, TIMES, shared_memory=True)
    with pytest.raises(InvalidMedia, match="last too long"):
        recognizer.classify_frames(frames, TIMES + 1000, shared_memory=True)
    with pytest.raises(ModelUnavailable):
        recognizer.classify_frames(frames, TIMES, "har_missing", shared_memory=True)
    (block,) = set(SHARED.iterdir()) - before
    recognizer.close()
    with pytest.raises(FileNotFoundError):
        SharedMemory(block.name)


@pytest.mark.triton
def test_a_server_that_forgot_the_shared_memory_is_told_again(
    recognizer: Recognizer, frames: np.ndarray
) -> None:
    recognizer.classify_frames(frames, TIMES, shared_memory=True)
    (block,) = recognizer._blocks._idle
    recognizer._transport.command(unregistration(block.region), Deadline(30))
    assert recognizer.classify_frames(frames, TIMES, shared_memory=True).best.label == "darkening"


@pytest.mark.triton
def test_blocks_that_became_too_small_are_freed(recognizer: Recognizer, frames: np.ndarray) -> None:
    before = set(SHARED.iterdir())
    for size in (1, 4, 2):
        recognizer.classify_frames(np.tile(frames, (1, size, 1, 1)), TIMES, shared_memory=True)
    (block,) = set(SHARED.iterdir()) - before
    assert block.stat().st_size >= 4 * frames.nbytes


@pytest.mark.triton
@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_frames_are_sent_where_shared_memory_is_restricted(
    restricted: RunningServer, frames: np.ndarray, protocol: Protocol
) -> None:
    large = np.tile(frames, (1, 4, 4, 1))
    url = {"grpc": restricted.grpc_url, "http": restricted.http_url}[protocol]

    async def asked() -> str:
        async with AsyncRecognizer(url, protocol=protocol) as one:
            return (await one.classify_frames(large, TIMES)).best.label

    with Recognizer(url, protocol=protocol) as one:
        assert one.classify_frames(large, TIMES).best.label == "darkening"
        with pytest.raises(SharedMemoryRefused, match="restricted"):
            one.classify_frames(large, TIMES, shared_memory=True)
    assert asyncio.run(asked()) == "darkening"


def test_frames_that_the_machine_has_no_room_for_are_sent(
    frames: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int, place: int, byte_size: int) -> None:  # to fill it would take all memory
        assert byte_size - place >= large.pixels.nbytes
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", full)
    large = RawFrames(np.tile(frames, (1, 4, 4, 1)), np.zeros(5, np.float32))
    before = set(SHARED.iterdir())
    blocks = Blocks(Address("127.0.0.1:8001", "grpc"))
    assert blocks.taken(large, None) is None
    with pytest.raises(SharedMemoryRefused, match="No space left on device"):
        blocks.taken(large, True)
    assert set(SHARED.iterdir()) == before


@pytest.mark.parametrize(
    ("shape", "times", "said"),
    [
        ((48, 64, 3), TIMES, r"shape \(T, H, W, 3\)"),
        ((5, 48, 64, 4), TIMES, r"got uint8 with shape \(5, 48, 64, 4\)"),
        ((0, 48, 64, 3), [], r"shape \(T, H, W, 3\)"),
        ((5, 48, 64, 3), TIMES[:4], "times are the seconds of the 5 frames"),
        ((5, 48, 64, 3), TIMES[::-1], "in ascending order"),
    ],
)
def test_what_are_no_frames(shape: tuple[int, ...], times: np.ndarray, said: str) -> None:
    with Recognizer("127.0.0.1:1") as one, pytest.raises(InvalidMedia, match=said):
        one.classify_frames(np.zeros(shape, np.uint8), times)


def test_frames_without_times_are_told_where_to_go() -> None:
    with Recognizer("127.0.0.1:1") as one, pytest.raises(InvalidMedia, match="classify_frames"):
        one.classify(np.zeros((5, 48, 64, 3), np.uint8))
