"""A live folder: a repository that is served, its manifest, and the history of what it served."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from builder.client_contract import broken_promises
from builder.live_server import LiveServer, PublishingError
from builder.manifest import (
    REPOSITORY,
    GraphRecord,
    Manifest,
    VersionRecord,
    read_manifest,
    repository_files,
    verify,
    write_manifest,
)
from builder.publication import (
    Build,
    Publication,
    copy_tree,
    link_tree,
    places_for,
    read_history,
    record,
)
from builder.switching import Step, Switch
from builder.triton_config import is_pinned
from clip_har.place import Place
from clip_har.product import write_whole
from clip_har.reference import REFERENCE_FILE

HISTORY = "history"
FIRST = 1
"""Number of the version that a live folder begins with."""
Progress = Callable[[Iterable[Step], str, int], Iterable[Step]]


@dataclass(frozen=True)
class Published:
    """What a publication or a way back came to."""

    version: int
    """The version that is served now."""
    before: int | None
    """The version that was served before, None where there was none."""
    places: tuple[str, ...]
    """What is new to the repository, such as `temporal/2`."""
    kept: tuple[int, ...]
    """Versions that `rollback` can still go to, the served one included."""
    told: bool
    """True where a running server has taken it up; otherwise its next start does."""

    @property
    def fresh(self) -> bool:
        """False where this very build was served already."""
        return self.version != self.before


class LiveFolder:
    """A live folder at work; only one process has one at a time."""

    def __init__(self, live: Path, server: LiveServer | None):
        self.live = live
        self.manifest = read_manifest(live)
        self._server = server
        self._switch = Switch(live, server)

    @property
    def history(self) -> dict[int, Publication]:
        """What was published, by number."""
        return read_history(self.live / HISTORY)

    def adopt(self) -> None:
        """Makes a folder that was only built one that can be published into, and checks it.

        Raises ValueError where somebody has changed it, or where it cannot be published into.
        """
        advice = "publish changes configurations: change their sources and build instead"
        if not self.manifest.pending:
            refuse(verify(self.live), f"{self.live} is not what was published; {advice}")
        if self.manifest.versions:
            return
        plain = Build(self.live)
        refuse_unfit(plain, "publish into a new live folder and serve that")
        if not self.history:
            places = {
                name: Place(model=name, version=plain.version(name)) for name in plain.configs
            }
            record(self.live / HISTORY, FIRST, plain, places, link_tree)
        first = self.history[FIRST]
        self._note(_published_manifest(self.live, first, None, {FIRST: _version_record(first)}))

    def recorded(self, new: Build) -> Publication:
        """A build in the history, ready to be served; raises ValueError where it breaks clients."""
        history, current = self.history, self.manifest.version
        refuse(
            broken_promises(history[current], new),
            f"{new.folder} would break clients of {self.live}; publish it into a new live folder",
        )
        same = [one for one in history.values() if one.manifest.build == new.manifest.build]
        for one in same:
            if one.number == current or one.number > max(self.manifest.versions):
                return one  # it is served, or its publication was interrupted
        newest_first = sorted(
            history.values(), key=lambda one: (one.number != current, -one.number)
        )
        number = max((*history, *self._numbers())) + 1
        places = places_for(new, number, newest_first)
        return record(self.live / HISTORY, number, new, places, copy_tree)

    def serve(self, target: Publication, keep: int, progress: Progress, title: str) -> Published:
        """Carries out a publication, or undoes what was done of it where a server refuses."""
        before = self.manifest
        current = self.history[before.version]
        steps = self._steps(target, keep)
        try:
            for step in progress(steps, title, len(steps)):
                step.act()
        except PublishingError as error:
            if target.number == current.number:
                raise
            raise PublishingError(f"{error} {self._undone(before, target)}") from error
        return Published(
            version=target.number,
            before=current.number,
            places=_new_places(current, target),
            kept=tuple(self.manifest.versions),
            told=self._server is not None,
        )

    def _steps(self, target: Publication, keep: int) -> list[Step]:
        before, history = self.manifest, self.history
        moves = target.number != before.version
        standby = history.get(before.version if moves else before.standby or 0)
        pending = {*before.pending, target.number} if moves else before.pending
        began = before.model_copy(update={"pending": tuple(sorted(pending))})
        begun = [history[number] for number in before.pending]
        return [
            Step("note what begins", lambda: self._note(began)),
            *self._switch.steps(
                history[before.version], begun, target, standby, list(history.values())
            ),
            Step("note what ended", lambda: self._conclude(target, standby, keep)),
        ]

    def _conclude(self, target: Publication, standby: Publication | None, keep: int) -> None:
        """Writes the manifest, then forgets what is too old."""
        versions = {target.number: _version_record(target), **self.manifest.versions}
        older = sorted(versions.keys() - {target.number}, reverse=True)
        if standby:
            older.sort(key=lambda number: number != standby.number)
        kept = {number: versions[number] for number in sorted({target.number, *older[:keep]})}
        reference = target.folder / REFERENCE_FILE
        if reference.is_file():
            write_whole(self.live / REFERENCE_FILE, reference.read_bytes())
        old = [
            one
            for one in self.history.values()
            if one.number not in kept and not self._switch.is_ending(one)
        ]
        self._note(_published_manifest(self.live, target, standby, kept))
        for publication in old:
            self._switch.remove(publication.folder)
        self._switch.tidy()

    def _undone(self, before: Manifest, target: Publication) -> str:
        """Goes back after a server refused; says what is served."""
        try:
            for step in self._steps(self.history[before.version], len(before.versions)):
                step.act()
        except PublishingError as error:
            return f"Going back failed too: {error} Restart the server on {self.live / REPOSITORY}."
        return f"Version {before.version} is served as before."

    def _note(self, manifest: Manifest) -> None:
        write_manifest(self.live, manifest)
        self.manifest = manifest

    def _numbers(self) -> list[int]:
        folders = (self.live / REPOSITORY).glob("*/*")
        return [int(path.name) for path in folders if path.is_dir() and path.name.isdigit()]


def refuse_unfit(build: Build, advice: str) -> None:
    """Raises ValueError where the models of a build cannot be switched in one moment."""
    refuse(
        [f"{name} is called and missing" for name in sorted(build.members - build.configs.keys())]
        + [f"{name} is an ensemble in one" for name in sorted(build.members & build.ensembles)],
        f"{build.repository}: every step of an ensemble must be a plain model that is there",
    )
    refuse(
        [
            f"{name} loads or calls whichever version is the newest"
            for name, config in build.configs.items()
            if not is_pinned(config)
        ],
        f"{build.repository} does not name the versions that belong together; {advice}",
    )


def refuse(faults: list[str], what: str) -> None:
    """Raises ValueError that lists the faults, if there are any."""
    if faults:
        raise ValueError(f"{what}:\n" + "\n".join(f"  {fault}" for fault in faults))


def _published_manifest(
    live: Path,
    target: Publication,
    standby: Publication | None,
    versions: dict[int, VersionRecord],
) -> Manifest:
    """The build's manifest with what is true of the live folder."""
    return target.manifest.model_copy(
        update={
            "models": {
                name: _moved(graph, target.places[name])
                for name, graph in target.manifest.models.items()
            },
            "files": repository_files(live / REPOSITORY),
            "version": target.number,
            "standby": standby.number if standby else None,
            "pending": (),
            "versions": versions,
        }
    )


def _moved(graph: GraphRecord, place: Place) -> GraphRecord:
    inside = graph.file.split("/", 2)[2]
    return graph.model_copy(update={"file": f"{place.model}/{place.version}/{inside}"})


def _version_record(publication: Publication) -> VersionRecord:
    now = datetime.now(timezone.utc).isoformat(timespec="seconds")
    return VersionRecord(build=publication.manifest.build, date=now)


def _new_places(before: Publication, after: Publication) -> tuple[str, ...]:
    known = set(before.places.values())
    new = [place for place in after.places.values() if place not in known]
    return tuple(sorted(f"{place.model}/{place.version}" for place in new))
