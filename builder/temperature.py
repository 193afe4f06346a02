"""Temperatures fitted again behind a served encoder: rounding shifts how sure a model is."""

import numpy as np
import torch
from torch import Tensor

from builder.checkpoints import Variants, member_name
from builder.engines.engine import Session
from builder.graphs import PUBLIC
from builder.held_out import frame_embeds_of_clips
from clip_har.nn.head import fitted_temperature


def temperatures_behind(
    encoder: Session, variants: Variants, frames: np.ndarray, times: Tensor, truth: Tensor
) -> dict[str, float]:
    """All temperatures on validation clips (C, T, S, S, 3) that `encoder` has seen.

    Their names are those of `Variants.temperatures`.
    """
    embeds = frame_embeds_of_clips(encoder, frames)  # (C, T, D)
    with torch.no_grad():
        logits = {
            PUBLIC[kind].name: model.recognise(embeds, times).logits
            for kind, model in variants.models.items()
        }
        if variants.mixture:
            members = variants.mixture.logits(embeds, times)
            logits |= {member_name(name): told for name, told in members.items()}
    return {name: fitted_temperature(told.clone(), truth) for name, told in logits.items()}
