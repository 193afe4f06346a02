"""What one answer costs. B clips, T frames, S side in pixels, K classes."""

import statistics
import time
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from training.action_model import ActionModel
from training.evaluation.metrics import Cost
from training.held_out import ViewSet

BATCH = 8
REPEATS = 5


@torch.inference_mode()
def cost_of(model: ActionModel, name: str, views: ViewSet) -> Cost:
    """Of a variant, from pixels to logits, measured on held-out clips.

    A multiplication and an addition count as two operations.
    """
    variant = model.variant(name)
    device = next(variant.parameters()).device
    batch = min(BATCH, len(views))
    frames = torch.from_numpy(views.frames[:batch, 0]).to(device)  # (B, T, S, S, 3)
    times = views.times[:batch, 0].to(device)  # (B, T)
    with FlopCounterMode(display=False) as counter:
        variant(frames[:1], times[:1])
    served: list[Any] = [
        variant.clip.vision_model, variant.clip.visual_projection, variant.temporal, variant.head
    ]  # fmt: skip
    seconds: list[float] = []
    for _ in range(REPEATS):
        started = time.perf_counter()
        variant(frames, times).logits.cpu()
        seconds.append(time.perf_counter() - started)
    return Cost(
        parameters=sum(p.numel() for module in served for p in module.parameters()),
        gflops_per_view=round(counter.get_total_flops() / 1e9, 4),
        views=views.times.shape[1],
        batch=batch,
        ms_per_clip=round(1000 * statistics.median(seconds) / batch, 3),
        device=str(device),
    )
