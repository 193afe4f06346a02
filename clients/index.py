"""Embeddings of a folder of clips, remembered in a file beside them.

N clips, D embedding.
"""

import io
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from clip_har.product import write_whole

INDEX_FILE = ".clip-har-index.npz"
"""Name of the file in the folder."""
TOLERANCE = 1e-3
"""Two models agree on the probe to within this, or are not the same."""

Vector = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Clip:
    """A file as it was when it was embedded."""

    path: str
    """Relative to the folder."""
    size: int
    """Bytes."""
    changed: int
    """When it was last written, in nanoseconds."""


def clip_of(folder: Path, path: Path) -> Clip:
    """A file as it is now."""
    found = path.stat()
    return Clip(str(path.relative_to(folder)), found.st_size, found.st_mtime_ns)


def read_index(folder: Path, probe: Vector) -> dict[Clip, Vector]:
    """What is remembered, if the model that embedded it gives the probe the same vector (D,).

    A file that is missing or not ours is nothing remembered.
    """
    try:
        with (
            (folder / INDEX_FILE).open("rb") as opened,  # NumPy leaves what is no archive open
            np.load(opened, allow_pickle=False) as file,
        ):
            told = {name: file[name] for name in ("probe", "paths", "stats", "embeddings")}
    except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile):
        return {}
    same = told["probe"].shape == probe.shape and np.allclose(told["probe"], probe, atol=TOLERANCE)
    if not same:
        return {}
    rows = zip(told["paths"].tolist(), told["stats"].tolist(), told["embeddings"], strict=True)
    return {Clip(path, size, changed): vector for path, (size, changed), vector in rows}


def write_index(folder: Path, probe: Vector, known: Mapping[Clip, Vector]) -> Path:
    """Remembers the embeddings of all clips; raises OSError where it cannot."""
    file = io.BytesIO()
    np.savez(
        file,
        probe=probe,
        paths=np.array([clip.path for clip in known], dtype=np.str_),  # (N,)
        stats=np.array([(clip.size, clip.changed) for clip in known], np.int64).reshape(-1, 2),
        embeddings=np.array(list(known.values()), np.float32).reshape(len(known), -1),  # (N, D)
    )
    write_whole(folder / INDEX_FILE, file.getvalue())
    return folder / INDEX_FILE


def ranked(known: Mapping[Clip, Vector], text: Vector, top_k: int) -> list[tuple[str, float]]:
    """The `top_k` clips nearest to a text (D,), best first, with their cosines."""
    paths = [clip.path for clip in known]
    scores = np.stack(list(known.values())) @ text  # (N, D) @ (D,) -> (N,)
    order = np.argsort(-scores, kind="stable")[:top_k]
    return [(paths[place], float(scores[place])) for place in order]


def probe_media() -> bytes:
    """A short moving picture, the same at every call: a stranger to every index."""
    from PIL import Image

    noise = np.random.default_rng(0).integers(0, 256, (8, 64, 64), np.uint8)
    first, *rest = [Image.fromarray(frame) for frame in noise]
    file = io.BytesIO()
    first.save(file, format="GIF", save_all=True, append_images=rest, duration=100)
    return file.getvalue()


def write_vectors(path: Path, vectors: Mapping[str, Vector]) -> None:
    """A .npz file of `names` (N,) and `vectors` (N, D), as NumPy reads it without pickle."""
    file = io.BytesIO()
    names = np.array(list(vectors), dtype=np.str_)
    np.savez(file, names=names, vectors=np.stack(list(vectors.values())))
    write_whole(path, file.getvalue())
