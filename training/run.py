"""What the stages of a run share: its data, classes, texts and held-out clips."""

from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path

import torch
from accelerate import Accelerator
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import CLIPModel, CLIPTokenizer

from clip_har.dataset import (
    MANIFEST_FILE,
    SPLITS,
    Clip,
    DataSet,
    SplitName,
    data_set_from_folder,
)
from clip_har.nn.clip import clip_from_pretrained, preprocessing_of, tokenizer_from_pretrained
from clip_har.nn.text_bank import text_bank
from clip_har.product import file_hash, fingerprint, tree_hash
from clip_har.spec import ModelSpec
from training.action_model import ActionModel
from training.augmentation import check_flip
from training.batches import Classes, Share
from training.held_out import Views, ViewSet, views_from_clips
from training.objective import reversal_table
from training.settings import TrainConfig
from training.stages import check_blocks

FOLDER = Path(__file__).parent
EDGE = ("__main__.py", "inspection.py", "pretrain.py")
CODE = (
    FOLDER.parent / "clip_har",
    *sorted(path for path in FOLDER.glob("*.py") if path.name not in EDGE),
)
MODEL_FILE = "model.safetensors"


@dataclass(frozen=True)
class Split:
    """Held-out clips of some classes."""

    clips: list[Clip]
    views: ViewSet
    truth: Tensor
    """Class of each among its own labels, (C,)."""


@dataclass(frozen=True)
class Run:
    """Everything that the stages of a run share."""

    config: TrainConfig
    accelerator: Accelerator
    data: Path
    data_set: DataSet
    manifest: str
    """SHA-256 of the data set's manifest."""
    out: Path
    spec: ModelSpec
    """What the variants share."""
    clip: CLIPModel
    """The pretrained CLIP. Not to be changed."""
    tokenizer: CLIPTokenizer
    texts: Tensor
    """Texts of the trained classes, (K, D)."""
    novel_texts: Tensor
    """Texts of the classes that are held out, (N, D)."""
    broken: dict[str, str] = field(default_factory=dict[str, str])
    """Held-out clips that could not be decoded, by path: why. No figure is about them."""

    @property
    def classes(self) -> Classes:
        """The trained classes."""
        table = reversal_table(self.spec.labels, self.data_set.reversals)
        return Classes(len(self.spec.labels), table)

    @property
    def share(self) -> Share:
        """This process's part of the work."""
        return Share(self.accelerator.process_index, self.accelerator.num_processes)

    @property
    def view(self) -> Views:
        """How a server looks at a clip."""
        return Views(self.config.frames, self.spec.preprocessing.image_size)

    @property
    def main_process(self) -> bool:
        """Whether this process is the one that writes."""
        return self.accelerator.is_main_process

    def clips(self, split: SplitName, novel: bool = False) -> list[Clip]:
        """Clips of the trained classes, or of the novel ones; raises ValueError for none."""
        labels = self.config.held_out_labels if novel else self.spec.labels
        clips = [clip for clip in self.data_set.split(split) if clip.label in labels]
        if not clips:
            raise ValueError(
                f"data set {self.data_set.name}: the split {split!r} has no clip of these "
                f"classes: {', '.join(labels)}."
            )
        return clips

    def split(self, name: SplitName, novel: bool = False) -> Split:
        """Held-out clips of the trained classes, or of the novel ones, as far as they decode."""
        labels = self.config.held_out_labels if novel else self.spec.labels
        listed = self.clips(name, novel)
        title = f"{name} clips of held-out classes" if novel else f"{name} clips"
        views = self.views(listed, f"{name}-novel" if novel else name, title)
        clips = [clip for clip in listed if clip.path not in views.broken]
        return Split(clips, views, torch.tensor([labels.index(clip.label) for clip in clips]))

    def views(self, clips: list[Clip], folder: str, title: str) -> ViewSet:
        """What a server would see of some clips, kept in a folder of the run."""
        with self.accelerator.main_process_first():
            views = views_from_clips(
                clips, self.data, self.view, self.out / "views" / folder, title
            )
        self.broken.update(views.broken)
        return views

    def begun(self) -> ActionModel:
        """The model before any training; the same at every call."""
        torch.manual_seed(self.config.seed)
        clip = deepcopy(self.clip).cpu()
        return ActionModel(self.spec, clip, self.config.variants, self.config.dropout)

    def loaded(self, folder: Path) -> ActionModel:
        """The model that a stage ended with."""
        model = self.begun()
        model.load_state_dict(load_file(folder / MODEL_FILE))
        return model.to(self.accelerator.device).eval().requires_grad_(False)


