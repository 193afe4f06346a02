"""Where a server listens."""

from dataclasses import dataclass
from typing import Literal, get_args

Protocol = Literal["grpc", "http"]

DEFAULT_URLS: dict[Protocol, str] = {"grpc": "127.0.0.1:8001", "http": "127.0.0.1:8000"}
"""Where a server on this machine listens."""
LOCAL_HOSTS = frozenset({"127.0.0.1", "[::1]", "localhost"})
"""Names of this machine, whose memory the server can share."""


@dataclass(frozen=True, slots=True)
class Address:
    """A port of a server and the protocol that is spoken there."""

    url: str
    """HOST:PORT."""
    protocol: Protocol
    """What is spoken."""

    def __str__(self) -> str:
        return f"{self.url} ({'gRPC' if self.protocol == 'grpc' else 'HTTP'})"

    @property
    def is_local(self) -> bool:
        """True where the server seems to run on this machine."""
        return self.url.rpartition(":")[0] in LOCAL_HOSTS


def checked_address(url: str | None, protocol: Protocol) -> Address:
    """The address, by default this machine's usual port of the protocol.

    Raises ValueError for an address or a protocol that cannot be.
    """
    if protocol not in get_args(Protocol):
        raise ValueError(f"unknown protocol {protocol!r}: expected grpc or http.")
    url = url or DEFAULT_URLS[protocol]
    if "://" in url or ":" not in url:
        raise ValueError(f"{url}: expected HOST:PORT, such as {DEFAULT_URLS[protocol]}.")
    return Address(url, protocol)
