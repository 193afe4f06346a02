"""The measured limit."""

import pytest

from builder.arithmetic import INSTRUCTIONS, TileInstruction, operations_a_second, tile_shapes
from builder.cpu import cpu_flags, cpu_name


@pytest.mark.parametrize("kind", INSTRUCTIONS)
def test_what_the_cpu_can_multiply_is_measured_and_nothing_else(kind: str) -> None:
    able = any(instruction.flag in cpu_flags() for instruction in INSTRUCTIONS[kind])
    limit = operations_a_second(kind, 1, cpu_flags())
    assert (limit is not None) == able
    assert limit is None or limit > 1e8


@pytest.mark.skipif(not {"avx2", "fma"} <= cpu_flags(), reason="this CPU has no AVX2")
def test_bytes_are_multiplied_without_vnni_too() -> None:
    int8, fp32 = (
        operations_a_second(kind, 1, frozenset({"avx2", "fma"})) for kind in ("int8", "fp32")
    )
    assert int8 is not None
    assert fp32 is not None
    assert int8 < 4 * fp32, "twice by the book: was the loop cut?"


def test_tiles_are_left_out_where_only_vectors_count() -> None:
    vector = [i for i in INSTRUCTIONS["int8"] if not isinstance(i, TileInstruction)]
    able = any(instruction.flag in cpu_flags() for instruction in vector)
    assert (operations_a_second("int8", 1, cpu_flags(), tiles=False) is not None) == able


def test_tiles_are_described_as_the_cpu_reads_them() -> None:
    shapes = tile_shapes()
    assert len(shapes) == 64
    assert shapes[0] == 1  # the palette
    assert list(shapes[16:32]) == [64, 0] * 8  # bytes of a row, 16 bits each
    assert list(shapes[48:56]) == [16] * 8  # rows


def test_a_cpu_without_the_instruction_has_no_limit() -> None:
    assert operations_a_second("int8", 1, frozenset({"sse2"})) is None


def test_the_cpu_has_a_name() -> None:
    assert cpu_name()
