"""Probes files by decoding a few frames of each, in processes beside this one."""

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from clip_har import media
from clip_har.config import Config
from clip_har.limits import Limits, MediaError
from clip_har.product import tree_hash
from clip_har.sampling import Timeline, centred
from training.decoding import clip_from_frames
from training.importers.listing import Fault, Reason
from training.workers import worker_pool

FRAMES = 3
"""Frames that are decoded of each, at the centres of as many equal parts; and the last one."""
_CHUNK = 4
Job = TypeVar("Job")
Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class Probed:
    """One file or folder of frames to decode."""

    path: Path
    """Where it is."""
    fps: float | None
    """Frames a second, where it is a folder of frames."""


class Probe(Config):
    """What a file is like that can be decoded."""

    sha256: str
    """Hash of its bytes; of a folder, of its files' names and bytes."""
    seconds: float
    """How long it plays; 0 for a picture."""
    frames: int
    """How many pictures it holds."""
    codec: str
    """How it is coded."""
    width: int
    """Pixels of its first decoded frame."""
    height: int
    """Pixels of its first decoded frame."""
    size: int
    """Bytes on disk."""


def probes(jobs: Sequence[Probed]) -> Iterator[Probe | Fault]:
    """What each file is like, or what is wrong with it, in the order of the jobs."""
    for job, answer in zip(jobs, answers(probe, jobs), strict=True):
        yield answer or Fault(
            where=str(job.path), reason="undecodable", why="The decoder crashes on this file."
        )


def answers(work: Callable[[Job], Answer], jobs: Sequence[Job]) -> Iterator[Answer | None]:
    """The answers of worker processes in the order of the jobs; None where one kills its process.

    The death of a process takes its pool along. The first job without an answer is then tried
    alone, and a new pool goes on after it.
    """
    at = 0
    while at < len(jobs):
        try:
            with worker_pool() as pool:
                for answer in pool.map(work, jobs[at:], chunksize=_CHUNK):
                    at += 1
                    yield answer
        except BrokenProcessPool:
            yield _alone(work, jobs[at])
            at += 1


def _alone(work: Callable[[Job], Answer], job: Job) -> Answer | None:
    try:
        with worker_pool() as pool:
            return pool.submit(work, job).result()
    except BrokenProcessPool:
        return None


def probe(job: Probed) -> Probe | Fault:
    """Decodes a few frames and hashes all bytes; never raises for what is wrong with a file."""
    reason: Reason = "undecodable"
    try:
        return _probe(job, Limits())
    except FileNotFoundError:
        reason, why = "missing", "It is not there."
    except MediaError as error:
        why = str(error)
        if "(max_" in why:  # each message of Limits ends with the limit's name
            reason = "limit"
    except Exception as error:  # a decoder's surprise on a stranger's bytes
        why = f"It cannot be read: {error or type(error).__name__}."
    return Fault(where=str(job.path), reason=reason, why=why)


def _probe(job: Probed, limits: Limits) -> Probe:
    seen: list[Timeline] = []

    def pick(timeline: Timeline) -> Sequence[int]:
        seen.append(timeline)
        return [*centred(FRAMES)(timeline), len(timeline.starts) - 1]

    if job.fps is None:
        size = job.path.stat().st_size
        limits.check_bytes(size)
        content = job.path.read_bytes()
        sha256 = hashlib.sha256(content).hexdigest()
        clip = media.clip_from_media(content, pick, limits)
    else:
        size = sum(file.stat().st_size for file in os.scandir(job.path))
        sha256 = tree_hash(job.path)
        clip = clip_from_frames(job.path, job.fps, pick, limits)
    height, width = clip.frames[0].shape[:2]  # (H, W, 3)
    return Probe(
        sha256=sha256,
        seconds=round(seen[0].seconds, 3) if seen else 0,
        frames=len(seen[0].starts) if seen else 1,
        codec=clip.codec,
        width=width,
        height=height,
        size=size,
    )
