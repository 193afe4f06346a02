"""Processes that work beside this one: one a core, since a process is what uses a whole core."""

import os
import signal
from collections.abc import Callable, Generator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context


@contextmanager
def worker_pool(
    setup: Callable[..., object] | None = None, *inputs: object
) -> Generator[ProcessPoolExecutor]:
    """A pool whose processes call `setup(*inputs)` once, before their first job.

    Waiting jobs are dropped when the block ends, be it by Ctrl-C. Processes are spawned: a fork
    would share the state of a renderer or of a thread pool.
    """
    pool = ProcessPoolExecutor(
        max_workers=len(os.sched_getaffinity(0)),
        mp_context=get_context("spawn"),
        initializer=_begin,
        initargs=(setup, inputs),
    )
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def _begin(setup: Callable[..., object] | None, inputs: tuple[object, ...]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to answer
    if setup is not None:
        setup(*inputs)
