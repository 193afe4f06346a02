"""Builds of a few bytes, a real Triton that serves them, and clients by the hundred."""

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from queue import SimpleQueue

import numpy as np
import onnx
import pytest
import tritonclient.grpc as triton
from onnx import TensorProto, helper

from builder.manifest import Manifest, repository_files, write_manifest
from server.process import RunningServer, prepare

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


@pytest.fixture(scope="session", name="write_build")
def _write_build() -> Callable[..., Path]:
    return write_build


@pytest.fixture(scope="session", name="sign")
def _sign() -> Callable[[Path], None]:
    return sign


@pytest.fixture(scope="session", name="asked")
def _asked() -> Callable[[triton.InferenceServerClient, str], float]:
    return asked


@pytest.fixture(scope="session", name="load")
def _load() -> Callable[[str], AbstractContextManager[Counter[object]]]:
    return load


@pytest.fixture
def write_long(tmp_path: Path) -> Callable[..., Path]:
    """A build with a public model that answers once the file `go` is there, as to long videos."""

    def write(name: str, *values: float) -> Path:
        folder = write_build(tmp_path / name, *values)
        write_caller(folder, "long", GO.format(file=tmp_path / "go"))
        sign(folder)
        return folder

    return write


@pytest.fixture(scope="session")
def ask_long() -> Callable[[triton.InferenceServerClient], SimpleQueue[float | str]]:
    """Asks that model; its answer comes into the queue."""

    def ask(client: triton.InferenceServerClient) -> SimpleQueue[float | str]:
        answers: SimpleQueue[float | str] = SimpleQueue()

        def answered(result, error):
            answers.put(str(error) if error else told(result))

        client.async_infer("long", zeros(), answered)
        return answers

    return ask
