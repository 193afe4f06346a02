"""The whole model: CLIP, temporal module, head and text similarity.

B clips, T frames, S side in pixels, D embedding, K classes, N texts, L tokens.
"""

from dataclasses import dataclass
from pathlib import Path

from torch import Tensor, nn
from transformers import CLIPConfig, CLIPModel

from clip_har.nn.clip import encode_frames, encode_texts, pixels_from_frames
from clip_har.nn.head import ActionHead, probabilities
from clip_har.nn.temporal import TEMPORAL
from clip_har.spec import ModelSpec


@dataclass(frozen=True)
class Recognition:
    """What the model says of B clips."""

    logits: Tensor
    """Class scores before temperature and softmax, (B, K)."""
    probs: Tensor
    """Class probabilities, (B, K)."""
    embedding: Tensor
    """Unit clip embeddings in CLIP's joint space, (B, D)."""


class CLIPHARModel(nn.Module):
    """CLIP for human action recognition."""

    def __init__(self, spec: ModelSpec, clip: CLIPModel | None = None) -> None:
        """Builds the model of a spec with the towers of `clip`; without one they are random."""
        super().__init__()
        self.spec = spec
        self.clip = clip if clip is not None else CLIPModel(CLIPConfig.from_dict(dict(spec.clip)))
        self.temporal = TEMPORAL[spec.temporal](spec.embed_dim)
        self.head = ActionHead(spec.embed_dim, len(spec.labels))

    @classmethod
    def from_pretrained(cls, folder: str | Path) -> "CLIPHARModel":
        """Loads a checkpoint folder; see clip_har.checkpoint."""
        from clip_har.checkpoint import model_from_checkpoint

        return model_from_checkpoint(Path(folder))

    def forward(self, frames: Tensor, times: Tensor) -> Recognition:
        """Uint8 frames (B, T, S, S, 3) and their seconds (B, T) to what is seen in them."""
        return self.recognise(self.encode_frames(frames), times)

    def encode_frames(self, frames: Tensor) -> Tensor:
        """Uint8 frames (B, T, S, S, 3) -> unit frame embeddings (B, T, D)."""
        return encode_frames(self.clip, pixels_from_frames(frames, self.spec.preprocessing))

    def encode_texts(self, tokens: Tensor) -> Tensor:
        """Token ids (N, L) -> unit text embeddings (N, D)."""
        return encode_texts(self.clip, tokens)

    def recognise(self, frame_embeds: Tensor, times: Tensor) -> Recognition:
        """Frame embeddings (B, T, D) and their seconds (B, T) to what is seen in them."""
        embedding = self.temporal(frame_embeds, times)  # (B, D)
        logits = self.head(embedding)  # (B, K)
        return Recognition(logits, probabilities(logits, self.spec.temperature), embedding)

    def text_logits(self, embedding: Tensor, texts: Tensor) -> Tensor:
        """Clip embeddings (B, D) against text embeddings (N, D): scaled cosines (B, N)."""
        return embedding @ texts.T * self.clip.logit_scale.exp()
