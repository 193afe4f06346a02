"""Publications into a repository that a real Triton serves, under load."""

from collections.abc import Callable
from pathlib import Path

import pytest
import tritonclient.grpc as triton

import builder.switching
from builder.manifest import verify
from builder.publishing import publish, rollback
from server.process import RunningServer

pytestmark = pytest.mark.triton


def test_no_request_fails_or_sees_two_versions(
    write_build: Callable,
    load: Callable,
    asked: Callable,
    served: RunningServer,
    live: Path,
    tmp_path: Path,
) -> None:
    second = write_build(tmp_path / "second", 3, 4, 6)
    third = write_build(tmp_path / "third", 5, 4, 6, threads=2)
    answers = {1: (12.0, 12.0, 5.0), 2: (34.0, 34.0, 6.0), 3: (54.0, 54.0, 6.0)}
    moves = [
        (2, lambda: publish(second, live, url=served.grpc_url)),
        (3, lambda: publish(third, live, url=served.grpc_url)),
        (2, lambda: rollback(live, url=served.grpc_url)),
        (1, lambda: rollback(live, url=served.grpc_url)),
    ]
    with triton.InferenceServerClient(served.grpc_url) as client:
        before = 1
        for after, move in moves:
            with load(served.grpc_url) as seen:
                done = move()
            assert (done.before, done.version, done.told) == (before, after, True)
            allowed = {
                pair
                for version in (before, after)
                for pair in zip(("chain", "spoken", "alone"), answers[version], strict=True)
            }
            assert {("chain", answers[before][0]), ("spoken", answers[before][0])} <= set(seen)
            assert set(seen) <= allowed
            now = tuple(asked(client, model) for model in ("chain", "spoken", "alone"))
            assert now == answers[after]
            before = after
    assert verify(live) == []


@pytest.mark.parametrize("mode", ["explicit"])
def test_what_a_long_request_needs_stays_while_others_are_published(
    write_long: Callable[..., Path], ask_long: Callable, asked: Callable, served: RunningServer,
    live: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(builder.switching, "PARTING", 1.0)
    publish(write_long("long", 1, 2, 5), live, url=served.grpc_url)
    with triton.InferenceServerClient(served.grpc_url) as client:
        answer = ask_long(client)
        for ones in (4, 5, 6):
            publish(write_long(str(ones), 3, ones, 6), live, url=served.grpc_url)
            assert asked(client, "spoken") == 30 + ones
        assert answer.empty()
        assert (live / "model_repository" / "ones" / "1").is_dir()
        (tmp_path / "go").touch()
        assert answer.get(timeout=60) == 2, "of the version that was asked"
        assert asked(client, "long") == 6
    assert verify(live) == []
