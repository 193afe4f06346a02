"""How many operations a second the cores can do at most, measured with a loop of nothing else.

The loop is LLVM's, so it needs no compiler on the machine: independent sums in vector registers or
in tiles, one instruction each, or three where the CPU has none for bytes. A multiplication and an
addition count as two operations.
"""

import ctypes
import struct
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from typing import Any

SUMS = 12  # independent ones: enough to hide an instruction's latency; AVX2 has 16 registers
VECTOR_STEPS = 5_000_000
TILE_STEPS = 400_000
TRIALS = 7

V8F32, V16F32 = "<8 x float>", "<16 x float>"
TILES = 8
SUM_TILES = 6
TILE_ROWS, TILE_ROW_BYTES = 16, 64
ARCH_PRCTL, REQUEST_PERMISSION, TILE_DATA = 158, 0x1023, 18
"""Linux gives tiles to a process that asks for them."""


@dataclass(frozen=True, slots=True)
class Instruction:
    """A vector instruction, or a few that belong together, that add products to sums."""

    flag: str
    """CPU feature that it needs, as /proc/cpuinfo names it."""
    sums: str
    """LLVM's type of a vector of sums."""
    factor: str
    """LLVM's type of a vector that is multiplied."""
    operations: int
    """Additions and multiplications of one step."""
    declared: str
    """LLVM's declarations of what `step` calls."""
    step: str
    """LLVM's text that makes the sums %t{n} of the sums %s{n} and the factor %x."""


@dataclass(frozen=True, slots=True)
class TileInstruction:
    """One that multiplies tiles of 16 rows of 64 bytes, and adds to a third tile."""

    flag: str
    """CPU feature that it needs, as /proc/cpuinfo names it."""
    name: str
    """LLVM's name of it."""
    operations: int
    """Additions and multiplications of one instruction."""


def _fused(
    flag: str, name: str, sums: str, factor: str, operations: int, *, sum_first: bool = True
) -> Instruction:
    """One instruction that multiplies and adds; the sum is its first operand, or its last."""
    types = (sums, factor, factor) if sum_first else (factor, factor, sums)
    values = ("%s{n}", "%x", "%x") if sum_first else ("%x", "%x", "%s{n}")
    operands = ", ".join(f"{t} {value}" for t, value in zip(types, values, strict=True))
    declared = f"declare {sums} @{name}({', '.join(types)})"
    return Instruction(
        flag, sums, factor, operations, declared, f"%t{{n}} = call {sums} @{name}({operands})"
    )


def _int8_by_words(flag: str, bits: int, to_words: str, to_sums: str) -> Instruction:
    """Bytes to words, words to sums, and to the sums before: what CPUs without VNNI do instead."""
    factor, words, sums = f"<{bits // 8} x i8>", f"<{bits // 16} x i16>", f"<{bits // 32} x i32>"
    declared = (
        f"declare {words} @{to_words}({factor}, {factor})\n"
        f"declare {sums} @{to_sums}({words}, {words})"
    )
    # The sum is a factor, too: products of %x alone would be taken out of the loop.
    step = f"""\
  %b{{n}} = bitcast {sums} %s{{n}} to {factor}
  %p{{n}} = call {words} @{to_words}({factor} %b{{n}}, {factor} %x)
  %y{{n}} = bitcast {factor} %x to {words}
  %w{{n}} = call {sums} @{to_sums}({words} %p{{n}}, {words} %y{{n}})
  %t{{n}} = add {sums} %s{{n}}, %w{{n}}"""
    return Instruction(flag, sums, factor, bits // 4, declared, step)


INSTRUCTIONS: dict[str, tuple[Instruction | TileInstruction, ...]] = {
    "fp32": (
        _fused("avx512f", "llvm.fma.v16f32", V16F32, V16F32, 32, sum_first=False),
        _fused("fma", "llvm.fma.v8f32", V8F32, V8F32, 16, sum_first=False),
    ),
    "bf16": (
        TileInstruction("amx_bf16", "llvm.x86.tdpbf16ps", 2 * 16 * 16 * 32),
        _fused("avx512_bf16", "llvm.x86.avx512bf16.dpbf16ps.512", V16F32, "<32 x bfloat>", 64),
    ),
    "int8": (
        TileInstruction("amx_int8", "llvm.x86.tdpbusd", 2 * 16 * 16 * 64),
        _fused("avx512_vnni", "llvm.x86.avx512.vpdpbusd.512", "<16 x i32>", "<64 x i8>", 128),
        _fused("avx_vnni", "llvm.x86.avx512.vpdpbusd.256", "<8 x i32>", "<32 x i8>", 64),
        _int8_by_words(
            "avx512bw", 512, "llvm.x86.avx512.pmaddubs.w.512", "llvm.x86.avx512.pmaddw.d.512"
        ),
        _int8_by_words("avx2", 256, "llvm.x86.avx2.pmadd.ub.sw", "llvm.x86.avx2.pmadd.wd"),
    ),
}
"""What each kind of number is multiplied with, the fastest first."""

Loop = Callable[[], int]
"""Runs one core's share on the calling thread and tells how many operations that was."""


def operations_a_second(
    kind: str, threads: int, flags: frozenset[str], *, tiles: bool = True
) -> float | None:
    """The limit of `threads` cores at once for `fp32`, `bf16` or `int8`; `flags` are the CPU's.

    None where the CPU has no instruction for them, and gains nothing from such numbers. Without
    `tiles`, only its vector registers count.
    """
    for instruction in INSTRUCTIONS[kind]:
        if isinstance(instruction, TileInstruction) and not tiles:
            continue
        if instruction.flag in flags:
            return _measured(_loop(instruction), threads)
    return None


def _measured(loop: Loop, threads: int) -> float:
    """The best of a few trials: anything that the machine does beside only slows it."""
    loop()
    best = 0.0
    with ThreadPoolExecutor(threads) as pool:
        for _ in range(TRIALS):
            started = time.perf_counter()
            runs = [pool.submit(loop) for _ in range(threads)]
            done = sum(run.result() for run in runs)
            best = max(best, done / (time.perf_counter() - started))
    return best


@cache
def _loop(instruction: Instruction | TileInstruction) -> Loop:
    if isinstance(instruction, TileInstruction):
        ctypes.CDLL(None).syscall(ARCH_PRCTL, REQUEST_PERMISSION, TILE_DATA)
        memory = ctypes.create_string_buffer(tile_shapes())
        text, steps, sums = _tile_assembly(instruction), TILE_STEPS, SUM_TILES
    else:
        memory = ctypes.create_string_buffer(64 * SUMS)
        text, steps, sums = _vector_assembly(instruction), VECTOR_STEPS, SUMS
    run = _compiled(text)

    def loop() -> int:
        run(steps, ctypes.addressof(memory))
        return steps * sums * instruction.operations

    return loop


def _compiled(text: str) -> Callable[[int, int], None]:
    """LLVM's text of `void loop(i64 steps, ptr memory)` as a function without Python's lock."""
    import llvmlite.binding as llvm

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    machine = llvm.Target.from_default_triple().create_target_machine(
        cpu=llvm.get_host_cpu_name(), features=llvm.get_host_cpu_features().flatten(), opt=2
    )
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(text), machine)
    engine.finalize_object()
    entry = engine.get_function_address("loop")
    function: Any = ctypes.CFUNCTYPE(None, ctypes.c_int64, ctypes.c_void_p)(entry)

    def run(steps: int, memory: int, _engine: Any = engine) -> None:  # it owns the code
        function(steps, memory)

    return run


