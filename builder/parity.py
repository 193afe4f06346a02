"""Proof by numbers that the graphs equal the trained model, on real clips.

B clips (always one here), T frames, S side in pixels, D embedding, K classes,
N texts, L tokens.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from builder.checkpoints import Variants
from builder.comparison import max_difference, min_cosine
from builder.engines.engine import Session
from builder.graphs import PUBLIC, VARIANT_GRAPHS
from builder.profile import Budget
from clip_har.contract import (
    CLIP_EMBED,
    FRAMES,
    HAR_ENSEMBLE,
    MIXTURE,
    PROBS,
    TEXT_EMBED,
    TEXT_ENCODER,
    TIMES,
    TOKENS,
    VISION_ENCODER,
    ServedModel,
)

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Answer:
    """What one engine says of one clip."""

    probs: Array
    """Class probabilities, (K,)."""
    embedding: Array | None = None
    """Clip embedding, (D,); the ensemble has none of its own."""


@dataclass
class Parity:
    """How far an engine's answers are from the trained model's, over all clips."""

    exact: list[Answer] = field(default_factory=list[Answer], repr=False)
    """The trained model's."""
    given: list[Answer] = field(default_factory=list[Answer], repr=False)
    """The engine's, on the same clips."""
    stills: list[bool] = field(default_factory=list[bool], repr=False)
    """Which of the clips are still pictures."""

    def add(self, reference: Answer, candidate: Answer, *, still: bool = False) -> None:
        """Takes one more clip into account.

        A still picture says little of an action, so which class comes first is often a near tie;
        its probabilities and its embedding are held to the budget all the same.
        """
        self.exact.append(reference)
        self.given.append(candidate)
        self.stills.append(still)

    @property
    def clips(self) -> int:
        """Clips compared."""
        return len(self.exact)

    @cached_property
    def max_probability_error(self) -> float:
        """Largest absolute difference of a probability, once all clips are there."""
        return max_difference([one.probs for one in self.exact], [one.probs for one in self.given])

    @cached_property
    def min_cosine(self) -> float:
        """Smallest cosine between embeddings; 1 of a model that has none."""
        pairs = [
            (exact.embedding, given.embedding)
            for exact, given in zip(self.exact, self.given, strict=True)
            if exact.embedding is not None and given.embedding is not None
        ]
        return min_cosine(*zip(*pairs, strict=True)) if pairs else 1.0

    @property
    def agreed(self) -> list[bool]:
        """For each video whether both name the same class first."""
        return [
            bool(exact.probs.argmax() == given.probs.argmax())
            for exact, given, still in zip(self.exact, self.given, self.stills, strict=True)
            if not still
        ]

    @property
    def top1_agreement(self) -> float:
        """Share of videos on which both name the same class first."""
        return sum(self.agreed) / len(self.agreed) if self.agreed else 1.0

    def check(self, name: str, budget: Budget, *, trained: bool) -> None:
        """Raises ValueError where the engines lost more than the budget allows.

        Which class is first means nothing of random weights.
        """
        faults: list[str] = [] if self.clips else ["nothing was compared"]
        if self.clips and self.max_probability_error > budget.max_probability_error:
            faults.append(
                f"probability error {self.max_probability_error:.2e} (at most "
                f"{budget.max_probability_error:g})"
            )
        if self.min_cosine < budget.min_cosine:
            faults.append(f"cosine {self.min_cosine:.6f} (at least {budget.min_cosine})")
        least = budget.least_agreement(len(self.agreed))
        if trained and self.top1_agreement < least:
            faults.append(f"top-1 agreement {self.top1_agreement:.4f} (at least {least:.4g})")
        if faults:
            raise ValueError(
                f"{name}: the engines do not equal the trained model on {self.clips} clips: "
                f"{'; '.join(faults)}. Nothing is published."
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

    def answers(
        self, variants: Variants, frames: NDArray[np.uint8], times: Array
    ) -> dict[str, Answer]:
        """Frames (T, S, S, 3) and their seconds (T,) to the answer of each public model."""
        start: dict[str, Any] = {FRAMES.name: frames[None], TIMES.name: times[None]}
        encoded = self._run((VISION_ENCODER,), start)
        told: dict[str, Answer] = {}
        for kind in variants.models:
            pool, classifier, *_ = VARIANT_GRAPHS[kind]
            tensors = self._run((pool, classifier), encoded)
            told[PUBLIC[kind].name] = Answer(tensors[PROBS.name][0], tensors[CLIP_EMBED.name][0])
        if variants.mixture:
            mixed = self._run((MIXTURE,), encoded)
            told[HAR_ENSEMBLE.name] = Answer(mixed[PROBS.name][0])
        return told

    def _run(self, models: Iterable[ServedModel], tensors: dict[str, Any]) -> dict[str, Any]:
        """All tensors after some graphs, each taking what it needs of those before."""
        for model in models:
            feeds = {tensor.name: tensors[tensor.name] for tensor in model.inputs}
            tensors = tensors | self.sessions[model].run(feeds)
        return tensors

    def texts(self, tokens: NDArray[np.int64]) -> Array:
        """Token ids (N, L) to text embeddings (N, D)."""
        return self.sessions[TEXT_ENCODER].run({TOKENS.name: tokens})[TEXT_EMBED.name]


@torch.inference_mode()
def class_text_embeds(variants: Variants, chain: Chain) -> tuple[Tensor, Tensor]:
    """The sentences of all classes by the trained model and by its engine, (N, D) each."""
    tokens = variants.class_tokens()
    return variants.any_model.encode_texts(tokens), torch.from_numpy(chain.texts(tokens.numpy()))


def check_texts(exact: Tensor, given: Tensor, budget: Budget) -> None:
    """Compares embeddings of texts (N, D); raises ValueError where they differ too much."""
    cosine = min_cosine(list(exact.numpy()), list(given.numpy()))
    if cosine < budget.min_cosine:
        raise ValueError(
            f"{TEXT_ENCODER.name}: the graph does not equal the trained model on {len(exact)} "
            f"texts: cosine {cosine:.6f} (at least {budget.min_cosine}). Nothing is published."
        )


@torch.inference_mode()
def torch_answers(
    variants: Variants,
    frames: NDArray[np.uint8],
    times: Array,
    frame_embeds: Tensor | None = None,
) -> dict[str, Answer]:
    """Frames (T, S, S, 3) and their seconds (T,) to the trained models' answers, by public name.

    `frame_embeds` (1, T, D) are those of the frames where they are known already.
    """
    if frame_embeds is None:
        frame_embeds = variants.any_model.encode_frames(torch.from_numpy(frames.copy())[None])
    seconds = torch.from_numpy(times)[None]
    told: dict[str, Answer] = {}
    for kind, model in variants.models.items():
        seen = model.recognise(frame_embeds, seconds)
        told[PUBLIC[kind].name] = Answer(seen.probs[0].numpy(), seen.embedding[0].numpy())
    if variants.mixture:
        told[HAR_ENSEMBLE.name] = Answer(variants.mixture(frame_embeds, seconds)[0].numpy())
    return told
