"""Where a single process computes; Accelerate decides for those that train together."""

import torch


def best_device() -> str:
    """A GPU where there is one; its random numbers are others than the CPU's."""
    return "cuda" if torch.cuda.is_available() else "cpu"
