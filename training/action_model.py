"""What a run trains: one CLIP, and a temporal module and a head for every variant.

B clips, T frames, S side in pixels, D embedding, K classes.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import CLIPModel

from clip_har.nn.clip import encode_frames, pixels_from_frames
from clip_har.nn.head import ActionHead
from clip_har.nn.model import CLIPHARModel
from clip_har.nn.temporal import TEMPORAL
from clip_har.spec import ModelSpec, TemporalKind
from training.settings import Variant

MOST_LOGIT_SCALE = 100.0


class Distiller(nn.Module):
    """Holds what a variant makes of a clip near the pretrained CLIP, through a residual projection.

    The second layer starts at zero, so that it begins as a plain cosine (FROSTER, Huang et al.,
    2024: a residual of 0.1 lets the tuned features differ where the task asks for it).
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.project = nn.Sequential(nn.Linear(dim, dim), nn.GELU(), nn.Linear(dim, dim))
        last = self.project[-1]
        assert isinstance(last, nn.Linear)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)

    def forward(self, tuned: Tensor, pretrained: Tensor) -> Tensor:
        """Embeddings (B, D) of both -> 1 - cosine, (B,), in fp32."""
        with torch.autocast(tuned.device.type, enabled=False):
            near = tuned.float() + 0.1 * self.project(tuned.float())
            return 1 - F.cosine_similarity(near, pretrained.float(), dim=-1)


class ActionModel(nn.Module):
    """A CLIP with the action parts of all variants of a run."""

    def __init__(
        self, spec: ModelSpec, clip: CLIPModel, variants: dict[str, Variant], dropout: float
    ) -> None:
        """`spec` describes what the variants share; its temporal kind is not used."""
        super().__init__()
        self.spec = spec
        self.clip = clip
        self.kinds: dict[str, TemporalKind] = {n: one.temporal for n, one in variants.items()}
        dim, classes = spec.embed_dim, len(spec.labels)
        self.temporal = nn.ModuleDict({n: TEMPORAL[k](dim) for n, k in self.kinds.items()})
        self.heads = nn.ModuleDict({n: ActionHead(dim, classes, dropout) for n in self.kinds})
        self.distiller = Distiller(dim)

    @classmethod
    def of_variants(cls, models: dict[str, CLIPHARModel]) -> "ActionModel":
        """Trained variants of one CLIP, together; their weights are shared with this one.

        Raises ValueError where they cannot belong to one run.
        """
        first = next(iter(models.values()))
        variants = {name: Variant(temporal=m.spec.temporal) for name, m in models.items()}
        joined = cls(first.spec, first.clip, variants, dropout=0.0)
        weights = first.clip.state_dict()
        for name, model in models.items():
            theirs = model.clip.state_dict()
            if model.spec.labels != first.spec.labels or any(
                not torch.equal(weights[key], theirs[key]) for key in weights
            ):
                raise ValueError(
                    f"the variants {', '.join(models)} have other classes or another CLIP than "
                    f"{name!r}, so they are not of one run. Evaluate them one at a time."
                )
            joined.temporal[name], joined.heads[name] = model.temporal, model.head
        return joined.eval()

    def forward(
        self,
        seen: Tensor,
        times: Tensor,
        texts: Tensor,
        pretrained: Tensor | None = None,
        noise: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Looks at B clips.

        `seen` is uint8 frames (B, T, S, S, 3) or frame embeddings (B, T, D); seconds (B, T), class
        texts (K, D), mean embeddings of the pretrained CLIP (B, D), what is added to the frame
        embeddings before the action parts see them (B, T, D). Gives for each variant NAME
        `NAME.logits` of the head and `NAME.text_logits` (B, K), and where there is a `pretrained`
        the variants' mean `distance` from it (B,).
        """
        embeds = self.frame_embeds(seen)  # (B, T, D)
        told = embeds if noise is None else F.normalize(embeds + noise, dim=-1)  # (B, T, D)
        answers: dict[str, Tensor] = {}
        distances: list[Tensor] = []
        for name in self.kinds:
            clip_embed = self.temporal[name](told, times)  # (B, D)
            if pretrained is not None:
                distances.append(self.distiller(clip_embed, pretrained))
            answers[f"{name}.logits"] = self.heads[name](clip_embed)
            answers[f"{name}.text_logits"] = self.text_logits(clip_embed, texts)
        if distances:
            answers["distance"] = torch.stack(distances).mean(dim=0)
        return answers

    def frame_embeds(self, seen: Tensor) -> Tensor:
        """Frames (B, T, S, S, 3), or embeddings that are passed on, to embeddings (B, T, D)."""
        if seen.ndim == 3:
            return seen
        return encode_frames(self.clip, pixels_from_frames(seen, self.spec.preprocessing))

    def text_logits(self, clip_embed: Tensor, texts: Tensor) -> Tensor:
        """Clip embeddings (B, D) against class texts (K, D): scaled cosines (B, K), in fp32.

        bf16 would round a logit near the largest scale by up to 0.25.
        """
        with torch.autocast(clip_embed.device.type, enabled=False):
            scale = self.clip.logit_scale.exp().clamp(max=MOST_LOGIT_SCALE)
            return clip_embed.float() @ texts.float().T * scale

    def variant(self, name: str, temperature: float = 1.0) -> CLIPHARModel:
        """A variant as the model that a checkpoint holds; it shares the weights of this one."""
        changes = {"temporal": self.kinds[name], "temperature": temperature}
        with torch.device("meta"):
            model = CLIPHARModel(self.spec.model_copy(update=changes), self.clip)
        parts: Any = self.temporal[name], self.heads[name]  # of their own types, to torch's eyes
        model.temporal, model.head = parts
        return model
