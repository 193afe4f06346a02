"""`stream`: what is going on in front of a camera."""

import math
import signal
from collections.abc import Callable, Generator, Iterable
from contextlib import closing, contextmanager, nullcontext
from dataclasses import asdict
from itertools import takewhile
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from clients.commands.options import Csv, Json, Model, Render, Spoken, TopK, Url
from clip_har.contract import HAR_STREAM

if TYPE_CHECKING:
    from clients.annotation import Caption
    from clients.commands.printing import Form
    from clients.live import Seen
    from clients.playback import Frame
    from clients.results import Recognition

COLUMNS = ("time", "rank", "label", "index", "score", "latency_ms")


def stream(
    source: Annotated[
        str,
        typer.Argument(help="A webcam (/dev/video0), an rtsp:// address, or a file."),
    ],
    rate: Annotated[float, typer.Option(min=0.1, help="Frames to send in a second.")] = 5.0,
    seconds: Annotated[
        float, typer.Option(min=0, help="Stop then.", show_default="at the end, or at Ctrl-C")
    ] = math.inf,
    model: Model = HAR_STREAM.name,
    top_k: TopK = 3,
    render: Render = None,
    json: Json = False,
    csv: Csv = False,
    url: Url = None,
    protocol: Spoken = "grpc",
) -> None:
    """Say what is going on live: a webcam, a network camera, or a file played in real time.

    Such as: stream /dev/video0, or stream clip.mp4 --render seen.mp4
    """
    from clients.commands.printing import form_of, warn
    from clients.live import LiveSettings, seen_live
    from clients.playback import frames_of_source, in_real_time, is_live
    from clients.recognizer import Recognizer

    form = form_of(json, csv)
    with (
        closing(frames_of_source(source)) as opened,
        Recognizer(url, protocol=protocol) as asked,
        _interruption() as interrupted,
    ):
        played: Iterable[Frame] = opened if is_live(source) else in_real_time(opened)
        shown = takewhile(lambda one: not interrupted() and one.time < seconds, played)
        settings = LiveSettings(model, top_k, rate)
        seen = seen_live(asked, shown, settings, warn)
        _play(_printed(seen, form), render)


@contextmanager
def _interruption() -> Generator[Callable[[], bool]]:
    """Whether Ctrl-C was pressed: it ends a video in good order, the second time at once."""
    pressed = Event()

    def press(*_: object) -> None:
        pressed.set()
        signal.signal(signal.SIGINT, before)

    before = signal.signal(signal.SIGINT, press)
    try:
        yield pressed.is_set
    finally:
        signal.signal(signal.SIGINT, before)


def _printed(seen: "Iterable[Seen]", form: "Form") -> "Generator[tuple[Frame, Caption]]":
    """Prints the answers, and passes on the frames with what is to be drawn on them."""
    from clients.annotation import Caption
    from clients.commands.printing import CsvPrinter, say_json

    printer = CsvPrinter(COLUMNS) if form == "csv" else None
    with _watching() if form == "table" else nullcontext() as watch:
        for one in seen:
            if one.fresh and one.recognition:
                record = _record(one.frame.time, one.recognition)
                if watch:
                    watch(one.frame.time, one.recognition)
                elif printer:
                    for rank, prediction in enumerate(record["predictions"], 1):
                        printer.row(record | prediction | {"rank": rank})
                else:
                    say_json(record)
            yield one.frame, Caption(one.recognition.predictions if one.recognition else ())


def _record(seconds: float, seen: "Recognition") -> dict[str, Any]:
    rounded = {"latency_ms": round(seen.latency_ms, 3)}
    return {"time": round(seconds, 3)} | asdict(seen) | rounded


@contextmanager
def _watching() -> "Generator[Callable[[float, Recognition], None]]":
    """A line for people at each change of action, and below it what is seen right now."""
    from clients.clock import exact_clock
    from clients.table import ranking

    console = Console(highlight=False)
    shown: list[str] = []
    with console.status("waiting for the first frame") as status:

        def watch(seconds: float, seen: "Recognition") -> None:
            if shown[-1:] != [seen.best.label]:
                shown.append(seen.best.label)
                console.print(f"{exact_clock(seconds):>9}  {ranking(seen.predictions)}")
            status.update(f"{exact_clock(seconds)}  {ranking(seen.predictions)}")

        yield watch


def _play(drawn: "Iterable[tuple[Frame, Caption]]", target: Path | None) -> None:
    """Goes through the frames, and writes them where that is wanted."""
    from clients.commands.printing import say_written
    from clients.video_file import write_video

    if target is None:
        for _ in drawn:
            pass
        return
    write_video(target, drawn)
    say_written(target)
