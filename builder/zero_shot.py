"""Parity of zero-shot scores: the classes' own names as the texts of requests.

It is reported and not held to a budget: CLIP's scale (up to 100) makes of a small difference of
embeddings, which are held to theirs, a larger one of scores. K classes, P prompts, D embedding.
"""

import torch

from builder.checkpoints import Variants
from builder.engines.engine import Session
from builder.graphs import PUBLIC, VARIANT_GRAPHS
from builder.parity import Answer, Chain, Parity
from clip_har.contract import CLIP_EMBED, EMBEDDINGS, SCORES, SIMILARITY
from clip_har.nn.clip import class_embeds
from clip_har.nn.model import CLIPHARModel


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


def zero_shot_parities(variants: Variants, chain: Chain) -> dict[str, ZeroShotParity]:
    """One for each variant that scores texts, by its public name; today that is one."""
    return {
        PUBLIC[kind].name: ZeroShotParity(variants, model, chain)
        for kind, model in variants.models.items()
        if SIMILARITY in VARIANT_GRAPHS[kind]
    }
