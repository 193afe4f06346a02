"""What one answer costs. B clips, T frames, S side in pixels, K classes."""

import statistics
import time
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from training.action_model import ActionModel
from training.evaluation.metrics import Cost
from training.held_out import Views

BATCH = 8
REPEATS = 5


@torch.inference_mode()
def cost_of(model: ActionModel, name: str, views: Views) -> Cost:
    """Of a variant, from pixels to logits.

    A multiplication and an addition count as two operations.
    """
    variant = model.variant(name)
    device = model.clip.logit_scale.device
    shape = (BATCH, views.frames, views.size, views.size, 3)
    frames = torch.zeros(shape, dtype=torch.uint8, device=device)  # (B, T, S, S, 3)
    times = torch.arange(views.frames, device=device).float().expand(BATCH, -1)  # (B, T)
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
        views=views.count,
        batch=BATCH,
        ms_per_clip=round(1000 * statistics.median(seconds) / BATCH, 3),
        device=str(device),
    )
