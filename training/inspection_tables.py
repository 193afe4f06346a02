"""An inspection as tables for a terminal."""

from collections.abc import Iterable, Mapping, Sequence

from rich.markup import escape
from rich.table import Table

from clip_har.dataset import SPLITS
from training.inspection import Inspection, Spread

_ROWS = 20
"""Most rows of a list that has no natural end."""


def tables(inspection: Inspection) -> list[Table]:
    """What to print, in order; tables with nothing to tell are left out."""
    leaks = [
        (leak.kind, leak.what, " and ".join(leak.places), f"{len(leak.paths)}")
        for leak in inspection.leaks
    ]
    faults = [(fault.reason, fault.where, fault.why) for fault in inspection.faults]
    thin = [(what, f"{len(names)}", _few(names)) for what, names in inspection.thin.items()]
    all_tables = [
        _classes(inspection),
        _splits(inspection),
        _counts("codecs", inspection.codecs),
        _counts("pictures", inspection.resolutions),
        _table("too few clips", ("lack", "classes", "which"), thin),
        _table("leaks", ("shared", "what", "between", "clips"), leaks),
        _table("files that cannot be used", ("fault", "file", "why"), faults),
        _counts("left out by the import", inspection.quarantined),
    ]
    return [table for table in all_tables if table.row_count]


def _classes(inspection: Inspection) -> Table:
    rows = [
        (label, *(f"{count[split]}" for split in SPLITS))
        for label, count in inspection.classes.items()
    ]
    return _table(inspection.name, ("class", *SPLITS), rows, len(rows))


def _splits(inspection: Inspection) -> Table:
    rows = [
        (
            split,
            f"{facts.clips}",
            f"{facts.groups or ''}",
            _range(facts.seconds, "g"),
            _range(facts.frames, ".0f"),
            f"{facts.size / 2**20:.1f}",
        )
        for split, facts in inspection.splits.items()
    ]
    columns = (
        "split",
        "clips",
        "recordings",
        "seconds: least, median, most",
        "frames: least, median, most",
        "MiB",
    )
    return _table("splits", columns, rows)


def _range(spread: Spread, form: str) -> str:
    return ", ".join(f"{one:{form}}" for one in (spread.least, spread.middle, spread.most))


def _counts(title: str, counts: Mapping[str, int]) -> Table:
    rows = sorted(counts.items(), key=lambda item: -item[1])
    return _table(title, ("what", "count"), [(name, f"{count}") for name, count in rows])


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")


def _table(
    title: str, columns: Sequence[str], rows: Iterable[Sequence[str]], most: int = _ROWS
) -> Table:
    listed = list(rows)
    table = Table(title=escape(title), title_justify="left", min_width=len(title))
    for index, column in enumerate(columns):
        number = bool(listed) and all(row[index].isdecimal() for row in listed)
        table.add_column(column, justify="right" if number else "left", overflow="fold")
    for row in listed[:most]:
        table.add_row(*(escape(cell) for cell in row))
    if len(listed) > most:
        table.caption = f"and {len(listed) - most} more"
    return table
