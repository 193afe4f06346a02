"""Parity of zero-shot scores: the classes' own names as the texts of requests.

It is reported and not held to a budget: CLIP's scale (up to 100) makes of a small difference of
embeddings, which are held to theirs, a larger one of scores. K classes, P prompts, D embedding.
"""

import torch
from torch import Tensor

from builder.checkpoints import Variants
from builder.engines.engine import Session
from builder.graphs import PUBLIC, VARIANT_GRAPHS
from builder.parity import Answer, Chain, Parity
from clip_har.contract import CLIP_EMBED, EMBEDDINGS, SCORES, SIMILARITY
from clip_har.nn.clip import class_embeds
from clip_har.nn.model import CLIPHARModel


class ZeroShotParity:
    """Compares, clip by clip, the scores that follow from two embeddings."""

    def __init__(
        self, model: CLIPHARModel, similarity: Session, exact: Tensor, given: Tensor
    ) -> None:
        """`exact` and `given` are the classes' embeddings by torch and by the engine, (K, D)."""
        self.parity = Parity()
        self._model = model
        self._session = similarity
        self._trained, self._served = exact, given

    @torch.inference_mode()
    def add(self, exact: Answer, served: Answer, *, still: bool) -> None:
        """Takes one clip into account, as torch and as the engines see it."""
        assert exact.embedding is not None
        assert served.embedding is not None
        embedding = torch.from_numpy(exact.embedding)
        logits = self._model.text_logits(embedding[None], self._trained)  # (1, K)
        feeds = {
            CLIP_EMBED.name: served.embedding[None],
            EMBEDDINGS.name: self._served[None].numpy(),
        }
        (scores,) = self._session.run(feeds)[SCORES.name]
        told = logits.softmax(dim=-1)[0].numpy()
        self.parity.add(
            Answer(told, exact.embedding), Answer(scores, served.embedding), still=still
        )


def zero_shot_parities(
    variants: Variants, chain: Chain, exact: Tensor, given: Tensor
) -> dict[str, ZeroShotParity]:
    """One for each variant that scores texts, by its public name; today that is one.

    `exact` and `given` are what torch and the engine make of the classes' sentences, (K * P, D).
    """
    classes = len(variants.spec.labels)
    embeds = [class_embeds(rows.unflatten(0, (classes, -1))) for rows in (exact, given)]  # (K, D)
    return {
        PUBLIC[kind].name: ZeroShotParity(model, chain.sessions[SIMILARITY], *embeds)
        for kind, model in variants.models.items()
        if SIMILARITY in VARIANT_GRAPHS[kind]
    }
