"""The steps from what a repository serves to another publication, each harmless when repeated.

After every step the repository is one that a starting or polling Triton can serve, and a running
server, where one is told, serves what lies there.
"""

import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from builder.live_server import POLL_SECONDS, LiveServer
from builder.manifest import REPOSITORY
from builder.publication import Publication, link_tree, member_configs
from builder.triton_config import (
    CONFIG_FILE,
    ModelConfig,
    called_places,
    config_from_file,
    text_from_config,
)
from clip_har.place import Place
from clip_har.product import file_hash

PARTING = 10.0
"""Seconds in which a caller may answer what it was asked before; after them it keeps its models."""
STAGING = ".staging"
"""Beside the repository, in which Triton would take any folder for a model."""


@dataclass(frozen=True)
class Step:
    """One change; a process may be killed between two of them."""

    title: str
    """What it does."""
    act: Callable[[], None]
    """Does it."""


class Switch:
    """Changes the repository of a live folder, and tells a running server if there is one."""

    def __init__(self, live: Path, server: LiveServer | None):
        self._repository = live / REPOSITORY
        self._staging = live / STAGING
        self._server = server
        self.tidy()

    def tidy(self) -> None:
        """Deletes what a publication, perhaps an interrupted one, made on the way."""
        shutil.rmtree(self._staging, ignore_errors=True)

    def steps(
        self,
        current: Publication,
        begun: Sequence[Publication],
        target: Publication,
        standby: Publication | None,
        history: Sequence[Publication],
    ) -> list[Step]:
        """From a repository that serves `current`, or in part one that was begun, to `target`.

        `standby` stays loaded beside it, and any other of `history` while its callers are at work.
        """
        kept = [*([standby] if standby else []), target]
        others = [one for one in history if one not in kept]
        public = {name for one in (current, *begun, target) for name in one.public_configs}
        called = self._called(public) - current.member_places
        needed = [one for one in begun if one.member_places & called]
        needed += [one for one in others if self.is_ending(one)]
        members = member_configs([*needed, current, *kept])
        return [
            *(step for one in kept for step in self._placing(one)),
            *(step for item in members.items() for step in self._configuring(*item)),
            *self._switching(target),
            *self._trimming(kept, others),
        ]

    def is_ending(self, publication: Publication) -> bool:
        """True where callers that were unloaded are still at work, as on a long video.

        An older publication that shares the caller may have lost other models: then a newer one
        has all that the caller calls.
        """
        server = self._server
        whole = all(self._folder(place).is_dir() for place in publication.member_places)
        return server is not None and whole and any(map(server.is_ending, publication.callers))

    def _called(self, callers: set[str]) -> set[Place]:
        """What models call, on disk and in the server, and what that calls in turn."""
        called: set[Place] = set()
        asked: set[str] = set()
        while left := callers - asked:
            name = left.pop()
            asked.add(name)
            called |= self._called_by(name)
            callers = callers | {place.model for place in called}
        return called

    def _called_by(self, name: str) -> set[Place]:
        file = self._repository / name / CONFIG_FILE
        places = called_places(config_from_file(file)) if file.is_file() else []
        served = self._server.served(name) if self._server and places else None
        return {*places, *(called_places(served) if served else [])}

    def _placing(self, publication: Publication) -> list[Step]:
        """Puts folders of versions and of new models where no configuration names them yet."""
        return [
            Step(
                f"place {place.model}/{place.version}",
                partial(self._place, publication, name, place),
            )
            for name, place in publication.places.items()
            if name not in publication.ensembles
        ]

    def _configuring(self, folder: str, config: ModelConfig) -> list[Step]:
        steps = [Step(f"configure {folder}", partial(self._write_config, folder, config))]
        if self._server:
            steps.append(Step(f"load {folder}", partial(self._server.take_up, folder, config)))
        return steps

    def _switching(self, target: Publication) -> list[Step]:
        steps: list[Step] = []
        public = target.public_configs
        for name in sorted(public, key=lambda name: (name not in target.ensembles, name)):
            if name in target.ensembles:
                steps.append(Step(f"place {name}", partial(self._place_ensemble, target, name)))
            steps.append(Step(f"dress {name}", partial(self._put_surroundings, target, name)))
            steps += self._configuring(name, public[name])
            if self._server and name in target.ensembles:
                steps.append(Step(f"ask {name}", partial(self._server.probe, name, public[name])))
        return steps

    def _trimming(self, kept: Sequence[Publication], others: Sequence[Publication]) -> list[Step]:
        """Takes away what neither the new version needs, nor the one on standby, nor a caller of
        the others that is still at work.
        """
        left = list(kept)  # the first step adds those others
        public = kept[-1].public_configs
        folders = member_configs([*others, *kept]).keys() - public.keys()
        return [
            Step("let callers end", partial(self._let_callers_end, left, others)),
            Step("drop models", partial(self._drop_models, left)),
            *(Step(f"trim {name}", partial(self._trim, name, left)) for name in sorted(folders)),
            Step("drop versions", partial(self._drop_versions, left)),
        ]

    def _place(self, publication: Publication, name: str, place: Place) -> None:
        folder = self._folder(place)
        if folder.is_dir():
            return
        source = publication.version_folder(name)
        if folder.parent.is_dir():
            self._put(folder, lambda staged: link_tree(source, staged))
            return
        config = (publication.public_configs | member_configs([publication]))[place.model]
        self._put(
            folder.parent,
            lambda staged: self._compose(staged, publication, name, config, place.version),
        )

    def _place_ensemble(self, target: Publication, name: str) -> None:
        place = target.places[name]
        if not self._folder(place).parent.is_dir():
            config = target.public_configs[name]
            self._put(
                self._folder(place).parent,
                lambda staged: self._compose(staged, target, name, config, place.version),
            )

    def _compose(
        self, folder: Path, publication: Publication, name: str, config: ModelConfig, version: int
    ) -> None:
        """A whole folder of a model."""
        source = publication.version_folder(name)
        link_tree(source.parent, folder)
        if source.name != str(version):
            (folder / source.name).rename(folder / str(version))
        (folder / CONFIG_FILE).unlink()
        (folder / CONFIG_FILE).write_text(text_from_config(config))

    def _put_surroundings(self, target: Publication, name: str) -> None:
        for inside, sha256 in target.surroundings(name).items():
            file = self._repository / name / inside
            if not file.is_file() or file_hash(file) != sha256:
                file.parent.mkdir(parents=True, exist_ok=True)
                source = target.repository / name / inside
                self._put(file, lambda staged, source=source: shutil.copyfile(source, staged))

    def _write_config(self, folder: str, config: ModelConfig) -> None:
        file, text = self._repository / folder / CONFIG_FILE, text_from_config(config)
        if not file.is_file() or file.read_text() != text:
            self._put(file, lambda staged: staged.write_text(text))

    def _let_callers_end(self, left: list[Publication], others: Sequence[Publication]) -> None:
        """Unloads callers before what they call; `left` gains publications whose go on working."""
        if self._server is None:
            return
        wanted = self._folders(left)
        for place in {place for one in others for place in one.callers}:
            if place.model not in wanted and self._folder(place).is_dir():
                self._server.let_go(place.model)
        deadline = time.monotonic() + PARTING
        while (ending := [*filter(self.is_ending, others)]) and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)
        left[:0] = ending

    def _folders(self, left: list[Publication]) -> set[str]:
        """The models of a repository that serves the last of these, the others' members beside."""
        return {*member_configs(left), *left[-1].public_configs}

    def _drop_models(self, left: list[Publication]) -> None:
        wanted = self._folders(left)
        for folder in sorted(self._repository.iterdir()):
            if folder.is_dir() and folder.name not in wanted:
                if self._server:
                    self._server.let_go(folder.name)
                self.remove(folder)

    def _trim(self, folder: str, left: list[Publication]) -> None:
        """Has only those versions of a model loaded that are left."""
        if config := member_configs(left).get(folder):
            for step in self._configuring(folder, config):
                step.act()

    def _drop_versions(self, left: list[Publication]) -> None:
        used = {place for one in left for place in one.places.values()}
        for folder in sorted(self._repository.glob("*/*")):
            if folder.is_dir() and folder.name.isdigit():
                place = Place(model=folder.parent.name, version=int(folder.name))
                if place not in used:
                    self.remove(folder)

    def _put(self, target: Path, write: Callable[[Path], object]) -> None:
        """Makes a file or folder outside of the repository and renames it to its place."""
        self._staging.mkdir(exist_ok=True)
        staged = self._staging / target.name
        write(staged)
        staged.replace(target)

    def remove(self, folder: Path) -> None:
        """Deletes a folder of the live one, which is there whole or not at all."""
        self._staging.mkdir(exist_ok=True)
        gone = folder.replace(self._staging / f"{folder.parent.name}-{folder.name}")
        shutil.rmtree(gone)

    def _folder(self, place: Place) -> Path:
        return self._repository / place.model / str(place.version)
