"""Answers of a Recognizer as JSON, and the statuses of what went wrong."""

import json
from collections.abc import AsyncGenerator, Awaitable
from contextlib import aclosing
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
from clients.results import Recognition, Segment
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

TOP_K = 5
"""Classes in an answer."""


async def timed(triton: Triton, question: Awaitable[Recognition]) -> dict[str, Any]:
    """What a model saw: labels with scores, best first, and where the time went."""
    before = await triton.spent()
    seen = await question
    after = await triton.spent_since(before, seen.model)
    members = await triton.members(seen.model)
    steps = split(seen.model, members, before, after, seen.latency_ms)
    return {
        "model": seen.model,
        "predictions": [{"label": one.label, "score": one.score} for one in seen.predictions],
        "steps": [asdict(step) | {"ms": round(step.ms, 2)} for step in steps],
        "total_ms": round(seen.latency_ms, 2),
    }


async def json_lines(segments: AsyncGenerator[Segment]) -> AsyncGenerator[str]:
    """A line a segment, as they come; one with an error is the last."""
    async with aclosing(segments):
        try:
            async for segment in segments:
                yield json.dumps(asdict(segment)) + "\n"
        except RecognizerError as error:
            yield json.dumps(failure(error)) + "\n"


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
