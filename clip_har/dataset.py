"""A labelled data set on disk: a folder of media with a `manifest.json` that lists them."""

import hashlib
from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from clip_har.config import Config

MANIFEST_FILE = "manifest.json"
SplitName = Literal["train", "val", "test"]
SPLITS: tuple[SplitName, ...] = ("train", "val", "test")
"""From the least to the most held out."""
Tier = Literal["reversal", "closed_loop", "rotation", "nuisance"]
"""What a pair asks of a model of time, from the easiest question to the hardest."""


class Sample(Config):
    """One labelled file."""

    path: str
    """Where it is, relative to the data set."""
    label: str
    """What is to be seen in it."""
    sha256: str
    """Hash of its bytes."""


class Clip(Sample):
    """One labelled video, folder of frames, or picture."""

    split: SplitName
    """What it may be used for."""
    seconds: float
    """How long it plays; 0 for a picture."""
    frames: int
    """How many pictures it holds."""
    fps: float | None = Field(default=None, gt=0)
    """Frames a second, where `path` is a folder of frames; a file says it itself."""
    group: str = ""
    """The recording it was cut from: clips of one group belong in one split. Empty: unknown."""
    codec: str = ""
    """How it is coded, as FFmpeg or Pillow names it. Empty: unknown."""


class Pair(Config):
    """The same pictures in both orders."""

    forward: str
    """The video as it was taken, relative to the data set."""
    backward: str
    """Its exact reversal."""
    label: str
    """What `forward` shows."""
    reversed_label: str
    """What `backward` shows."""
    tier: Tier = "reversal"
    """What makes it hard."""


class DataSet(Config):
    """What `manifest.json` says."""

    name: str
    """Name of the data set."""
    source: str
    """Where the media come from, in a sentence."""
    labels: tuple[str, ...] = Field(min_length=2)
    """Names of the classes."""
    reversals: dict[str, str] = Field(default_factory=dict)
    """For a class that has one, the class that the same clip played backwards shows."""
    clips: tuple[Clip, ...]
    """Videos of every split."""
    stills: tuple[Sample, ...] = ()
    """Held-out images."""
    pairs: tuple[Pair, ...] = ()
    """Held-out videos with their reversals."""

    @model_validator(mode="after")
    def _labels_are_listed(self) -> "DataSet":
        named = {one.label for one in (*self.clips, *self.stills, *self.pairs)}
        named |= {pair.reversed_label for pair in self.pairs}
        named |= {*self.reversals, *self.reversals.values()}
        strangers = sorted(named - set(self.labels))
        if strangers:
            raise ValueError(f"these labels are used but not in `labels`: {', '.join(strangers)}")
        return self

    def split(self, name: SplitName) -> list[Clip]:
        """The clips of one split; raises ValueError where there is none."""
        clips = [clip for clip in self.clips if clip.split == name]
        if not clips:
            raise ValueError(f"data set {self.name}: no clip has the split {name!r}.")
        return clips


def data_set_from_folder(folder: Path) -> DataSet:
    """Reads a data set's manifest; raises ValueError where it is missing or wrong."""
    return DataSet.from_json(folder / MANIFEST_FILE)


def sample_bytes(folder: Path, sample: Sample) -> bytes:
    """The bytes of a listed file; raises ValueError if it is missing or not the one listed."""
    path = folder / sample.path
    if not path.is_file():
        raise ValueError(
            f"{path}: listed in {MANIFEST_FILE}, but missing. Build the data set again."
        )
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != sample.sha256:
        raise ValueError(
            f"{path}: not the file that {MANIFEST_FILE} lists (its sha256 differs). "
            "Build the data set, and what was made from it, again."
        )
    return content
