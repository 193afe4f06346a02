"""A graph as Triton wants a model: requests joined to batches, each bad request failing alone.

The `model.py` of a backend gives `BatchedModel` the library that runs the graph. B is the rows of
one request, R the rows of all requests that run together.
"""

# Triton's own module exists only in the processes that it starts.
# pyright: basic

import json
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import triton_python_backend_utils as pb_utils  # pyright: ignore[reportMissingImports]

from clip_har.contract import FRAMES_PER_RUN, LANES
from server.backends.lanes import Lanes
from server.backends.model_settings import (
    Table,
    check_cpu,
    number_of,
    parameters_of,
)
from server.backends.runs import Arrays, RunLimits, Waiting


class Graph(Protocol):
    """An opened graph."""

    joins: bool
    """Whether rows of several requests may run together."""

    def run(self, feeds: Arrays, names: Sequence[str]) -> Arrays:
        """The named outputs, (R, ...) where the model batches; raises any error with its cause."""
        ...


class BatchedModel(ABC):
    """One instance of one model."""

    @staticmethod
    def auto_complete_config(config: Any) -> Any:
        """Adds nothing: config.pbtxt must be complete."""
        return config

    @abstractmethod
    def open(self, config: Table, version: Path, lanes: int) -> Sequence[Graph]:
        """Opens the graph in a version's folder so often that it can run in each lane at once.

        All lanes together have the threads of `config`. Raises any error where it cannot be served.
        """

    def worded(self, message: str) -> str:
        """A message of the library, on one line, as Triton's C++ backend words it."""
        return message

    def initialize(self, args: dict[str, str]) -> None:
        """Opens the graph; raises TritonModelException with one line where it cannot be served."""
        self.config: Table = json.loads(args["model_config"])
        self.batches = int(self.config["max_batch_size"]) > 0
        try:
            _check_memory_exchange()
            check_cpu(args["model_instance_kind"])
            parameters = parameters_of(self.config)
            rows = max(1, int(self.config["max_batch_size"]))
            self.limits = RunLimits(rows, number_of(parameters, FRAMES_PER_RUN))
            lanes = number_of(parameters, LANES)
            version = Path(args["model_repository"], args["model_version"])
            (self.graph,) = self.open(self.config, version, 1)
            self.lanes = None
            if lanes > 1:
                self.lanes = Lanes(
                    self.open(self.config, version, lanes), self.limits, self._answer_run
                )
        except Exception as error:
            line = self._one_line(error)
            raise pb_utils.TritonModelException(f"model '{args['model_name']}': {line}") from None

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        """Answers every request, with as few runs of the graph as their shapes and the parameter
        `frames_per_run` allow. A request that is alone has all threads.

        With `lanes`, requests that come together run side by side, and this returns as soon as a
        lane is free for those that come next: all that is still to be answered is None in what is
        returned, and so is what is not in the last run.
        """
        waiting = [self._waiting(request) for request in requests]
        if self.lanes and not (len(requests) == 1 and self.lanes.idle):
            self.lanes.add(waiting)
            return [None] * len(requests)
        *runs, last = self.limits.runs(waiting)
        for run in runs:
            self._answer_run(self.graph, run)
        answers = dict(zip(last, self._answers(self.graph, last), strict=True))
        return [answers.get(one) for one in waiting]

    def finalize(self) -> None:
        """Triton unloads the model: all answers go out before."""
        if self.lanes:
            self.lanes.close()

    def _answer_run(self, graph: Graph, run: Sequence[Waiting]) -> None:
        for one, answer in zip(run, self._answers(graph, run), strict=True):
            try:
                sender = one.request.get_response_sender()
                sender.send(answer, flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)
            except Exception as error:  # this answer is lost, the others must still go out
                pb_utils.Logger.log_error(f"an answer could not be sent: {self._one_line(error)}")

    def _waiting(self, request: Any) -> Waiting:
        names = [tensor["name"] for tensor in self.config["input"]]
        found = {name: pb_utils.get_input_tensor_by_name(request, name) for name in names}
        # An optional input may be missing.
        feed = {name: tensor.as_numpy() for name, tensor in found.items() if tensor is not None}
        return Waiting(request, feed, self.graph.joins)

    def _answers(self, graph: Graph, run: Sequence[Waiting]) -> list[Any]:
        """The responses to the requests of a run; one bad request fails alone."""
        wanted = [one.request.requested_output_names() for one in run]
        needed = sorted({name for names in wanted for name in names})
        try:
            parts = self._run(graph, [one.feed for one in run], needed)
            return [
                pb_utils.InferenceResponse([pb_utils.Tensor(name, part[name]) for name in names])
                for part, names in zip(parts, wanted, strict=True)
            ]
        except Exception as error:
            if len(run) > 1:
                return [self._answers(graph, [one])[0] for one in run]
            failure = pb_utils.TritonError(self._one_line(error))
            return [pb_utils.InferenceResponse(error=failure)]

    def _run(self, graph: Graph, feeds: Sequence[Arrays], names: Sequence[str]) -> list[Arrays]:
        """Runs the graph once on the rows of all feeds and gives each feed its rows back."""
        joined = feeds[0]
        if len(feeds) > 1:
            joined = {name: np.concatenate([feed[name] for feed in feeds]) for name in joined}
        outputs = graph.run(joined, names)  # name -> (R, ...)
        if not self.batches:
            return [outputs]
        rows = [len(next(iter(feed.values()))) for feed in feeds]  # B of each
        for name, array in outputs.items():
            if len(array) != sum(rows):
                raise ValueError(
                    f"output '{name}' has {len(array)} rows for a batch of {sum(rows)}"
                )
        ends = np.cumsum(rows)[:-1]
        split = {name: np.split(array, ends) for name, array in outputs.items()}
        return [{name: split[name][i] for name in names} for i in range(len(feeds))]

    def _one_line(self, error: Exception) -> str:
        return self.worded(" ".join(str(error).split()))


def _check_memory_exchange() -> None:
    """The stub of Triton 24.10 and older reads numpy 2 arrays as zeros: refuse to serve so."""
    sent = np.arange(1, 5, dtype=np.float32)
    tensor = pb_utils.Tensor("probe", sent)
    received = pb_utils.Tensor.from_dlpack("probe", tensor.to_dlpack()).as_numpy()
    if not np.array_equal(sent, received):
        raise ValueError(
            f"numpy {np.__version__} corrupts every tensor in this Triton; "
            "install numpy<2 in the Python environment that serves."
        )
