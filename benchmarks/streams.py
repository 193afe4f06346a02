"""Cameras at once through har_stream, in real time: answers in time, cross-talk, encoder runs.

    python benchmarks/streams.py build/demo/model_repository build/data/mocap

Each camera shows test clips of the mocap data set one after another. First every camera is asked
about alone, then all of them together, each frame when it is due.
"""

import asyncio
import io
import random
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from time import perf_counter
from typing import Annotated, Any

import numpy as np
import typer
from long_video import encoded, print_figures

from clip_har.dataset import data_set_from_folder
from clip_har.progress import progress_bar

app = typer.Typer(add_completion=False)
RATE = 5
"""Frames a second of a camera."""
TOLERANCE = 1e-3
"""Largest difference of a score that rounding in another batch may make."""
Scores = dict[str, float]
"""Score by label."""


def film(data: Path, paths: Sequence[Path], seconds: float) -> list[bytes]:
    """JPEG files of a camera that shows clips one after another."""
    import av

    pictures: list[bytes] = []
    for path in paths:
        with av.open(data / path) as video:
            step = max(1, round(float(video.streams.video[0].average_rate or RATE) / RATE))
            for number, frame in enumerate(video.decode(video=0)):
                if number % step == 0:
                    file = io.BytesIO()
                    frame.to_image().save(file, "JPEG", quality=90)
                    pictures.append(file.getvalue())
        if len(pictures) >= seconds * RATE:
            break
    return pictures[: round(seconds * RATE)]


async def shown(recognizer: Any, pictures: Sequence[bytes], begin: float | None) -> tuple[Any, Any]:
    """Scores of each frame, and seconds that each answer took; from `begin` on at the rate."""
    told: list[Scores] = []
    waited: list[float] = []
    async with recognizer.stream(top_k=1000) as stream:
        for number, picture in enumerate(pictures):
            due = perf_counter()
            if begin is not None:
                due = begin + number / RATE
                await asyncio.sleep(max(0.0, due - perf_counter()))
            seen = await stream.send(picture)
            waited.append(perf_counter() - due)
            told.append({one.label: one.score for one in seen.predictions})
    return told, waited


async def together(url: str, films: Sequence[Sequence[bytes]]) -> tuple[Any, Any, Any]:
    """Answers of each film alone and of all at once, and the latter's seconds."""
    from clients.async_recognizer import AsyncRecognizer

    async with AsyncRecognizer(url) as recognizer:
        bar = progress_bar(films, "each camera alone")
        alone = [(await shown(recognizer, one, None))[0] for one in bar]
        begin = perf_counter() + 0.5
        # Cameras do not take their pictures at the same moment.
        starts = [begin + number / len(films) / RATE for number in range(len(films))]
        runs = (shown(recognizer, *one) for one in zip(films, starts, strict=True))
        told, waited = zip(*await asyncio.gather(*runs), strict=True)
    return alone, told, waited


def difference(one: Sequence[Scores], other: Sequence[Scores]) -> float:
    """Largest difference of a score between the answers to as many frames."""
    return max(abs(a[label] - b[label]) for a, b in zip(one, other, strict=True) for label in a)


def figures_of(
    films: Sequence[Sequence[bytes]], alone: Any, told: Any, waited: Any, runs: int
) -> dict[str, float]:
    """All that is printed of what `together` gives; `runs` are the frames that were encoded."""
    spent = 1000 * np.concatenate(waited)
    return {
        "cameras": len(films),
        "frames a second of each": RATE,
        "frames sent, alone and together": 2 * sum(map(len, films)),
        "frames encoded": runs,
        "answers together": sum(map(len, told)),
        "answered before the next frame was due": float((spent < 1000 / RATE).mean()),
        "ms from a frame's due time to its answer, p50": float(np.median(spent)),
        "p95": float(np.percentile(spent, 95)),
        "most": float(spent.max()),
        "largest difference of a score, together and alone": max(map(difference, alone, told)),
        "least difference of another camera": min(difference(alone[0], one) for one in alone[1:]),
    }


def mixed_up(figures: Mapping[str, float]) -> bool:
    """Whether an answer is another stream's, or a frame was not encoded once."""
    return (
        figures["largest difference of a score, together and alone"] > TOLERANCE
        or figures["least difference of another camera"] <= TOLERANCE
        or figures["frames encoded"] != figures["frames sent, alone and together"]
    )


@app.command()
def main(
    repository: Annotated[Path, typer.Argument(help="Model repository of a mocap checkpoint.")],
    data: Annotated[Path, typer.Argument(help="The mocap data set.")],
    cameras: Annotated[int, typer.Option(help="Streams at once.")] = 16,
    seconds: Annotated[float, typer.Option(help="Length of a stream.")] = 30,
) -> None:
    """Measures, prints one line a figure, and fails where streams are mixed up or frames lost."""
    import tritonclient.grpc

    from server.process import running

    paths = [Path(clip.path) for clip in data_set_from_folder(data).split("test")]
    films = [
        film(data, random.Random(number).sample(paths, len(paths)), seconds)
        for number in range(cameras)
    ]
    with (
        running(repository) as server,
        tritonclient.grpc.InferenceServerClient(server.grpc_url) as client,
    ):
        before = encoded(client)
        alone, told, waited = asyncio.run(together(server.grpc_url, films))
        runs = encoded(client) - before
    figures = figures_of(films, alone, told, waited, runs)
    print_figures(figures)
    if mixed_up(figures):
        sys.exit("error: streams were mixed up, or frames were not encoded once each.")


if __name__ == "__main__":
    app()
