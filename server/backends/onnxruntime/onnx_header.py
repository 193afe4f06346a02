"""The versions that stand in an ONNX file, read without the onnx package and without its weights.

A ModelProto is a run of protobuf fields. Two of them matter here; the graph is skipped over.
"""

from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

IR_VERSION, OPSET_IMPORT = 1, 8
"""Field numbers of ModelProto."""
DOMAIN, VERSION = 1, 2
"""Field numbers of OperatorSetIdProto."""


@dataclass(frozen=True)
class OnnxHeader:
    """What a file says of its own format."""

    ir_version: int
    """Version of the file format."""
    opset: int
    """Version of the standard operators; 0 where the file uses none of them."""


def read_header(path: Path) -> OnnxHeader:
    """Reads the versions of an ONNX file; raises ValueError where it is none."""
    ir_version, opset = 0, 0
    try:
        with path.open("rb") as file:
            for number, value in _fields(file, wanted=(IR_VERSION, OPSET_IMPORT)):
                if number == IR_VERSION and isinstance(value, int):
                    ir_version = value
                elif number == OPSET_IMPORT and isinstance(value, bytes):
                    opset = max(opset, _standard_opset(value))
    except EOFError as error:
        raise ValueError(f"{path}: not an ONNX file, or cut short.") from error
    return OnnxHeader(ir_version, opset)


def _standard_opset(message: bytes) -> int:
    fields = dict(_fields(BytesIO(message), wanted=(DOMAIN, VERSION)))
    version = fields.get(VERSION, 0)
    standard = fields.get(DOMAIN, b"") in (b"", b"ai.onnx")
    return version if standard and isinstance(version, int) else 0


def _fields(file: BinaryIO, wanted: tuple[int, ...]) -> list[tuple[int, int | bytes]]:
    """The wanted fields of a message, in the order of the file; the others are skipped unread."""
    found: list[tuple[int, int | bytes]] = []
    end = file.seek(0, 2)
    file.seek(0)
    while file.tell() < end:
        key = _varint(file)
        number, wire_type = key >> 3, key & 7
        if wire_type == 0:
            found.append((number, _varint(file)))
        elif wire_type == 2:
            size = _varint(file)
            if number in wanted:
                found.append((number, file.read(size)))
            elif file.seek(size, 1) > end:
                raise EOFError
        else:
            raise EOFError
    return [field for field in found if field[0] in wanted]


def _varint(file: BinaryIO) -> int:
    value, shift = 0, 0
    while byte := file.read(1):
        value |= (byte[0] & 0x7F) << shift
        if byte[0] < 0x80:
            return value
        shift += 7
    raise EOFError
