"""An hour of planted actions through har_timeline: memory, first segment, boundaries.

    python benchmarks/long_video.py build/demo/model_repository build/data/mocap

Joins test clips of the mocap data set, each repeated for 8 to 20 seconds, to one video, so that it
is known what happens when; only clips that har_temporal names right, for it is the timeline that is
measured. Starts a server on the repository, and sends it the video.
"""

import io
import json
import queue
import random
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import typer

from clip_har.contract import END, HAR_TIMELINE, MEDIA, PROBS, START, VISION_ENCODER
from clip_har.dataset import Clip, data_set_from_folder

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
    "walking forwards",
)
"""Those that can be repeated: getting up twice shows lying down in between, and a spin goes on."""


@dataclass(frozen=True)
class Stretch:
    """What happens from when to when."""

    start: float
    """Seconds."""
    end: float
    """Seconds."""
    label: str
    """The action."""


def planted_video(
    data: Path, clips: Sequence[Clip], minutes: float, seed: int
) -> tuple[bytes, list[Stretch]]:
    """An MP4 file, and what was planted in it."""
    import av

    draw = random.Random(seed)
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


def named_right(url: str, data: Path) -> list[Clip]:
    """Test clips of repeatable actions whose class har_temporal puts first."""
    from clients.recognizer import Recognizer

    clips = [clip for clip in data_set_from_folder(data).split("test") if clip.label in ACTIONS]
    with Recognizer(url) as recognizer:
        return [
            clip
            for clip in clips
            if recognizer.classify(data / clip.path, top_k=1).predictions[0].label == clip.label
        ]


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
            "encoded": encoded(client),
        }
    client.stop_stream()


def encoded(client: Any) -> int:
    """Frames that the vision encoder has seen."""
    told = client.get_inference_statistics(VISION_ENCODER.name, as_json=True)
    return int(told["model_stats"][0].get("inference_count", 0))


def misses(planted: Sequence[Stretch], found: Sequence[dict[str, Any]]) -> list[float | None]:
    """Seconds by which each planted change was missed, None where no such change was found."""
    told: list[float | None] = []
    for before, after in pairwise(planted):
        near = [
            abs(one["end"] - before.end)
            for one, other in pairwise(found)
            if (one["label"], other["label"]) == (before.label, after.label)
            and abs(one["end"] - before.end) < 4
        ]
        told.append(min(near, default=None))
    return told


def named(stretch: Stretch, found: Sequence[dict[str, Any]]) -> bool:
    """Whether most of a stretch is told by its own name."""
    shared = (
        min(stretch.end, one["end"]) - max(stretch.start, one["start"])
        for one in found
        if one["label"] == stretch.label
    )
    return sum(max(0.0, seconds) for seconds in shared) > (stretch.end - stretch.start) / 2


def print_figures(figures: Mapping[str, float]) -> None:
    """One line a figure."""
    for name, figure in figures.items():
        print(f"{name}: {figure:.3g}" if isinstance(figure, float) else f"{name}: {figure}")


@app.command()
def main(
    repository: Annotated[Path, typer.Argument(help="Model repository of a mocap checkpoint.")],
    data: Annotated[Path, typer.Argument(help="The mocap data set.")],
    minutes: Annotated[float, typer.Option(help="Length of the video.")] = 60,
    seed: Annotated[int, typer.Option(help="Of what is planted.")] = 1,
    out: Annotated[Path | None, typer.Option(help="JSON file for all figures.")] = None,
) -> None:
    """Measures, and prints one line a figure."""
    import tritonclient.grpc

    from builder.triton_config import config_from_file
    from server.process import running

    parameters = config_from_file(repository / HAR_TIMELINE.name / "config.pbtxt").parameters
    rate, stride = (float(parameters[key].string_value) for key in ("frame_rate", "stride"))
    with running(repository) as server:
        clips = named_right(server.grpc_url, data)
        video, planted = planted_video(data, clips, minutes, seed)
        with tritonclient.grpc.InferenceServerClient(server.grpc_url) as client:
            idle, before = resident(server.pid), encoded(client)
            memory = Memory(server.pid)
            begun = time.perf_counter()
            found = list(answers(client, video))
            seconds = time.perf_counter() - begun
            most = memory.stop()
            frames = encoded(client) - before
    both = [named(one, found) and named(other, found) for one, other in pairwise(planted)]
    missed = misses(planted, found)
    clear = [one for one, sure in zip(missed, both, strict=True) if sure]
    step = stride / rate
    figures = {
        "video: seconds": round(planted[-1].end),
        "video: MB": round(len(video) / 1e6, 1),
        "clips named right": len(clips),
        "seconds": round(seconds, 1),
        "memory: MB idle": round(idle),
        "memory: MB more at the peak": round(most - idle),
        "frames encoded": frames,
        "first segment after, share of frames encoded": (found[0]["encoded"] - before) / frames,
        "first segment after, seconds": round(found[0]["after"], 1),
        "segments planted": len(planted),
        "segments planted that are told by name": sum(named(one, found) for one in planted),
        "segments found": len(found),
        "changes planted": len(missed),
        "changes between two that are told by name": len(clear),
        "of these, found within a stride": sum(one is not None and one <= step for one in clear),
        "stride: seconds": step,
        "median miss: seconds": median(one for one in clear if one is not None),
        "greatest miss: seconds": max(one for one in clear if one is not None),
    }
    print_figures(figures)
    if out:
        segments = {"planted": [asdict(one) for one in planted], "found": found}
        out.write_text(json.dumps(figures | segments, indent=1) + "\n")


if __name__ == "__main__":
    app()
