"""What gRPC's connection does beside carrying questions."""

import asyncio
import socket
from collections.abc import Iterator
from threading import Thread
from typing import Any

import pytest

from clients import grpc_transport
from clients.async_recognizer import AsyncRecognizer
from clients.errors import ServerUnavailable
from clients.grpc_wire import message_from_query
from clients.recognizer import Recognizer
from server.process import RunningServer

SETTINGS = b"\0\0\0\4\0\0\0\0\0"
"""HTTP/2's first frame of either side, here without a setting."""
SETTINGS_SEEN = b"\0\0\0\4\1\0\0\0\0"
SERVERS_PATIENCE = 300_000
"""Least milliseconds between two pings that a server by default allows."""


@pytest.fixture
def silent_url() -> Iterator[str]:
    """A peer that takes a connection and then is gone, as behind a cable that was pulled."""
    listener = socket.create_server(("127.0.0.1", 0))

    def fall_silent() -> None:
        with listener:
            link, _ = listener.accept()
        with link:
            link.sendall(SETTINGS + SETTINGS_SEEN)
            while link.recv(2**16):
                pass

    peer = Thread(target=fall_silent)
    peer.start()
    yield f"127.0.0.1:{listener.getsockname()[1]}"
    peer.join()


def test_a_link_that_died_is_noticed_without_a_deadline(
    silent_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = dict(grpc_transport.OPTIONS)
    assert usual["grpc.keepalive_time_ms"] > SERVERS_PATIENCE
    quick = {"grpc.keepalive_time_ms": 1000, "grpc.http2.ping_timeout_ms": 1000}
    monkeypatch.setattr(grpc_transport, "OPTIONS", tuple((usual | quick).items()))
    with Recognizer(silent_url) as one, pytest.raises(ServerUnavailable, match="ping timeout"):
        next(one.timeline(b""))


@pytest.mark.triton
def test_a_request_is_written_once(
    stand_in: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[Any] = []

    def counted(query: Any) -> Any:
        written.append(query)
        return message_from_query(query)

    monkeypatch.setattr(grpc_transport, "message_from_query", counted)

    async def ask() -> None:
        async with AsyncRecognizer(stand_in.grpc_url) as one:
            await one.embed_texts(["red"])

    asyncio.run(ask())
    assert len(written) == 1
