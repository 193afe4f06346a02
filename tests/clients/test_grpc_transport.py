"""What gRPC's connection does beside carrying questions."""

import socket
from collections.abc import Iterator
from threading import Thread

import pytest

from clients import grpc_transport
from clients.errors import ServerUnavailable
from clients.recognizer import Recognizer

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
