"""`classify` and `zero-shot`: what is going on in files."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clients.address import Protocol
from clients.commands.options import Csv, Json, Model, Paths, Render, Spoken, TopK, Url
from clip_har.contract import HAR_TEMPORAL, HAR_ZERO_SHOT

if TYPE_CHECKING:
    from clients.commands.printing import Form
    from clients.outcome import Outcome
    from clients.recognizer import Recognizer
    from clients.results import Recognition

Texts = Annotated[
    list[str], typer.Option("--text", help="Name of an action; repeat it for each one.")
]


def classify(
    paths: Paths,
    model: Model = HAR_TEMPORAL.name,
    top_k: TopK = 3,
    render: Render = None,
    json: Json = False,
    csv: Csv = False,
    url: Url = None,
    protocol: Spoken = "grpc",
) -> None:
    """Say what is going on in images and videos.

    Exits with 0 if all files were read, 1 if some were not, 2 if there was nothing to read.
    """
    from clients.commands.printing import form_of

    def ask(recognizer: "Recognizer", path: Path) -> "Recognition":
        return recognizer.classify(path, model, top_k)

    _answer(paths, ask, form_of(json, csv), render, url, protocol)


def zero_shot(
    paths: Paths,
    text: Texts,
    model: Model = HAR_ZERO_SHOT.name,
    top_k: TopK = 3,
    render: Render = None,
    json: Json = False,
    csv: Csv = False,
    url: Url = None,
    protocol: Spoken = "grpc",
) -> None:
    """Say which of your own action names fits images and videos best.

    Such as: zero-shot clip.mp4 --text "riding a bike" --text "climbing a tree"
    """
    from dataclasses import replace

    from clients.commands.printing import form_of

    def ask(recognizer: "Recognizer", path: Path) -> "Recognition":
        seen = recognizer.zero_shot(path, text, model)
        return replace(seen, predictions=seen.predictions[:top_k])

    _answer(paths, ask, form_of(json, csv), render, url, protocol)


def _answer(
    paths: list[str],
    ask: "Callable[[Recognizer, Path], Recognition]",
    form: "Form",
    render: Path | None,
    url: str | None,
    protocol: Protocol,
) -> None:
    from clients.commands.printing import watched
    from clients.outcome import outcomes
    from clients.recognizer import Recognizer
    from clients.sources import find_media

    found = find_media(paths)
    if render and len(found) > 1:
        raise ValueError(f"--render draws on one file, but there are {len(found)}.")
    with Recognizer(url, protocol=protocol) as recognizer:
        answered = outcomes(lambda path: ask(recognizer, path), watched(found, "asked", form))
        results = _shown(answered, form)
    if render and not results[0].failed:
        _render(results[0], render)
    raise typer.Exit(int(any(one.failed for one in results)))


def _shown(
    answered: "Iterable[Outcome[Recognition]]", form: "Form"
) -> "list[Outcome[Recognition]]":
    from clients.classification import COLUMNS, record, rows
    from clients.commands.printing import CsvPrinter, say_json, show
    from clients.table import outcome_table

    results: list[Outcome[Recognition]] = []
    printer = CsvPrinter(COLUMNS) if form == "csv" else None
    try:
        for one in answered:
            results.append(one)
            if form == "json":
                say_json(record(one))
            elif printer:
                for row in rows(one):
                    printer.row(row)
    finally:
        if results and form == "table":
            show(outcome_table(results))
    return results


def _render(seen: "Outcome[Recognition]", target: Path) -> None:
    from clients.annotation import Caption
    from clients.commands.printing import say_written
    from clients.errors import RecognizerError
    from clients.playback import frames_of_file
    from clients.video_file import write_video

    assert not isinstance(seen.result, RecognizerError)
    caption = Caption(seen.result.predictions)
    write_video(target, ((one, caption) for one in frames_of_file(seen.path)))
    say_written(target)
