"""Processes that work beside this one."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from training.workers import AHEAD, in_order, worker_pool


def test_answers_come_in_the_order_of_the_jobs() -> None:
    with worker_pool() as pool:
        told = in_order(pool, eval, ["__import__('time').sleep(0.5) or 0", *map(str, range(1, 30))])
        assert list(told) == list(range(30))


def test_work_waits_for_one_who_takes_its_answers_slowly(tmp_path: Path) -> None:
    window = AHEAD * len(os.sched_getaffinity(0))
    jobs = [tmp_path / str(number) for number in range(window + 30)]
    with worker_pool() as pool:
        for taken, _ in enumerate(in_order(pool, Path.touch, jobs)):
            time.sleep(0.01)
            assert len(list(tmp_path.iterdir())) <= taken + window
    assert len(list(tmp_path.iterdir())) == len(jobs)


def test_the_error_of_a_job_is_raised_in_its_turn() -> None:
    with worker_pool() as pool:
        told = in_order(pool, eval, ["1", "1 / 0", "2"])
        assert next(told) == 1
        with pytest.raises(ZeroDivisionError):
            next(told)


KILLED = """
import os, signal
from training.workers import in_order, worker_pool

if __name__ == "__main__":
    with worker_pool() as pool:
        print(*{*in_order(pool, eval, ["__import__('os').getpid()"] * 20)}, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
"""


def test_no_process_outlives_a_parent_that_is_killed(tmp_path: Path) -> None:
    script = tmp_path / "killed.py"
    script.write_text(KILLED)
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(
        [sys.executable, script], env=environment, stdout=subprocess.PIPE, text=True, timeout=60
    )
    assert done.returncode == -signal.SIGKILL
    left = {Path("/proc", number) for number in done.stdout.split()}
    assert left
    deadline = time.monotonic() + 20
    while any(map(Path.exists, left)):
        assert time.monotonic() < deadline, "processes wait for ever"
        time.sleep(0.1)
