"""Frames for a server on this machine, which reads them where they lie."""

import os
import sys
import threading
import weakref
from multiprocessing.shared_memory import SharedMemory
from pathlib import Path

import numpy as np

from clients.address import Address
from clients.errors import SharedMemoryRefused
from clients.query import Region
from clients.sources import RawFrames

SHARED_MEMORY = Path("/dev/shm")
"""Where Linux has it."""
WORTH_BYTES = 2**18
"""From this size on, the server has frames sooner by shared memory than through a socket."""


class Block:
    """A piece of system shared memory; it ends with the object or the process.

    Of a process that is killed, Python's resource tracker frees it.
    """

    def __init__(self, byte_size: int) -> None:
        """Takes that many bytes or a few more; raises OSError where there are not so many."""
        self._memory = SharedMemory(create=True, size=byte_size)
        self._end = weakref.finalize(self, _free, self._memory)
        try:
            _reserve(self._memory)
        except OSError:
            self.free()
            raise
        name = self._memory.name.lstrip("/")
        self.region = Region(name, f"/{name}", self._memory.size)
        self.registered = False

    def fill(self, frames: RawFrames) -> None:
        """Copies the frames to its beginning."""
        place = np.ndarray(frames.pixels.shape, np.uint8, self._memory.buf)
        np.copyto(place, frames.pixels)

    def free(self) -> None:
        """Gives it back to the operating system; the server may still have it open."""
        self._end()


def _reserve(memory: SharedMemory) -> None:
    """Takes the pages now: to write where the system has none left would end the process."""
    if sys.platform == "linux":
        with (SHARED_MEMORY / memory.name).open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, memory.size)


def _free(memory: SharedMemory) -> None:
    memory.close()
    memory.unlink()


class Blocks:
    """Blocks that are used again and again, each by one request at a time."""

    def __init__(self, address: Address) -> None:
        """For the server at an address."""
        self._useful = address.is_local
        self._idle: list[Block] = []
        self._lock = threading.Lock()

    def taken(self, frames: RawFrames, asked: bool | None) -> Block | None:
        """A block for these frames that nobody uses; None where sending them is better.

        `asked` settles that, where somebody did. Raises SharedMemoryRefused if it was asked for
        and the machine has no room.
        """
        if not self._wanted(frames, asked):
            return None
        size = frames.pixels.nbytes
        with self._lock:
            for block in self._idle:
                if block.region.byte_size >= size:
                    self._idle.remove(block)
                    return block
        try:
            return Block(size)
        except OSError as error:
            if asked:
                raise SharedMemoryRefused(
                    f"This machine has no shared memory for {size} bytes: {error.strerror}. Make "
                    "room in /dev/shm, or leave out shared_memory=True."
                ) from error
            return None

    def outgrown(self, frames: RawFrames, asked: bool | None) -> list[Block]:
        """Every block that nobody uses, to be freed, where none of them has room for the frames."""
        with self._lock:
            room = max((block.region.byte_size for block in self._idle), default=0)
        needed = self._wanted(frames, asked) and room < frames.pixels.nbytes
        return self.take_all() if needed else []

    def _wanted(self, frames: RawFrames, asked: bool | None) -> bool:
        worth = self._useful and frames.pixels.nbytes >= WORTH_BYTES
        return worth if asked is None else asked

    def refused(self) -> None:
        """Notes that the server takes no shared memory."""
        self._useful = False

    def give_back(self, block: Block) -> None:
        """Keeps a block for the next request."""
        with self._lock:
            self._idle.append(block)

    def take_all(self) -> list[Block]:
        """Every block that nobody uses, to be freed."""
        with self._lock:
            blocks, self._idle = self._idle, []
        return blocks
