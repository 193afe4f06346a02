"""How commands show what they found: for people, as JSON lines, or as comma-separated values."""

import csv
import io
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from clip_har.progress import progress_bar

Item = TypeVar("Item")
Form = Literal["table", "json", "csv"]


def form_of(as_json: bool, as_csv: bool) -> Form:
    """What the options ask for; raises ValueError for both."""
    if as_json and as_csv:
        raise ValueError("--json and --csv exclude each other.")
    return "json" if as_json else "csv" if as_csv else "table"


def watched(items: Sequence[Item], title: str, form: Form) -> Iterable[Item]:
    """The items, behind a progress bar for who watches.

    On one terminal a bar and lines would write over each other.
    """
    if not sys.stderr.isatty() or (form != "table" and sys.stdout.isatty()):
        return items
    return progress_bar(items, title)


def say_json(record: Mapping[str, Any]) -> None:
    """Prints a line at once."""
    typer.echo(json.dumps(record, ensure_ascii=False))
    sys.stdout.flush()


class CsvPrinter:
    """Prints rows under a head of columns."""

    def __init__(self, columns: Sequence[str]) -> None:
        """Prints the head."""
        self._columns = columns
        self.row({name: name for name in columns})

    def row(self, values: Mapping[str, Any]) -> None:
        """Prints a row at once; a column without a value stays empty."""
        line = io.StringIO()
        csv.writer(line, lineterminator="").writerow(
            [values.get(name, "") for name in self._columns]
        )
        typer.echo(line.getvalue())
        sys.stdout.flush()


def say_records(records: Sequence[Mapping[str, Any]], table: Table, form: Form) -> None:
    """Prints records that have the same columns; `table` shows them to people."""
    if form == "table":
        show(table)
        return
    printer = CsvPrinter(list(records[0])) if form == "csv" else None
    for record in records:
        if printer:
            printer.row(record)
        else:
            say_json(record)


def show(table: Table) -> None:
    """Prints a table."""
    Console().print(table)


def say_written(path: Path) -> None:
    """Tells of a file, where it does not get between lines that a program reads."""
    Console(stderr=True).print(f"wrote {path}", soft_wrap=True, highlight=False)


def warn(message: str) -> None:
    """Tells of trouble that ends nothing."""
    errors = Console(stderr=True, soft_wrap=True, highlight=False)
    errors.print(f"[yellow]warning:[/] {escape(message)}")
