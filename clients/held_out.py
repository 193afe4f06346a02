"""The held-out part of a labelled data set: what a server is measured on."""

from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path

from clip_har.config import Config
from clip_har.dataset import Clip, Pair, Sample, data_set_from_folder


class LeftOut(Config):
    """What is not measured, since the served models do not know its classes."""

    labels: tuple[str, ...] = ()
    """The classes."""
    clips: int = 0
    """Test videos of them."""
    stills: int = 0
    """Test images of them."""
    pairs: int = 0
    """Videos with their reversals, of which one or both are of them."""


@dataclass(frozen=True, slots=True)
class HeldOut:
    """Test clips, stills and pairs of a data set."""

    folder: Path
    """Where the data set lies."""
    name: str
    """Name of the data set."""
    labels: tuple[str, ...]
    """Names of the classes."""
    clips: tuple[Clip, ...]
    """Test videos."""
    stills: tuple[Sample, ...]
    """Test images."""
    pairs: tuple[Pair, ...]
    """Videos with their reversals."""
    left_out: LeftOut
    """What was taken out of the data set by `known_part`."""

    def known_part(self, labels: Collection[str]) -> "HeldOut":
        """What shows one of these classes; raises ValueError where no test clip does."""
        clips = tuple(one for one in self.clips if one.label in labels)
        stills = tuple(one for one in self.stills if one.label in labels)
        pairs = tuple(p for p in self.pairs if p.label in labels and p.reversed_label in labels)
        if not clips:
            raise ValueError(
                f"The server's classes are not those of {self.name}: it knows {', '.join(labels)}; "
                f"the data have {', '.join(self.labels)}. "
                "Serve a model that was trained on these data."
            )
        left_out = LeftOut(
            labels=tuple(one for one in self.labels if one not in labels),
            clips=len(self.clips) - len(clips),
            stills=len(self.stills) - len(stills),
            pairs=len(self.pairs) - len(pairs),
        )
        return replace(self, clips=clips, stills=stills, pairs=pairs, left_out=left_out)

    def file_bytes(self, path: str) -> bytes:
        """The bytes of a file; raises ValueError if it is missing."""
        try:
            return (self.folder / path).read_bytes()
        except OSError as error:
            raise ValueError(
                f"{self.folder / path}: cannot be read ({error.strerror}). "
                "Build the data set, and what was made from it, again."
            ) from error


def held_out_from_folder(folder: Path) -> HeldOut:
    """Reads the manifest; raises ValueError if it is missing, wrong or has no test clip."""
    data = data_set_from_folder(folder)
    clips = tuple(data.split("test"))
    return HeldOut(folder, data.name, data.labels, clips, data.stills, data.pairs, LeftOut())
