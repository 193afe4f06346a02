"""Temperatures fitted again behind a served encoder: rounding shifts how sure a model is."""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from builder.checkpoints import Variants
from builder.engines.engine import Session
from builder.held_out import frame_embeds_of_clips
from clip_har.nn.head import fitted_temperature
from clip_har.spec import TemporalKind


def temperatures_behind(
    encoder: Session, variants: Variants, frames: np.ndarray, times: Tensor, truth: Tensor
) -> dict[TemporalKind, float]:
    """Each variant's temperature on validation clips (C, T, S, S, 3) that `encoder` has seen."""
    embeds = frame_embeds_of_clips(encoder, frames)  # (C, T, D)
    fitted: dict[TemporalKind, float] = {}
    for kind, model in variants.models.items():
        with torch.no_grad():
            logits = model.recognise(embeds, times).logits
        fitted[kind] = fitted_temperature(logits, truth)
    return fitted


def set_temperatures(variants: Variants, temperatures: Mapping[TemporalKind, float]) -> None:
    """Makes them the models' own, for what is exported next."""
    for kind, temperature in temperatures.items():
        model = variants.models[kind]
        model.spec = model.spec.model_copy(update={"temperature": temperature})
