"""Publications that are killed on the way: after any step, and by the kernel."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from builder.live_folder import LiveFolder
from builder.manifest import read_manifest, verify
from builder.publishing import publish, rollback

CHANGES = {"encoder": "e2", "head": "h2", "text": "t2"}
KILLED = """
import os, signal, sys
from pathlib import Path
from builder.publishing import publish

def progress(steps, title, total):
    for step in steps:
        yield step
        if step.title == "configure chain_a":
            os.kill(os.getpid(), signal.SIGKILL)

publish(Path(sys.argv[1]), Path(sys.argv[2]), progress=progress)
"""


class Killed(BaseException):
    """The end of a process, as far as files are concerned: nothing is caught or tidied."""


def killed_after(count: int):
    """Progress of a process that ends after so many steps."""

    def progress(steps, title, total):
        for index, step in enumerate(steps):
            if index == count:
                raise Killed
            yield step

    return progress


def interrupted(build: Path, live: Path, steps: int) -> bool:
    try:
        publish(build, live, progress=killed_after(steps))
    except Killed:
        return True
    return False


@pytest.fixture
def one(served):
    return served("e1", "h1", "t1")


@pytest.fixture
def two(served):
    return served("e2", "h2", "t2")


def consistent(answers, *versions) -> bool:
    """Every public model answers as one of these versions does, whole."""
    return all(told in [one[name] for one in versions] for name, told in answers.items())


@pytest.mark.parametrize("threads", [1, 2], ids=["versions", "folders"])
def test_a_publication_killed_anywhere_is_completed_by_publishing_again(
    write_build, live_at, one, two, threads
):
    first, second = write_build("one"), write_build("two", threads=threads, **CHANGES)
    seen = []
    while True:
        live = live_at(f"live{len(seen)}")
        publish(first, live.folder)
        if not interrupted(second, live.folder, len(seen)):
            break
        seen.append(live.answers())
        assert consistent(seen[-1], one, two)
        assert publish(second, live.folder).version == 2
        assert live.answers() == two
        assert rollback(live.folder).version == 1
        assert live.answers() == one
        assert verify(live.folder) == []
        assert not (live.folder / ".staging").exists()
    assert (seen[0], seen[-1]) == (one, two)
    assert {"text": ["t1"], "chain_a": ["e2", "h2"], "chain_b": ["e1", "h1"]} in seen


@pytest.mark.parametrize("threads", [1, 2], ids=["versions", "folders"])
def test_a_publication_killed_anywhere_is_undone_by_rollback(write_build, live_at, one, threads):
    first, second = write_build("one"), write_build("two", threads=threads, **CHANGES)
    undone = 0
    while True:
        live = live_at(f"live{undone}")
        publish(first, live.folder)
        if not interrupted(second, live.folder, undone + 1):
            break
        assert read_manifest(live.folder).pending == (2,)
        assert rollback(live.folder).version == 1
        assert live.answers() == one
        assert live.versions("head") == [1]
        assert verify(live.folder) == []
        assert [path.name for path in (live.folder / "history").iterdir()] == ["1"]
        undone += 1
    assert undone > 10


@pytest.mark.parametrize("threads", [1, 2], ids=["versions", "folders"])
def test_after_a_publication_killed_anywhere_another_takes_its_place(
    write_build, live_at, served, one, two, threads
):
    """No model that is still called is unloaded on the way, of whichever of three versions."""
    first, second = write_build("one"), write_build("two", threads=threads, **CHANGES)
    third, three = write_build("three", encoder="e3", text="t3"), served("e3", "h1", "t3")
    count = 0
    while True:
        live = live_at(f"live{count}")
        publish(first, live.folder)
        if not interrupted(second, live.folder, count):
            break

        def watched(steps, title, total, live=live):
            for step in steps:
                yield step
                assert consistent(live.answers(), one, two, three)

        assert publish(third, live.folder, progress=watched).version == 3
        assert live.answers() == three
        assert sorted(path.name for path in (live.folder / "history").iterdir()) == ["1", "3"]
        assert verify(live.folder) == []
        count += 1


def test_a_rollback_killed_anywhere_is_completed_by_publishing_or_again(
    write_build, live_at, one, two
):
    first, second = write_build("one"), write_build("two", threads=2, **CHANGES)
    for count in range(12):
        live = live_at(f"live{count}")
        publish(first, live.folder)
        publish(second, live.folder)
        with pytest.raises(Killed):
            rollback(live.folder, progress=killed_after(count))
        assert consistent(live.answers(), one, two)
        assert publish(second, live.folder).version == 2
        assert live.answers() == two
        assert verify(live.folder) == []


def test_a_first_publication_into_a_build_killed_anywhere_is_completed(
    write_build, live_at, one, two, monkeypatch
):
    second, count = write_build("two", **CHANGES), 0
    write_build("unnoted")
    live = live_at("unnoted")
    with monkeypatch.context() as patched:
        patched.setattr(LiveFolder, "_note", killed)
        with pytest.raises(Killed):
            publish(second, live.folder)
    assert publish(second, live.folder).version == 2
    assert live.answers() == two
    while interrupted(second, write_build(f"live{count}"), count):
        live = live_at(f"live{count}")
        assert consistent(live.answers(), one, two)
        assert publish(second, live.folder).version == 2
        assert live.answers() == two
        assert verify(live.folder) == []
        count += 1
    assert count > 10


def test_a_publication_killed_while_it_forgets_old_ones_is_completed(
    write_build, live, monkeypatch
):
    for number in (1, 2):
        publish(write_build(f"build{number}", head=f"h{number}"), live.folder, keep=1)
    third = write_build("third", head="h3")

    def cut(folder: Path, **_: object) -> None:
        if (places := folder / "places.json").exists():
            places.unlink()
            raise Killed

    with monkeypatch.context() as patched:
        patched.setattr("shutil.rmtree", cut)
        with pytest.raises(Killed):
            publish(third, live.folder, keep=1)
    assert publish(third, live.folder, keep=1).kept == (2, 3)
    assert verify(live.folder) == []
    assert sorted(path.name for path in (live.folder / "history").iterdir()) == ["2", "3"]


def killed(*_: object) -> None:
    raise Killed


def test_a_process_killed_by_the_kernel_leaves_no_lock(write_build, live, one, two):
    second = write_build("two", **CHANGES)
    publish(write_build("one"), live.folder)
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[3])}
    done = subprocess.run([sys.executable, "-c", KILLED, second, live.folder], env=environment)
    assert done.returncode == -signal.SIGKILL
    assert consistent(live.answers(), one, two)
    assert publish(second, live.folder).version == 2
    assert live.answers() == two
    assert verify(live.folder) == []
