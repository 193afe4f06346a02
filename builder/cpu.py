"""What the CPU is, as Linux tells it."""

import os
from collections.abc import Iterable
from functools import cache
from pathlib import Path

CPU_INFO = Path("/proc/cpuinfo")
BF16_FLAGS = ("avx512_bf16", "amx_bf16")
ONEDNN_INT8_FLAGS = ("avx512bw", "avx_vnni", "amx_int8")
"""One of these is what oneDNN, under OpenVINO and PyTorch, has fast int8 products for."""
INT8_FLAGS = ("avx512_vnni", "avx_vnni", "amx_int8")
"""One of these adds products of bytes in 32 bits; without, sums of two are cut at 16."""


@cache
def cpu_flags() -> frozenset[str]:
    """Features such as `avx512_vnni`; none where Linux does not name them."""
    return frozenset(_field("flags").split())


@cache
def cpu_name() -> str:
    """Such as `AMD EPYC`."""
    return _field("model name") or "unknown CPU"


def has_bf16() -> bool:
    """Whether the CPU multiplies bf16 numbers."""
    return not cpu_flags().isdisjoint(BF16_FLAGS)


def has_onednn_int8() -> bool:
    """Whether oneDNN multiplies int8 numbers faster than fp32 ones."""
    return not cpu_flags().isdisjoint(ONEDNN_INT8_FLAGS)


def flags_of_proof(flags: Iterable[str]) -> tuple[str, ...]:
    """Those of the flags that this CPU has: what is proved here is proved with them."""
    return tuple(flag for flag in flags if flag in cpu_flags())


def usable_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0))


def _field(name: str) -> str:
    lines = CPU_INFO.read_text().splitlines() if CPU_INFO.exists() else []
    found = (line.partition(":")[2].strip() for line in lines if line.split(":")[0].strip() == name)
    return next(found, "")
