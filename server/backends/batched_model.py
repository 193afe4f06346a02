"""A graph as Triton wants a model: requests joined to batches, each bad request failing alone.

The `model.py` of a backend gives `BatchedModel` the library that runs the graph. B is the rows of
one request, R the rows of all requests that run together.
"""

# Triton's own module exists only in the processes that it starts.
# pyright: basic

import json
import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import triton_python_backend_utils as pb_utils  # pyright: ignore[reportMissingImports]

from server.backends.model_settings import Table, check_cpu, frames_per_run, parameters_of

Arrays = dict[str, Any]
"""numpy arrays by tensor name."""


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
    def open(self, config: Table, version: Path) -> Graph:
        """Opens the graph in a version's folder; raises any error where it cannot be served."""

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
            self.frames_per_run = frames_per_run(parameters_of(self.config))
            version = Path(args["model_repository"], args["model_version"])
            self.graph = self.open(self.config, version)
        except Exception as error:
            line = self._one_line(error)
            raise pb_utils.TritonModelException(f"model '{args['model_name']}': {line}") from None

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        """Answers every request, with as few runs of the graph as their shapes and the parameter
        `frames_per_run` allow.

        What is not in the last run is answered at once, and is None in what is returned.
        """
        feeds = [self._feed(request) for request in requests]
        *runs, last = self._runs(feeds)
        for members in runs:
            for index, answer in self._answered(requests, feeds, members):
                sender = requests[index].get_response_sender()
                sender.send(answer, flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)
        answers = dict(self._answered(requests, feeds, last))
        return [answers.get(index) for index in range(len(requests))]

    def _answered(
        self, requests: Sequence[Any], feeds: Sequence[Arrays], members: Sequence[int]
    ) -> Iterator[tuple[int, Any]]:
        """The response to each of the requests that run together, by its place."""
        names = [requests[index].requested_output_names() for index in members]
        answers = self._answers([feeds[index] for index in members], names)
        return zip(members, answers, strict=True)

    def _runs(self, feeds: Sequence[Arrays]) -> Iterator[list[int]]:
        """The requests of each run, as places in `feeds`."""
        groups: dict[object, list[int]] = {}
        for index, feed in enumerate(feeds):
            groups.setdefault(_row_shapes(feed) if self.graph.joins else index, []).append(index)
        for members in groups.values():
            run: list[int] = []
            frames = 0
            for index in members:
                more = _frames(feeds[index]) if self.frames_per_run else 0
                if run and frames + more > self.frames_per_run:
                    yield run
                    run, frames = [], 0
                run.append(index)
                frames += more
            yield run

    def _feed(self, request: Any) -> Arrays:
        names = [tensor["name"] for tensor in self.config["input"]]
        found = {name: pb_utils.get_input_tensor_by_name(request, name) for name in names}
        # An optional input may be missing.
        return {name: tensor.as_numpy() for name, tensor in found.items() if tensor is not None}

    def _answers(self, feeds: Sequence[Arrays], names: Sequence[Sequence[str]]) -> list[Any]:
        """The responses to requests of one row shape; one bad request fails alone."""
        try:
            parts = self._run(feeds, sorted({name for wanted in names for name in wanted}))
        except Exception as error:
            if len(feeds) == 1:
                failure = pb_utils.TritonError(self._one_line(error))
                return [pb_utils.InferenceResponse(error=failure)]
            return [
                self._answers([feed], [wanted])[0]
                for feed, wanted in zip(feeds, names, strict=True)
            ]
        return [
            pb_utils.InferenceResponse([pb_utils.Tensor(name, part[name]) for name in wanted])
            for part, wanted in zip(parts, names, strict=True)
        ]

    def _run(self, feeds: Sequence[Arrays], names: Sequence[str]) -> list[Arrays]:
        """Runs the graph once on the rows of all feeds and gives each feed its rows back."""
        joined = feeds[0]
        if len(feeds) > 1:
            joined = {name: np.concatenate([feed[name] for feed in feeds]) for name in joined}
        outputs = self.graph.run(joined, names)  # name -> (R, ...)
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


def _frames(feed: Arrays) -> int:
    """Frames of a request whose first input is (B, T, ...)."""
    return math.prod(next(iter(feed.values())).shape[:2])


def _row_shapes(feed: Arrays) -> tuple[tuple[str, tuple[int, ...]], ...]:
    return tuple((name, array.shape[1:]) for name, array in feed.items())
