"""A published version: a copy of its build below `history/`, and where its models are served.

Versions of one Triton model share its config.pbtxt, so a graph whose configuration changes too (its
engine, its threads) gets a folder of its own, such as `vision_encoder_v3`; ensembles name it. So
does a Python model that calls a graph which has moved.
"""

import os
import shutil
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from graphlib import TopologicalSorter
from pathlib import Path

from builder.manifest import MANIFEST_FILE, REPOSITORY, Manifest, read_manifest
from builder.triton_config import (
    CONFIG_FILE,
    ModelConfig,
    called_places,
    comparable,
    config_from_file,
    is_ensemble,
    set_called_places,
    set_loaded_versions,
)
from clip_har.config import Config
from clip_har.place import Place
from clip_har.product import staged, write_whole
from clip_har.reference import REFERENCE_FILE

PLACES_FILE = "places.json"
ENSEMBLE_VERSION = 1
"""An ensemble holds no files: a new one is a new config.pbtxt of the same version."""


class Places(Config):
    """places.json: the models of one published version."""

    models: dict[str, Place]
    """Places by the model's name in the build."""


@dataclass(frozen=True)
class Build:
    """A folder that a build wrote, or a copy of it."""

    folder: Path
    """Holds model_repository/ and manifest.json."""

    @property
    def repository(self) -> Path:
        """The folder of models."""
        return self.folder / REPOSITORY

    @cached_property
    def manifest(self) -> Manifest:
        """The build's own manifest."""
        return read_manifest(self.folder)

    @cached_property
    def configs(self) -> dict[str, ModelConfig]:
        """Configurations by model."""
        paths = sorted(self.repository.glob(f"*/{CONFIG_FILE}"))
        return {path.parent.name: config_from_file(path) for path in paths}

    @cached_property
    def ensembles(self) -> frozenset[str]:
        """Models that are chains of others."""
        return frozenset(name for name, config in self.configs.items() if is_ensemble(config))

    @cached_property
    def callees(self) -> dict[str, frozenset[str]]:
        """The models that each model calls."""
        return {
            name: frozenset(place.model for place in called_places(config))
            for name, config in self.configs.items()
        }

    @property
    def members(self) -> frozenset[str]:
        """Models that other models call; the rest is called by clients alone."""
        return frozenset[str]().union(*self.callees.values())

    def version(self, model: str) -> int:
        """The number of the one version of a model; raises ValueError like version_folder."""
        return int(self.version_folder(model).name)

    def version_folder(self, model: str) -> Path:
        """The one version of a model; raises ValueError where there is not exactly one."""
        found = [path for path in (self.repository / model).iterdir() if path.name.isdigit()]
        if len(found) != 1:
            raise ValueError(
                f"{self.repository / model}: {len(found)} versions, expected one: a build holds "
                "one version of each model, and publish counts them. Publish what build wrote."
            )
        return found[0]

    def content(self, model: str) -> dict[str, str]:
        """SHA-256 of the files of a model's version, by their path in it."""
        return self._hashes(f"{model}/{self.version_folder(model).name}/")

    def surroundings(self, model: str) -> dict[str, str]:
        """SHA-256 of what all versions of a model share: labels and such, not config.pbtxt."""
        inside = f"{self.version_folder(model).name}/"
        found = self._hashes(f"{model}/")
        return {
            name: sha256
            for name, sha256 in found.items()
            if name != CONFIG_FILE and not name.startswith(inside)
        }

    def shares_folder(self, model: str, other: "Build") -> bool:
        """True where both versions of a model can lie in one folder."""
        return comparable(self.configs[model]) == comparable(
            other.configs[model]
        ) and self.surroundings(model) == other.surroundings(model)

    def _hashes(self, prefix: str) -> dict[str, str]:
        files = self.manifest.files
        return {name[len(prefix) :]: files[name] for name in files if name.startswith(prefix)}


