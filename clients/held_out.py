"""The held-out part of a labelled data set: what a server is measured on."""

from dataclasses import dataclass
from pathlib import Path

from clip_har.dataset import Clip, Pair, Sample, data_set_from_folder


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
    return HeldOut(folder, data.name, data.labels, clips, data.stills, data.pairs)
