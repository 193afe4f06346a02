"""Bodies of requests, read no further than a limit."""

from starlette.requests import Request

from clients.errors import InvalidMedia


class TooLarge(InvalidMedia):
    """More bytes than are taken."""


async def upload(request: Request, limit: int) -> bytes:
    """The file that is a request's body. Raises TooLarge as soon as it has more than `limit` bytes.

    Raises InvalidMedia where there is none.
    """
    # A length that is declared too large is refused before the first byte of it is read.
    declared = request.headers.get("content-length", "0")
    if declared.isdecimal() and int(declared) > limit:
        raise _too_large(limit)
    chunks: list[bytes] = []
    left = limit
    async for chunk in request.stream():
        chunks.append(chunk)
        left -= len(chunk)
        if left < 0:
            raise _too_large(limit)
    if left == limit:
        raise InvalidMedia("No file came: send a video or a picture as the body of the request.")
    return b"".join(chunks)


def _too_large(limit: int) -> TooLarge:
    return TooLarge(
        f"The file is larger than {limit / 2**20:.0f} MB, the most that the server takes: "
        "send a shorter or a more compressed one."
    )
