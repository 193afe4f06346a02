"""Progress bars on standard error; silent where nobody watches."""

import sys
from collections.abc import Iterable, Sequence
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

Item = TypeVar("Item")


def track(items: Sequence[Item], title: str) -> Iterable[Item]:
    """Yields the items while a bar says how far they are, where standard error is a terminal."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    # Redirecting would move what is printed meanwhile from standard output to standard error.
    with Progress(
        *columns,
        console=Console(stderr=True),
        redirect_stdout=False,
        disable=len(items) < 2 or not sys.stderr.isatty(),
    ) as progress:
        yield from progress.track(items, description=title)
