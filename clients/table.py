"""Tables for people."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich import box
from rich.markup import escape
from rich.table import Table

from clients.clock import exact_clock
from clients.errors import RecognizerError
from clients.held_out import LeftOut
from clients.outcome import Outcome
from clients.report import Latency, ModelReport, Report
from clients.results import Recognition, Segment
from clients.selection import Shown
from clip_har.contract import HAR_BASE, HAR_TEMPORAL
from clip_har.dataset import Tier
from clip_har.labels import Prediction

RIGHT, WRONG = "[green]✓[/]", "[red]✗[/]"


def outcome_table(outcomes: Sequence[Outcome[Recognition]]) -> Table:
    """One row a file: what was seen in it, or its error."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("file", overflow="fold")
    table.add_column("action", overflow="fold")
    table.add_column("ms", justify="right")
    for outcome in outcomes:
        name, result = escape(str(outcome.path)), outcome.result
        if isinstance(result, RecognizerError):
            table.add_row(name, f"[red]✗ {escape(str(result))}[/]", "")
        else:
            table.add_row(name, ranking(result.predictions), f"{result.latency_ms:.1f}")
    return table


def segment_line(segment: Segment) -> str:
    """When what is seen, and how surely."""
    times = f"{exact_clock(segment.start):>9} [dim]to[/] {exact_clock(segment.end):>9}"
    return f"{times}  {segment.score:>6.1%}  [bold]{escape(segment.label)}[/]"


def found_table(sentence: str, records: Sequence[Mapping[str, Any]]) -> Table:
    """One row a file that a search found, the best first."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, title=f"“{escape(sentence)}”")
    table.add_column("fits", justify="right")
    table.add_column("file", overflow="fold")
    for one in records:
        table.add_row(f"{one['score']:.3f}", escape(one["path"]))
    return table


def vector_table(vectors: Mapping[str, NDArray[np.float32]]) -> Table:
    """One row a vector, with its first numbers."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("name", overflow="fold")
    table.add_column("vector")
    for name, vector in vectors.items():
        first = "  ".join(f"{value:+.3f}" for value in vector[:4])
        table.add_row(escape(name), f"{first}  [dim]... {len(vector)} numbers[/]")
    return table


def load_table(title: str, records: Sequence[Mapping[str, Any]]) -> Table:
    """One row a run of `bench`."""
    table = Table(box=box.ROUNDED, title=title)
    for name in ("at a time", "answers/s", "p50 ms", "p95 ms", "p99 ms", "errors"):
        table.add_column(name, justify="right")
    for one in records:
        latencies = [one[f"p{share}_ms"] for share in (50, 95, 99)]
        shown = ["-" if value is None else f"{value:.1f}" for value in latencies]
        errors = f"[red]{escape(one['kinds'])}[/]" if one["errors"] else "0"
        table.add_row(f"{one['concurrency']}", f"{one['answers_per_second']:.1f}", *shown, errors)
    return table


def sample_table(samples: Iterable[Shown]) -> Table:
    """One row a sample: truth, what the temporal model saw, and how fast."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, title=f"{HAR_TEMPORAL.name}, over gRPC")
    table.add_column("truth")
    table.add_column("file", style="dim", overflow="fold")
    table.add_column("")
    table.add_column("seen", overflow="fold")
    table.add_column("ms", justify="right")
    for one in samples:
        mark = RIGHT if one.temporal[0].label == one.truth else WRONG
        # A folder that is named for the class would only say the truth again.
        short = "/".join(part for part in one.path.split("/") if part != one.truth)
        row = (escape(one.truth), escape(short), mark, ranking(one.temporal))
        table.add_row(*row, f"{one.latency_ms:.1f}")
    return table


def ranking(predictions: Sequence[Prediction]) -> str:
    """Labels with their scores in percent, the best one bold."""
    shown = [f"{escape(one.label)} {one.score:.1%}" for one in predictions]
    return " [dim]·[/] ".join([f"[bold]{shown[0]}[/]", *(f"[dim]{one}[/]" for one in shown[1:])])


def summary_table(report: Report) -> Table:
    """Base against temporal, and what the serving itself does to the answers."""
    base, temporal = report.models[HAR_BASE.name], report.models[HAR_TEMPORAL.name]
    title = f"{report.data}: {report.classes} classes, {report.test_clips} test clips"
    table = Table(box=box.ROUNDED, title=title)
    table.add_column("")
    table.add_column(HAR_BASE.name, justify="right")
    table.add_column(HAR_TEMPORAL.name, justify="right")
    for name, read in (_ROWS | {_TIER_ROWS[tier]: _in_order(tier) for tier in base.order}).items():
        table.add_row(name, read(base), read(temporal))
    table.add_section()
    for name, shown in _serving_rows(report):
        table.add_row(name, "", shown)
    if report.left_out.labels:
        table.caption = _left_out(report.left_out)
    return table


def _in_order(tier: Tier) -> Callable[[ModelReport], str]:
    return lambda model: _share(model.order[tier].accuracy)


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"


def _left_out(what: LeftOut) -> str:
    return (
        f"left out: {what.clips} test clips, {what.stills} stills, {what.pairs} pairs of classes "
        f"that the models do not know ({escape(', '.join(what.labels))})"
    )


def _milliseconds(latency: Latency) -> str:
    return f"{latency.p50:.1f} / {latency.p95:.1f}"


def _difference(model: ModelReport) -> str:
    moved = [one.max_abs_logit_difference for one in model.order.values()]
    return f"{max(moved):.2g}" if moved else "-"


def _serving_rows(report: Report) -> list[tuple[str, str]]:
    agree = (
        f"{RIGHT} to the last bit"
        if report.grpc_http_agree
        else (f"{WRONG} differ by {report.grpc_http_max_abs_error:.1e}")
    )
    rows = [("gRPC = HTTP", agree)]
    if report.parity:
        rows += [
            ("torch - ONNX, probabilities", f"{report.parity.torch_onnx:.1e}"),
            ("ONNX - Triton", f"{report.parity.onnx_triton:.1e}"),
            ("torch - Triton", f"{report.parity.torch_triton:.1e}"),
        ]
    return [*rows, ("server", report.versions["server"])]


_ROWS: dict[str, Callable[[ModelReport], str]] = {
    "top-1": lambda model: _share(model.top1),
    "mean class accuracy": lambda model: _share(model.mean_class_accuracy),
    "stills, top-1": lambda model: _share(model.stills_top1),
    "gRPC, ms p50 / p95": lambda model: _milliseconds(model.latency_ms["grpc"]),
    "HTTP, ms p50 / p95": lambda model: _milliseconds(model.latency_ms["http"]),
    "a reversal moves the logits by": _difference,
}
_TIER_ROWS: dict[Tier, str] = {
    "reversal": "order pairs (chance: 50 %)",
    "closed_loop": "- that end where they begin",
    "rotation": "- of one whole turn",
    "nuisance": "- of unlike bodies and scenes",
}
