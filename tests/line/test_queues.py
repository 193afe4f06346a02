"""The queues of the shipped configurations, filled in front of a model that a gate holds back.

They are Triton's own: only the model behind them and the numbers are smaller.
"""

import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.request import urlopen

import numpy as np
import pytest
import tritonclient.grpc
from google.protobuf import text_format
from tritonclient.grpc.model_config_pb2 import ModelConfig

from builder.triton_config import config_from_file
from clip_har.contract import (
    HAR_TIMELINE,
    PREPROCESS,
    RESIZE,
    TEXT_EMBEDDER,
    VISION_ENCODER,
    ServedModel,
)
from server.process import RunningServer, running

pytestmark = pytest.mark.triton
SOURCES = Path(__file__).parents[2] / "model_repository"
GATED = Path(__file__).parent / "gate" / "model.py"
FIRST = (PREPROCESS, RESIZE, TEXT_EMBEDDER, HAR_TIMELINE)
"""Models that people's requests come to first."""
QUEUES = (*FIRST, VISION_ENCODER)
LIMIT = 3
"""Requests of one priority that may wait."""
ANSWERED, TOO_LATE = "answered", "Request timeout expired"
BEHIND_THE_GATE = """
    backend: "python" max_batch_size: 1
    input [{ name: "X" data_type: TYPE_FP32 dims: [ 1 ] }]
    output [{ name: "X" data_type: TYPE_FP32 dims: [ 1 ] }]
    instance_group [{ kind: KIND_CPU count: 1 }]
"""


@pytest.fixture(scope="session")
def gates(installed: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server whose models have the shipped queues and wait for their gates."""
    folder = tmp_path_factory.mktemp("gates")
    for model in QUEUES:
        shipped = config_from_file(SOURCES / model.name / "config.pbtxt").dynamic_batching
        config = text_format.Parse(BEHIND_THE_GATE, ModelConfig(name=model.name))
        config.dynamic_batching.CopyFrom(shipped)
        policy = config.dynamic_batching.default_queue_policy
        policy.max_queue_size = min(policy.max_queue_size, LIMIT)
        policy.default_timeout_microseconds *= 1000  # the gate may be closed for a while
        config.parameters["gate"].string_value = str(folder / model.name)
        (folder / model.name).mkdir()
        version = folder / "repository" / model.name / "1"
        version.mkdir(parents=True)
        shutil.copy(GATED, version)
        (version.parent / "config.pbtxt").write_text(text_format.MessageToString(config))
    with running(folder / "repository", log_path=folder / "server.log") as server:
        yield server


class Queue:
    """The queue of one model, whose gate is closed."""

    def __init__(self, server: RunningServer, model: ServedModel) -> None:
        self._model, self._metrics = model.name, server.metrics_url
        self._gate = server.log_path.parent / model.name
        self._client = tritonclient.grpc.InferenceServerClient(server.grpc_url)
        self.told: dict[str, str] = {}
        """What became of each request."""
        for file in self._gate.iterdir():
            file.unlink()

    def send(self, name: str, **options: int) -> None:
        """Sends a request."""
        tensor = tritonclient.grpc.InferInput("X", [1, 1], "FP32")
        tensor.set_data_from_numpy(np.zeros((1, 1), np.float32))

        def tell(result: object, error: Exception | None) -> None:
            self.told[name] = str(error) if error else ANSWERED

        self._client.async_infer(self._model, [tensor], tell, request_id=name, **options)

    def send_and_wait(self, name: str, **options: int) -> None:
        """Sends a request, and returns when it is in the queue."""
        before = self.waiting()
        self.send(name, **options)
        until(lambda: self.waiting() == before + 1 or name in self.told)
        assert name not in self.told

    def waiting(self) -> int:
        """Requests in the queue."""
        metric = f'nv_inference_pending_request_count{{model="{self._model}",version="1"}} '
        with urlopen(f"http://{self._metrics}/metrics") as answer:
            lines = answer.read().decode().splitlines()
        return next(int(line.removeprefix(metric)) for line in lines if line.startswith(metric))

    def begun(self) -> list[str]:
        """Requests that have reached the model, in their order."""
        file = self._gate / "begun"
        return file.read_text().split() if file.exists() else []

    def close(self) -> None:
        """Lets go of all that waits."""
        (self._gate / "open").touch()
        self._client.close()

    def open(self, requests: int) -> None:
        """Opens the gate; returns when so many requests are told."""
        (self._gate / "open").touch()
        until(lambda: len(self.told) == requests)


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "it does not come"
        time.sleep(0.01)


@pytest.fixture
def queue(gates: RunningServer, request: pytest.FixtureRequest) -> Iterator[Queue]:
    """A model's queue, empty; its one instance is busy with the request `first`."""
    queue = Queue(gates, request.param)
    queue.send("first")
    until(lambda: queue.begun() == ["first"])
    yield queue
    queue.close()


def of(models: tuple[ServedModel, ...]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("queue", models, ids=lambda one: one.name, indirect=True)


@of(QUEUES)
def test_urgent_request_overtakes_a_full_queue_and_one_too_many_is_refused(queue: Queue) -> None:
    late = [f"late{number}" for number in range(LIMIT)]
    for name in late:
        queue.send_and_wait(name, priority=2)
    queue.send("beyond", priority=2)
    until(lambda: "beyond" in queue.told)
    assert "Exceeds maximum queue size" in queue.told["beyond"]
    queue.send_and_wait("urgent")
    queue.open(requests=LIMIT + 3)
    assert queue.begun() == ["first", "urgent", *late]


@of(FIRST)
def test_request_whose_sender_no_longer_waits_is_not_begun(queue: Queue) -> None:
    queue.send_and_wait("impatient", timeout=1)  # a microsecond
    queue.open(requests=2)
    assert TOO_LATE in queue.told["impatient"]
    assert queue.begun() == ["first"]
