"""The measured limit."""

import pytest

from builder.arithmetic import INSTRUCTIONS, operations_a_second
from builder.cpu import cpu_flags, cpu_name


@pytest.mark.parametrize("kind", INSTRUCTIONS)
def test_what_the_cpu_can_multiply_is_measured_and_nothing_else(kind: str) -> None:
    able = any(instruction.flag in cpu_flags() for instruction in INSTRUCTIONS[kind])
    limit = operations_a_second(kind, 1, cpu_flags())
    assert (limit is not None) == able
    assert limit is None or limit > 1e8


def test_a_cpu_without_the_instruction_has_no_limit() -> None:
    assert operations_a_second("int8", 1, frozenset({"sse2"})) is None


def test_the_cpu_has_a_name() -> None:
    assert cpu_name()
