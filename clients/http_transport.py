"""Triton over HTTP: blocking, safe to share between threads, and for one event loop."""

import asyncio
from collections.abc import AsyncGenerator, Generator, Iterator
from contextlib import contextmanager
from typing import Any

import httpx2 as httpx

from clients.address import Address
from clients.backoff import Deadline
from clients.errors import error_of, late, unreachable
from clients.http_wire import body_from_query, error_from_body, tensors_from_body
from clients.query import Command, Query, Tensors

PIECE = 2**20
"""Bytes that are sent between two looks at the clock."""
ONE_ANSWER = (
    "{model} answers a request many times, and HTTP carries one answer: use protocol='grpc' "
    "and its port."
)
SETTINGS: dict[str, Any] = {"trust_env": False, "verify": False}
"""No proxies from the environment; no certificates are loaded for an address without TLS."""


class HttpTransport:
    """Connections that are kept open between questions."""

    def __init__(self, address: Address) -> None:
        """Connects at the first question."""
        self._address = address
        self._client = httpx.Client(base_url=f"http://{address.url}", **SETTINGS)

    def infer(self, query: Query, deadline: Deadline) -> Tensors:
        """One answer. Raises a RecognizerError."""
        headers, body = body_from_query(query)
        headers["Content-Length"] = str(len(body))
        pieces = _pieces(body, deadline)
        with _explained(self._address, deadline):
            response = self._client.post(
                _path(query), content=pieces, headers=headers, timeout=deadline.left()
            )
            return tensors_from_body(response.headers, _good(response))

    def command(self, command: Command, deadline: Deadline) -> dict[str, Any]:
        """What the server tells, by name. Raises a RecognizerError."""
        with _explained(self._address, deadline):
            response = self._client.request(**_request(command), timeout=deadline.left())
            return _fields(response)

    def stream(self, query: Query, deadline: Deadline) -> Generator[Tensors]:
        """HTTP cannot: raises ValueError."""
        raise ValueError(ONE_ANSWER.format(model=query.model))

    def close(self) -> None:
        """Closes the connections."""
        self._client.close()


class AsyncHttpTransport:
    """HttpTransport for asyncio."""

    def __init__(self, address: Address) -> None:
        """Connects at the first question."""
        self._address = address
        self._client = httpx.AsyncClient(base_url=f"http://{address.url}", **SETTINGS)

    async def infer(self, query: Query, deadline: Deadline) -> Tensors:
        """Like HttpTransport.infer."""
        headers, body = body_from_query(query)
        with _explained(self._address, deadline):
            posted = self._client.post(_path(query), content=body, headers=headers, timeout=None)
            response = await asyncio.wait_for(posted, deadline.left())
            return tensors_from_body(response.headers, _good(response))

    async def command(self, command: Command, deadline: Deadline) -> dict[str, Any]:
        """Like HttpTransport.command."""
        with _explained(self._address, deadline):
            asked = self._client.request(**_request(command), timeout=None)
            return _fields(await asyncio.wait_for(asked, deadline.left()))

    def stream(self, query: Query, deadline: Deadline) -> AsyncGenerator[Tensors]:
        """HTTP cannot: raises ValueError."""
        raise ValueError(ONE_ANSWER.format(model=query.model))

    async def close(self) -> None:
        """Closes the connections."""
        await self._client.aclose()


def _path(query: Query) -> str:
    return f"/v2/models/{query.model}/infer"


def _request(command: Command) -> dict[str, Any]:
    return {"method": command.verb, "url": command.path, "json": command.fields or None}


def _fields(response: httpx.Response) -> dict[str, Any]:
    body = _good(response)
    return response.json() if body else {}


def _good(response: httpx.Response) -> bytes:
    """The body of an answer; raises the error that the server may have sent instead."""
    if response.status_code != 200:
        raise error_of(str(response.status_code), error_from_body(response.content))
    return response.content


def _pieces(body: bytes, deadline: Deadline) -> Iterator[bytes]:
    """The body while there is time; the client's own timeout starts anew at every piece."""
    for place in range(0, len(body), PIECE):
        if not deadline.left():
            raise httpx.WriteTimeout("the deadline passed while sending")
        yield body[place : place + PIECE]


@contextmanager
def _explained(address: Address, deadline: Deadline) -> Generator[None]:
    """Turns what the client raises into a RecognizerError."""
    try:
        yield
    except (httpx.TimeoutException, TimeoutError, asyncio.TimeoutError) as error:
        raise late(address, deadline.seconds) from error
    except (httpx.TransportError, LookupError, ValueError) as error:
        # Whatever answers there without Triton's headers and JSON is no Triton.
        raise unreachable(address, str(error)) from error
