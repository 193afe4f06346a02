"""Small real media, no two files with the same bytes, and imports without a progress bar."""

import io
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

import pytest
from PIL import Image

from training.importers.data_set import ImportResult, import_data_set
from training.importers.formats import IMPORTERS
from training.importers.listing import ImportOptions, Listing

Item = TypeVar("Item")


class MediaFiles:
    """Writes files by their suffix; what follows a file's end makes each unique."""

    def __init__(self, movie: Callable[..., bytes]) -> None:
        picture = io.BytesIO()
        Image.new("RGB", (24, 16), (200, 100, 50)).save(picture, "JPEG")
        self.contents = {
            ".mp4": movie(5),
            ".avi": movie(5, container="avi", codec="mpeg4"),
            ".webm": movie(5, container="webm", codec="libvpx"),
            ".jpg": picture.getvalue(),
        }
        self.written = 0

    def write(self, *paths: Path) -> None:
        for path in paths:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(self.unique(path.suffix))

    def unique(self, suffix: str) -> bytes:
        self.written += 1
        number = self.written.to_bytes(4, "big")
        tails = {
            ".mp4": b"\0\0\0\x0cfree" + number,
            ".avi": b"JUNK\4\0\0\0" + number,
            ".webm": b"\xec\x84" + number,  # an element that is called void
            ".jpg": number,
        }
        return self.contents[suffix] + tails[suffix]

    def frames(self, folder: Path, names: Iterable[str]) -> None:
        self.write(*(folder / name for name in names))


@pytest.fixture(scope="session")
def media(movie: Callable[..., bytes]) -> MediaFiles:
    return MediaFiles(movie)


@pytest.fixture
def listed(tmp_path: Path) -> Callable[..., Listing]:
    """What an importer reads of a folder."""

    def read(format: str, source: Path, **options: object) -> Listing:
        settings = ImportOptions.from_table(options, "options")
        return IMPORTERS[format](source, settings, tmp_path / "out")

    return read


@pytest.fixture
def imported(tmp_path: Path) -> Callable[..., ImportResult]:
    """The result of an import into tmp_path/out."""

    def run(format: str, source: Path, **options: object) -> ImportResult:
        settings = ImportOptions.from_table(options, "options")
        return import_data_set(format, source, tmp_path / "out", settings, silent)

    return run


def silent(items: Iterable[Item], title: str, total: int) -> Iterable[Item]:
    return items
