"""Parity of zero-shot scores: the classes' own names as the texts of requests.

It is reported and not held to a budget: CLIP's scale (up to 100) makes of a small difference of
embeddings, which are held to theirs, a larger one of scores. K classes, P prompts, D embedding.
"""

import torch

from builder.checkpoints import Variants
from builder.engines.engine import Session
from builder.graphs import VARIANT_GRAPHS
from builder.parity import Answer, Array, Chain, Parity
from clip_har.contract import CLIP_EMBED, EMBEDDINGS, SCORES, SIMILARITY
from clip_har.nn.clip import class_embeds
from clip_har.nn.model import CLIPHARModel
from clip_har.spec import TemporalKind


class ZeroShotParity:
    """Compares, clip by clip, the scores that follow from two embeddings."""

    @torch.inference_mode()
    def __init__(self, variants: Variants, model: CLIPHARModel, chain: Chain) -> None:
        self.parity = Parity()
        self._model = model
        self._session: Session = chain.sessions[SIMILARITY]
        tokens, classes = variants.class_tokens(), len(variants.spec.labels)
        trained, served = model.encode_texts(tokens), torch.from_numpy(chain.texts(tokens.numpy()))
        self._trained, self._served = (
            class_embeds(rows.unflatten(0, (classes, -1)))  # (K, P, D) -> (K, D)
            for rows in (trained, served)
        )

    @torch.inference_mode()
    def add(self, exact: Array, served: Array, *, still: bool) -> None:
        """Takes one clip into account: its embedding by torch and by the engines, (D,) each."""
        logits = self._model.text_logits(torch.from_numpy(exact)[None], self._trained)  # (1, K)
        feeds = {CLIP_EMBED.name: served[None], EMBEDDINGS.name: self._served[None].numpy()}
        (scores,) = self._session.run(feeds)[SCORES.name]
        told = logits.softmax(dim=-1)[0].numpy()
        self.parity.add(Answer(exact, told), Answer(served, scores), still=still)


def zero_shot_parities(variants: Variants, chain: Chain) -> dict[TemporalKind, ZeroShotParity]:
    """One for each variant that scores texts, which today is one."""
    return {
        kind: ZeroShotParity(variants, model, chain)
        for kind, model in variants.models.items()
        if SIMILARITY in VARIANT_GRAPHS[kind]
    }
