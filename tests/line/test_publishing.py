"""Publications into a repository that a real Triton serves, under load."""

import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import SimpleQueue

import numpy as np
import onnx
import pytest
import tritonclient.grpc as triton
from onnx import TensorProto, helper

import builder.live_server
import builder.switching
from builder.live_server import PublishingError
from builder.manifest import Manifest, repository_files, verify, write_manifest
from builder.publishing import publish, rollback
from server.process import RunningServer, prepare

pytestmark = pytest.mark.triton

CLIENTS, IN_FLIGHT = 8, 25
"""Connections, and requests that each has on the way: 200 at a time."""
GRAPH = """
name: "{name}" platform: "onnxruntime_onnx" max_batch_size: 8
input [{{ name: "X" data_type: TYPE_FP32 dims: [2] }}]
output [{{ name: "Y" data_type: TYPE_FP32 dims: [2] }}]
version_policy {{ specific {{ versions: [1] }} }}
dynamic_batching {{ }}
instance_group [{{ count: 1 kind: KIND_CPU }}]
parameters {{ key: "intra_op_thread_count" value {{ string_value: "{threads}" }} }}
"""
CALLER = """
name: "{caller}" backend: "python" max_batch_size: 8
input [{{ name: "X" data_type: TYPE_FP32 dims: [2] }}]
output [{{ name: "Y" data_type: TYPE_FP32 dims: [2] }}]
version_policy {{ specific {{ versions: [1] }} }}
instance_group [{{ count: 1 kind: KIND_CPU }}]
parameters {{ key: "call_ones" value {{ string_value: "ones/1" }} }}
"""
GO = """parameters {{ key: "go" value {{ string_value: "{file}" }} }}"""
CALLS = """
import json
import os
import time
import triton_python_backend_utils as pb
class TritonPythonModel:
    def initialize(self, args):
        parameters = json.loads(args["model_config"])["parameters"]
        self.model, version = parameters["call_ones"]["string_value"].split("/")
        self.version = int(version)
        self.go = parameters.get("go", {}).get("string_value")
    def execute(self, requests):
        return [self.answer(request) for request in requests]
    def answer(self, request):
        time.sleep(0.02)  # its queue outlives it, when it is loaded anew
        while self.go and not os.path.exists(self.go):
            time.sleep(0.02)
        x = pb.Tensor("X", pb.get_input_tensor_by_name(request, "X").as_numpy())
        call = pb.InferenceRequest(model_name=self.model, model_version=self.version,
                                   requested_output_names=["Y"], inputs=[x])
        y = pb.get_output_tensor_by_name(call.exec(), "Y").as_numpy().copy()
        return pb.InferenceResponse([pb.Tensor("Y", y)])
"""
CHAIN = """
name: "{chain}" platform: "ensemble" max_batch_size: 8
input [{{ name: "X" data_type: TYPE_FP32 dims: [2] }}]
output [{{ name: "Y" data_type: TYPE_FP32 dims: [2] }}]
ensemble_scheduling {{ step [
  {{ model_name: "tens" model_version: 1
    input_map {{ key: "X" value: "X" }} output_map {{ key: "Y" value: "y" }} }},
  {{ model_name: "{last}" model_version: 1
    input_map {{ key: "X" value: "y" }} output_map {{ key: "Y" value: "Y" }} }}
] }}
"""
LAST = {"chain": "ones", "spoken": "caller"}
"""The chains' second steps; `caller` is a Python model that calls `ones`."""


def write_build(folder: Path, tens: float, ones: float, alone: float, threads: int = 1) -> Path:
    """Two chains that answer X + 10 tens + ones, and a graph that clients call by itself."""
    repository = folder / "model_repository"
    for name, added in (("tens", 10 * tens), ("ones", ones), ("alone", alone)):
        version = repository / name / "1"
        version.mkdir(parents=True)
        onnx.save(adding(added), version / "model.onnx")
        text = GRAPH.format(name=name, threads=threads if name == "tens" else 1)
        (version.parent / "config.pbtxt").write_text(text)
    for chain, last in LAST.items():
        (repository / chain / "1").mkdir(parents=True)
        (repository / chain / "config.pbtxt").write_text(CHAIN.format(chain=chain, last=last))
    write_caller(folder, "caller")
    sign(folder)
    return folder


def write_caller(folder: Path, name: str, more: str = "") -> None:
    model = folder / "model_repository" / name
    (model / "1").mkdir(parents=True)
    (model / "1" / "model.py").write_text(CALLS)
    (model / "config.pbtxt").write_text(CALLER.format(caller=name) + more)


