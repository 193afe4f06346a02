"""The page and what it asks for: a Starlette application in front of a Triton server."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles

from clients.errors import RecognizerError
from clients.recognizer import Recognizer
from clients.web.answers import invalid, refused, timed
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

PAGE = Path(__file__).parent / "page"
CLASSIFIERS = (HAR_TEMPORAL, HAR_ENSEMBLE, HAR_BASE)
"""Models to choose from, the first one that is served by default."""
SHOWN = (*CLASSIFIERS, HAR_ZERO_SHOT, HAR_TIMELINE, HAR_STREAM)
"""Models that the page has a place for."""
TOP_K = 5
"""Bars on the page."""


def application(url: str, hosts: frozenset[str] | None, timeout: float = 60.0) -> Starlette:
    """The page for the Triton server whose gRPC is at `url`, host:port.

    `hosts` are the names that this server goes by, None for any; an answer may take `timeout`
    seconds. Raises ValueError for an address that cannot be.
    """
    recognizer = Recognizer(url, timeout=timeout)

    @asynccontextmanager
    async def connected(app: Starlette) -> AsyncGenerator[None]:
        app.state.recognizer, app.state.triton = recognizer, Triton(url)
        yield
        await app.state.triton.close()
        recognizer.close()

    routes = [
        Route("/api/server", _server),
        Route("/api/classify", _classify, methods=["POST"]),
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
            "classifiers": [model.name for model in CLASSIFIERS],
            "max_bytes": await triton.max_bytes(),
        }
    )


async def _classify(request: Request) -> JSONResponse:
    """The most probable actions in the file that is the body."""
    model = request.query_params.get("model", HAR_TEMPORAL.name)
    if model not in {one.name for one in CLASSIFIERS}:
        raise ValueError(f"model is {model!r}: it does not classify files.")
    state = request.app.state
    content = await upload(request, await state.triton.max_bytes())
    question = run_in_threadpool(state.recognizer.classify, content, model, TOP_K)
    return JSONResponse(await timed(state.triton, question))
