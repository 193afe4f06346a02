"""Processes that render: one a core, each with a scene of its own."""

import signal
from collections.abc import Generator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from functools import cache
from multiprocessing import get_context

from training.mocap.scene import Scene


@contextmanager
def rendering_pool() -> Generator[ProcessPoolExecutor]:
    """A pool whose waiting jobs are dropped when the block ends, be it by Ctrl-C.

    Processes are spawned, since pybullet keeps state that a fork would share.
    """
    pool = ProcessPoolExecutor(
        mp_context=get_context("spawn"),
        initializer=signal.signal,
        initargs=(signal.SIGINT, signal.SIG_IGN),  # Ctrl-C is the parent's to answer
    )
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


@cache
def worker_scene() -> Scene:
    """The scene of this process, made once."""
    return Scene()
