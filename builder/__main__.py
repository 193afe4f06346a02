"""python -m builder: checkpoints to a servable Triton model repository."""

import os
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from clip_har.command import run_command_line

app = typer.Typer(add_completion=False, no_args_is_help=True)
console = Console()


@app.callback()
def main() -> None:
    """Builds Triton model repositories from checkpoints."""


@app.command()
def build(
    profile: Annotated[Path, typer.Argument(help="Build profile, e.g. configs/profiles/cpu.toml.")],
    checkpoints: Annotated[Path, typer.Argument(help="A checkpoint, or a folder of them.")],
    data: Annotated[Path, typer.Argument(help="Data set whose test clips prove parity.")],
    out: Annotated[Path | None, typer.Option(help="Folder to write; build/<profile>.")] = None,
) -> None:
    """Exports the graphs, proves that they equal the model, writes the repository."""
    from builder.profile import BuildProfile

    settings = BuildProfile.from_toml(profile)
    # Read when onnxruntime is imported; its telemetry writes a file to the home.
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    from builder.build import REPOSITORY, build
    from clip_har.nn.clip import silence_loading
    from clip_har.progress import progress_bar

    silence_loading()
    target = out or Path("build") / settings.name
    done = build(settings, checkpoints, data, target, progress_bar)
    state = "written" if done.fresh else "up to date"
    console.print(f"{target / REPOSITORY}: {state}")
    console.print(_parity_table(done.parity))
    if done.left_out:
        console.print(
            f"left out: {done.left_out} test clips and stills of classes that the model does not "
            "know"
        )


def _parity_table(parity: dict[str, dict[str, float]]) -> Table:
    table = Table(title="exported graphs against the trained model")
    for name in ("model", "clips", "max probability error", "min cosine", "top-1 agreement"):
        table.add_column(name, justify="left" if name == "model" else "right")
    for model, figures in parity.items():
        table.add_row(
            model,
            str(figures["clips"]),
            f"{figures['max_probability_error']:.1e}",
            f"{figures['min_cosine']:.7f}",
            f"{figures['top1_agreement']:.4f}",
        )
    return table


if __name__ == "__main__":
    run_command_line(app, "builder")
