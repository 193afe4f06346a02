"""What a server is measured against: one process that does the same work without a server.

It runs in the server's Python environment, so decoder and engines are the very same versions, and
reads requests, one JSON object a line: a folder of files, a plan, and how long to measure. B clips,
T frames, S side of the model's input.

Threads decode ahead, in libraries that release Python's lock, while engines run.
"""

import json
import os
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from queue import Empty, Queue
from time import monotonic
from typing import Any, NamedTuple

import numpy as np

from builder.engines.engine import Engine, Session
from builder.engines.onnx_runtime import OnnxRuntime
from builder.engines.open_vino import OpenVino
from clip_har.contract import CLASSIFIER_TEMPORAL, TEMPORAL, VISION_ENCODER, ServedModel
from clip_har.limits import MediaSettings
from clip_har.media import frames_from_batch

ENGINES: dict[str, Engine] = {"onnxruntime": OnnxRuntime(), "openvino": OpenVino()}
WAIT = 0.5
"""Seconds after which a waiting thread looks whether it is still needed."""


class Plan(NamedTuple):
    """How the process spreads its work over the cores."""

    decoders: int
    """Threads that decode, one file each."""
    encoders: int
    """Threads that run the encoder, with their part of the cores each."""
    batch: int
    """Clips of an encoder's run."""
    in_flight: int
    """Clips between the first byte of their file and their answer, at most."""


class Line:
    """Decoder, encoder, temporal module and classifier of one repository."""

    def __init__(self, product: Path, frames: int, size: int, encoders: int, cores: int) -> None:
        self.settings = MediaSettings(frames=frames, image_size=size)
        self.models = json.loads((product / "manifest.json").read_text())["models"]
        self.repository = product / "model_repository"
        threads = max(1, cores // encoders)
        self.encoders = [self._open(VISION_ENCODER, threads) for _ in range(encoders)]
        self.temporal = self._open(TEMPORAL, 1)
        self.classifier = self._open(CLASSIFIER_TEMPORAL, 1)

    def decoded(self, data: bytes, threads: int = 1) -> tuple[Any, Any]:
        """FRAMES (1, T, S, S, 3) and TIMES (1, T)."""
        return frames_from_batch([data], self.settings.model_copy(update={"threads": threads}))

    def classified(self, encoder: Session, clips: Sequence[tuple[Any, Any]]) -> Any:
        """PROBS (B, K) of clips with as many frames each."""
        frames = clips[0][0] if len(clips) == 1 else np.concatenate([one[0] for one in clips])
        times = clips[0][1] if len(clips) == 1 else np.concatenate([one[1] for one in clips])
        embeds = encoder.run({"FRAMES": frames})["FRAME_EMBEDS"]  # (B, T, D)
        clip = self.temporal.run({"FRAME_EMBEDS": embeds, "TIMES": times})["CLIP_EMBED"]  # (B, D)
        return self.classifier.run({"CLIP_EMBED": clip})["PROBS"]

    def _open(self, model: ServedModel, threads: int) -> Session:
        record = self.models[model.name]
        return ENGINES[record["engine"]].open(self.repository / record["file"], threads)


class BusyLoop:
    """All cores at work for some seconds."""

    def __init__(self, line: Line, files: Sequence[bytes], plan: Plan, seconds: float) -> None:
        self._line, self._files, self._plan = line, files, plan
        self._end = monotonic() + seconds
        self._places = threading.Semaphore(plan.in_flight)
        self._ahead: Queue[tuple[Any, Any]] = Queue()
        self._done: list[float] = []

    def run(self) -> list[float]:
        """When each clip was done."""
        decoders = [
            threading.Thread(target=self._decode, args=(first,))
            for first in range(self._plan.decoders)
        ]
        encoders = [
            threading.Thread(target=self._encode, args=(one,)) for one in self._line.encoders
        ]
        for thread in (*decoders, *encoders):
            thread.start()
        for thread in (*decoders, *encoders):
            thread.join()
        return self._done

    def _decode(self, first: int) -> None:
        index = first
        while self._goes_on():
            if self._places.acquire(timeout=WAIT):
                self._ahead.put(self._line.decoded(self._files[index % len(self._files)]))
                index += self._plan.decoders

    def _encode(self, encoder: Session) -> None:
        while self._goes_on():
            clips = self._batch()
            if clips:
                self._line.classified(encoder, clips)
                self._done.extend([monotonic()] * len(clips))
                self._places.release(len(clips))

    def _batch(self) -> list[tuple[Any, Any]]:
        clips: list[tuple[Any, Any]] = []
        while len(clips) < self._plan.batch and self._goes_on():
            with suppress(Empty):
                clips.append(self._ahead.get(timeout=WAIT))
        return clips

    def _goes_on(self) -> bool:
        return monotonic() < self._end


def one_by_one(line: Line, files: Sequence[bytes], seconds: float, threads: int) -> list[float]:
    """Seconds of each clip, one after the other; `threads` decode one video."""
    end, index = monotonic() + seconds, 0
    spent: list[float] = []
    while monotonic() < end:
        started = monotonic()
        line.classified(line.encoders[0], [line.decoded(files[index % len(files)], threads)])
        spent.append(monotonic() - started)
        index += 1
    return spent


def serve(product: Path, frames: int, size: int) -> None:
    """Answers requests, a line each, until the input ends."""
    cores = len(os.sched_getaffinity(0))
    lines: dict[int, Line] = {}
    for request in map(json.loads, sys.stdin):
        files = [path.read_bytes() for path in sorted(Path(request["files"]).iterdir())]
        plan = Plan(*request["plan"])
        if plan.encoders not in lines:
            lines[plan.encoders] = Line(product, frames, size, plan.encoders, cores)
        line = lines[plan.encoders]
        probs = line.classified(line.encoders[0], [line.decoded(files[0])])  # (1, K)
        before, started = os.times(), monotonic()
        if plan.in_flight == 1:
            told = one_by_one(line, files, request["seconds"], plan.decoders)
        else:
            loop = BusyLoop(line, files, plan, request["seconds"])
            told = [at - started for at in loop.run()]
        after = os.times()
        cpu = after.user + after.system - before.user - before.system
        print(json.dumps({"told": told, "cpu": cpu, "probs": probs.tolist()}), flush=True)


if __name__ == "__main__":
    serve(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