def adding(value: float) -> onnx.ModelProto:
    """Y = X + value, (B, 2) -> (B, 2)."""
    tensors = [
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["B", 2])] for name in ("X", "Y")
    ]
    constant = helper.make_tensor("value", TensorProto.FLOAT, [1], [value])
    graph = helper.make_graph(
        [helper.make_node("Add", ["X", "value"], ["Y"])], "graph", *tensors, [constant]
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def sign(folder: Path) -> None:
    files = repository_files(folder / "model_repository")
    table = {key: {} for key in ("profile", "checkpoints", "models", "parity", "provenance")}
    write_manifest(folder, Manifest.from_table({**table, "files": files}, "test"))


@pytest.fixture(params=["explicit", "poll"])
def mode(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def live(tmp_path: Path) -> Path:
    """A folder that was only built: 12 = 0 + 10 + 2."""
    return write_build(tmp_path / "live", 1, 2, 5)


@pytest.fixture
def served(installed: None, live: Path, tmp_path: Path, mode: str) -> Iterator[RunningServer]:
    """A server of the live folder that can be told, or that looks for itself."""
    server = prepare(live / "model_repository", log_path=tmp_path / "log")
    options = {"explicit": ["--load-model=*"], "poll": ["--repository-poll-secs=1"], "none": []}
    plain = "--model-control-mode=none"
    assert plain in server._command
    chosen = [f"--model-control-mode={mode}" if o == plain else o for o in server._command]
    server._command = [*chosen, *options[mode]]
    try:
        server.start()
        yield server
    finally:
        server.stop()


def zeros() -> list[triton.InferInput]:
    tensor = triton.InferInput("X", [1, 2], "FP32")
    tensor.set_data_from_numpy(np.zeros((1, 2), np.float32))
    return [tensor]


def told(result: triton.InferResult) -> float:
    first, second = result.as_numpy("Y")[0]
    assert first == second
    return float(first)


def asked(client: triton.InferenceServerClient, model: str) -> float:
    return told(client.infer(model, zeros(), client_timeout=60))


@contextmanager
def load(url: str) -> Iterator[Counter[object]]:
    """Clients that ask for the length of a block; counts (model, answer or error)."""
    seen: Counter[object] = Counter()
    ended = threading.Event()

    def ask(model: str) -> None:
        answers: SimpleQueue = SimpleQueue()

        def answered(result, error):
            answers.put(str(error) if error else told(result))

        with triton.InferenceServerClient(url) as client:
            while not ended.is_set():
                for _ in range(IN_FLIGHT):
                    client.async_infer(model, zeros(), answered, client_timeout=60)
                seen.update((model, answers.get()) for _ in range(IN_FLIGHT))

    models = ["chain"] * (CLIENTS - 4) + ["spoken", "alone"] * 2
    threads = [threading.Thread(target=ask, args=[model]) for model in models]
    for thread in threads:
        thread.start()
    try:
        yield seen
    finally:
        ended.set()
        for thread in threads:
            thread.join()


def test_no_request_fails_or_sees_two_versions(
    served: RunningServer, live: Path, tmp_path: Path
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
def test_a_version_that_does_not_load_is_undone_and_never_answers(
    served: RunningServer, live: Path, tmp_path: Path
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
    served: RunningServer, live: Path, tmp_path: Path
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


@pytest.fixture
def long_running(live: Path, tmp_path: Path) -> None:
    """In the live folder a public model that answers only when told so, like one of long videos."""
    write_caller(live, "long", GO.format(file=tmp_path / "go"))
    sign(live)


@pytest.mark.parametrize("mode", ["explicit"])
def test_what_a_long_request_needs_stays_while_others_are_published(
    long_running: None, served: RunningServer, live: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(builder.switching, "PARTING", 1.0)
    answers: SimpleQueue = SimpleQueue()
    with triton.InferenceServerClient(served.grpc_url) as client:
        client.async_infer("long", zeros(), lambda result, error: answers.put(error or result))
        for ones in (4, 5, 6):
            build = write_build(tmp_path / str(ones), 3, ones, 6)
            write_caller(build, "long", GO.format(file=tmp_path / "go"))
            sign(build)
            publish(build, live, url=served.grpc_url)
            assert asked(client, "spoken") == 30 + ones
        assert answers.empty()
        assert (live / "model_repository" / "ones" / "1").is_dir()
        (tmp_path / "go").touch()
        assert told(answers.get(timeout=60)) == 2, "of the version that was asked"
        assert asked(client, "long") == 6
    assert verify(live) == []


@pytest.mark.parametrize("mode", ["explicit"])
def test_an_answer_without_meaning_is_undone(
    served: RunningServer, live: Path, tmp_path: Path
) -> None:
    bad = write_build(tmp_path / "bad", float("nan"), 4, 6)
    with pytest.raises(PublishingError, match=r"chain: an answer without meaning.*Version 1 is"):
        publish(bad, live, url=served.grpc_url)
    with triton.InferenceServerClient(served.grpc_url) as client:
        assert (asked(client, "chain"), asked(client, "alone")) == (12, 5)
    assert verify(live) == []


@pytest.mark.parametrize("mode", ["explicit"])
def test_a_publication_killed_under_a_server_is_completed_there(
    served: RunningServer, live: Path, tmp_path: Path
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
    served: RunningServer, live: Path, tmp_path: Path
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
    served: RunningServer, live: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(builder.live_server, "PATIENCE", 2.0)
    with pytest.raises(PublishingError, match=r"does not take up .* control mode `explicit`"):
        publish(write_build(tmp_path / "second", 3, 4, 6), live, url=served.grpc_url)
    with triton.InferenceServerClient(served.grpc_url) as client:
        assert asked(client, "chain") == 12
