"""What can go wrong when media are sent to a server: one class a cure."""

# ruff: noqa: N818  (each name says what happened; Error behind it would add nothing)

from typing import ClassVar

from clients.address import Address
from clip_har.contract import OVERLOADED


class RecognizerError(Exception):
    """Base of everything a Recognizer raises for a request."""

    kind: ClassVar[str] = "error"
    """Name of the class for programs: stable, in lower case."""


class ServerUnavailable(RecognizerError):
    """Nothing answers at the address."""

    kind = "server_unavailable"


class ModelUnavailable(ServerUnavailable):
    """The server answers, but has no such model or has it not ready."""

    kind = "model_unavailable"


class ServerOverloaded(RecognizerError):
    """The server has more work than it accepts; the same request may pass later."""

    kind = "server_overloaded"


class DeadlineExceeded(RecognizerError):
    """No answer came within the timeout."""

    kind = "deadline_exceeded"


class InvalidMedia(RecognizerError):
    """The media cannot be used; where the server said so, the message is the server's."""

    kind = "invalid_media"


class StreamLost(InvalidMedia):
    """The server does not know the frame's stream any more: the next frame starts it again."""


class ServerFault(RecognizerError):
    """The server failed in a way that is not the request's fault; its log has the details."""

    kind = "server_fault"


class SharedMemoryRefused(ServerFault):
    """Frames cannot be shared: the server takes no shared memory, or this machine has none left."""


class SharedMemoryForgotten(ServerFault):
    """The server does not know a piece of shared memory any more: it was started anew."""


ERROR_OF_MESSAGE: dict[str, type[RecognizerError]] = {
    **dict.fromkeys(OVERLOADED, ServerOverloaded),
    "the limit (max_streams)": ServerOverloaded,
    "must specify the START flag": StreamLost,
    "is not under way": StreamLost,
    "Start it again": StreamLost,
    "Request for unknown model": ModelUnavailable,
    "Unable to find shared memory region": SharedMemoryForgotten,
    "This protocol is restricted": ServerFault,
}
"""What Triton and its models say where the status fits several cures."""

ERROR_OF_STATUS: dict[str, type[RecognizerError]] = {
    "StatusCode.INVALID_ARGUMENT": InvalidMedia,
    "StatusCode.NOT_FOUND": ModelUnavailable,
    "StatusCode.UNAVAILABLE": ServerUnavailable,
    "StatusCode.RESOURCE_EXHAUSTED": ServerOverloaded,
    "StatusCode.DEADLINE_EXCEEDED": DeadlineExceeded,
    "400": InvalidMedia,
    "404": ModelUnavailable,
    "413": InvalidMedia,
    "429": ServerOverloaded,
    "502": ServerUnavailable,
    "503": ServerUnavailable,
    "504": DeadlineExceeded,
}
"""gRPC and HTTP statuses that have a cure; every other one is a ServerFault."""


def error_of(status: str, message: str) -> RecognizerError:
    """The error for a refusal: gRPC or HTTP status, and what the server said."""
    first_line = message.strip().partition("\n")[0]  # the rest is a traceback of the server
    for said, error in ERROR_OF_MESSAGE.items():
        if said in first_line:
            return error(first_line)
    return ERROR_OF_STATUS.get(status, ServerFault)(first_line)


def unreachable(address: Address, reason: str) -> ServerUnavailable:
    """The error where nothing answers at an address."""
    return ServerUnavailable(f"No server answers at {address}: {reason}")


def late(address: Address, seconds: float) -> DeadlineExceeded:
    """The error where no answer came within so many seconds."""
    return DeadlineExceeded(f"No answer from {address} within {seconds:g} s.")
