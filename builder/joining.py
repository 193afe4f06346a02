"""Several builds as one: each model that two of them have alike is served once.

Every build was proven by itself, and joining changes no file of a model: only folders get other
names, and configurations name them.
"""

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from graphlib import TopologicalSorter
from pathlib import Path
from typing import TypeVar

from builder.manifest import (
    REPOSITORY,
    Manifest,
    read_manifest,
    repository_files,
    verify,
    write_manifest,
)
from builder.publication import Build, copied
from builder.triton_config import CONFIG_FILE, comparable, set_called_places, text_from_config
from clip_har.place import Place
from clip_har.product import staged
from clip_har.reference import REFERENCE_FILE, BuilderError, Reference

Value = TypeVar("Value")


@dataclass(frozen=True)
class Joined:
    """What a join came to."""

    names: Mapping[str, Mapping[str, str]]
    """For each build the name under which each of its models is served."""

    @property
    def shared(self) -> list[str]:
        """Models that more than one build is served by."""
        served = [set(names.values()) for names in self.names.values()]
        return sorted(set().union(*(a & b for a in served for b in served if a is not b)))


@dataclass(frozen=True)
class _Model:
    """What makes two models alike."""

    origin: str
    """What their builds call them."""
    config: bytes
    """What their configuration says, the names of called models joined."""
    files: Mapping[str, str]
    """Hashes of their other files."""


@dataclass
class _Repository:
    """A joined repository that grows."""

    folder: Path
    """Where it is written."""
    models: dict[str, _Model] = field(default_factory=dict[str, _Model])
    """By the names that they are served under."""

    def take(self, build: Build, suffix: str) -> dict[str, str]:
        """Puts the models of a build in, and gives the name that each has there."""
        names: dict[str, str] = {}
        for origin in TopologicalSorter(build.callees).static_order():  # what is called first
            names[origin] = self._take(build, origin, suffix, names)
        return names

    def _take(self, build: Build, origin: str, suffix: str, names: Mapping[str, str]) -> str:
        config = copied(build.configs[origin])
        called = build.callees[origin]
        set_called_places(config, {one: Place(names[one], build.version(one)) for one in called})
        model = _Model(
            origin, comparable(config), build.surroundings(origin) | build.content(origin)
        )
        for name, other in self.models.items():
            if other == model:
                return name
        name = f"{origin}_{suffix}" if origin in self.models else origin
        if name in self.models:
            raise ValueError(f"{name}: two models would have this name. Rename a build's folder.")
        config.name = name
        shutil.copytree(build.repository / origin, self.folder / name)
        (self.folder / name / CONFIG_FILE).write_text(text_from_config(config))
        self.models[name] = model
        return name


def join(folders: Sequence[Path], out: Path) -> Joined:
    """Writes one product that serves all builds; the first one's models keep their names.

    A model of a later build that is served already, to the byte, is not served again; any other
    gets the name of its build's folder behind its own, such as `har_temporal_kitchen`. Raises
    ValueError where a folder is no build, two have the same name, or a build has changed.
    """
    _check(folders)
    builds = {folder.resolve().name: Build(folder) for folder in folders}
    with staged(out) as staging:
        repository = _Repository(staging / REPOSITORY)
        names = {name: repository.take(build, name) for name, build in builds.items()}
        manifest = _manifest(builds, names, staging / REPOSITORY)
        write_manifest(staging, manifest)
        reference = _reference(builds, names)
        (staging / REFERENCE_FILE).write_text(reference.model_dump_json() + "\n")
    return Joined(names)


def _check(folders: Sequence[Path]) -> None:
    names = [folder.resolve().name for folder in folders]
    if len(folders) < 2 or len(set(names)) < len(names):
        raise ValueError(
            f"cannot join {', '.join(names)}: expected two builds or more, in folders of "
            "different names, which tell their models apart."
        )
    for folder in folders:
        if faults := verify(folder):
            raise ValueError(f"{folder} is not what was built: {faults[0]}. Build it again.")
        if read_manifest(folder).versions:
            raise ValueError(f"{folder}: versions were published into it. Join what build wrote.")


def _manifest(
    builds: Mapping[str, Build], names: Mapping[str, Mapping[str, str]], repository: Path
) -> Manifest:
    told = {name: build.manifest for name, build in builds.items()}

    def joined(of: Callable[[Manifest], Mapping[str, Value]]) -> dict[str, Value]:
        """A table of all manifests by the names that models have now."""
        return {
            names[build][model]: value
            for build, manifest in told.items()
            for model, value in of(manifest).items()
        }

    graphs = {
        names[build][model]: record.model_copy(
            update={"file": f"{names[build][model]}/{record.file.partition('/')[2]}"}
        )
        for build, manifest in told.items()
        for model, record in manifest.models.items()
    }
    return Manifest(
        profile={name: manifest.profile for name, manifest in told.items()},
        checkpoints=joined(lambda manifest: manifest.checkpoints),
        models=graphs,
        parity=joined(lambda manifest: manifest.parity),
        files=repository_files(repository),
        provenance={name: manifest.provenance for name, manifest in told.items()},
    )


def _reference(builds: Mapping[str, Build], names: Mapping[str, Mapping[str, str]]) -> Reference:
    """All answers, each under the name by which its model is served."""
    told = {
        name: Reference.from_json(build.folder / REFERENCE_FILE) for name, build in builds.items()
    }
    clips = tuple(
        clip.model_copy(update={"models": {names[name][m]: a for m, a in clip.models.items()}})
        for name, reference in told.items()
        for clip in reference.clips
    )
    worst = max(reference.max_abs_error.torch_onnx for reference in told.values())
    return Reference(max_abs_error=BuilderError(torch_onnx=worst), clips=clips)
