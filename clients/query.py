"""What can be asked of a server, as plain data; each protocol has its own way to write it down."""

import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from clip_har.contract import Dtype, TensorSpec

Tensors: TypeAlias = "Mapping[str, NDArray[Any]]"
"""The output tensors of an answer by name, each with its batch axis."""

NUMPY_DTYPES: dict[Dtype, str] = {"UINT8": "<u1", "INT64": "<i8", "FP32": "<f4"}
"""Elements of fixed size, as they travel."""
MESSAGE_BYTES = 2**31 - 1
"""Largest message: protobuf's own limit."""
LENGTH = struct.Struct("<I")
"""What stands before each element of BYTES."""


@dataclass(frozen=True, slots=True)
class Region:
    """A piece of system shared memory that the server knows by name."""

    name: str
    """Its name on the server."""
    key: str
    """Its name in the operating system."""
    byte_size: int
    """Bytes of the whole region."""


@dataclass(frozen=True, slots=True)
class Tensor:
    """An input tensor."""

    spec: TensorSpec
    """Name and type."""
    shape: tuple[int, ...]
    """With the batch axis."""
    content: bytes | Region
    """Its elements as they travel, or where they lie."""

    @property
    def byte_size(self) -> int:
        """Bytes of its elements."""
        if isinstance(self.content, bytes):
            return len(self.content)
        return math.prod(self.shape) * np.dtype(NUMPY_DTYPES[self.spec.dtype]).itemsize


@dataclass(frozen=True, slots=True)
class Output:
    """An output tensor that is wanted."""

    spec: TensorSpec
    """Name and type."""
    class_count: int = 0
    """Above 0: that many `score:index:label`, best first, instead of its values."""


@dataclass(frozen=True, slots=True)
class SequenceStep:
    """The place of a request in a sequence."""

    id: int
    """The sequence, from 1."""
    start: bool
    """True for its first request."""
    end: bool
    """True for its last one."""


@dataclass(frozen=True, slots=True)
class Query:
    """One inference."""

    model: str
    """Served model."""
    inputs: tuple[Tensor, ...]
    """What it is given."""
    outputs: tuple[Output, ...]
    """What is wanted of its outputs."""
    sequence: SequenceStep | None = None
    """For a model that keeps state between requests."""
    parameters: Mapping[str, str] = field(default_factory=dict[str, str])
    """Its own, beside its inputs."""


@dataclass(frozen=True, slots=True)
class Command:
    """A question about the server itself, or an order to it."""

    rpc: str
    """Its name over gRPC."""
    verb: str
    """Its method over HTTP."""
    path: str
    """Its address over HTTP."""
    fields: Mapping[str, str | int]
    """Its parameters."""


SERVER_METADATA = Command("ServerMetadata", "GET", "/v2", {})


def registration(region: Region) -> Command:
    """Lets the server read a region."""
    path = f"/v2/systemsharedmemory/region/{region.name}/register"
    fields = {"name": region.name, "key": region.key, "byte_size": region.byte_size}
    return Command("SystemSharedMemoryRegister", "POST", path, fields)


def unregistration(region: Region) -> Command:
    """Lets the server forget a region."""
    path = f"/v2/systemsharedmemory/region/{region.name}/unregister"
    return Command("SystemSharedMemoryUnregister", "POST", path, {"name": region.name})


def tensor_from_bytes(spec: TensorSpec, rows: Sequence[Sequence[bytes]]) -> Tensor:
    """A tensor of BYTES, (B, N) elements."""
    content = b"".join(part for row in rows for one in row for part in (LENGTH.pack(len(one)), one))
    return Tensor(spec, (len(rows), len(rows[0])), content)


def tensor_from_array(spec: TensorSpec, values: NDArray[Any]) -> Tensor:
    """A tensor of numbers; `values` has the batch axis."""
    return Tensor(spec, values.shape, values.astype(NUMPY_DTYPES[spec.dtype]).tobytes())


def array_from_content(dtype: str, shape: Sequence[int], content: bytes) -> NDArray[Any]:
    """An output tensor; BYTES become objects of bytes."""
    if dtype != "BYTES":
        return np.frombuffer(content, NUMPY_DTYPES[dtype]).reshape(shape)  # pyright: ignore[reportArgumentType]
    elements: list[bytes] = []
    place = 0
    while place < len(content):
        (length,) = LENGTH.unpack_from(content, place)
        place += LENGTH.size
        elements.append(content[place : place + length])
        place += length
    return np.array(elements, dtype=object).reshape(shape)
