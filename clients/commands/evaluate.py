"""`evaluate`: how well the served models do."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape

from clients.address import DEFAULT_URLS
from clients.commands.options import TopK

if TYPE_CHECKING:
    from clients.report import Report
    from clients.selection import Shown


def evaluate(
    data: Annotated[Path, typer.Argument(help="Folder of a labelled data set.")],
    out: Annotated[Path, typer.Option(help="Folder for report.json and predictions.png.")],
    reference: Annotated[
        Path | None, typer.Option(help="The builder's own answers, to measure parity against.")
    ] = None,
    grpc_url: Annotated[str, typer.Option(help="HOST:PORT for gRPC.")] = DEFAULT_URLS["grpc"],
    http_url: Annotated[str, typer.Option(help="HOST:PORT for HTTP.")] = DEFAULT_URLS["http"],
    top_k: TopK = 3,
) -> None:
    """Measure the served models on the held-out part of a data set, over gRPC and over HTTP.

    Exits with 0 if every file was answered, 1 if some were not, 2 if the data cannot be used.
    """
    from clients.address import Protocol
    from clients.contact_sheet import contact_sheet
    from clients.held_out import held_out_from_folder
    from clients.measurement import agreed_labels, measure
    from clients.recognizer import Recognizer
    from clients.reference import Reference, parity
    from clients.report import report_of, write_report
    from clients.selection import sheet_clips, sheet_pairs, table_samples
    from clip_har.progress import progress_bar

    whole = held_out_from_folder(data)
    expected = Reference.from_json(reference) if reference else None
    with Recognizer(grpc_url) as grpc, Recognizer(http_url, protocol="http") as http:
        compared = parity(expected, whole, grpc) if expected else None
        recognizers: dict[Protocol, Recognizer] = {"grpc": grpc, "http": http}
        labels = agreed_labels(recognizers)
        held_out = whole.known_part(labels)
        measured = measure(held_out, labels, recognizers, progress_bar)
    report = report_of(held_out, measured, compared)
    answered = measured.answered_part(held_out)
    clips, pairs = sheet_clips(answered, measured, top_k), sheet_pairs(answered, measured, top_k)
    written = write_report(out, report, contact_sheet(held_out, clips, pairs))
    _show(table_samples(answered, measured, top_k), report, written)
    raise typer.Exit(int(bool(report.failed)))


def _show(samples: "Sequence[Shown]", report: "Report", written: "Iterable[Path]") -> None:
    from clients.table import sample_table, summary_table

    console = Console()
    console.print(sample_table(samples))
    console.print(summary_table(report))
    for path in written:
        console.print(f"wrote {path}", soft_wrap=True, highlight=False)
    errors = Console(stderr=True, soft_wrap=True, highlight=False)
    for failed in report.failed:
        errors.print(f"[red]✗[/] {escape(failed.path)}: {escape(failed.error)}")
