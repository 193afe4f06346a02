"""Publications that fail, or are killed, while a real Triton serves the folder."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest
import tritonclient.grpc as triton

import builder.live_server
from builder.live_server import PublishingError
from builder.manifest import verify
from builder.publishing import publish
from server.process import RunningServer

pytestmark = pytest.mark.triton


@pytest.mark.parametrize("mode", ["explicit"])
def test_a_version_that_does_not_load_is_undone_and_never_answers(
    write_build: Callable,
    load: Callable,
    asked: Callable,
    sign: Callable,
    served: RunningServer,
    live: Path,
    tmp_path: Path,
) -> None:
    bad = write_build(tmp_path / "bad", 3, 4, 6)
    (bad / "model_repository" / "ones" / "1" / "model.onnx").write_bytes(b"no graph")
    sign(bad)
    refusal = pytest.raises(PublishingError, match=r"does not load ones.*Version 1 is served as")
    with load(served.grpc_url) as seen, refusal:
        publish(bad, live, url=served.grpc_url)
    assert set(seen) == {("chain", 12.0), ("spoken", 12.0), ("alone", 5.0)}
    assert verify(live) == []
    assert publish(write_build(tmp_path / "good", 3, 4, 6), live, url=served.grpc_url).version > 1
    with triton.InferenceServerClient(served.grpc_url) as client:
        assert asked(client, "chain") == 34


@pytest.mark.parametrize("mode", ["explicit"])
def test_a_publication_that_is_undone_lets_its_callers_end(
    write_build: Callable, load: Callable, served: RunningServer, live: Path, tmp_path: Path
) -> None:
    def refused(steps, title, total):
        for step in steps:
            yield step
            if step.title == "ask spoken":
                time.sleep(1)  # until the new version's caller has a queue
                raise PublishingError("Refused.")

    second = write_build(tmp_path / "second", 3, 4, 6)
    refusal = pytest.raises(PublishingError, match=r"Refused\. Version 1 is served as before")
    with load(served.grpc_url) as seen, refusal:
        publish(second, live, url=served.grpc_url, progress=refused)
    assert {("spoken", 12.0), ("spoken", 34.0)} <= set(seen)
    allowed = {("chain", 12.0), ("chain", 34.0), ("spoken", 12.0), ("spoken", 34.0)}
    assert set(seen) <= allowed | {("alone", 5.0)}
    assert verify(live) == []


@pytest.mark.parametrize("mode", ["explicit"])
def test_an_answer_without_meaning_is_undone(
    write_build: Callable, asked: Callable, served: RunningServer, live: Path, tmp_path: Path
) -> None:
    bad = write_build(tmp_path / "bad", float("nan"), 4, 6)
    with pytest.raises(PublishingError, match=r"chain: an answer without meaning.*Version 1 is"):
        publish(bad, live, url=served.grpc_url)
    with triton.InferenceServerClient(served.grpc_url) as client:
        assert (asked(client, "chain"), asked(client, "alone")) == (12, 5)
    assert verify(live) == []


@pytest.mark.parametrize("mode", ["explicit"])
def test_a_publication_killed_under_a_server_is_completed_there(
    write_build: Callable,
    load: Callable,
    asked: Callable,
    served: RunningServer,
    live: Path,
    tmp_path: Path,
) -> None:
    class Killed(BaseException):
        pass

    def killed(steps, title, total):
        for step in steps:
            yield step
            if step.title == "configure chain":
                raise Killed

    second = write_build(tmp_path / "second", 3, 4, 6)
    with load(served.grpc_url) as seen:
        with pytest.raises(Killed):
            publish(second, live, url=served.grpc_url, progress=killed)
        publish(second, live, url=served.grpc_url)
    versions = {("chain", 12.0): ("chain", 34.0), ("spoken", 12.0): ("spoken", 34.0)}
    versions[("alone", 5.0)] = ("alone", 6.0)
    assert set(seen) <= {*versions, *versions.values()}
    with triton.InferenceServerClient(served.grpc_url) as client:
        assert (asked(client, "chain"), asked(client, "alone")) == (34, 6)


@pytest.mark.parametrize("mode", ["explicit"])
def test_a_server_that_ends_meanwhile_is_told_as_such(
    write_build: Callable, served: RunningServer, live: Path, tmp_path: Path
) -> None:
    def ended(steps, title, total):
        for step in steps:
            yield step
            if step.title == "configure chain":
                served.stop()

    second = write_build(tmp_path / "second", 3, 4, 6)
    with pytest.raises(PublishingError, match="Restart the server"):
        publish(second, live, url=served.grpc_url, progress=ended)
    publish(second, live)
    assert verify(live) == []


@pytest.mark.parametrize("mode", ["none"])
def test_a_server_that_takes_nothing_up_is_an_error_and_the_folder_stays(
    write_build: Callable,
    asked: Callable,
    served: RunningServer,
    live: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(builder.live_server, "PATIENCE", 2.0)
    with pytest.raises(PublishingError, match=r"does not take up .* control mode `explicit`"):
        publish(write_build(tmp_path / "second", 3, 4, 6), live, url=served.grpc_url)
    with triton.InferenceServerClient(served.grpc_url) as client:
        assert asked(client, "chain") == 12
