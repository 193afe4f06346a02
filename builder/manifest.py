"""manifest.json: what a built or published repository is, and whether its files are still that."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import Field

from builder.engines.engine import Description, EngineName
from clip_har.config import Config
from clip_har.product import file_hash, fingerprint, write_whole

MANIFEST_FILE = "manifest.json"
REPOSITORY = "model_repository"
"""Folder of the models, beside the manifest."""


class CheckpointRecord(Config):
    """What a public model was trained as."""

    folder: str
    """Where the checkpoint was."""
    sha256: str
    """Hash over its files."""


class GraphRecord(Config):
    """One graph, as it is served."""

    engine: EngineName
    """Library that runs it."""
    precision: str
    """Number format of its weights and products, such as `fp32` or `int8`."""
    threads: int = Field(ge=0)
    """CPU threads that a run takes; 0 where it runs on a GPU."""
    file: str
    """The file, relative to the repository, such as `temporal/1/model.onnx`."""
    description: Description
    """What the file needs in order to run."""


class VersionRecord(Config):
    """Where a version number comes from."""

    build: str
    """Hash over the files of the build."""
    date: str
    """When it was published, ISO 8601 in UTC."""


class Manifest(Config):
    """The record beside a model repository. A build writes the first part, `publish` all of it."""

    profile: Mapping[str, Any]
    """The build profile."""
    checkpoints: Mapping[str, CheckpointRecord]
    """Checkpoints by the public model made of them."""
    models: Mapping[str, GraphRecord]
    """Graphs by their name in the contract."""
    parity: Mapping[str, Any]
    """Measured differences from the trained models, by public model."""
    files: Mapping[str, str]
    """SHA-256 of every file, by its path relative to the repository."""
    provenance: Mapping[str, Any]
    """Date, git revision, versions of packages."""
    version: int = Field(default=1, ge=1)
    """The published version that clients are answered by."""
    standby: int | None = None
    """A version that stays loaded beside it, for a quick way back."""
    pending: tuple[int, ...] = ()
    """Versions whose publication has begun and not ended."""
    versions: Mapping[int, VersionRecord] = {}
    """Published versions that can be gone back to; none where a build was never published."""

    @property
    def build(self) -> str:
        """Names a build by the bytes of its files."""
        return fingerprint({"files": dict(self.files)})


def read_manifest(folder: Path) -> Manifest:
    """Reads the manifest of a built or published folder.

    Raises ValueError where it is missing, truncated, or has a key too many or too few.
    """
    path = folder / MANIFEST_FILE
    if not path.is_file():
        raise ValueError(
            f"{folder}: no {MANIFEST_FILE} in it, so it is not a complete build. "
            "Expected a folder that `python -m builder build` or `publish` has written."
        )
    return Manifest.from_json(path)


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Writes the manifest whole; a reader sees the old one or the new one."""
    write_whole(folder / MANIFEST_FILE, manifest.model_dump_json(indent=2) + "\n")


def repository_files(repository: Path) -> dict[str, str]:
    """SHA-256 of every file below a repository, by relative path."""
    return {
        str(path.relative_to(repository)): file_hash(path)
        for path in sorted(repository.rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts
    }


def verify(folder: Path) -> list[str]:
    """Hashes every file again: one line for each that is changed, missing or not in the manifest.

    Raises ValueError like read_manifest, and where the repository itself is missing.
    """
    recorded = read_manifest(folder).files
    repository = folder / REPOSITORY
    if not repository.is_dir():
        raise ValueError(f"{repository}: no such folder, though {MANIFEST_FILE} is beside it.")
    found = repository_files(repository)
    faults = {
        **dict.fromkeys(found.keys() - recorded.keys(), "is not in the manifest"),
        **dict.fromkeys(recorded.keys() - found.keys(), "is missing"),
        **{
            name: f"has changed: its hash is {found[name][:12]}..., "
            f"the manifest says {recorded[name][:12]}..."
            for name in found.keys() & recorded.keys()
            if found[name] != recorded[name]
        },
    }
    return [f"{name} {fault}" for name, fault in sorted(faults.items())]
