"""What a Triton server tells about itself: models, limits, and the time that each has spent."""

# pyright: reportMissingTypeStubs=false

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import tritonclient.grpc.aio
from tritonclient.utils import InferenceServerException

from clients.errors import RecognizerError, ServerUnavailable, error_of
from clip_har.contract import PREPROCESS, ServedModel
from clip_har.limits import Limits


@dataclass(frozen=True, slots=True)
class Spent:
    """What a model has done since it was loaded."""

    requests: int = 0
    """Requests answered."""
    total_ns: int = 0
    """Nanoseconds from their coming to their answers."""
    queue_ns: int = 0
    """The part of them before the model began."""

    def since(self, before: "Spent") -> "Spent":
        """What was added after `before`."""
        return Spent(
            self.requests - before.requests,
            self.total_ns - before.total_ns,
            self.queue_ns - before.queue_ns,
        )


class Triton:
    """Questions about a server, over gRPC; made inside an event loop."""

    def __init__(self, url: str, timeout: float = 5.0) -> None:
        """`url` is host:port; an answer may take `timeout` seconds."""
        self._url = url
        self._timeout = timeout
        self._client = tritonclient.grpc.aio.InferenceServerClient(url)

    async def version(self) -> str:
        """Name and version, such as `triton 2.51.0`. Raises ServerUnavailable if none answers."""
        told = await self._ask("get_server_metadata", as_json=True)
        return f"{told['name']} {told['version']}"

    async def serves(self, model: ServedModel) -> bool:
        """Whether the server has a model and it is ready."""
        return bool(await self._ask("is_model_ready", model_name=model.name))

    async def max_bytes(self) -> int:
        """The largest file that its preprocessing takes."""
        try:
            told = await self._ask("get_model_config", model_name=PREPROCESS.name, as_json=True)
            return int(told["config"]["parameters"]["max_bytes"]["string_value"])
        except (RecognizerError, KeyError):  # a gateway may keep the configuration to itself
            return Limits().max_bytes

    async def spent(self) -> Mapping[str, Spent]:
        """What every model has done; nothing where the server does not tell."""
        try:
            told = await self._ask("get_inference_statistics", as_json=True)
        except RecognizerError:
            return {}
        return {one["name"]: _spent(one["inference_stats"]) for one in told["model_stats"]}

    async def close(self) -> None:
        """Closes the connection."""
        await self._client.close()

    async def _ask(self, method: str, **arguments: object) -> Any:
        try:
            return await getattr(self._client, method)(client_timeout=self._timeout, **arguments)
        except InferenceServerException as refusal:
            error = error_of(refusal.status() or "", refusal.message())
            if type(error) is ServerUnavailable:
                raise ServerUnavailable(f"No server answers at {self._url}: {error}") from refusal
            raise error from refusal


def _spent(told: Mapping[str, Any]) -> Spent:
    success, queue = told.get("success", {}), told.get("queue", {})
    return Spent(int(success.get("count", 0)), int(success.get("ns", 0)), int(queue.get("ns", 0)))
