"""Ctrl-C and SIGTERM end the program in order; not even kill -9 leaves its children behind."""

import ctypes
import signal
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)
_LIBC = ctypes.CDLL(None)
_PR_SET_PDEATHSIG = 1


@contextmanager
def exit_on_signals() -> Generator[None]:
    """Turns both signals into SystemExit(128 + signal), so that `finally` blocks run."""
    with _handlers(_exit):
        yield


@contextmanager
def uninterrupted() -> Generator[None]:
    """Holds both signals back until the block is done. Outside the main thread it does nothing."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    pending: list[int] = []

    def note(number: int, _frame: FrameType | None) -> None:
        pending.append(number)

    with _handlers(note):
        yield
    if pending:
        signal.raise_signal(pending[0])


def tie_to_parent() -> None:
    """Runs in a forked child: the kernel sends it SIGTERM when the thread that made it dies."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


@contextmanager
def _handlers(handler: Callable[[int, FrameType | None], None]) -> Generator[None]:
    previous = {number: signal.signal(number, handler) for number in SIGNALS}
    try:
        yield
    finally:
        for number, old in previous.items():
            signal.signal(number, old)


def _exit(number: int, _frame: FrameType | None) -> None:
    raise SystemExit(128 + number)