@dataclass(frozen=True)
class Publication(Build):
    """One version in a live folder's history."""

    number: int
    """Its version number."""
    places: dict[str, Place]
    """Where its models are served."""

    @property
    def member_places(self) -> set[Place]:
        """Where its models find what they call."""
        return {self.places[name] for name in self.members}

    @property
    def callers(self) -> list[Place]:
        """Where its Python models are served that find what they call anew for each request."""
        return [
            self.places[name]
            for name, called in self.callees.items()
            if called and name not in self.ensembles
        ]

    @cached_property
    def public_configs(self) -> dict[str, ModelConfig]:
        """What clients call, with the versions of its members; with its own, if no ensemble."""
        return {name: self._public(name) for name in self.configs if name not in self.members}

    def pointed(self, name: str) -> ModelConfig:
        """A model's configuration in which it calls models of this publication."""
        config = copied(self.configs[name])
        set_called_places(config, self.places)
        return config

    def _public(self, name: str) -> ModelConfig:
        config = self.pointed(name)
        if name not in self.ensembles:
            set_loaded_versions(config, [self.places[name].version])
        return config


def member_configs(publications: Iterable[Publication]) -> dict[str, ModelConfig]:
    """Configurations by folder with which the members of all these publications are loaded."""
    configs: dict[str, ModelConfig] = {}
    versions: defaultdict[str, list[int]] = defaultdict(list)
    for publication in publications:
        for name in sorted(publication.members):
            place = publication.places[name]
            versions[place.model].append(place.version)
            configs[place.model] = publication.pointed(name)
    for folder, config in configs.items():
        config.name = folder
        set_loaded_versions(config, versions[folder])
    return configs


def read_history(folder: Path) -> dict[int, Publication]:
    """The publications below a `history/` folder by number; raises ValueError for a broken one."""
    numbers = [int(path.name) for path in folder.glob("*") if path.name.isdigit()]
    return {number: _read_publication(folder, number) for number in sorted(numbers)}


def record(
    history: Path,
    number: int,
    build: Build,
    places: dict[str, Place],
    copy: Callable[[Path, Path], None],
) -> Publication:
    """Puts a build into the history, whole or not at all; `copy` copies its folder of models."""
    with staged(history / str(number)) as staging:
        copy(build.repository, staging / REPOSITORY)
        for name in (MANIFEST_FILE, REFERENCE_FILE):
            if (build.folder / name).is_file():
                shutil.copyfile(build.folder / name, staging / name)
        write_whole(staging / PLACES_FILE, Places(models=places).model_dump_json(indent=2) + "\n")
    return _read_publication(history, number)


def places_for(build: Build, number: int, history: Sequence[Publication]) -> dict[str, Place]:
    """Where the models of a new build go; unchanged ones stay. `history` has the live one first.

    Raises ValueError where a model cannot be placed beside what is served.
    """
    places: dict[str, Place] = {}
    for name in TopologicalSorter(build.callees).static_order():  # what is called comes first
        places[name] = _place(build, name, number, history, places)
    return places


def copy_tree(source: Path, target: Path) -> None:
    """Copies a folder; later changes of the source leave the copy alone."""
    shutil.copytree(source, target, ignore=_CACHES)


def link_tree(source: Path, target: Path) -> None:
    """Copies a folder without its bytes where the file system can."""
    shutil.copytree(source, target, copy_function=_link, ignore=_CACHES)


def _place(
    build: Build,
    name: str,
    number: int,
    history: Sequence[Publication],
    places: Mapping[str, Place],
) -> Place:
    if name in build.ensembles:
        return Place(model=name, version=ENSEMBLE_VERSION)
    before = [one for one in history if name in one.places]
    calls = {callee: places[callee] for callee in build.callees[name]}
    alike = [
        one
        for one in before
        if calls.items() <= one.places.items() and build.shares_folder(name, one)
    ]
    public = name not in build.members
    for one in alike:
        place = one.places[name]
        if build.content(name) == one.content(name) and (place.model == name or not public):
            return place
    if public:
        return Place(model=name, version=number)
    if before and name not in before[0].members and before[0] not in alike:
        raise ValueError(
            f"{name}: clients call it, and in the new build an ensemble does, with another "
            "configuration. One folder cannot serve both: publish into a new live folder."
        )
    if alike:
        return Place(model=alike[0].places[name].model, version=number)
    taken = {one.places[name].model for one in before}
    return Place(model=f"{name}_v{number}" if name in taken else name, version=number)


def _read_publication(history: Path, number: int) -> Publication:
    folder = history / str(number)
    places = Places.from_json(folder / PLACES_FILE).models
    return Publication(folder, number, places)


def copied(config: ModelConfig) -> ModelConfig:
    """A configuration that can be changed while the given one stays as it is."""
    copy = type(config)()
    copy.CopyFrom(config)
    return copy


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # another file system, or one without links
        shutil.copy2(source, target)


_CACHES = shutil.ignore_patterns("__pycache__")
