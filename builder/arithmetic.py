"""How many operations a second the cores can do at most, measured with a loop of nothing else.

The loop is LLVM's, so it needs no compiler on the machine: independent sums in vector registers,
one instruction each. A multiplication and an addition count as two operations.
"""

import ctypes
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from typing import Any

SUMS = 16  # independent ones: enough to hide the latency of an instruction
STEPS = 5_000_000
TRIALS = 7


@dataclass(frozen=True, slots=True)
class Instruction:
    """A vector instruction that adds products to sums."""

    flag: str
    """CPU feature that it needs, as /proc/cpuinfo names it."""
    name: str
    """LLVM's name of it."""
    lane: str
    """LLVM's type of a sum."""
    lanes: int
    """Sums of a vector."""
    factor: str
    """LLVM's type of the vectors that are multiplied."""
    operations: int
    """Additions and multiplications of one instruction."""
    sum_first: bool = True
    """Whether the sum is its first operand, or its last."""


INSTRUCTIONS: dict[str, tuple[Instruction, ...]] = {
    "fp32": (
        Instruction("avx512f", "llvm.fma.v16f32", "float", 16, "<16 x float>", 32, False),
        Instruction("fma", "llvm.fma.v8f32", "float", 8, "<8 x float>", 16, False),
    ),
    "bf16": (
        Instruction(
            "avx512_bf16", "llvm.x86.avx512bf16.dpbf16ps.512", "float", 16, "<32 x bfloat>", 64
        ),
    ),
    "int8": (
        Instruction("avx512_vnni", "llvm.x86.avx512.vpdpbusd.512", "i32", 16, "<64 x i8>", 128),
        Instruction("avx_vnni", "llvm.x86.avx512.vpdpbusd.256", "i32", 8, "<32 x i8>", 64),
    ),
}
"""What each kind of number is multiplied with, the fastest first."""


def operations_a_second(kind: str, threads: int, flags: frozenset[str]) -> float | None:
    """The limit of `threads` cores at once for `fp32`, `bf16` or `int8`; `flags` are the CPU's.

    None where the CPU has no instruction for them, and gains nothing from such numbers.
    """
    for instruction in INSTRUCTIONS[kind]:
        if instruction.flag in flags:
            return _measured(_compiled(instruction), instruction.operations, threads)
    return None


def _measured(run: Callable[[int], None], operations: int, threads: int) -> float:
    """The best of a few trials: anything that the machine does beside only slows it."""
    run(STEPS)
    best = 0.0
    with ThreadPoolExecutor(threads) as pool:
        for _ in range(TRIALS):
            started = time.perf_counter()
            list(pool.map(run, [STEPS] * threads))
            spent = time.perf_counter() - started
            best = max(best, threads * STEPS * SUMS * operations / spent)
    return best


@cache
def _compiled(instruction: Instruction) -> Callable[[int], None]:
    """A function that runs STEPS times SUMS of the instruction, without Python's lock."""
    import llvmlite.binding as llvm

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    machine = llvm.Target.from_default_triple().create_target_machine(
        cpu=llvm.get_host_cpu_name(), features=llvm.get_host_cpu_features().flatten(), opt=2
    )
    module = llvm.parse_assembly(_assembly(instruction))
    engine = llvm.create_mcjit_compiler(module, machine)
    engine.finalize_object()
    entry = engine.get_function_address("loop")
    kept: Any = ctypes.CFUNCTYPE(None, ctypes.c_int64, ctypes.c_void_p)(entry)
    sink = ctypes.create_string_buffer(64 * SUMS)

    def run(steps: int, _engine: Any = engine) -> None:  # the code lives as long as its engine
        kept(steps, ctypes.addressof(sink))

    return run


def _assembly(instruction: Instruction) -> str:
    """LLVM's text of `void loop(i64 steps, ptr sink)`; what it sums is stored, so it is not cut."""
    sums = f"<{instruction.lanes} x {instruction.lane}>"
    factor = instruction.factor
    lines = [
        f"declare {sums} @{instruction.name}({_operands(instruction, sums, factor, '', '')})",
        "define void @loop(i64 %steps, ptr %sink) {",
        "entry:",
        f"  %x = load volatile {factor}, ptr %sink, align 1",
        "  br label %body",
        "body:",
        "  %i = phi i64 [ 0, %entry ], [ %next, %body ]",
    ]
    zero = "zeroinitializer"
    lines += [f"  %s{n} = phi {sums} [ {zero}, %entry ], [ %t{n}, %body ]" for n in range(SUMS)]
    lines += [
        f"  %t{n} = call {sums} @{instruction.name}("
        f"{_operands(instruction, sums, factor, f'%s{n}', '%x')})"
        for n in range(SUMS)
    ]
    lines += [
        "  %next = add i64 %i, 1",
        "  %more = icmp slt i64 %next, %steps",
        "  br i1 %more, label %body, label %end",
        "end:",
    ]
    for n in range(SUMS):
        lines += [f"  store volatile {sums} %t{n}, ptr %sink, align 1"]
    return "\n".join([*lines, "  ret void", "}"])


def _operands(instruction: Instruction, sums: str, factor: str, total: str, by: str) -> str:
    both = [f"{factor} {by}".strip()] * 2
    one = f"{sums} {total}".strip()
    return ", ".join([one, *both] if instruction.sum_first else [*both, one])