def save_model(folder: Path, model: ActionModel) -> None:
    """Writes the weights of all parts, for `Run.loaded`."""
    save_file(
        {name: value.cpu() for name, value in model.state_dict().items()}, folder / MODEL_FILE
    )


def begun_run(config: TrainConfig, data: Path, out: Path, accelerator: Accelerator) -> Run:
    """Opens the data and the backbone.

    Raises ValueError for a data set or a backbone that cannot be used, labels that do not exist,
    and settings of any stage that fit neither: not only when its turn comes, after hours.
    """
    data_set = data_set_from_folder(data)
    labels = trained_labels(config, data_set)
    clip = clip_from_pretrained(config.backbone)
    tokenizer = tokenizer_from_pretrained(config.backbone, clip.config)
    spec = ModelSpec(
        backbone=config.backbone,
        clip=clip.config.to_dict(),
        embed_dim=clip.visual_projection.out_features,
        frames=config.frames,
        temporal="mean",
        labels=labels,
        prompts=config.prompts,
        preprocessing=preprocessing_of(config.backbone, clip.config),
    )
    clip.eval()
    novel = config.held_out_labels
    with torch.no_grad():
        texts = text_bank(clip, tokenizer, (*labels, *novel), config.prompts)
    run = Run(
        config=config,
        accelerator=accelerator,
        data=data,
        data_set=data_set,
        manifest=file_hash(data / MANIFEST_FILE),
        out=out,
        spec=spec,
        clip=clip,
        tokenizer=tokenizer,
        texts=texts[: len(labels)],
        novel_texts=texts[len(labels) :],
    )
    _check(run)
    return run


def _check(run: Run) -> None:
    """Raises ValueError for whatever a stage, or the end of the run, could not work with."""
    for split in SPLITS:
        run.clips(split)
    if run.config.held_out_labels:
        run.clips("val", novel=True)
        run.clips("test", novel=True)
    if run.config.reversed_share and not (run.classes.backwards >= 0).any():
        raise ValueError(
            f"reversed_share = {run.config.reversed_share}, but no class that is trained is the "
            f'reversal of another. Name them under "reversals" in {MANIFEST_FILE}, as docs/data.md '
            "says, take them out of held_out_labels, or set reversed_share = 0."
        )
    for stage in run.config.stages.values():
        check_blocks(run.clip, stage)
        check_flip(run.spec.labels, stage.augmentation)
        run.share.of_batch(stage.batch, stage.accumulate)


def trained_labels(config: TrainConfig, data_set: DataSet) -> tuple[str, ...]:
    """The data set's classes but those held out; raises ValueError where these are unknown."""
    strangers = [label for label in config.held_out_labels if label not in data_set.labels]
    if strangers:
        raise ValueError(
            f"held_out_labels names {', '.join(map(repr, strangers))}, which the data set "
            f"{data_set.name} does not have. It has: {', '.join(data_set.labels)}."
        )
    labels = tuple(label for label in data_set.labels if label not in config.held_out_labels)
    if len(labels) < 2:
        raise ValueError("held_out_labels leaves fewer than two classes to train.")
    return labels


def run_fingerprints(config: TrainConfig, data: Path) -> dict[str, str]:
    """What the result of each stage is made from: the run's settings and the stages so far.

    Raises ValueError for a folder that is no data set.
    """
    data_set_from_folder(data)
    shared: dict[str, object] = {
        "config": config.model_dump(exclude={"stages", "alpha", "workers", "tracker"}),
        "data": file_hash(data / MANIFEST_FILE),
        "backbone": backbone_identity(config.backbone),
        "code": [tree_hash(path) for path in CODE],
    }
    found: dict[str, str] = {}
    for name, stage in config.stages.items():
        shared[f"stage {len(found)} {name}"] = stage.model_dump()
        found[name] = fingerprint(shared)
    return found


def backbone_identity(backbone: str) -> str:
    """What tells one CLIP from another: the hash of a folder, the name of one on the Hub."""
    return tree_hash(Path(backbone)) if Path(backbone).exists() else backbone
