"""How many operations a second a library gets out of the cores in a plain product of int8 matrices.

Between this and the limit of the arithmetic (arithmetic.py) lies what it takes to bring the numbers
from memory into registers and back: an encoder made of such products can hardly be above it.
"""

import time

import torch

SHAPES = ((400, 768, 768), (400, 768, 3072), (400, 3072, 768), (1600, 768, 3072))
"""Rows, sums, columns: the products of ViT-B/32 and B/16 for eight frames."""
TRIALS = 30


def int8_operations_a_second(threads: int) -> float:
    """The best of a few products on so many cores: oneDNN's, through PyTorch."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        return max(_measured(*shape) for shape in SHAPES)
    finally:
        torch.set_num_threads(before)


def _measured(rows: int, sums: int, columns: int) -> float:
    left = torch.ones(rows, sums, dtype=torch.int8)
    right = torch.ones(sums, columns, dtype=torch.int8)
    best = float("inf")
    for _ in range(TRIALS):
        started = time.perf_counter()
        # There is no public one.
        torch._int_mm(left, right)  # pyright: ignore[reportPrivateUsage, reportPrivateImportUsage]
        best = min(best, time.perf_counter() - started)
    return 2 * rows * sums * columns / best
