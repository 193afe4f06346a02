"""How a request reaches Triton. One subclass a protocol; errors leave as RecognizerError."""

# pyright: reportMissingTypeStubs=false, reportUnknownArgumentType=false

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tritonclient.utils import InferenceServerException

from clients.errors import DeadlineExceeded, ServerUnavailable, error_of
from clip_har.contract import TensorSpec


class Transport(ABC):
    """A connection to a Triton server, kept open between requests."""

    def __init__(self, triton: Any, client: Any, address: str, timeout: float) -> None:
        """`triton` is tritonclient's module of the protocol, `client` its client.

        `address` names the server in errors; a request may take `timeout` seconds.
        """
        self._triton = triton
        self._client = client
        self._address = address
        self._timeout = timeout

    @abstractmethod
    def _call(self, method: str, **arguments: object) -> Any:
        """Calls a method of the client within the deadline; metadata come as a dict.

        Raises a RecognizerError, or tritonclient's own where the server refused.
        """

    def _ask(self, method: str, **arguments: object) -> Any:
        try:
            return self._call(method, **arguments)
        except InferenceServerException as refusal:
            error = error_of(refusal.status() or "", refusal.message())
            if type(error) is ServerUnavailable:
                raise self._unavailable(str(error)) from refusal
            raise error from refusal

    def _unavailable(self, reason: str) -> ServerUnavailable:
        return ServerUnavailable(f"No server answers at {self._address}: {reason}")

    def _late(self) -> DeadlineExceeded:
        return DeadlineExceeded(f"No answer from {self._address} within {self._timeout:g} s.")

    def infer(
        self,
        model: str,
        given: tuple[TensorSpec, NDArray[Any]],
        wanted: TensorSpec,
        class_count: int = 0,
    ) -> NDArray[Any]:
        """One request: an input tensor with its batch axis, and the output tensor for it.

        A `class_count` above 0 asks for that many `score:index:label` instead of the values.
        """
        spec, values = given
        tensor = self._triton.InferInput(spec.name, list(values.shape), spec.dtype)
        tensor.set_data_from_numpy(values)
        output = self._triton.InferRequestedOutput(wanted.name, class_count=class_count)
        answer = self._ask("infer", model_name=model, inputs=[tensor], outputs=[output])
        return np.asarray(answer.as_numpy(wanted.name))

    def server_version(self) -> str:
        """Name and version that the server tells of itself."""
        told: Mapping[str, Any] = self._ask("get_server_metadata")
        return f"{told['name']} {told['version']}"

    def output_size(self, model: str, output: TensorSpec) -> int:
        """Length of an output's last axis, K for probabilities."""
        told: Mapping[str, Any] = self._ask("get_model_metadata", model_name=model)
        shapes = {one["name"]: one["shape"] for one in told["outputs"]}
        return int(shapes[output.name][-1])

    def close(self) -> None:
        """Closes the connection."""
        self._client.close()
