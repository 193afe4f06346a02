"""Asks a running server: `python -m clients classify ...`, `evaluate ...` and `web`."""

import sys
from pathlib import Path
from typing import Annotated, Literal, NoReturn

import typer
from rich.console import Console
from rich.markup import escape

from clients.errors import ModelUnavailable, RecognizerError, ServerUnavailable
from clip_har.contract import HAR_TEMPORAL

app = typer.Typer(
    help="Recognise the action in images and videos with a running server.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
errors = Console(stderr=True, soft_wrap=True, highlight=False)

START_A_SERVER = "Start one with `make serve`, or with `python -m server run REPOSITORY`."
INSTALL = 'pip install ".[clients]"'
INSTALL_WEB = 'pip install ".[clients,web]"'
WEB_PACKAGES = ("starlette", "uvicorn", "websockets")

TopK = Annotated[int, typer.Option(min=1, help="Classes to show for each file.")]


@app.command()
def classify(
    paths: Annotated[list[str], typer.Argument(help="Files, folders and glob patterns.")],
    protocol: Annotated[Literal["grpc", "http"], typer.Option(help="How to talk to it.")] = "grpc",
    url: Annotated[
        str | None,
        typer.Option(help="HOST:PORT of the server.", show_default="this machine, 8001 or 8000"),
    ] = None,
    model: Annotated[str, typer.Option(help="Served model to ask.")] = HAR_TEMPORAL.name,
    top_k: TopK = 3,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON line a file.")] = False,
) -> None:
    """Say what is going on in images and videos.

    Exits with 0 if all files were read, 1 if some were not, 2 if there was nothing to read.
    """
    from clients.classification import Outcome, outcomes
    from clients.recognizer import Recognizer
    from clients.sources import find_media
    from clients.table import outcome_table
    from clip_har.progress import progress_bar

    found = find_media(paths)
    results: list[Outcome] = []
    # A bar is for who watches; on one terminal it and JSON lines would write over each other.
    watched = sys.stderr.isatty() and not (json and sys.stdout.isatty())
    shown = progress_bar(found, "classify") if watched else found
    with Recognizer(url, protocol=protocol) as recognizer:
        try:
            for outcome in outcomes(recognizer, shown, model, top_k):
                results.append(outcome)
                if json:
                    print(outcome.as_json(), flush=True)
        finally:
            if results and not json:
                Console().print(outcome_table(results))
    raise typer.Exit(int(any(outcome.failed for outcome in results)))


@app.command()
def evaluate(
    data: Annotated[Path, typer.Argument(help="Folder of a labelled data set.")],
    out: Annotated[Path, typer.Option(help="Folder for report.json and predictions.png.")],
    reference: Annotated[
        Path | None, typer.Option(help="The builder's own answers, to measure parity against.")
    ] = None,
    grpc_url: Annotated[str, typer.Option(help="HOST:PORT for gRPC.")] = "127.0.0.1:8001",
    http_url: Annotated[str, typer.Option(help="HOST:PORT for HTTP.")] = "127.0.0.1:8000",
    top_k: TopK = 3,
) -> None:
    """Measure the served models on the held-out part of a data set, over gRPC and over HTTP.

    Exits with 0 if every file was answered, 1 if some were not, 2 if the data cannot be used.
    """
    from clients.contact_sheet import contact_sheet
    from clients.held_out import held_out_from_folder
    from clients.measurement import agreed_labels, measure
    from clients.recognizer import Protocol, Recognizer
    from clients.reference import Reference, parity
    from clients.report import report_of, write_report
    from clients.selection import sheet_clips, sheet_pairs, table_samples
    from clients.table import sample_table, summary_table
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
    console = Console()
    console.print(sample_table(table_samples(answered, measured, top_k)))
    console.print(summary_table(report))
    for path in written:
        console.print(f"wrote {path}", soft_wrap=True, highlight=False)
    for failed in report.failed:
        errors.print(f"[red]✗[/] {escape(failed.path)}: {escape(failed.error)}")
    raise typer.Exit(int(bool(report.failed)))


@app.command()
def web(
    url: Annotated[str, typer.Option(help="HOST:PORT of the server's gRPC.")] = "127.0.0.1:8001",
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 is any free one.")] = 8080,
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds an answer may take.")] = 60.0,
) -> None:
    """Show a web page to look at what the server sees, until Ctrl-C."""
    from clients.web.application import application
    from clients.web.guard import names_of
    from clients.web.launch import listening, serve

    page = application(url, names_of(host), timeout)
    with listening(host, port) as listener:
        name = f"[{host}]" if ":" in host else host
        address = f"http://{name}:{listener.getsockname()[1]}/"
        Console(soft_wrap=True, highlight=False).print(f"{address} shows what {url} sees; Ctrl-C")
        serve(page, listener)


def main() -> None:
    """Runs the command line; errors that are not ours to debug end without a traceback."""
    try:
        app()
    except ModelUnavailable as error:
        _end(str(error), 1)
    except ServerUnavailable as error:
        _end(f"{error}\n{START_A_SERVER}", 1)
    except RecognizerError as error:
        _end(str(error), 1)
    except ModuleNotFoundError as error:
        package = str(error.name).partition(".")[0]
        install = INSTALL_WEB if package in WEB_PACKAGES else INSTALL
        _end(f"{package} is not installed. Install it with: {install}", 1)
    except ValueError as error:
        _end(str(error), 2)


def _end(message: str, code: int) -> NoReturn:
    errors.print(f"[red]error:[/] {escape(message)}")
    sys.exit(code)


if __name__ == "__main__":
    main()
