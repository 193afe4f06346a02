"""Frames of a camera in, answers out, over one WebSocket a camera."""

from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from functools import partial

from starlette.websockets import WebSocket, WebSocketDisconnect

from clients.async_recognizer import AsyncRecognizer
from clients.errors import RecognizerError
from clients.results import Recognition
from clients.web.answers import TOP_K, failure, timed
from clients.web.triton import Triton
from clip_har.contract import HAR_STREAM

MAX_FRAME_BYTES = 2**20
"""Largest JPEG of a frame."""
LONGEST_REASON = 100
"""Characters that fit into the end of a connection."""


async def camera(socket: WebSocket) -> None:
    """Answers every message, a JPEG, with what is seen; the page waits for it with the next one.

    A server without `har_stream` looks at each frame alone.
    """
    recognizer, triton = socket.app.state.recognizer, socket.app.state.triton
    await socket.accept()
    with suppress(WebSocketDisconnect):
        async with AsyncExitStack() as stack:
            try:
                look = await _looking(recognizer, triton, stack)
            except RecognizerError as error:
                await socket.close(1011, str(error)[:LONGEST_REASON])
                return
            async for frame in socket.iter_bytes():
                try:
                    answer = await timed(triton, look(frame))
                except RecognizerError as error:
                    answer = failure(error)
                await socket.send_json(answer)


async def _looking(
    recognizer: AsyncRecognizer, triton: Triton, stack: AsyncExitStack
) -> Callable[[bytes], Awaitable[Recognition]]:
    """What a frame is given to; the stack ends it."""
    if not await triton.serves(HAR_STREAM):
        return partial(recognizer.classify, top_k=TOP_K)
    stream = recognizer.stream(top_k=TOP_K)
    return (await stack.enter_async_context(stream)).send
