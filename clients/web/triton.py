"""What a Triton server tells about itself: models, limits, and the time that each has spent."""

import asyncio
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
NANOSECONDS = 1e6
"""In a millisecond."""
COUNTING_TRIES, COUNTING_SECONDS = 20, 0.01
"""How often, and after how many seconds each, it is asked whether a request is counted."""
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

    @property
    def total_ms(self) -> float:
        """Mean milliseconds of a request."""
        return self.total_ns / self.requests / NANOSECONDS

    @property
    def working_ms(self) -> float:
        """Mean milliseconds of a request without its queue."""
        return (self.total_ns - self.queue_ns) / self.requests / NANOSECONDS

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
        told = await self._ask(_about("ModelReady", model.name, "ready"))
        return told.get("ready", False)

    async def max_bytes(self, asked: ServedModel) -> int:
        """The largest file that is taken for a public model."""
        reader = HAR_TIMELINE if asked == HAR_TIMELINE else PREPROCESS
        parameters = (await self._config(reader.name)).get("parameters", {})
        told = parameters.get("max_bytes", {}).get("string_value")
        return min(int(told) if told else Limits().max_bytes, MOST_BYTES)

    async def members(self, model: str) -> list[str]:
        """The composing models of an ensemble, in their order; none of any other model."""
        scheduling = (await self._config(model)).get("ensemble_scheduling", {})
        return [step["model_name"] for step in scheduling.get("step", [])]

    async def _config(self, model: str) -> Mapping[str, Any]:
        """A model's configuration; nothing where the server keeps it to itself."""
        try:
            return (await self._ask(_about("ModelConfig", model, "config"))).get("config", {})
        except RecognizerError:
            return {}

    async def spent(self) -> Mapping[str, Spent]:
        """What every model has done; nothing where the server does not tell."""
        try:
            told = await self._ask(STATISTICS)
        except RecognizerError:
            return {}
        return {one["name"]: _spent(one["inference_stats"]) for one in told["model_stats"]}

    async def spent_since(self, before: Mapping[str, Spent], model: str) -> Mapping[str, Spent]:
        """The same once a request to `model` is counted, which may come just after its answer."""
        counted = before.get(model, Spent()).requests
        for _ in range(COUNTING_TRIES):
            told = await self.spent()
            if not told or told.get(model, Spent()).requests > counted:
                return told
            await asyncio.sleep(COUNTING_SECONDS)
        return await self.spent()

    async def close(self) -> None:
        """Closes the connection."""
        await self._transport.close()

    async def _ask(self, command: Command) -> dict[str, Any]:
        return await self._transport.command(command, Deadline(SECONDS))


def _about(rpc: str, model: str, path: str) -> Command:
    return Command(rpc, "GET", f"/v2/models/{model}/{path}", {"name": model})


def _spent(told: Mapping[str, Any]) -> Spent:
    success, queue = told.get("success", {}), told.get("queue", {})
    return Spent(int(success.get("count", 0)), int(success.get("ns", 0)), int(queue.get("ns", 0)))
