"""Addresses and ports that a server listens on."""

import errno
import os
import socket
from contextlib import ExitStack
from dataclasses import dataclass

from server.errors import ServerError

EVERYWHERE = "0.0.0.0"
LOCALHOST = "127.0.0.1"


@dataclass(frozen=True)
class Endpoints:
    """Where one server listens."""

    address: str = LOCALHOST
    """IPv4 address that all three listen on."""
    http_port: int = 8000
    """Port of HTTP; 0 stands for any free one, here and below."""
    grpc_port: int = 8001
    """Port of gRPC."""
    metrics_port: int = 8002
    """Port of Prometheus metrics."""

    @property
    def http_url(self) -> str:
        """host:port of HTTP for a client on this machine."""
        return f"{self._host}:{self.http_port}"

    @property
    def grpc_url(self) -> str:
        """host:port of gRPC for a client on this machine."""
        return f"{self._host}:{self.grpc_port}"

    @property
    def metrics_url(self) -> str:
        """host:port of the metrics for a client on this machine."""
        return f"{self._host}:{self.metrics_port}"

    @property
    def _host(self) -> str:
        return LOCALHOST if self.address == EVERYWHERE else self.address


ANY_FREE = Endpoints(http_port=0, grpc_port=0, metrics_port=0)


def free_endpoints(wanted: Endpoints) -> Endpoints:
    """The same endpoints with free ports in the place of zeros.

    Raises ServerError where a port is taken or the address is not this machine's.
    """
    with ExitStack() as held:  # all three at once, so that they differ

        def port(number: int, option: str) -> int:
            holder = held.enter_context(socket.socket())
            holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                holder.bind((wanted.address, number))
            except OSError as error:
                raise ServerError(_refusal(wanted.address, number, option, error)) from error
            return int(holder.getsockname()[1])

        return Endpoints(
            wanted.address,
            port(wanted.http_port, "--http-port"),
            port(wanted.grpc_port, "--grpc-port"),
            port(wanted.metrics_port, "--metrics-port"),
        )


def _refusal(address: str, port: int, option: str, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return (
            f"port {port} on {address} is in use. End what listens there, "
            f"or give another with {option} (0 takes any free one)."
        )
    reason = os.strerror(error.errno) if error.errno else str(error)
    return (
        f"cannot listen on {address}, port {port}: {reason}. --address takes an IPv4 address "
        f"of this machine ({EVERYWHERE} for all of them), {option} a port above 1023."
    )
