"""The results of a sweep: a table for people, plots, and all figures as JSON."""

import io
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from sweep import Point

from builder.cpu import cpu_name, usable_cores
from clip_har.contract import VISION_ENCODER
from clip_har.product import write_whole
from clip_har.provenance import provenance

PACKAGES = ("onnxruntime", "openvino", "av", "pillow")


def write_report(out: Path, product: Path, points: Sequence[Point]) -> list[Path]:
    """Writes NAME.md, NAME.json and three NAME-*.png, NAME being that of the product's folder."""
    name = f"bench-{product.name}"
    plots = {
        f"{name}-latency.png": latency_plot(points),
        f"{name}-steps.png": steps_plot(points),
        f"{name}-batches.png": batches_plot(points),
    }
    about = described(product)
    figures = json.dumps({"about": about, "points": [asdict(one) for one in points]}, indent=1)
    files: dict[str, str | bytes] = {
        f"{name}.md": table(name, about, points, list(plots)), f"{name}.json": figures, **plots,
    }  # fmt: skip
    for file, content in files.items():
        write_whole(out / file, content)
    return [out / file for file in files]


def described(product: Path) -> dict[str, Any]:
    """The machine, the date, and the engine of the encoder."""
    manifest = json.loads((product / "manifest.json").read_text())
    encoder = manifest["models"][VISION_ENCODER.name]
    return {
        "cpu": cpu_name(),
        "cores": usable_cores(),
        "encoder": f"{encoder['engine']} {encoder['precision']}",
        **provenance(PACKAGES),
    }


def table(name: str, about: dict[str, Any], points: Sequence[Point], plots: list[str]) -> str:
    """Markdown: a table for each model and kind of media."""
    lines = [
        f"# {name}",
        "",
        f"{about['cores']} cores of {about['cpu']}, {about['date'][:10]}, encoder "
        f"{about['encoder']}; perf_analyzer over gRPC on the same machine, response cache off. "
        "Ratios are to one caller.",
    ]
    for model, media in _cases(points):
        mine = [one for one in points if (one.model, one.media) == (model, media)]
        first = mine[0]
        lines += [
            "",
            f"## {model}, {media}",
            "",
            "| load | answers/s | ratio | p50, ms | ratio | p95, ms | p99, ms | encoder's batch |",
            "| --- | --- | --- | --- | --- | --- | --- | --- |",
        ]
        for one in mine:
            load = f"{one.amount:.0f} callers" if one.load == "concurrency" else (
                f"{one.amount:.1f} requests/s"
            )  # fmt: skip
            p50, p95, p99 = (one.latency_ms[key] for key in ("p50", "p95", "p99"))
            lines.append(
                f"| {load} | {one.throughput:.1f} | {one.throughput / first.throughput:.2f} | "
                f"{p50:.1f} | {p50 / first.latency_ms['p50']:.2f} | {p95:.1f} | {p99:.1f} | "
                f"{one.steps[VISION_ENCODER.name].batch:.1f} |"
            )
    return "\n".join([*lines, "", *(f"![{plot}]({plot})" for plot in plots), ""])


def latency_plot(points: Sequence[Point]) -> bytes:
    """Throughput against latency: p50 as a line, p95 dashed."""
    cases = _cases(points)
    figure, grid = _figure(len({media for _, media in cases}))
    for axes, media in zip(grid, dict.fromkeys(media for _, media in cases), strict=True):
        for colour, model in enumerate(dict.fromkeys(model for model, _ in cases)):
            mine = _closed(points, model, media)
            for percentile, style in (("p50", "o-"), ("p95", "s--")):
                x = [one.throughput for one in mine]
                y = [one.latency_ms[percentile] for one in mine]
                axes.plot(x, y, style, color=f"C{colour}", label=f"{model} {percentile}")
        axes.set(title=media, xlabel="answers a second", ylabel="latency, ms", ylim=(0, None))
        axes.legend()
    return _png(figure)


def steps_plot(points: Sequence[Point]) -> bytes:
    """Where a request spends its time, by callers: waiting and computing of every step."""
    cases = _cases(points)
    figure, grid = _figure(len(cases))
    for axes, (model, media) in zip(grid, cases, strict=True):
        mine = _closed(points, model, media)
        places, bottom = range(len(mine)), [0.0] * len(mine)
        for colour, step in enumerate(mine[0].steps):
            for part, alpha in (("queue_ms", 0.4), ("compute_ms", 1.0)):
                heights = [getattr(one.steps[step], part) for one in mine]
                label = f"{step}, {'waiting' if part == 'queue_ms' else 'at work'}"
                axes.bar(places, heights, 0.7, bottom, color=f"C{colour}", alpha=alpha, label=label)
                bottom = [a + b for a, b in zip(bottom, heights, strict=True)]
        axes.set_xticks(places, [f"{one.amount:.0f}" for one in mine])
        axes.set(title=f"{model}, {media}", xlabel="callers", ylabel="ms of a request")
        axes.legend(fontsize=7)
    return _png(figure)


def batches_plot(points: Sequence[Point]) -> bytes:
    """Rows of a run of every step, by callers."""
    cases = _cases(points)
    figure, grid = _figure(len(cases))
    for axes, (model, media) in zip(grid, cases, strict=True):
        mine = _closed(points, model, media)
        for step in mine[0].steps:
            batches = [one.steps[step].batch for one in mine]
            axes.plot([one.amount for one in mine], batches, "o-", label=step)
        axes.set(
            title=f"{model}, {media}", xlabel="callers", ylabel="rows of a run", ylim=(0, None)
        )
        axes.legend(fontsize=7)
    return _png(figure)


def _cases(points: Sequence[Point]) -> list[tuple[str, str]]:
    return list(dict.fromkeys((one.model, one.media) for one in points))


def _closed(points: Sequence[Point], model: str, media: str) -> list[Point]:
    wanted = (model, media, "concurrency")
    return [one for one in points if (one.model, one.media, one.load) == wanted]


def _figure(panels: int) -> tuple[Any, list[Any]]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.6 * panels, 4.2), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, list(figure.subplots(1, panels, squeeze=False)[0])


def _png(figure: Any) -> bytes:
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=110)
    return file.getvalue()