def tile_shapes() -> bytes:
    """What `ldtilecfg` reads: palette 1, then the bytes of a row and the rows of each tile."""
    rows = [TILE_ROW_BYTES] * TILES + [0] * TILES
    return struct.pack("<BB14x16H8B8x", 1, 0, *rows, *[TILE_ROWS] * TILES)


def _tile_assembly(instruction: TileInstruction) -> str:
    """LLVM's text for tiles: sums in the first ones, the last two are multiplied."""
    multiply = f"call void @{instruction.name}(i8 {{}}, i8 {TILES - 2}, i8 {TILES - 1})"
    lines = [
        "declare void @llvm.x86.ldtilecfg(ptr)",
        "declare void @llvm.x86.tilerelease()",
        "declare void @llvm.x86.tilezero(i8)",
        f"declare void @{instruction.name}(i8, i8, i8)",
        "define void @loop(i64 %steps, ptr %memory) {",
        "entry:",
        "  call void @llvm.x86.ldtilecfg(ptr %memory)",
        *(f"  call void @llvm.x86.tilezero(i8 {n})" for n in range(TILES)),
        "  br label %body",
        "body:",
        "  %i = phi i64 [ 0, %entry ], [ %next, %body ]",
        *(f"  {multiply.format(n)}" for n in range(SUM_TILES)),
        "  %next = add i64 %i, 1",
        "  %more = icmp slt i64 %next, %steps",
        "  br i1 %more, label %body, label %end",
        "end:",
        "  call void @llvm.x86.tilerelease()",
    ]
    return "\n".join([*lines, "  ret void", "}"])


def _vector_assembly(instruction: Instruction) -> str:
    """LLVM's text for vectors; what it sums is stored, so it is not cut."""
    sums, numbers = instruction.sums, range(SUMS)
    return "\n".join(
        [
            instruction.declared,
            "define void @loop(i64 %steps, ptr %memory) {",
            "entry:",
            f"  %x = load volatile {instruction.factor}, ptr %memory, align 1",
            "  br label %body",
            "body:",
            "  %i = phi i64 [ 0, %entry ], [ %next, %body ]",
            *(
                f"  %s{n} = phi {sums} [ zeroinitializer, %entry ], [ %t{n}, %body ]"
                for n in numbers
            ),
            *(instruction.step.format(n=n) for n in numbers),
            "  %next = add i64 %i, 1",
            "  %more = icmp slt i64 %next, %steps",
            "  br i1 %more, label %body, label %end",
            "end:",
            *(f"  store volatile {sums} %t{n}, ptr %memory, align 1" for n in numbers),
            "  ret void",
            "}",
        ]
    )
