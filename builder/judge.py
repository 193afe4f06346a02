"""What a graph of a candidate says of held-out clips, against what the trained model says.

C clips, T frames, D embedding, K classes.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from builder.checkpoints import Variants
from builder.engines.engine import Array, Session, Tensors
from builder.gate import Figures, class_figures, cosine_figures
from builder.graphs import VARIANT_GRAPHS
from builder.held_out import HeldOut, frame_embeds_of_clips
from clip_har.contract import (
    CLIP_EMBED,
    EMBEDDINGS,
    FRAME_EMBEDS,
    FRAMES,
    MIXTURE,
    PROBS,
    SCORES,
    SIMILARITY,
    TEXT_EMBED,
    TEXT_ENCODER,
    TIMES,
    TOKENS,
    VISION_ENCODER,
    ServedModel,
)
from clip_har.nn.head import probabilities
from clip_har.spec import TemporalKind

VARIANT_GRAPHS_OF: Mapping[TemporalKind, tuple[ServedModel, ...]] = {
    kind: tuple(graphs) for kind, graphs in VARIANT_GRAPHS.items()
}
"""The graphs of a variant: first the pooling, then the classifier."""


@dataclass(frozen=True)
class Judge:
    """The trained models, the clips, and what the former say of the latter."""

    variants: Variants
    """What every candidate is to equal."""
    held_out: HeldOut
    """Clips that none of them learned from."""

    def figures(self, model: ServedModel, session: Session) -> Figures:
        """How far a session of a graph is from the trained model; raises as its runs do."""
        held_out, trained = self.held_out, self.held_out.is_trained()
        if model is TEXT_ENCODER:
            answer = session.run({TOKENS.name: held_out.tokens.numpy()})[TEXT_EMBED.name]
            cosines = cosine_figures(held_out.text_embeds, torch.from_numpy(answer))
            return Figures.model_validate({"rows": len(answer), **cosines})
        if model is MIXTURE:
            probs = torch.from_numpy(session.run(self._clips(model))[PROBS.name])
            assert held_out.mixed is not None
            classes = class_figures(held_out.mixed, probs, held_out.truth, trained=trained)
            return Figures.model_validate({"rows": len(probs), **classes})
        kind = self._variant(model)
        if model is SIMILARITY:
            return self._score_figures(kind, session)
        exact = held_out.recognised[kind]
        cosines, probs = self._answer(model, kind, session)
        classes = class_figures(exact.probs, probs, held_out.truth, trained=trained)
        return Figures.model_validate({"rows": len(probs), **cosines, **classes})

    @torch.inference_mode()
    def _score_figures(self, kind: TemporalKind, session: Session) -> Figures:
        """How the classes' texts are scored, against the trained model's scores."""
        held_out, model = self.held_out, self.variants.models[kind]
        embeds = held_out.recognised[kind].embedding
        exact = model.text_logits(embeds, held_out.class_embeds()).softmax(dim=-1)  # (C, K)
        given = session.run(self.feeds(SIMILARITY, len(embeds)))[SCORES.name]
        classes = class_figures(
            exact, torch.from_numpy(given), held_out.truth, trained=held_out.is_trained()
        )
        return Figures.model_validate({"rows": len(given), **classes})

    @torch.inference_mode()
    def _answer(
        self, model: ServedModel, kind: TemporalKind, session: Session
    ) -> tuple[dict[str, float], Tensor]:
        """Cosines of what the graph gives, and the class probabilities that follow from it."""
        held_out, trained = self.held_out, self.variants.models[kind]
        exact = held_out.recognised[kind]
        if model is VISION_ENCODER:
            embeds = frame_embeds_of_clips(session, held_out.frames)
            seen = trained.recognise(embeds, held_out.times)
            return self._encoder_cosines(embeds), seen.probs
        if model is VARIANT_GRAPHS_OF[kind][0]:
            pooled = torch.from_numpy(session.run(self._clips(model))[CLIP_EMBED.name])
            probs = probabilities(trained.head(pooled), trained.spec.temperature)
            return cosine_figures(exact.embedding, pooled), probs
        probs = session.run({CLIP_EMBED.name: exact.embedding.numpy()})[PROBS.name]
        return {}, torch.from_numpy(probs)

    def _encoder_cosines(self, embeds: Tensor) -> dict[str, float]:
        """Of frames (C, T, D), and of the clip embeddings that every variant makes of them."""
        held_out = self.held_out
        figures = cosine_figures(held_out.frame_embeds, embeds)
        for kind, model in self.variants.models.items():
            clips = model.recognise(embeds, held_out.times).embedding
            of_clips = cosine_figures(held_out.recognised[kind].embedding, clips)
            figures["min_cosine"] = min(figures["min_cosine"], of_clips["min_cosine"])
        return figures

    def _clips(self, model: ServedModel) -> Tensors:
        """The held-out clips as a graph behind the encoder takes them."""
        feeds = {
            FRAME_EMBEDS.name: self.held_out.frame_embeds.numpy(),
            TIMES.name: self.held_out.times.numpy(),
        }
        return {tensor.name: feeds[tensor.name] for tensor in model.inputs}

    def _variant(self, model: ServedModel) -> TemporalKind:
        """The variant that a graph belongs to; the last one, of those that share it."""
        kinds: list[TemporalKind] = list(self.variants.models)
        owners: list[TemporalKind] = [kind for kind in kinds if model in VARIANT_GRAPHS_OF[kind]]
        return (owners or kinds)[-1]

    def feeds(self, model: ServedModel, rows: int) -> Tensors:
        """Real inputs of a graph for `rows` frames, clips or texts."""
        held_out = self.held_out
        exact = held_out.recognised[self._variant(model)]
        stacked = held_out.frames.reshape(-1, 1, *held_out.frames.shape[2:])
        known: dict[str, Array] = {
            FRAMES.name: stacked,
            FRAME_EMBEDS.name: held_out.frame_embeds.numpy(),
            TIMES.name: held_out.times.numpy(),
            CLIP_EMBED.name: exact.embedding.numpy(),
            EMBEDDINGS.name: held_out.class_embeds()[None].numpy(),
            TOKENS.name: held_out.tokens.numpy(),
        }
        return {
            tensor.name: np.resize(known[tensor.name], (rows, *known[tensor.name].shape[1:]))
            for tensor in model.inputs
        }
