"""A build into a repository that is being served, and back; no request sees half of either.

A live folder holds `model_repository/` and `manifest.json` like a build, and `history/`: a copy of
each published build. Members are loaded in both versions first; then each ensemble's config.pbtxt
is replaced by one rename to one that names the new versions. What was interrupted is completed by
publishing again, or undone by `rollback`.
"""

import fcntl
from collections.abc import Generator
from contextlib import closing, contextmanager
from pathlib import Path

from builder.live_folder import LiveFolder, Progress, Published, refuse, refuse_unfit
from builder.live_server import LiveServer
from builder.manifest import REPOSITORY, verify, write_manifest
from builder.publication import Build, copy_tree
from clip_har.product import staged
from clip_har.reference import REFERENCE_FILE

KEEP = 2
"""Older versions that stay for a way back."""


def publish(
    build: Path,
    live: Path,
    *,
    keep: int = KEEP,
    url: str | None = None,
    progress: Progress = lambda steps, title, total: steps,
) -> Published:
    """Adds what a build holds to a live folder as its next version, and has it served.

    `live` is made where there is none. `keep` older versions stay, `url` is the gRPC address of a
    server that runs on it, in explicit control mode. Raises ValueError, with nothing changed, for
    a build that is damaged or would break clients, and PublishingError where the server does not
    take it up and goes on with the version before.
    """
    if keep < 1:
        raise ValueError(f"keep is {keep}: expected 1 or more, or nothing can be gone back to.")
    new = Build(build)
    refuse(verify(build), f"{build} is damaged; build it again")
    refuse_unfit(new, "build it again")
    with _alone(live), _connected(url) as server:
        if not live.exists():
            return _create(live, new)
        folder = LiveFolder(live, server)
        folder.adopt()
        target = folder.recorded(new)
        return folder.serve(target, keep, progress, "publish")


def rollback(
    live: Path,
    *,
    url: str | None = None,
    progress: Progress = lambda steps, title, total: steps,
) -> Published:
    """Has the version before served again; after an interrupted publication, the one served.

    Raises ValueError where there is none or it is damaged, PublishingError like publish.
    """
    with _alone(live), _connected(url) as server:
        folder = LiveFolder(live, server)
        manifest = folder.manifest
        older = [number for number in manifest.versions if number < manifest.version]
        if not manifest.versions or not (older or manifest.pending):
            raise ValueError(
                f"{live}: serves version {manifest.version} and holds no older one. Publish the "
                "build that you want instead."
            )
        target = folder.history[manifest.version if manifest.pending else max(older)]
        refuse(verify(target.folder), f"{target.folder} is damaged, so it is not gone back to")
        return folder.serve(target, len(manifest.versions), progress, "roll back")


def _create(live: Path, build: Build) -> Published:
    """Makes a live folder of a build, whole or not at all."""
    plain = build.manifest.model_copy(
        update={"version": 1, "standby": None, "pending": (), "versions": {}}
    )
    with staged(live) as staging:
        copy_tree(build.repository, staging / REPOSITORY)
        write_manifest(staging, plain)
        reference = build.folder / REFERENCE_FILE
        if reference.is_file():
            (staging / REFERENCE_FILE).write_bytes(reference.read_bytes())
        folder = LiveFolder(staging, None)
        folder.adopt()
        places = tuple(f"{name}/{build.version_folder(name).name}" for name in build.configs)
    return Published(version=1, before=None, places=places, kept=(1,), told=False)


@contextmanager
def _alone(live: Path) -> Generator[None]:
    """Raises ValueError where another process changes this live folder."""
    live.parent.mkdir(parents=True, exist_ok=True)
    with live.with_name(f".{live.name}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ValueError(
                f"{live}: another publish or rollback is at work on it. Try again when it is done."
            ) from error
        yield


@contextmanager
def _connected(url: str | None) -> Generator[LiveServer | None]:
    if url is None:
        yield None
        return
    with closing(LiveServer(url)) as server:
        yield server
