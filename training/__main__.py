"""python -m training: data and a CLIP to checkpoints."""

import os
import shlex
import sys
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from clip_har.command import run_command_line

if TYPE_CHECKING:
    from clip_har.dataset import DataSet
    from training.importers.data_set import ImportResult

app = typer.Typer(add_completion=False, no_args_is_help=True)
console = Console()


class Split(str, Enum):
    """Which clips of a data set."""

    train = "train"
    val = "val"
    test = "test"


class NamesOnly(str, Enum):
    """Protocols that need no trained head."""

    EP1 = "EP1"
    half_class = "half-class"


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
    console.print(
        f"{out}: {'written' if fresh else 'up to date'}; {_counts(data)}, "
        f"{len(data.stills)} stills, {len(data.pairs)} reversed pairs"
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


@app.command("import")
def import_data(
    layout: Annotated[
        str,
        typer.Argument(
            help="folders, ucf101, hmdb51, kinetics, ssv2, jester, list-space, list-comma, frames "
            "or har15."
        ),
    ],
    source: Annotated[Path, typer.Argument(help="Folder of the media.")],
    out: Annotated[Path, typer.Argument(help="Folder for the manifest; media stay in place.")],
    annotations: Annotated[
        Path | None, typer.Option(help="Folder of the lists, or one list; SOURCE where left out.")
    ] = None,
    labels: Annotated[
        Path | None, typer.Option(help="Class names, where lists hold numbers.")
    ] = None,
    split_number: Annotated[int, typer.Option(help="Which official split.")] = 1,
    val_share: Annotated[
        float | None,
        typer.Option(help="Share of the training clips to hold out, where none are published."),
    ] = None,
    fps: Annotated[float | None, typer.Option(help="Frames a second of frame folders.")] = None,
) -> None:
    """Reads a published data set or your own: lists what can be used, and why the rest cannot."""
    from clip_har.progress import progress_bar
    from training.importers.data_set import import_data_set
    from training.importers.listing import ImportOptions

    table = {
        "annotations": annotations,
        "labels": labels,
        "split_number": split_number,
        "val_share": val_share,
        "fps": fps,
    }
    options = ImportOptions.from_table(table, "options")
    result = import_data_set(layout, source, out, options, progress_bar)
    _tell_import(out, result)


@app.command()
def inspect(
    data: Annotated[Path, typer.Argument(help="Data set with a manifest.json.")],
    sheet: Annotated[
        Path | None, typer.Option(help="PNG to write; contact_sheet.png in DATA if left out.")
    ] = None,
) -> None:
    """Tells what is in a data set and what is wrong with it; reads every file."""
    from clip_har.dataset import data_set_from_folder
    from clip_har.product import write_whole
    from clip_har.progress import progress_bar
    from training.contact_sheet import contact_sheet
    from training.inspection import inspect_data_set
    from training.inspection_tables import tables

    inspection = inspect_data_set(data, progress_bar)
    console.print(f"{data}: {inspection.source}", markup=False)
    for table in tables(inspection):
        console.print(table)
    target = sheet or data / "contact_sheet.png"
    write_whole(target, contact_sheet(data, data_set_from_folder(data)))
    console.print(f"wrote {target}")


@app.command()
def train(
    config: Annotated[Path, typer.Argument(help="Settings, e.g. configs/demo.toml.")],
    data: Annotated[Path, typer.Argument(help="Data set with a manifest.json.")],
    out: Annotated[Path, typer.Argument(help="Folder of the run: checkpoints, figures, report.")],
    backbone: Annotated[
        str | None, typer.Option(help="Another CLIP than the settings name: a folder or Hub name.")
    ] = None,
) -> None:
    """Trains in stages; started again, it goes on where it stopped."""
    from clip_har.nn.clip import silence_loading
    from training.settings import TrainConfig
    from training.summary import tables
    from training.train import train

    silence_loading()
    command = shlex.join(["python", "-m", "training", *sys.argv[1:]])
    settings = TrainConfig.from_toml(config)
    if backbone:
        settings = settings.model_copy(update={"backbone": backbone})
    metrics, fresh = train(settings, data, out, command)
    if int(os.environ.get("RANK", "0")):
        return
    if not fresh:
        console.print(f"{out}: up to date")
    for table in tables(metrics):
        console.print(table)
    _name_files(out)


@app.command()
def evaluate(
    checkpoint: Annotated[Path, typer.Argument(help="A checkpoint, or a run with several.")],
    data: Annotated[Path, typer.Argument(help="Data set with a manifest.json.")],
    out: Annotated[
        Path | None, typer.Option(help="Folder of the figures; evaluation in CHECKPOINT.")
    ] = None,
    split: Annotated[Split, typer.Option(help="Which clips.")] = Split.test,
    clips: Annotated[int, typer.Option(help="Views of a clip along time.")] = 1,
    crops: Annotated[int, typer.Option(help="Views across a frame: 1 or 3.")] = 1,
    protocol: Annotated[
        NamesOnly | None,
        typer.Option(help="Recognise all classes by their names alone, under this protocol."),
    ] = None,
) -> None:
    """Measures checkpoints on a data set: figures, pictures and a report."""
    from clip_har.nn.clip import silence_loading
    from training.evaluating import evaluate
    from training.summary import tables

    silence_loading()
    target = out or checkpoint / "evaluation"
    by_names = protocol.value if protocol else None
    for table in tables(evaluate(checkpoint, data, target, split.value, clips, crops, by_names)):
        console.print(table)
    _name_files(target)


@app.command("push-to-hub")
def push_to_hub(
    checkpoint: Annotated[Path, typer.Argument(help="A checkpoint folder.")],
    repository: Annotated[str, typer.Argument(help="OWNER/NAME on the Hugging Face Hub.")],
    public: Annotated[bool, typer.Option("--public", help="Visible to everybody.")] = False,
) -> None:
    """Uploads a checkpoint with its model card; HF_TOKEN or `hf auth login` says who you are."""
    from training.hub import push_to_hub

    console.print(push_to_hub(checkpoint, repository, private=not public))


def _tell_import(out: Path, result: "ImportResult") -> None:
    from training.importers.data_set import QUARANTINE_FILE

    console.print(f"{out}: written; {_counts(result.data_set)}")
    if result.faults:
        told = ", ".join(f"{count} {reason}" for reason, count in result.reasons.most_common())
        console.print(f"{out / QUARANTINE_FILE}: left out: {told}")


def _counts(data_set: "DataSet") -> str:
    from clip_har.dataset import SPLITS

    counts = [f"{sum(c.split == name for c in data_set.clips)} {name}" for name in SPLITS]
    return f"{len(data_set.labels)} classes, {', '.join(counts)} clips"


def _name_files(folder: Path) -> None:
    from training.evaluation.metrics import METRICS_FILE, REPORT_FILE

    for name in (METRICS_FILE, REPORT_FILE):
        console.print(f"wrote {folder / name}")


if __name__ == "__main__":
    # Threads that spin while they wait cost a factor of three on cores that others use too.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    run_command_line(app, "training")
