"""Frames of a camera in, answers out, over one WebSocket a camera."""

from starlette.concurrency import run_in_threadpool
from starlette.websockets import WebSocket

from clients.errors import RecognizerError
from clients.web.answers import failure, timed
from clip_har.contract import HAR_TEMPORAL

MAX_FRAME_BYTES = 2**20
"""Largest JPEG of a frame."""
TOP_K = 5
"""Classes in an answer."""


async def camera(socket: WebSocket) -> None:
    """Answers every message, a JPEG, with what is seen; the page waits for it with the next one."""
    await socket.accept()
    recognizer, triton = socket.app.state.recognizer, socket.app.state.triton
    async for frame in socket.iter_bytes():
        try:
            question = run_in_threadpool(recognizer.classify, frame, HAR_TEMPORAL.name, TOP_K)
            answer = await timed(triton, question)
        except RecognizerError as error:
            answer = failure(error)
        await socket.send_json(answer)
