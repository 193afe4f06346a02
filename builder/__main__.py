"""python -m builder: checkpoints to a servable Triton model repository."""

import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from clip_har.command import run_command_line

if TYPE_CHECKING:
    from builder.live_folder import Published
    from builder.report import BuildReport

app = typer.Typer(add_completion=False, no_args_is_help=True)
console = Console()


@app.callback()
def main() -> None:
    """Builds Triton model repositories from checkpoints."""


@app.command()
def build(
    profile: Annotated[Path, typer.Argument(help="Build profile, e.g. configs/profiles/cpu.toml.")],
    checkpoints: Annotated[Path, typer.Argument(help="A checkpoint, or a folder of them.")],
    data: Annotated[Path, typer.Argument(help="Data set whose clips calibrate and prove.")],
    out: Annotated[Path | None, typer.Option(help="Folder to write; build/<profile>.")] = None,
) -> None:
    """Tries the profile's engines, proves that they equal the model, writes the repository."""
    from builder.profile import BuildProfile

    settings = BuildProfile.from_toml(profile)
    # Read when onnxruntime is imported; its telemetry writes a file to the home.
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    # Read when torch is imported: threads that spin cost a factor of three on busy cores.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    from builder.build import build
    from builder.report import REPORT_HTML
    from clip_har.nn.clip import silence_loading

    silence_loading()
    target = out or Path("build") / settings.name
    done = build(settings, checkpoints, data, target)
    console.print(_candidate_table(done.report))
    for remark in _remarks(done.report):
        console.print(remark, highlight=False)
    console.print(_parity_table(done.report))
    if done.left_out:
        console.print(
            f"left out: {done.left_out} test clips and stills of classes that the model does not "
            "know"
        )
    state = "written" if done.fresh else "up to date"
    console.print(f"{target}: {state}; {target / REPORT_HTML} shows it")


Live = Annotated[Path, typer.Argument(help="Folder of a build that is served: build/<profile>.")]
Url = Annotated[
    str | None,
    typer.Option(help="gRPC address of the running server: it then loads and unloads in order."),
]


@app.command()
def join(
    builds: Annotated[list[Path], typer.Argument(help="Folders that `build` wrote.")],
    out: Annotated[Path, typer.Option(help="Folder to write.")],
) -> None:
    """Makes one repository of several builds; what they have alike is served once."""
    from builder.joining import join

    done = join(builds, out)
    for folder, names in done.names.items():
        renamed = sorted(name for origin, name in names.items() if name != origin)
        console.print(f"{folder}: {', '.join(renamed) or 'all under their own names'}")
    console.print(f"served once: {', '.join(done.shared) or 'nothing, they have nothing alike'}")
    console.print(f"{out}: written")


@app.command()
def publish(
    build: Annotated[Path, typer.Argument(help="Folder of the new build.")],
    live: Live,
    keep: Annotated[int, typer.Option(min=1, help="Published versions that are kept.")] = 2,
    url: Url = None,
) -> None:
    """Adds a build to a repository that is being served, as its next version."""
    from builder.publishing import publish
    from clip_har.progress import progress_bar

    with _unpublished_told():
        done = publish(build, live, keep=keep, url=url, progress=progress_bar)
    _tell_version(live, done)


@app.command()
def rollback(live: Live, url: Url = None) -> None:
    """Goes back to the version that was served before."""
    from builder.publishing import rollback
    from clip_har.progress import progress_bar

    with _unpublished_told():
        done = rollback(live, url=url, progress=progress_bar)
    _tell_version(live, done)


@app.command()
def verify(folder: Live) -> None:
    """Hashes every file of a repository again and names what is not as it was built."""
    from builder.manifest import verify

    faults = verify(folder)
    for fault in faults:
        console.print(fault)
    if faults:
        raise typer.Exit(1)
    console.print(f"{folder}: every file is as the manifest says")


@app.command()
def doctor(
    folder: Live,
    triton: Annotated[Path | None, typer.Option(help="Folder of a tritonserver.")] = None,
    python: Annotated[Path | None, typer.Option(help="Python of its Python models.")] = None,
) -> None:
    """Says before anything is loaded whether a repository fits this machine and its Triton."""
    from builder.doctor import examine
    from builder.machine import read_machine, read_triton

    findings = examine(folder, read_machine(), read_triton(triton, python))
    table = Table("", "of", "found", "expected", "what to do")
    for one in findings:
        table.add_row(one.severity, one.subject, one.found, one.expected, one.remedy)
    console.print(table if findings else f"{folder}: fits this machine and its Triton")
    if any(one.severity == "error" for one in findings):
        raise typer.Exit(1)


def _tell_version(live: Path, done: "Published") -> None:
    state = f"version {done.version}" if done.fresh else f"version {done.version} already"
    console.print(f"{live}: serves {state}, before it {done.before}; kept: {done.kept}")


def _candidate_table(report: "BuildReport") -> Table:
    table = Table(title=f"candidates for {report.profile['goal']}")
    table.add_column("graph, candidate", no_wrap=True)
    for name in ("speed", "limit", "cosine", "top-1"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    model = ""
    for row in report.candidates:
        if row.model != model:
            table.add_row(model := row.model)
        table.add_row(
            f"  {row.engine} {row.precision}",
            _shown(row.speedup_vs_onnxruntime_fp32, "{:.2f} x"),
            _shown(row.share_of_int8_limit, "{:.0%}"),
            _shown(row.min_cosine, "{:.4f}"),
            _shown(row.top1_agreement, "{:.1%}"),
            row.state,
            style={"served": "bold", "passed": None}.get(row.state, "dim"),
        )
    return table


def _remarks(report: "BuildReport") -> list[str]:
    """Why candidates were refused or left out, and what could not be done with some of them."""
    refused = [
        f"{row.model}, {row.engine} {row.precision}: {row.verdict}"
        for row in report.candidates
        if row.state in ("refused", "left out")
    ]
    return [*refused, *dict.fromkeys(row.note for row in report.candidates if row.note)]


def _shown(value: float | None, form: str) -> str:
    return "" if value is None else form.format(value)


def _parity_table(report: "BuildReport") -> Table:
    table = Table(title="the served engines against the trained model")
    for name in ("model", "clips", "max probability error", "min cosine", "top-1 agreement"):
        table.add_column(name, justify="left" if name == "model" else "right")
    for model, figures in report.end_to_end.items():
        table.add_row(
            model,
            f"{figures['clips']:.0f}",
            f"{figures['max_probability_error']:.1e}",
            f"{figures['min_cosine']:.7f}",
            f"{figures['top1_agreement']:.4f}",
        )
    if report.clip_speed:
        table.caption = (
            f"a clip through all of them: {report.clip_speed.clip_ms:.1f} ms, "
            f"{report.clip_speed.speedup:.2f} x fp32 ONNX Runtime"
        )
    return table


@contextmanager
def _unpublished_told() -> Generator[None]:
    from builder.live_server import PublishingError

    try:
        yield
    except PublishingError as error:
        Console(stderr=True).print(f"[red]error:[/red] {escape(str(error))}", highlight=False)
        raise typer.Exit(1) from None


if __name__ == "__main__":
    run_command_line(app, "builder")
