"""Progress bars for long work, on standard error."""

from collections.abc import Iterable, Iterator
from operator import length_hint
from typing import TypeVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

Item = TypeVar("Item")


def progress_bar(
    items: Iterable[Item], title: str, total: int | None = None, done: int = 0
) -> Iterator[Item]:
    """Yields the items while a bar says how far they are and what is left; one item needs none.

    `total` counts the items where they cannot be counted; `done` of them are behind already.
    """
    count = length_hint(items) if total is None else total
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    # Redirecting would move what is printed meanwhile from standard output to standard error.
    with Progress(
        *columns, console=Console(stderr=True), redirect_stdout=False, disable=count < 2
    ) as progress:
        task = progress.add_task(title, total=count, completed=done)
        for item in items:
            yield item
            progress.advance(task)
