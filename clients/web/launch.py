"""Runs the application on a socket until it is interrupted."""

import socket
from contextlib import suppress

import uvicorn
from starlette.applications import Starlette

from clients.web.camera import MAX_FRAME_BYTES

MOST_CONNECTIONS = 32
"""At once; each may hold a file in memory."""


def listening(host: str, port: int) -> socket.socket:
    """A socket that waits for browsers; port 0 is any free one. Raises ValueError if it cannot."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        return socket.create_server((str(address[0]), int(address[1])), family=family, backlog=128)
    except OSError as error:
        raise ValueError(
            f"cannot listen on {host}, port {port}: {error.strerror}. Choose another --port, or 0 "
            "for a free one."
        ) from error


def serve(app: Starlette, listener: socket.socket) -> None:
    """Serves until SIGINT or SIGTERM."""
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        server_header=False,
        ws="websockets-sansio",
        ws_max_size=MAX_FRAME_BYTES,
        limit_concurrency=MOST_CONNECTIONS,
        timeout_graceful_shutdown=2,
    )
    with suppress(KeyboardInterrupt):  # uvicorn has ended in order by then
        uvicorn.Server(config).run(sockets=[listener])
