"""Processes that work beside this one: one a core, since a process is what uses a whole core."""

import os
import signal
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context, parent_process
from threading import Thread
from typing import TypeVar

AHEAD = 4
"""Jobs for each process that are begun before their answers are taken."""
Job = TypeVar("Job")
Answer = TypeVar("Answer")


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


def in_order(
    pool: Executor, work: Callable[[Job], Answer], jobs: Iterable[Job]
) -> Iterator[Answer]:
    """The answers in the order of the jobs.

    Unlike `pool.map` it begins only so many jobs ahead: where answers are large and taken slowly,
    all of them would not fit into memory.
    """
    window = AHEAD * len(os.sched_getaffinity(0))
    begun: deque[Future[Answer]] = deque()
    for job in jobs:
        begun.append(pool.submit(work, job))
        if len(begun) == window:
            yield begun.popleft().result()
    while begun:
        yield begun.popleft().result()


def _begin(setup: Callable[..., object] | None, inputs: tuple[object, ...]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to answer
    Thread(target=_end_with_parent, daemon=True).start()
    if setup is not None:
        setup(*inputs)


def _end_with_parent() -> None:
    """A parent that is killed shuts no pool: its processes would wait for jobs for ever."""
    parent = parent_process()
    assert parent, "a process of a pool has a parent"
    parent.join()
    os._exit(1)
