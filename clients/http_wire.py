"""Questions and answers as Triton's HTTP bodies: a JSON head, then the tensors in binary."""

import json
from collections.abc import Mapping
from typing import Any

from clients.query import Query, Region, Tensor, Tensors, array_from_content

HEAD_LENGTH = "Inference-Header-Content-Length"
"""The header that says where the JSON ends."""


def body_from_query(query: Query) -> tuple[dict[str, str], bytes]:
    """Headers and body of an inference."""
    head: dict[str, Any] = {
        "inputs": [_input(tensor) for tensor in query.inputs],
        "outputs": [
            {"name": output.name, "parameters": _wanted(query.class_count)}
            for output in query.outputs
        ],
    }
    if query.sequence:
        head["parameters"] = {
            "sequence_id": query.sequence.id,
            "sequence_start": query.sequence.start,
            "sequence_end": query.sequence.end,
        }
    written = json.dumps(head).encode()
    contents = [one.content for one in query.inputs if isinstance(one.content, bytes)]
    return {HEAD_LENGTH: str(len(written))}, b"".join([written, *contents])


def _wanted(class_count: int) -> dict[str, Any]:
    return {"binary_data": True} | ({"classification": class_count} if class_count else {})


def _input(tensor: Tensor) -> dict[str, Any]:
    if isinstance(tensor.content, Region):
        place: dict[str, Any] = {
            "shared_memory_region": tensor.content.name,
            "shared_memory_byte_size": tensor.byte_size,
        }
    else:
        place = {"binary_data_size": tensor.byte_size}
    spec = tensor.spec
    return {"name": spec.name, "datatype": spec.dtype, "shape": tensor.shape, "parameters": place}


def tensors_from_body(headers: Mapping[str, str], body: bytes) -> Tensors:
    """The outputs of an answer; raises ValueError for a body that is not Triton's."""
    length = int(headers[HEAD_LENGTH])
    place = length
    tensors: dict[str, Any] = {}
    for told in json.loads(body[:length])["outputs"]:
        size = told["parameters"]["binary_data_size"]
        content = body[place : place + size]
        tensors[told["name"]] = array_from_content(told["datatype"], told["shape"], content)
        place += size
    return tensors


def error_from_body(body: bytes) -> str:
    """What the server says is wrong."""
    try:
        return str(json.loads(body)["error"])
    except (ValueError, LookupError, TypeError):
        return body.decode(errors="replace").strip()[:500] or "no reason given"
