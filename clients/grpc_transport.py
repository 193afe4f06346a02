"""Triton over gRPC: blocking, safe to share between threads, and for one event loop."""

# pyright: reportMissingTypeStubs=false

import math
from collections.abc import AsyncGenerator, Generator
from contextlib import contextmanager
from typing import Any

import grpc
import grpc.aio
from tritonclient.grpc.service_pb2_grpc import GRPCInferenceServiceStub

from clients.address import Address
from clients.backoff import Deadline
from clients.errors import DeadlineExceeded, ServerUnavailable, error_of, late, unreachable
from clients.grpc_wire import (
    fields_from_message,
    message_from_command,
    message_from_query,
    tensors_from_message,
)
from clients.query import MESSAGE_BYTES, Command, Query, Tensors

OPTIONS = (
    ("grpc.max_send_message_length", MESSAGE_BYTES),
    ("grpc.max_receive_message_length", MESSAGE_BYTES),  # the default is 4 MB
    ("grpc.max_reconnect_backoff_ms", 2000),
    ("grpc.keepalive_time_ms", 330_000),
    ("grpc.http2.max_pings_without_data", 0),
)
"""A server that was started anew is found within seconds; gRPC's default grows to minutes.

A link that has died under a request is noticed within seven minutes: by a ping that stays
unanswered. Servers hang up on who pings more often than every five, gRPC's and Triton's default.
"""


class GrpcTransport:
    """A connection that is kept open between questions."""

    def __init__(self, address: Address) -> None:
        """Connects at the first question."""
        self._address = address
        self._channel = grpc.insecure_channel(address.url, OPTIONS)
        self._stub: Any = GRPCInferenceServiceStub(self._channel)

    def infer(self, query: Query, deadline: Deadline) -> Tensors:
        """One answer. Raises a RecognizerError."""
        message = message_from_query(query)
        with _explained(self._address, deadline):
            told = self._stub.ModelInfer(message, timeout=_seconds(deadline))
        return tensors_from_message(told)

    def stream(self, query: Query, deadline: Deadline) -> Generator[Tensors]:
        """The answers of a decoupled model. Closing the iterator cancels the request."""
        request = iter([message_from_query(query)])
        call = self._stub.ModelStreamInfer(request, timeout=_seconds(deadline))
        try:
            with _explained(self._address, deadline):
                for message in call:
                    yield tensors_from_message(_good(message, query))
        finally:
            call.cancel()

    def command(self, command: Command, deadline: Deadline) -> dict[str, Any]:
        """What the server tells, by name. Raises a RecognizerError."""
        message = message_from_command(command)
        with _explained(self._address, deadline):
            told = getattr(self._stub, command.rpc)(message, timeout=_seconds(deadline))
        return fields_from_message(told)

    def close(self) -> None:
        """Closes the connection."""
        self._channel.close()


class AsyncGrpcTransport:
    """GrpcTransport for asyncio."""

    def __init__(self, address: Address) -> None:
        """Connects at the first question, in the event loop that runs now."""
        self._address = address
        self._channel = grpc.aio.insecure_channel(address.url, OPTIONS)
        self._stub: Any = GRPCInferenceServiceStub(self._channel)

    async def infer(self, query: Query, deadline: Deadline) -> Tensors:
        """Like GrpcTransport.infer."""
        message = message_from_query(query)
        with _explained(self._address, deadline):
            told = await self._stub.ModelInfer(message, timeout=_seconds(deadline))
        return tensors_from_message(told)

    async def stream(self, query: Query, deadline: Deadline) -> AsyncGenerator[Tensors]:
        """Like GrpcTransport.stream."""
        request = iter([message_from_query(query)])
        call = self._stub.ModelStreamInfer(request, timeout=_seconds(deadline))
        try:
            with _explained(self._address, deadline):
                async for message in call:
                    yield tensors_from_message(_good(message, query))
        finally:
            call.cancel()

    async def command(self, command: Command, deadline: Deadline) -> dict[str, Any]:
        """Like GrpcTransport.command."""
        message = message_from_command(command)
        with _explained(self._address, deadline):
            told = await getattr(self._stub, command.rpc)(message, timeout=_seconds(deadline))
        return fields_from_message(told)

    async def close(self) -> None:
        """Closes the connection."""
        await self._channel.close()


def _seconds(deadline: Deadline) -> float | None:
    left = deadline.left()
    return left if math.isfinite(left) else None


def _good(message: Any, query: Query) -> Any:
    """The answer in a message of a stream; raises the error that may stand in its place.

    A stream's errors have no status: asked for one by a header, Triton 2.51 dies of the error of a
    model that has more to send. What begins with the name of an input is the input's fault.
    """
    said = message.error_message
    if not said:
        return message.infer_response
    blamed = said.startswith(tuple(f"{tensor.spec.name}: " for tensor in query.inputs))
    raise error_of(str(grpc.StatusCode.INVALID_ARGUMENT) if blamed else "", said)


@contextmanager
def _explained(address: Address, deadline: Deadline) -> Generator[None]:
    """Turns gRPC's errors into a RecognizerError."""
    try:
        yield
    except grpc.RpcError as refusal:
        told: Any = refusal
        error = error_of(str(told.code()), told.details() or "")
        if isinstance(error, DeadlineExceeded):
            error = late(address, deadline.seconds)
        elif type(error) is ServerUnavailable:
            error = unreachable(address, str(error))
        raise error from refusal
