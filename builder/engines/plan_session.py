"""A plan opened on a GPU. Not run on the machines where this was written, which have none."""

from pathlib import Path

import numpy as np

from builder.engines.engine import Array, EngineRefusedError, Tensors
from builder.engines.plan import loaded, log_keeper


class PlanSession:
    """Runs a plan on CUDA's current device; torch holds the memory."""

    def __init__(self, library: str, file: Path, host_code: bool) -> None:
        """`host_code` lets a version compatible plan run the runtime that it brings along.

        Raises EngineRefusedError where the library does not load the plan.
        """
        trt = loaded(library)
        self.log: list[str] = []
        self.keeper = log_keeper(library, self.log)
        self.runtime = trt.Runtime(self.keeper)
        self.runtime.engine_host_code_allowed = host_code
        self.engine = self.runtime.deserialize_cuda_engine(file.read_bytes())
        if not self.engine:
            told = "\n".join(self.log)
            raise EngineRefusedError(f"{file}: {library} does not load it.\n{told}")
        self.context = self.engine.create_execution_context()
        names = [self.engine.get_tensor_name(at) for at in range(self.engine.num_io_tensors)]
        mode = self.engine.get_tensor_mode
        self.inputs = {name for name in names if mode(name) == trt.TensorIOMode.INPUT}
        self.outputs = {
            name: np.dtype(trt.nptype(self.engine.get_tensor_dtype(name)))
            for name in names
            if name not in self.inputs
        }

    def run(self, feeds: Tensors) -> dict[str, Array]:
        """All outputs by name; raises RuntimeError for feeds that it was not built for."""
        import torch

        if set(feeds) != self.inputs:
            raise RuntimeError(f"fed {sorted(feeds)}, but the plan takes {sorted(self.inputs)}.")
        held = {
            name: torch.from_numpy(np.ascontiguousarray(array)).cuda()
            for name, array in feeds.items()
        }
        for name, tensor in held.items():
            if not self.context.set_input_shape(name, tuple(tensor.shape)):
                raise RuntimeError(f"{name}: {tuple(tensor.shape)}: {self._told()}")
        for name, dtype in self.outputs.items():
            shape = self.context.get_tensor_shape(name)[:]
            held[name] = torch.from_numpy(np.empty(shape, dtype)).cuda()
        for name, tensor in held.items():
            self.context.set_tensor_address(name, tensor.data_ptr())
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        if not self.context.execute_async_v3(stream.cuda_stream):
            raise RuntimeError(self._told())
        stream.synchronize()
        return {name: held[name].cpu().numpy() for name in self.outputs}

    def _told(self) -> str:
        return self.log[-1] if self.log else "the plan failed and its library did not say why."
