"""Graphs in OpenVINO for a Triton without the C++ backend for it: same config.pbtxt, same answers.

Triton takes this folder as the backend `openvino` and imports this file in one process for each
model instance. The C++ backend compiles a model once for all its instances, which share the threads
and streams of `parameters`; here every instance has its own.
"""

# Triton imports this file from its own folder, beside device.py and fitting.py.
# pyright: basic

import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils  # pyright: ignore[reportMissingImports]
from device import Options, properties_of
from fitting import fitted, with_any_batch

from server.backends.batched_model import BatchedModel
from server.backends.model_settings import Table, check_features, graph_path, parameters_of
from server.backends.runs import Arrays

UNPINNED = {"ENABLE_CPU_PINNING": "NO"}
"""Left alone, OpenVINO ties its threads to cores, in every process to the first ones: instances
would share a core while others idle, and wait there for whoever decodes."""


class TritonPythonModel(BatchedModel):
    """One instance of one model: an OpenVINO inference request on the CPU."""

    def open(self, config: Table, version: Path, lanes: int) -> list["OpenVINOGraph"]:
        """One compiled model with a stream for each lane.

        Raises ValueError, or OpenVINO's own RuntimeError.
        """
        check_features(config, "OpenVINO")
        path = graph_path(config, version, "model.xml")
        options = Options.of(parameters_of(config))
        max_batch = int(config["max_batch_size"])
        core = _core(options)
        model = fitted(core.read_model(path), config, options.reshapes)
        if max_batch > 1 and options.pads and lanes == 1:
            # Seen with its source of 2026: zeros for answers, and errors after a smaller batch.
            pb_utils.Logger.log_warn(
                f"model '{config['name']}': served here, but Triton's own OpenVINO backend loses "
                f"answers where it pads batches; there, write max_batch_size 1."
            )
        if max_batch and options.pads and not options.fixes_batch:
            model = with_any_batch(model)
        streams = {"NUM_STREAMS": str(lanes)} if lanes > 1 else {}
        properties = properties_of(parameters_of(config)) | UNPINNED | streams
        core.set_property(options.device, properties)
        automatic = {"ALLOW_AUTO_BATCHING": max_batch > 0 and not options.fixes_batch}
        compiled = core.compile_model(model, options.device, automatic)
        requests = [compiled.create_infer_request() for _ in range(lanes)]
        return [OpenVINOGraph(request, max_batch, options) for request in requests]

    def worded(self, message: str) -> str:
        """OpenVINO's errors without the places in its source, ours as they are."""
        places = r"(Exception from|Check '.*?' failed at) [\w./-]+:\d+:?\s*"
        reason, found = re.subn(places, "", message)
        return f"openvino error: {reason}" if found else message


class OpenVINOGraph:
    """An OpenVINO inference request that takes batches as Triton's C++ backend does."""

    def __init__(self, request: Any, max_batch: int, options: Options):
        self.request = request
        self.max_batch = max_batch
        self.options = options
        self.joins = max_batch > 0 and options.pads

    def run(self, feeds: Arrays, names: Sequence[str]) -> Arrays:
        """The named outputs; raises ValueError, or OpenVINO's own RuntimeError."""
        rows = len(next(iter(feeds.values()))) if self.max_batch else 0
        if rows != self.max_batch:
            feeds = self._partial(feeds, rows)
        self.request.infer(feeds, share_inputs=True)
        # Copies: the next run writes into the same memory.
        outputs = {name: self.request.get_tensor(name).data.copy() for name in names}
        if self.max_batch and self.options.fixes_batch:
            return {name: array[:rows] for name, array in outputs.items()}
        return outputs

    def _partial(self, feeds: Arrays, rows: int) -> Arrays:
        """A batch below max_batch_size, where the model takes one."""
        if not self.options.pads:
            raise ValueError(
                f"expected requests with batch size '{self.max_batch}', got '{rows}'... this error "
                "can be avoided by setting 'ENABLE_BATCH_PADDING' parameter in model configuration "
                "to 'YES' at a performance cost."
            )
        if not self.options.fixes_batch:
            return feeds
        missing = self.max_batch - rows
        return {
            name: np.concatenate([array, np.zeros((missing, *array.shape[1:]), array.dtype)])
            for name, array in feeds.items()
        }


def _core(options: Options) -> Any:
    # OpenVINO reports its import over the network wherever it finds this package.
    sys.modules["openvino_telemetry"] = None  # pyright: ignore[reportArgumentType]
    import openvino

    core = openvino.Core()
    if options.cpu_extension:
        core.add_extension(options.cpu_extension)
    return core
