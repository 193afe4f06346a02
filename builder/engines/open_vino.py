"""OpenVINO on the CPU: it reads the ONNX graph, so the graph is the served file.

What a graph leaves in fp32 runs in bf16 where the CPU has it: OpenVINO's own default, which
Triton's backend cannot switch off.
"""

import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from builder.cpu import (
    BF16_FLAGS,
    INT8_FLAGS,
    cpu_flags,
    flags_of_proof,
    has_bf16,
    has_onednn_int8,
)
from builder.engines.engine import (
    Array,
    Description,
    EngineMissingError,
    EngineName,
    EngineRefusedError,
    Range,
    Session,
    Tensors,
)

PROBE = (
    "import sys, openvino; openvino.Core().compile_model(sys.argv[1], 'CPU').create_infer_request()"
)
PROBE_SECONDS = 300


class OpenVino:
    """The engine; see builder.engines.engine."""

    name: EngineName = "openvino"
    file = "model.onnx"
    backend: Mapping[str, str] = {"backend": "openvino"}

    def version(self) -> str:
        """Of the library."""
        import openvino

        return f"openvino {openvino.__version__}"

    def missing(self) -> str:
        """Why it cannot run here, and what to do."""
        try:
            import openvino  # noqa: F401  # pyright: ignore[reportUnusedImport]
        except ImportError:
            return "openvino is not installed: pip install '.[builder]'"
        return ""

    def unbuildable(self) -> str:
        """Building is trying: see missing."""
        return self.missing()

    def pointless(self, precision: str) -> str:
        """It computes in fp32 what the CPU has no instruction for, and rounds besides."""
        if precision == "bf16" and not has_bf16():
            return "this CPU does not multiply bf16 numbers, so it would be fp32"
        if precision == "int8" and not has_onednn_int8():
            return "this CPU has neither AVX-512 nor VNNI, so it would be slower than fp32"
        return ""

    def settings(self) -> Mapping[str, Any]:
        """The CPU that has compiled it and lived."""
        return {"cpu_flags": sorted(cpu_flags())}

    def build(self, graph: Path, file: Path, ranges: Mapping[str, Range]) -> None:
        """Copies the graph, once another process has compiled it and lived.

        OpenVINO has died of a signal on some CPUs that it does not support officially (#35943).
        """
        if missing := self.unbuildable():
            raise EngineMissingError(missing)
        try:
            probe = subprocess.run(
                [sys.executable, "-c", PROBE, str(graph)],
                capture_output=True,
                text=True,
                timeout=PROBE_SECONDS,
            )
        except subprocess.TimeoutExpired as error:
            raise EngineRefusedError(
                f"OpenVINO did not compile {graph.name} here within {PROBE_SECONDS} s"
            ) from error
        if probe.returncode:
            last = (probe.stderr.strip().splitlines() or [""])[-1]
            died = f"signal {-probe.returncode}" if probe.returncode < 0 else last
            raise EngineRefusedError(f"OpenVINO could not compile {graph.name} here: {died}")
        shutil.copyfile(graph, file)

    def parameters(self, threads: int) -> dict[str, str]:
        """One stream with all threads: the shortest time for a batch."""
        bf16 = {"HINT_BF16": "YES"} if has_bf16() else {}
        return {
            "PERFORMANCE_HINT": "LATENCY",
            "NUM_STREAMS": "1",
            "INFERENCE_NUM_THREADS": str(threads),
            # Else Triton's backend answers full batches only. Its own C++ pads wrongly; see doctor.
            "ENABLE_BATCH_PADDING": "YES",
            **bf16,
        }

    def open(self, file: Path, threads: int) -> Session:
        """Compiles a graph on the CPU; raises EngineRefusedError where it does not take it."""
        if missing := self.missing():
            raise EngineMissingError(missing)
        import openvino

        settings = {
            "PERFORMANCE_HINT": "LATENCY",
            "NUM_STREAMS": 1,
            "INFERENCE_NUM_THREADS": threads,
            "ENABLE_CPU_PINNING": False,  # as our backend does, which shares the cores with others
        }
        if has_bf16():
            settings["INFERENCE_PRECISION_HINT"] = "bf16"
        try:
            compiled: Any = openvino.Core().compile_model(str(file), "CPU", settings)
        except RuntimeError as error:
            raise EngineRefusedError(f"{file}: OpenVINO does not take it: {error}") from error
        return _OpenVinoSession(compiled)

    def describe(self, file: Path) -> Description:
        """Any CPU runs it; what it was measured with is told."""
        self.open(file, 1)
        # Needs onnx, which a server's environment, where benchmarks open engines, has not.
        from builder.precision import quantizes

        flags = flags_of_proof((*BF16_FLAGS, *(INT8_FLAGS if quantizes(file) else ())))
        return Description(self.name, self.version(), cpu_flags=flags)


class _OpenVinoSession:
    def __init__(self, compiled: Any) -> None:
        self.request = compiled.create_infer_request()
        self.names = [output.any_name for output in compiled.outputs]

    def run(self, feeds: Tensors) -> dict[str, Array]:
        """All outputs by name."""
        answers = self.request.infer(dict(feeds), share_inputs=True)
        return {name: answers[name].copy() for name in self.names}
