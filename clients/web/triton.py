"""What a Triton server tells about itself: models, limits, and the time that each has spent."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from clients.address import Address
from clients.backoff import Deadline
from clients.errors import RecognizerError
from clients.grpc_transport import AsyncGrpcTransport
from clients.query import SERVER_METADATA, Command
from clip_har.contract import HAR_TIMELINE, PREPROCESS, ServedModel
from clip_har.limits import Limits

SECONDS = 5.0
"""Longest wait for an answer that needs no inference."""
MOST_BYTES = 256 * 2**20
"""Largest file that is taken for any model: it is held in memory on its way."""
STATISTICS = Command("ModelStatistics", "GET", "/v2/models/stats", {})


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
    """Questions about a server, over gRPC, in the event loop that it is made in."""

    def __init__(self, address: Address) -> None:
        """Connects at the first question."""
        self._transport = AsyncGrpcTransport(address)

    async def version(self) -> str:
        """Name and version, such as `triton 2.51.0`. Raises ServerUnavailable if none answers."""
        told = await self._ask(SERVER_METADATA)
        return f"{told['name']} {told['version']}"

    async def serves(self, model: ServedModel) -> bool:
        """Whether the server has a model and it is ready."""
        told = await self._ask(_about("ModelReady", model, "ready"))
        return told.get("ready", False)

    async def max_bytes(self, asked: ServedModel) -> int:
        """The largest file that is taken for a public model."""
        reader = asked if asked == HAR_TIMELINE else PREPROCESS
        try:
            told = await self._ask(_about("ModelConfig", reader, "config"))
            limit = int(told["config"]["parameters"]["max_bytes"]["string_value"])
        except (RecognizerError, KeyError):  # a gateway may keep the configuration to itself
            limit = Limits().max_bytes
        return min(limit, MOST_BYTES)

    async def spent(self) -> Mapping[str, Spent]:
        """What every model has done; nothing where the server does not tell."""
        try:
            told = await self._ask(STATISTICS)
        except RecognizerError:
            return {}
        return {one["name"]: _spent(one["inference_stats"]) for one in told["model_stats"]}

    async def close(self) -> None:
        """Closes the connection."""
        await self._transport.close()

    async def _ask(self, command: Command) -> dict[str, Any]:
        return await self._transport.command(command, Deadline(SECONDS))


def _about(rpc: str, model: ServedModel, path: str) -> Command:
    return Command(rpc, "GET", f"/v2/models/{model.name}/{path}", {"name": model.name})


def _spent(told: Mapping[str, Any]) -> Spent:
    success, queue = told.get("success", {}), told.get("queue", {})
    return Spent(int(success.get("count", 0)), int(success.get("ns", 0)), int(queue.get("ns", 0)))
