"""How a Python model asks other models of its server, and how it says that it has no answer.

The module `triton_python_backend_utils`, which exists only in the processes that Triton starts, is
handed in as `triton`.
"""

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from clip_har.contract import ServedModel
from clip_har.place import Place

Array = NDArray[Any]


class Ask(Protocol):
    """Asks a model: its inputs in the contract's order, for its one output."""

    def __call__(self, model: ServedModel, *inputs: Array) -> Array: ...


class Calls:
    """Asks other models of the same server."""

    def __init__(self, triton: Any, places: Mapping[ServedModel, Place]) -> None:
        """`places` says where each model that is asked is served."""
        self._triton = triton
        self._places = places

    def __call__(self, model: ServedModel, *inputs: Array) -> Array:
        """The one output of a model; raises RuntimeError with what it said where it fails."""
        place, (output,) = self._places[model], model.outputs
        request = self._triton.InferenceRequest(
            model_name=place.model,
            model_version=place.version,
            requested_output_names=[output.name],
            inputs=[
                self._triton.Tensor(spec.name, np.ascontiguousarray(values))
                for spec, values in zip(model.inputs, inputs, strict=True)
            ],
            preferred_memory=self._triton.PreferredMemory(self._triton.TRITONSERVER_MEMORY_CPU),
        )
        answer = request.exec()
        if answer.has_error():
            raise RuntimeError(f"{place}: {answer.error().message()}")
        # A copy: the array lies in shared memory that goes back with the answer.
        return self._triton.get_output_tensor_by_name(answer, output.name).as_numpy().copy()


def refusal(triton: Any, model: str, error: Exception) -> Any:
    """A response without an answer: a ValueError is for the sender, other errors for the log."""
    if isinstance(error, ValueError):
        message, code = str(error), triton.TritonError.INVALID_ARG
    else:
        triton.Logger.log_error(f"{model}: {type(error).__name__}: {error}")
        message = f"{model} failed ({type(error).__name__}); the server's log says more."
        code = triton.TritonError.INTERNAL
    return triton.InferenceResponse(error=triton.TritonError(message, code))
