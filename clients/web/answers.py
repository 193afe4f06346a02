"""Answers of a Recognizer as JSON, and the statuses of what went wrong."""

from collections.abc import Awaitable
from dataclasses import asdict
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse

from clients.errors import (
    DeadlineExceeded,
    InvalidMedia,
    ModelUnavailable,
    RecognizerError,
    ServerOverloaded,
    ServerUnavailable,
)
from clients.recognizer import Recognition
from clients.web.latency import split
from clients.web.triton import Triton
from clients.web.upload import TooLarge

STATUS_OF_ERROR: dict[type[RecognizerError], int] = {
    InvalidMedia: 422,
    TooLarge: 413,
    ModelUnavailable: 404,
    ServerUnavailable: 502,
    ServerOverloaded: 503,
    DeadlineExceeded: 504,
}
"""HTTP statuses; every other error is a 500."""


async def timed(triton: Triton, question: Awaitable[Recognition]) -> dict[str, Any]:
    """What a model saw: labels with scores, best first, and where the time went."""
    before = await triton.spent()
    seen = await question
    steps = split(seen.model, before, await triton.spent(), seen.latency_ms)
    return {
        "model": seen.model,
        "predictions": [{"label": one.label, "score": one.score} for one in seen.predictions],
        "steps": [asdict(step) | {"ms": round(step.ms, 2)} for step in steps],
        "total_ms": round(seen.latency_ms, 2),
    }


def failure(error: Exception) -> dict[str, Any]:
    """What the page shows of an error, and its kind."""
    kind = error.kind if isinstance(error, RecognizerError) else "invalid_request"
    return {"error": str(error), "kind": kind}


async def refused(request: Request, error: Exception) -> JSONResponse:
    """The response to a request whose handler raised a RecognizerError."""
    return JSONResponse(failure(error), STATUS_OF_ERROR.get(type(error), 500))  # type: ignore[arg-type]


async def invalid(request: Request, error: Exception) -> JSONResponse:
    """The response to a request that nobody can read."""
    return JSONResponse(failure(error), 400)
