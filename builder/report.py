"""The report of a build: report.json for machines, report.html for people."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from builder.engines.engine import runs_on_gpu
from builder.gate import Figures
from builder.profile import Budget
from builder.trials import Trial
from builder.tuner import ClipSpeed
from clip_har.config import Config

TEMPLATE = "report.html.j2"
State = Literal["served", "passed", "refused", "left out"]
LEAST_LOSS = 1e-8
"""Of a cosine, in a picture of logarithms."""
REPORT_JSON, REPORT_HTML = "report.json", "report.html"


class Limits(Config):
    """What the cores can do at most, measured in the build: operations a second."""

    threads: int
    """Cores at once."""
    fp32: float | None
    """Multiplications and additions of fp32 numbers."""
    bf16: float | None = None
    """Of bf16; none where the CPU has no instruction for them."""
    int8: float | None = None
    """Of int8 numbers, likewise."""
    int8_vector: float | None = None
    """Of int8 numbers in vector registers alone: less than `int8` where the CPU has tiles (AMX)."""
    int8_product: float | None = None
    """What a library gets out of them in a plain product of int8 matrices (matrix_product.py)."""


class CandidateRow(Config):
    """One candidate."""

    model: str
    """Graph."""
    engine: str
    """Library."""
    precision: str
    """Number format."""
    state: State
    """What became of it; `left out`: it cannot gain anything on this machine."""
    verdict: str
    """`passed`, or why it is refused or was not tried."""
    chosen: bool
    """Whether it is served."""
    reason: str
    """Why, if it is."""
    float_share: float
    """Share of an int8 graph's products left float to stay within the budget."""
    note: str
    """What could not be done here."""
    figures: Figures | None
    """The comparison with the trained model."""
    min_cosine: float | None
    """Smallest cosine of embeddings."""
    top1_agreement: float | None
    """Share of clips on which both name the same class first."""
    threads: int | None
    """Of the measured runs."""
    rows_a_second: float | None
    """Frames, clips or texts a second in batches."""
    batch_ms: float | None
    """Milliseconds of a batch."""
    single_ms: float | None
    """Milliseconds of a batch of one."""
    speedup_vs_onnxruntime_fp32: float | None
    """Times the speed of ONNX Runtime in fp32, in batches, within one run."""
    share_of_int8_limit: float | None
    """Of the CPU's measured int8 arithmetic limit, or its fp32 limit where it has no int8; none of
    what runs on a GPU."""
    bytes: int | None
    """Of the served file."""
    build_seconds: float | None
    """That the engine took."""


class BuildReport(Config):
    """Everything that a build found."""

    profile: Mapping[str, Any]
    """The build profile."""
    checkpoints: Mapping[str, Any]
    """What was built."""
    trained: bool
    """False where the weights guess no better than chance."""
    held_out_clips: int
    """Clips that candidates were compared on."""
    limits: Limits
    """What the machine can do."""
    cpu: str
    """Its name."""
    operations_a_frame: float
    """Multiplications and additions of the vision encoder for a frame."""
    candidates: tuple[CandidateRow, ...]
    """One row a candidate."""
    quantization: Mapping[str, Any]
    """How int8 graphs came about, by graph."""
    temperatures: Mapping[str, Mapping[str, float]]
    """Before and after quantizing, by public model; none where nothing was fitted again."""
    end_to_end: Mapping[str, Mapping[str, float]]
    """The chosen engines against the trained model, by public model."""
    clip_speed: ClipSpeed | None
    """Of one clip through all chosen engines; none where one of them cannot run here."""
    provenance: Mapping[str, Any]
    """Date, versions, revision."""

    @property
    def allowed(self) -> tuple[float, float]:
        """What the budget comes to on so few clips: top-1 agreement, points of accuracy lost."""
        budget, clips = Budget.model_validate(self.profile["budget"]), self.held_out_clips
        return budget.least_agreement(clips), budget.most_drop(clips)

    @property
    def by_graph(self) -> dict[str, list[CandidateRow]]:
        """Rows of each graph, in the order of their trials."""
        grouped: dict[str, list[CandidateRow]] = {}
        for row in self.candidates:
            grouped.setdefault(row.model, []).append(row)
        return grouped

    @property
    def chosen(self) -> dict[str, CandidateRow]:
        """Rows that are served, by graph."""
        return {row.model: row for row in self.candidates if row.chosen}


def candidate_row(trial: Trial, limits: Limits, operations: float | None) -> CandidateRow:
    """A trial as a row; `operations` are those of one row of its input, where they are known."""
    made, speed = trial.made, trial.speed
    figures = trial.verdict.figures if trial.verdict else None
    share = None
    if speed and operations and not runs_on_gpu(made.candidate.engine):
        limit = limits.int8 or limits.fp32
        share = speed.rows_a_second * operations / limit if limit else None
    return CandidateRow(
        model=made.candidate.model.name,
        engine=made.candidate.engine,
        precision=made.candidate.precision,
        state=_state(trial),
        verdict="; ".join(trial.faults) or "passed",
        chosen=bool(trial.chosen),
        reason=trial.chosen,
        float_share=made.candidate.float_share,
        note=trial.note,
        figures=figures,
        min_cosine=figures.min_cosine if figures else None,
        top1_agreement=figures.top1_agreement if figures else None,
        threads=speed.threads if speed else None,
        rows_a_second=speed.rows_a_second if speed else None,
        batch_ms=speed.batch_ms if speed else None,
        single_ms=speed.single_ms if speed else None,
        speedup_vs_onnxruntime_fp32=speed.speedup if speed else None,
        share_of_int8_limit=share,
        bytes=None if made.fault else made.bytes,
        build_seconds=made.seconds if trial.tried else None,
    )


def _state(trial: Trial) -> State:
    if not trial.tried:
        return "left out"
    return "served" if trial.chosen else "refused" if trial.faults else "passed"


def write_report(folder: Path, report: BuildReport) -> None:
    """Writes report.json and report.html, which needs no other file."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    (folder / REPORT_JSON).write_text(report.model_dump_json(indent=2) + "\n")
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page = environment.get_template(TEMPLATE).render(report=report, picture=_picture(report))
    (folder / REPORT_HTML).write_text(page)


def _picture(report: BuildReport) -> str:
    """Speed against accuracy of the vision encoder's candidates, as SVG."""
    import io

    from matplotlib.figure import Figure

    rows = [row for row in report.candidates if row.model == "vision_encoder"]
    points = [
        (row, row.rows_a_second, max(1 - row.min_cosine, LEAST_LOSS))
        for row in rows
        if row.rows_a_second is not None and row.min_cosine is not None
    ]
    if not points:
        return ""
    most = max(speed for _, speed, _ in points)
    figure = Figure(figsize=(8.4, 3.6), layout="constrained")
    axes = figure.subplots()
    for row, speed, lost in points:
        name = f"{row.engine} {row.precision}{' (served)' if row.chosen else ''}"
        axes.scatter(speed, lost, s=90 if row.chosen else 40, zorder=3, label=name)
    axes.axhline(1 - report.profile["budget"]["min_cosine"], linestyle="--", linewidth=1)
    axes.set(xlabel="frames a second", ylabel="1 - smallest cosine", yscale="log")
    axes.set_xlim(0, 1.1 * most)
    axes.grid(alpha=0.3)
    figure.legend(loc="outside right upper", frameon=False)
    text = io.StringIO()
    figure.savefig(text, format="svg", metadata={"Date": None})
    return text.getvalue()[text.getvalue().index("<svg") :]
