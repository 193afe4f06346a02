"""Frames for a server on this machine, which reads them where they lie."""

import threading
import weakref
from multiprocessing.shared_memory import SharedMemory

import numpy as np

from clients.address import Address
from clients.query import Region
from clients.sources import RawFrames

WORTH_BYTES = 2**18
"""From this size on, the server has frames sooner by shared memory than through a socket."""


class Block:
    """A piece of system shared memory; it ends with the object or the process.

    Of a process that is killed, Python's resource tracker frees it.
    """

    def __init__(self, byte_size: int) -> None:
        """Takes that many bytes or a few more."""
        self._memory = SharedMemory(create=True, size=byte_size)
        self._end = weakref.finalize(self, _free, self._memory)
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

        `asked` settles that, where somebody did.
        """
        size = frames.pixels.nbytes
        if asked is False or (asked is None and not (self._useful and size >= WORTH_BYTES)):
            return None
        with self._lock:
            for block in self._idle:
                if block.region.byte_size >= size:
                    self._idle.remove(block)
                    return block
        return Block(size)

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
