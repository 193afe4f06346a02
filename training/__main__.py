"""python -m training: data and a CLIP to checkpoints."""

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from clip_har.command import run_command_line

app = typer.Typer(add_completion=False, no_args_is_help=True)
console = Console()


@app.command("render-mocap")
def render_mocap(
    config: Annotated[Path, typer.Argument(help="Settings, e.g. configs/mocap-data.toml.")],
    out: Annotated[Path, typer.Argument(help="Folder to write the data set to.")],
) -> None:
    """Renders the mocap data set: synthetic video of real motion, in class folders."""
    from clip_har.dataset import data_set_from_folder
    from clip_har.progress import progress_bar
    from training.mocap.render import MocapConfig, render_mocap

    fresh = render_mocap(MocapConfig.from_toml(config), out, progress_bar)
    data = data_set_from_folder(out)
    splits = ", ".join(f"{len(data.split(name))} {name}" for name in ("train", "val", "test"))
    console.print(
        f"{out}: {'written' if fresh else 'up to date'}; {len(data.labels)} classes, "
        f"{splits} clips, {len(data.stills)} stills, {len(data.pairs)} reversed pairs"
    )


@app.command()
def pretrain(
    config: Annotated[Path, typer.Argument(help="Settings, e.g. configs/pretrain-mocap.toml.")],
    out: Annotated[Path, typer.Option(help="Folder for the CLIP.")] = Path("runs/mocap-clip"),
    run: Annotated[Path, typer.Option(help="Frames and saved states.")] = Path("runs/pretrain"),
) -> None:
    """Pretrains the small CLIP on rendered frames; started again, it goes on where it stopped."""
    from clip_har.nn.clip import silence_loading
    from training.pretrain import PretrainConfig, pretrain

    silence_loading()
    metrics = pretrain(PretrainConfig.from_toml(config), run, out)
    console.print(f"{out}: written; single frames named right: {metrics['val_accuracy']:.3f}")


@app.command()
def train(
    config: Annotated[Path, typer.Argument(help="Settings, e.g. configs/demo.toml.")],
    data: Annotated[Path, typer.Argument(help="Data set with a manifest.json.")],
    out: Annotated[Path, typer.Argument(help="Folder for the checkpoints, one a variant.")],
) -> None:
    """Trains temporal module and head on a frozen CLIP."""
    from clip_har.nn.clip import silence_loading
    from training.train import TrainConfig, train

    silence_loading()
    command = shlex.join(["python", "-m", "training", *sys.argv[1:]])
    metrics = train(TrainConfig.from_toml(config), data, out, command)
    if not metrics:
        console.print(f"{out}: up to date")
        return
    table = Table(title="validation clips")
    names = list(next(iter(metrics.values())))
    for name in ("variant", *names):
        table.add_column(name.replace("_", " "), justify="left" if name == "variant" else "right")
    for variant, figures in metrics.items():
        table.add_row(variant, *(f"{figures[name]:g}" for name in names))
    console.print(table)


if __name__ == "__main__":
    run_command_line(app, "training")
