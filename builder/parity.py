"""Proof by numbers that the graphs equal the trained model, on real clips.

B clips (always one here), T frames, S side in pixels, D embedding, K classes,
N texts, L tokens.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from builder.engines.engine import Session
from builder.graphs import VARIANT_GRAPHS
from builder.profile import Budget
from clip_har.contract import (
    CLIP_EMBED,
    FRAMES,
    PROBS,
    TEXT_EMBED,
    TEXT_ENCODER,
    TIMES,
    TOKENS,
    VISION_ENCODER,
    ServedModel,
)
from clip_har.nn.model import CLIPHARModel
from clip_har.spec import TemporalKind

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Answer:
    """What one engine says of one clip."""

    embedding: Array
    """Clip embedding, (D,)."""
    probs: Array
    """Class probabilities, (K,)."""


@dataclass
class Parity:
    """How far an engine's answers are from the trained model's, over all clips."""

    clips: int = 0
    """Clips compared."""
    max_probability_error: float = 0.0
    """Largest absolute difference of a probability."""
    min_cosine: float = 1.0
    """Smallest cosine between embeddings."""
    top1_agreement: float = 1.0
    """Share of videos on which both name the same class first."""
    _agreed: list[bool] = field(default_factory=list[bool], repr=False)

    def add(self, reference: Answer, candidate: Answer, *, still: bool = False) -> None:
        """Takes one more clip into account.

        A still picture says little of an action, so which class comes first is often a near tie;
        its probabilities and its embedding are held to the budget all the same.
        """
        error = float(np.abs(reference.probs - candidate.probs).max())
        cosine = float(reference.embedding @ candidate.embedding)
        if not still:
            self._agreed.append(bool(reference.probs.argmax() == candidate.probs.argmax()))
            self.top1_agreement = sum(self._agreed) / len(self._agreed)
        self.clips += 1
        # NaN compares false with everything: turn it into the worst value, not into no difference.
        self.max_probability_error = max(self.max_probability_error, _or_worst(error, np.inf))
        self.min_cosine = min(self.min_cosine, _or_worst(cosine, -1.0))

    def check(self, name: str, budget: Budget, *, trained: bool) -> None:
        """Raises ValueError where the engines lost more than the budget allows.

        Which class is first means nothing of random weights.
        """
        faults = []
        if self.max_probability_error > budget.max_probability_error:
            faults.append(
                f"probability error {self.max_probability_error:.2e} (at most "
                f"{budget.max_probability_error:g})"
            )
        if self.min_cosine < budget.min_cosine:
            faults.append(f"cosine {self.min_cosine:.6f} (at least {budget.min_cosine})")
        least = budget.least_agreement(len(self._agreed))
        if trained and self.top1_agreement < least:
            faults.append(f"top-1 agreement {self.top1_agreement:.4f} (at least {least:.4g})")
        if faults or not self.clips:
            raise ValueError(
                f"{name}: the engines do not equal the trained model on {self.clips} clips: "
                f"{'; '.join(faults) or 'nothing was compared'}. Nothing is published."
            )

    def as_table(self) -> dict[str, float]:
        """The figures for a manifest."""
        return {
            "clips": self.clips,
            "max_probability_error": self.max_probability_error,
            "min_cosine": self.min_cosine,
            "top1_agreement": self.top1_agreement,
        }


class Chain:
    """The engines of a repository, run one after the other as an ensemble does."""

    def __init__(self, sessions: Mapping[ServedModel, Session]) -> None:
        self.sessions = sessions

    def answer(self, kind: TemporalKind, frames: NDArray[np.uint8], times: Array) -> Answer:
        """Frames (T, S, S, 3) and their seconds (T,) to a variant's answer."""
        pool, classifier, *_ = VARIANT_GRAPHS[kind]
        tensors: dict[str, Any] = {
            FRAMES.name: frames[None],
            TIMES.name: times[None],
        }
        for model in (VISION_ENCODER, pool, classifier):
            feeds = {tensor.name: tensors[tensor.name] for tensor in model.inputs}
            tensors |= self.sessions[model].run(feeds)
        return Answer(tensors[CLIP_EMBED.name][0], tensors[PROBS.name][0])

    def texts(self, tokens: NDArray[np.int64]) -> Array:
        """Token ids (N, L) to text embeddings (N, D)."""
        return self.sessions[TEXT_ENCODER].run({TOKENS.name: tokens})[TEXT_EMBED.name]


@torch.inference_mode()
def check_texts(model: CLIPHARModel, chain: Chain, tokens: Tensor, budget: Budget) -> None:
    """Compares embeddings of texts (N, L); raises ValueError where they differ too much."""
    pairs = zip(model.encode_texts(tokens).numpy(), chain.texts(tokens.numpy()), strict=True)
    cosine = min(_or_worst(float(trained @ exported), -1.0) for trained, exported in pairs)
    if cosine < budget.min_cosine:
        raise ValueError(
            f"{TEXT_ENCODER.name}: the graph does not equal the trained model on {len(tokens)} "
            f"texts: cosine {cosine:.6f} (at least {budget.min_cosine}). Nothing is published."
        )


@torch.inference_mode()
def torch_answer(model: CLIPHARModel, frames: NDArray[np.uint8], times: Array) -> Answer:
    """Frames (T, S, S, 3) and their seconds (T,) to the trained model's answer."""
    seen = model(torch.from_numpy(frames.copy())[None], torch.from_numpy(times)[None])
    return Answer(seen.embedding[0].numpy(), seen.probs[0].numpy())


def _or_worst(value: float, worst: float) -> float:
    return value if np.isfinite(value) else worst
