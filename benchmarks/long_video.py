"""An hour of planted actions through har_timeline: memory, first segment, boundaries.

    python benchmarks/long_video.py build/demo/model_repository build/data/mocap

Joins test clips of the mocap data set, each repeated for 8 to 20 seconds, to one video, so that it
is known what happens when. Starts a server on the repository, and sends it the video.
"""

import io
import queue
import random
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import typer

from clip_har.contract import END, HAR_TIMELINE, MEDIA, PROBS, START
from clip_har.dataset import data_set_from_folder

app = typer.Typer(add_completion=False)
FPS, SIDE = 12, 112
ACTIONS = (
    "crawling",
    "dancing",
    "jumping",
    "kicking",
    "punching",
    "rolling on the ground",
    "running",
    "spinning around",
    "turning clockwise",
    "turning counterclockwise",
    "walking backwards",
    "walking forwards",
)
"""Those that can be repeated: getting up twice shows lying down in between."""


@dataclass(frozen=True)
class Stretch:
    """What happens from when to when."""

    start: float
    """Seconds."""
    end: float
    """Seconds."""
    label: str
    """The action."""


def planted_video(data: Path, minutes: float, seed: int) -> tuple[bytes, list[Stretch]]:
    """An MP4 file, and what was planted in it."""
    import av

    draw = random.Random(seed)
    clips = [c for c in data_set_from_folder(data).split("test") if c.label in ACTIONS]
    file, stretches, count = io.BytesIO(), [], 0
    with av.open(file, "w", format="mp4") as output:
        options = {"crf": "28", "preset": "veryfast"}
        stream = output.add_stream("libx264", rate=FPS, options=options)
        stream.width = stream.height = SIDE
        while count < minutes * 60 * FPS:
            last = stretches[-1].label if stretches else None
            clip = draw.choice([one for one in clips if one.label != last])
            pictures = _pictures(data / clip.path)
            start, length = count, round(draw.uniform(8, 20) * FPS)
            for number in range(length):
                frame = av.VideoFrame.from_ndarray(pictures[number % len(pictures)], "rgb24")
                frame.pts, frame.time_base = count, Fraction(1, FPS)
                output.mux(stream.encode(frame))
                count += 1
            stretches.append(Stretch(start / FPS, count / FPS, clip.label))
        output.mux(stream.encode())
    return file.getvalue(), stretches


def _pictures(path: Path) -> list[Any]:
    import av

    with av.open(path) as video:
        return [frame.to_ndarray(format="rgb24") for frame in video.decode(video=0)]


class Memory:
    """The most memory of a process and its children: their PSS, which counts a shared page once."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._over = threading.Event()
        self.most = 0.0
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def stop(self) -> float:
        """Megabytes."""
        self._over.set()
        self._thread.join()
        return self.most

    def _watch(self) -> None:
        while not self._over.wait(0.2):
            self.most = max(self.most, resident(self._pid))


def resident(pid: int) -> float:
    """Megabytes of a process and all below it."""
    found, total = [pid], 0
    for process in found:
        for task in Path(f"/proc/{process}/task").glob("*/children"):
            found += map(int, task.read_text().split())
        rollup = Path(f"/proc/{process}/smaps_rollup")
        total += next(
            int(line.split()[1]) for line in rollup.read_text().splitlines() if "Pss:" in line
        )
    return total / 1024


def answers(client: Any, video: bytes) -> Iterator[dict[str, Any]]:
    """The responses of har_timeline, with the seconds since sending."""
    import numpy as np
    import tritonclient.grpc as triton

    tensor = triton.InferInput(MEDIA.name, [1, 1], MEDIA.dtype)
    tensor.set_data_from_numpy(np.array([[video]], object))
    outputs = [
        triton.InferRequestedOutput(START.name),
        triton.InferRequestedOutput(END.name),
        triton.InferRequestedOutput(PROBS.name, class_count=1),
    ]
    got: queue.SimpleQueue[tuple[Any, Any]] = queue.SimpleQueue()
    client.start_stream(lambda result, error: got.put((result, error)))
    begun = time.perf_counter()
    client.async_stream_infer(
        HAR_TIMELINE.name, [tensor], outputs=outputs, enable_empty_final_response=True
    )
    while True:
        result, error = got.get()
        if error:
            raise error
        if result.get_response().parameters["triton_final_response"].bool_param:
            break
        score, _, label = result.as_numpy(PROBS.name)[0, 0].decode().split(":")
        yield {
            "start": float(result.as_numpy(START.name)[0, 0]),
            "end": float(result.as_numpy(END.name)[0, 0]),
            "label": label,
            "score": float(score),
            "after": time.perf_counter() - begun,
        }
    client.stop_stream()
