"""ONNX Runtime on the CPU: the graph itself is the served file."""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from builder.cpu import INT8_FLAGS, flags_of_proof
from builder.engines.engine import (
    Array,
    Description,
    EngineName,
    EngineRefusedError,
    Range,
    Session,
    Tensors,
)

# Read when the library loads: later is too late to keep its telemetry file from appearing.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")


class OnnxRuntime:
    """The engine; see builder.engines.engine."""

    name: EngineName = "onnxruntime"
    file = "model.onnx"
    backend: Mapping[str, str] = {"platform": "onnxruntime_onnx"}

    def version(self) -> str:
        """Of the library."""
        import onnxruntime as ort  # pyright: ignore[reportMissingTypeStubs]

        return f"onnxruntime {ort.__version__}"

    def missing(self) -> str:
        """Nothing: it comes with the builder."""
        return ""

    def unbuildable(self) -> str:
        """Nothing, likewise."""
        return ""

    def pointless(self, precision: str) -> str:
        """Nothing."""
        return ""

    def settings(self) -> Mapping[str, Any]:
        """None: the graph is the file."""
        return {}

    def build(self, graph: Path, file: Path, ranges: Mapping[str, Range]) -> None:
        """Copies the graph, once it has been opened; raises EngineRefusedError where it is not."""
        self.open(graph, 1)
        shutil.copyfile(graph, file)

    def parameters(self, threads: int) -> dict[str, str]:
        """Threads within an operator, none between operators."""
        return {"intra_op_thread_count": str(threads), "inter_op_thread_count": "1"}

    def open(self, file: Path, threads: int) -> Session:
        """Opens a graph on the CPU; raises EngineRefusedError where it does not take it."""
        import onnxruntime as ort  # pyright: ignore[reportMissingTypeStubs]

        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        try:
            session = ort.InferenceSession(file, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # its errors have no base of their own
            raise EngineRefusedError(f"{file}: ONNX Runtime does not take it: {error}") from error
        return _OnnxSession(session)

    def describe(self, file: Path) -> Description:
        """Any CPU runs it; of int8, what its answers were proved with is told."""
        self.open(file, 1)
        # Needs onnx, which a server's environment, where benchmarks open engines, has not.
        from builder.precision import quantizes

        flags = flags_of_proof(INT8_FLAGS) if quantizes(file) else ()
        return Description(self.name, self.version(), cpu_flags=flags)


class _OnnxSession:
    def __init__(self, session: Any) -> None:
        self.session = session
        self.names = [output.name for output in session.get_outputs()]

    def run(self, feeds: Tensors) -> dict[str, Array]:
        """All outputs by name."""
        try:
            return dict(zip(self.names, self.session.run(self.names, dict(feeds)), strict=True))
        except Exception as error:
            raise RuntimeError(f"ONNX Runtime: {error}") from error
