"""What every engine can do: make a file that Triton serves of an ONNX graph, run it, describe it.

Precision lives in the graph, so an engine is handed one graph for each precision.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

EngineName = Literal["onnxruntime", "openvino", "tensorrt", "tensorrt_rtx"]
Array = NDArray[Any]
Tensors = Mapping[str, Array]
"""Arrays by the names of the contract."""


class EngineMissingError(RuntimeError):
    """This machine cannot build or run with an engine; the message says what to do about it."""


class EngineRefusedError(ValueError):
    """An engine does not take a graph, or a file is not one of its own."""


@dataclass(frozen=True, slots=True)
class Range:
    """Shapes of one input that an engine is made for, the batch axis included."""

    least: tuple[int, ...]
    """Every axis at its smallest."""
    usual: tuple[int, ...]
    """What it is tuned for."""
    most: tuple[int, ...]
    """Every axis at its largest; the first is the max_batch_size of config.pbtxt."""


@dataclass(frozen=True, slots=True)
class Description:
    """What a file needs in order to run."""

    engine: EngineName
    version: str
    """Of the library that made it."""
    architecture: str = ""
    """GPU that it was made for, such as `8.9`; empty where any CPU will do."""
    cpu_flags: tuple[str, ...] = ()
    """CPU features without which it would be slow or wrong, as /proc/cpuinfo names them."""


class Session(Protocol):
    """An opened file."""

    def run(self, feeds: Tensors) -> dict[str, Array]:
        """All outputs by name; raises RuntimeError where the engine fails."""
        ...


@dataclass(frozen=True)
class InParts:
    """A session that is given no more rows at once than its engine was made for."""

    whole: Session
    """What runs them."""
    most: int
    """Rows of a run: the max_batch_size of config.pbtxt."""

    def run(self, feeds: Tensors) -> dict[str, Array]:
        """All outputs by name, of as many rows as the feeds have; raises RuntimeError likewise."""
        rows = len(next(iter(feeds.values())))
        if rows <= self.most:
            return self.whole.run(feeds)
        parts = [
            self.whole.run({name: array[at : at + self.most] for name, array in feeds.items()})
            for at in range(0, rows, self.most)
        ]
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def runs_on_gpu(engine: str) -> bool:
    """Whether what an engine of this name makes runs on a GPU."""
    return engine.startswith("tensorrt")


class Engine(Protocol):
    """A library that runs graphs."""

    name: EngineName
    file: str
    """Name of the file that is served, in a version's folder."""
    backend: Mapping[str, str]
    """Fields of config.pbtxt that name it: `platform` or `backend`."""

    def version(self) -> str:
        """The library and its version; raises EngineMissingError where it is not there."""
        ...

    def missing(self) -> str:
        """Why this machine cannot run files of this engine, and what to do; empty if it can."""
        ...

    def unbuildable(self) -> str:
        """Why this machine cannot build files of this engine, and what to do; empty if it can."""
        ...

    def pointless(self, precision: str) -> str:
        """Why a precision gains nothing on this machine; empty where it may."""
        ...

    def settings(self) -> Mapping[str, Any]:
        """What besides graph, version and shapes decides about a served file, and about a refusal:
        of what it is made for and where. Goes into JSON."""
        ...

    def build(self, graph: Path, file: Path, ranges: Mapping[str, Range]) -> None:
        """Makes the served file of a graph; raises EngineMissingError or EngineRefusedError."""
        ...

    def parameters(self, threads: int) -> dict[str, str]:
        """The parameters of config.pbtxt with which Triton runs a file as `open` does."""
        ...

    def open(self, file: Path, threads: int) -> Session:
        """Opens a served file on this machine; raises EngineMissingError or EngineRefusedError."""
        ...

    def describe(self, file: Path) -> Description:
        """What a served file needs; raises EngineRefusedError where it cannot be read."""
        ...
