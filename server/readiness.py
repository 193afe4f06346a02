"""Whether a server really answers: health endpoints stay green over dead models."""

import json
import math
import secrets
import struct
import zlib
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from time import perf_counter
from typing import Any

from clip_har.contract import (
    FRAME,
    HAR_STREAM,
    HAR_TIMELINE,
    MEDIA,
    PUBLIC_MODELS,
    RAW_FRAMES,
    TEXTS,
    TIMES,
    ServedModel,
    TensorSpec,
)

ASKED = tuple(model for model in PUBLIC_MODELS if model is not HAR_TIMELINE)
"""Models that a little input over HTTP gets an answer from.

A question to har_timeline would have to wait for the long videos before it.
"""
BUSY = (429, 503)
"""What Triton answers when a queue is full: too many callers, but alive."""
IMAGE_SIDE = 64
"""Pixels. Any image will do."""


@dataclass(frozen=True)
class Check:
    """What one model answered."""

    model: str
    """Its name."""
    fault: str | None
    """What was wrong, None where it answered as it should."""
    how: str
    """How it was asked."""
    milliseconds: float
    """Time the answer took."""


def check_models(http_url: str, timeout: float, turn: int | None = None) -> list[Check]:
    """Asks every served model: the public ones for an inference, the others whether they are ready.

    `timeout` is in seconds, for one answer. With a `turn`, one public model is asked for an
    inference, the next one at the next turn. Raises ConnectionError where no server listens.
    """
    states = _states(_json(http_url, "POST", "/v2/repository/index", timeout))
    public = [model for model in ASKED if model.name in states]
    if turn is not None and public:
        public = [public[turn % len(public)]]
    asked = {model.name for model in public}
    return [_inferred(http_url, model, timeout) for model in public] + [
        Check(name, None if state == "READY" else f"is {state}", "state", 0.0)
        for name, state in sorted(states.items())
        if name not in asked
    ]


def _states(index: list[dict[str, str]]) -> dict[str, str]:
    """The state of each model, READY where any version is; the index has a row a version.

    What publishing puts there, loads and unloads is no fault: only what failed to load is.
    """
    states: dict[str, str] = {}
    for row in index:
        name, state = row["name"], row.get("state", "")
        failed = state == "UNAVAILABLE" and row.get("reason") != "unloaded"
        if state == "READY" or (failed and name not in states):
            states[name] = state
    return states


def is_up(http_url: str, timeout: float) -> bool:
    """True where the server says that it has loaded all models."""
    try:
        status, _ = _request(http_url, "GET", "/v2/health/ready", timeout)
    except ConnectionError:
        return False
    return status == 200


def _inferred(http_url: str, model: ServedModel, timeout: float) -> Check:
    start = perf_counter()
    try:
        status, body = _infer(http_url, model, timeout)
        fault = None if status in BUSY else _fault(status, body)
    except ConnectionError as error:
        fault = str(error)
    return Check(model.name, fault, "inference", 1000 * (perf_counter() - start))


def _infer(http_url: str, model: ServedModel, timeout: float) -> tuple[int, bytes]:
    """Sends one row in the protocol's binary form: JSON, then the bytes of each input."""
    samples = [_sample(tensor) for tensor in model.inputs]
    inputs = [
        {
            "name": tensor.name,
            "datatype": tensor.dtype,
            "shape": shape,
            "parameters": {"binary_data_size": len(content)},
        }
        for tensor, (shape, content) in zip(model.inputs, samples, strict=True)
    ]
    parameters = _stream_of_one() if model is HAR_STREAM else {}
    head = json.dumps({"inputs": inputs, "parameters": parameters}).encode()
    content = b"".join(content for _, content in samples)
    headers = {"Inference-Header-Content-Length": str(len(head))}
    path = f"/v2/models/{model.name}/infer"
    return _request(http_url, "POST", path, timeout, head + content, headers)


def _sample(tensor: TensorSpec) -> tuple[list[int], bytes]:
    """A little input, as a shape and bytes: a ramp of greys, a word, the second 0."""
    side = IMAGE_SIDE
    made = {
        MEDIA: ([1, 1], _text(_png(side))),
        FRAME: ([1, 1], _text(_png(side))),
        TEXTS: ([1, 1], _text(b"walking")),
        RAW_FRAMES: ([1, 1, side, side, 3], bytes(i % 256 for i in range(3 * side * side))),
        TIMES: ([1, 1], struct.pack("<f", 0.0)),
    }
    return made[tensor]


def _text(content: bytes) -> bytes:
    """An element of type BYTES."""
    return struct.pack("<I", len(content)) + content


def _stream_of_one() -> dict[str, object]:
    """A stream of nobody else's that is over with its first frame."""
    key = 1 + secrets.randbelow(2**63 - 1)
    return {"sequence_id": key, "sequence_start": True, "sequence_end": True}


def _fault(status: int, body: bytes) -> str | None:
    """What is wrong with an answer, None where it holds numbers."""
    try:
        answer: dict[str, Any] = json.loads(body)
        if status != 200:
            return str(answer.get("error", f"HTTP status {status}"))
        numbers = [float(number) for output in answer["outputs"] for number in output["data"]]
    except (ValueError, KeyError, TypeError):
        return f"an answer that is not understood: HTTP status {status}, {body[:80]!r}"
    # Corrupted tensors come back as zeros, or as nothing.
    if not any(numbers) or not all(map(math.isfinite, numbers)):
        return f"an answer without meaning: {numbers[:4]}"
    return None


def _json(http_url: str, method: str, path: str, timeout: float) -> Any:
    status, body = _request(http_url, method, path, timeout)
    try:
        return json.loads(body)
    except ValueError as error:
        raise ConnectionError(f"{http_url} is not Triton: HTTP status {status}.") from error


def _request(
    http_url: str,
    method: str,
    path: str,
    timeout: float,
    body: bytes = b"",
    headers: dict[str, str] | None = None,
) -> tuple[int, bytes]:
    """One HTTP exchange, past any proxy; raises ConnectionError where there is no answer."""
    connection = HTTPConnection(http_url, timeout=timeout)
    try:
        connection.request(method, path, body, headers or {})
        response = connection.getresponse()
        return response.status, response.read()
    except (OSError, HTTPException) as error:
        reason = str(error) or type(error).__name__
        raise ConnectionError(f"no answer from {http_url}: {reason}") from error
    finally:
        connection.close()


def _png(side: int) -> bytes:
    """A grey ramp of side x side pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)  # 8 bits, greyscale
    rows = b"".join(b"\0" + bytes((x + y) % 256 for x in range(side)) for y in range(side))
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )
