"""What the benchmarks of streams and long videos call a failure; no server is needed for that."""

from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
STEP = 0.8
CHANGES = 20


@pytest.fixture(autouse=True)
def _scripts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Scripts import each other from their own folder."""
    monkeypatch.syspath_prepend(BENCHMARKS)


def told(*, late: int = 0, grown: float = 299, first: float = 0.1) -> list[str]:
    """The faults of a run in which so many changes are found a second too late."""
    script = import_module("long_video")
    ends = [10.0 * number for number in range(1, CHANGES + 2)]
    labels = ["running" if number % 2 else "dancing" for number in range(CHANGES + 1)]
    planted = [
        script.Stretch(end - 10, end, label) for end, label in zip(ends, labels, strict=True)
    ]
    seen = [end + (number < late) for number, end in enumerate(ends)]
    starts = [0.0, *seen[:-1]]
    found: list[dict[str, Any]] = [
        {"start": start, "end": end, "label": label, "after": 1.0}
        for start, end, label in zip(starts, seen, labels, strict=True)
    ]
    run = script.Watched(found, 30.0, 600.0, 600.0 + grown, 1000, first)
    return script.faults(script.figures_of(planted, run, STEP))


def test_run_within_its_bounds_has_no_faults() -> None:
    assert told(late=1) == []  # 19 of 20 are 95 %


@pytest.mark.parametrize(
    ("run", "fault"),
    [
        ({"grown": 300}, "memory grew by 300 MB"),
        ({"first": 0.11}, "the first segment came after 11% of the frames"),
        ({"late": 2}, "18 of 20 clear changes were found"),
    ],
)
def test_what_is_worse_is_named(run: dict[str, Any], fault: str) -> None:
    (named,) = told(**run)
    assert fault in named


@pytest.mark.parametrize(
    ("together", "runs", "mixed"),
    [
        ([{"a": 0.1}, {"a": 0.9}], 4, False),
        ([{"a": 0.9}, {"a": 0.1}], 4, True),
        ([{"a": 0.1}, {"a": 0.9}], 3, True),
    ],
)
def test_streams_that_are_mixed_up_or_encoded_twice_are_a_fault(
    together: list[dict[str, float]], runs: int, mixed: bool
) -> None:
    script = import_module("streams")
    films = [[b"one"], [b"other"]]
    alone = [[{"a": 0.1}], [{"a": 0.9}]]
    figures = script.figures_of(films, alone, [[one] for one in together], [[0.1], [0.1]], runs)
    assert script.mixed_up(figures) == mixed
