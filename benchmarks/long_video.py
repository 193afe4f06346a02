"""An hour of planted actions through har_timeline: memory, first segment, boundaries.

    python benchmarks/long_video.py build/demo/model_repository build/data/mocap

Joins test clips of the mocap data set, each repeated for 8 to 20 seconds, to one video, so that it
is known what happens when; only clips that are told as one action when they are repeated alone, for
it is the boundaries that are measured, not what the model takes for what. Starts a server on the
repository, and sends it the video. Ends with an error where the server takes too much memory, the
first segment comes too late or too few changes are found: those between stretches that are told by
name here, too.
"""

import json
import queue
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import typer
from planted import FPS, SECONDS, Stretch, planted_video, repeated_clips

from clip_har.contract import END, HAR_TIMELINE, MEDIA, PROBS, START, VISION_ENCODER
from clip_har.dataset import Clip, data_set_from_folder
from clip_har.progress import progress_bar

app = typer.Typer(add_completion=False)
MEGABYTES = 300
"""That the server's memory must not grow by."""
FIRST = 0.10
"""Share of the frames after which the first segment must have come."""
FOUND = 0.95
"""Least share of the clear changes that is found within a stride."""
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


def told_alone(url: str, data: Path) -> tuple[list[Clip], int]:
    """Test clips of repeatable actions that har_timeline tells as one segment of the right name,
    from start to end, when nothing else is shown; and of how many."""
    from clients.recognizer import Recognizer

    seconds = max(SECONDS)
    clips = [clip for clip in data_set_from_folder(data).split("test") if clip.label in ACTIONS]
    told: list[Clip] = []
    with Recognizer(url) as recognizer:
        for clip in progress_bar(clips, "clips alone"):
            video = repeated_clips([(data / clip.path, seconds * FPS)])
            found = list(recognizer.timeline(video))
            named = [one.label for one in found] == [clip.label]
            if named and found[0].end - found[0].start > 0.95 * seconds:
                told.append(clip)
    return told, len(clips)


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


@dataclass(frozen=True)
class Watched:
    """What the server answered about a video, and what that cost."""

    found: list[dict[str, Any]]
    """Its segments."""
    seconds: float
    """From sending to the last answer."""
    idle: float
    """Megabytes before."""
    most: float
    """Megabytes at the peak."""
    frames: int
    """Frames encoded."""
    first: float
    """Share of them at the first segment; all of them where there is none."""


def watched(url: str, pid: int, video: bytes) -> Watched:
    """Sends a video to the server that has this process id."""
    import tritonclient.grpc

    with tritonclient.grpc.InferenceServerClient(url) as client:
        idle, before = resident(pid), encoded(client)
        memory = Memory(pid)
        begun = time.perf_counter()
        found = list(answers(client, video))
        seconds = time.perf_counter() - begun
        most = memory.stop()
        frames = encoded(client) - before
    first = (found[0]["encoded"] - before) / frames if found else 1.0
    return Watched(found, seconds, idle, most, frames, first)


def figures_of(planted: Sequence[Stretch], seen: Watched, step: float) -> dict[str, float]:
    """All that is printed; `step` is the seconds of a stride."""
    sure = [named(one, seen.found) for one in planted]
    missed = misses(planted, seen.found)
    clear = [one for one, both in zip(missed, pairwise(sure), strict=True) if all(both)]
    return {
        "video: seconds": round(planted[-1].end),
        "seconds": round(seen.seconds, 1),
        "memory: MB idle": round(seen.idle),
        "memory: MB more at the peak": round(seen.most - seen.idle),
        "frames encoded": seen.frames,
        "first segment after, share of frames encoded": seen.first,
        "first segment after, seconds": round(seen.found[0]["after"], 1),
        "segments planted": len(planted),
        "segments planted that are told by name": sum(sure),
        "segments found": len(seen.found),
        "changes planted": len(missed),
        "changes between two that are told by name": len(clear),
        "of these, found within a stride": sum(one is not None and one <= step for one in clear),
        "stride: seconds": step,
        "median miss: seconds": median(one for one in clear if one is not None),
        "greatest miss: seconds": max(one for one in clear if one is not None),
    }


def faults(figures: Mapping[str, float]) -> list[str]:
    """What is worse than it may be."""
    grown = figures["memory: MB more at the peak"]
    first = figures["first segment after, share of frames encoded"]
    clear = figures["changes between two that are told by name"]
    found = figures["of these, found within a stride"]
    told = {
        f"memory grew by {grown:.0f} MB, {MEGABYTES} or more": grown >= MEGABYTES,
        f"the first segment came after {first:.0%} of the frames, above {FIRST:.0%}": first > FIRST,
        f"{found} of {clear} clear changes were found, below {FOUND:.0%}": found < FOUND * clear,
    }
    return [fault for fault, true in told.items() if true]


@app.command()
def main(
    repository: Annotated[Path, typer.Argument(help="Model repository of a mocap checkpoint.")],
    data: Annotated[Path, typer.Argument(help="The mocap data set.")],
    minutes: Annotated[float, typer.Option(help="Length of the video.")] = 60,
    seed: Annotated[int, typer.Option(help="Of what is planted.")] = 1,
    out: Annotated[Path | None, typer.Option(help="JSON file for all figures.")] = None,
) -> None:
    """Measures, prints one line a figure, and fails where one is worse than it may be."""
    from builder.triton_config import config_from_file
    from server.process import running

    parameters = config_from_file(repository / HAR_TIMELINE.name / "config.pbtxt").parameters
    rate, stride = (float(parameters[key].string_value) for key in ("frame_rate", "stride"))
    with running(repository) as server:
        clips, tried = told_alone(server.grpc_url, data)
        if len({clip.label for clip in clips}) < 2:
            sys.exit("error: no two actions are told by name: take a trained checkpoint's build.")
        video, planted = planted_video(data, clips, minutes, seed)
        seen = watched(server.grpc_url, server.pid, video)
    if not seen.found:
        sys.exit(f"error: no segment was found in {minutes:g} minutes.")
    figures = {
        "video: MB": round(len(video) / 1e6, 1),
        "clips tried alone": tried,
        "clips told as one action alone": len(clips),
        **figures_of(planted, seen, stride / rate),
    }
    print_figures(figures)
    if out:
        segments = {"planted": [asdict(one) for one in planted], "found": seen.found}
        out.write_text(json.dumps(figures | segments, indent=1) + "\n")
    if worse := faults(figures):
        sys.exit(f"error: {'; '.join(worse)}.")


if __name__ == "__main__":
    app()
