"""The page and what it asks for: a Starlette application in front of a Triton server."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, StreamingResponse
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles

from clients.address import checked_address
from clients.async_recognizer import AsyncRecognizer
from clients.errors import RecognizerError
from clients.web.answers import TOP_K, invalid, json_lines, refused, timed
from clients.web.camera import camera
from clients.web.guard import Guard
from clients.web.triton import Triton
from clients.web.upload import upload
from clip_har.contract import (
    HAR_BASE,
    HAR_ENSEMBLE,
    HAR_STREAM,
    HAR_TEMPORAL,
    HAR_TIMELINE,
    HAR_ZERO_SHOT,
)
from clip_har.kinds import ACCEPTED

PAGE = Path(__file__).parent / "page"
CLASSIFIERS = {model.name: model for model in (HAR_TEMPORAL, HAR_ENSEMBLE, HAR_BASE)}
"""Models to choose from; the first one that is served is chosen."""
SHOWN = (*CLASSIFIERS.values(), HAR_ZERO_SHOT, HAR_TIMELINE, HAR_STREAM)
"""Models that the page has a place for."""


def application(url: str, hosts: frozenset[str] | None, timeout: float) -> Starlette:
    """The page for the Triton server whose gRPC is at `url`, HOST:PORT.

    `hosts` are the names that this server goes by, None for any; an answer may take `timeout`
    seconds. Raises ValueError for an address that cannot be.
    """
    address = checked_address(url, "grpc")

    @asynccontextmanager
    async def connected(app: Starlette) -> AsyncGenerator[None]:
        async with AsyncRecognizer(url, timeout=timeout) as recognizer:
            app.state.recognizer, app.state.triton = recognizer, Triton(address)
            yield
            await app.state.triton.close()

    routes = [
        Route("/api/server", _server),
        Route("/api/classify", _classify, methods=["POST"]),
        Route("/api/zero-shot", _zero_shot, methods=["POST"]),
        Route("/api/timeline", _timeline, methods=["POST"]),
        WebSocketRoute("/api/camera", camera),
        Mount("/", StaticFiles(directory=PAGE, html=True)),
    ]
    return Starlette(
        routes=routes,
        middleware=[Middleware(Guard, hosts=hosts)],
        exception_handlers={RecognizerError: refused, ValueError: invalid},
        lifespan=connected,
    )


async def _server(request: Request) -> JSONResponse:
    """What the page can offer."""
    triton: Triton = request.app.state.triton
    return JSONResponse(
        {
            "server": await triton.version(),
            "models": [model.name for model in SHOWN if await triton.serves(model)],
            "classifiers": list(CLASSIFIERS),
            "formats": ACCEPTED,
            "max_bytes": await triton.max_bytes(HAR_TEMPORAL),
            "timeline_max_bytes": await triton.max_bytes(HAR_TIMELINE),
        }
    )


async def _classify(request: Request) -> JSONResponse:
    """The most probable actions in the file that is the body."""
    name = request.query_params.get("model", HAR_TEMPORAL.name)
    if name not in CLASSIFIERS:
        raise ValueError(f"model is {name!r}: expected one of {', '.join(CLASSIFIERS)}.")
    triton, recognizer = request.app.state.triton, request.app.state.recognizer
    content = await upload(request, await triton.max_bytes(CLASSIFIERS[name]))
    return JSONResponse(await timed(triton, recognizer.classify(content, name, TOP_K)))


async def _zero_shot(request: Request) -> JSONResponse:
    """How well each `text` of the query fits the file that is the body."""
    texts = request.query_params.getlist("text")
    if not texts:
        raise ValueError("There is no text: expected ?text=...&text=... in the address.")
    triton, recognizer = request.app.state.triton, request.app.state.recognizer
    content = await upload(request, await triton.max_bytes(HAR_ZERO_SHOT))
    return JSONResponse(await timed(triton, recognizer.zero_shot(content, texts)))


async def _timeline(request: Request) -> StreamingResponse:
    """The segments of the video that is the body, a line of JSON each, as they are found."""
    triton, recognizer = request.app.state.triton, request.app.state.recognizer
    content = await upload(request, await triton.max_bytes(HAR_TIMELINE))
    # It starts before there is a segment, so that a page that goes away ends the work.
    lines = json_lines(recognizer.timeline(content))
    return StreamingResponse(lines, media_type="application/x-ndjson")
