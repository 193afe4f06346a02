"""`timeline`: what happens when in a long video."""

from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from clients.commands.options import Csv, Json, Model, Render, Url
from clip_har.contract import HAR_TIMELINE

if TYPE_CHECKING:
    from clients.commands.printing import Form
    from clients.results import Segment


def timeline(
    video: Annotated[Path, typer.Argument(help="A video of any length.")],
    model: Model = HAR_TIMELINE.name,
    png: Annotated[Path | None, typer.Option(help="Write a picture of the timeline here.")] = None,
    render: Render = None,
    json: Json = False,
    csv: Csv = False,
    url: Url = None,
) -> None:
    """Say what happens when in a long video, over gRPC.

    Segments are printed as soon as they are known, while the server still reads the video.
    """
    from clients.commands.printing import form_of, say_written
    from clients.recognizer import Recognizer
    from clip_har.product import write_whole

    form = form_of(json, csv)
    with Recognizer(url) as recognizer:
        segments = _printed(recognizer.timeline(video, model), form)
    if png:
        from clients.timeline_picture import timeline_picture

        write_whole(png, timeline_picture(video.name, segments, _seconds(video, segments)))
        say_written(png)
    if render:
        _render(video, segments, render)
        say_written(render)


def _printed(segments: "Iterator[Segment]", form: "Form") -> "list[Segment]":
    from clients.commands.printing import CsvPrinter, say_json
    from clients.table import segment_line

    seen: list[Segment] = []
    printer = CsvPrinter(("start", "end", "label", "index", "score")) if form == "csv" else None
    console = Console(highlight=False)
    with console.status("the server reads the video") if form == "table" else nullcontext():
        for one in segments:
            seen.append(one)
            record = asdict(one) | {"start": round(one.start, 3), "end": round(one.end, 3)}
            if form == "json":
                say_json(record)
            elif printer:
                printer.row(record)
            else:
                console.print(segment_line(one), soft_wrap=True)
    if form == "table" and not seen:
        console.print("No action is seen in it.")
    return seen


def _seconds(video: Path, segments: "Sequence[Segment]") -> float:
    from clients.playback import length_of_file

    return max([length_of_file(video), *(one.end for one in segments)])


def _render(video: Path, segments: "Sequence[Segment]", target: Path) -> None:
    from clients.annotation import Strip
    from clients.palette import colours_of
    from clients.playback import frames_of_file
    from clients.video_file import write_video

    colours = colours_of(one.label for one in segments)
    strip = Strip(segments, _seconds(video, segments), colours)
    write_video(target, ((one, strip.caption(one.time)) for one in frames_of_file(video)))
