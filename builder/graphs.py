"""The networks as they are served: a torch module for each ONNX graph, with the contract's tensors.

B clips, T frames, S side in pixels, D embedding, K classes, N texts, L tokens; B is also a batch of
texts.
"""

import copy

import torch
from torch import Tensor, nn
from transformers import CLIPModel

from clip_har.contract import (
    CLASSIFIER_BASE,
    CLASSIFIER_TEMPORAL,
    MEAN_POOL,
    SIMILARITY,
    TEMPORAL,
    TEXT_ENCODER,
    VISION_ENCODER,
    ServedModel,
)
from clip_har.nn.clip import encode_frames, encode_texts
from clip_har.nn.head import probabilities
from clip_har.nn.model import CLIPHARModel
from clip_har.spec import Preprocessing, TemporalKind


class VisionGraph(nn.Module):
    """FRAMES (B, T, S, S, 3) uint8 -> FRAME_EMBEDS (B, T, D).

    1/255, mean and deviation are folded into the patch convolution, so pixels travel as bytes.
    """

    def __init__(self, model: CLIPHARModel) -> None:
        super().__init__()
        self.clip = _plain(model.clip)
        embeddings = self.clip.vision_model.embeddings
        embeddings.patch_embedding = folded(embeddings.patch_embedding, model.spec.preprocessing)

    def forward(self, frames: Tensor) -> Tensor:
        """The graph."""
        # Cast first: TensorRT's parser takes no reshape or transpose of bytes.
        pixels = frames.float().movedim(-1, -3)  # (B, T, 3, S, S)
        return encode_frames(self.clip, pixels)


class PoolGraph(nn.Module):
    """FRAME_EMBEDS (B, T, D) -> CLIP_EMBED (B, D), for a module that does not look at the times."""

    def __init__(self, model: CLIPHARModel) -> None:
        super().__init__()
        self.temporal = model.temporal

    def forward(self, frame_embeds: Tensor) -> Tensor:
        """The graph."""
        return self.temporal(frame_embeds, frame_embeds[..., 0])


class TemporalGraph(nn.Module):
    """FRAME_EMBEDS (B, T, D), TIMES (B, T) -> CLIP_EMBED (B, D)."""

    def __init__(self, model: CLIPHARModel) -> None:
        super().__init__()
        self.temporal = model.temporal

    def forward(self, frame_embeds: Tensor, times: Tensor) -> Tensor:
        """The graph."""
        return self.temporal(frame_embeds, times)


class ClassifierGraph(nn.Module):
    """CLIP_EMBED (B, D) -> PROBS (B, K), calibrated."""

    def __init__(self, model: CLIPHARModel) -> None:
        super().__init__()
        self.head = model.head
        self.temperature = model.spec.temperature

    def forward(self, clip_embed: Tensor) -> Tensor:
        """The graph."""
        return probabilities(self.head(clip_embed), self.temperature)


class TextGraph(nn.Module):
    """TOKENS (B, L) int64, padded with the end token -> TEXT_EMBED (B, D)."""

    def __init__(self, model: CLIPHARModel) -> None:
        super().__init__()
        self.clip = _plain(model.clip)

    def forward(self, tokens: Tensor) -> Tensor:
        """The graph."""
        return encode_texts(self.clip, tokens)


class SimilarityGraph(nn.Module):
    """CLIP_EMBED (B, D), EMBEDDINGS (B, N, D) -> SCORES (B, N), as CLIP compares them."""

    def __init__(self, model: CLIPHARModel) -> None:
        super().__init__()
        self.scale = float(model.clip.logit_scale.detach().exp())

    def forward(self, clip_embed: Tensor, embeddings: Tensor) -> Tensor:
        """The graph."""
        cosines = (embeddings @ clip_embed.unsqueeze(-1)).squeeze(-1)  # (B, N)
        return (self.scale * cosines).softmax(dim=-1)


SHARED_GRAPHS: dict[ServedModel, type[nn.Module]] = {
    VISION_ENCODER: VisionGraph,
    TEXT_ENCODER: TextGraph,
}
"""Graphs that all variants of a repository have in common."""

VARIANT_GRAPHS: dict[TemporalKind, dict[ServedModel, type[nn.Module]]] = {
    "mean": {MEAN_POOL: PoolGraph, CLASSIFIER_BASE: ClassifierGraph},
    "attention_motion": {
        TEMPORAL: TemporalGraph,
        CLASSIFIER_TEMPORAL: ClassifierGraph,
        SIMILARITY: SimilarityGraph,
    },
}
"""Graphs of one variant, by its temporal module: first the pooling, then the classifier."""


def _plain(clip: CLIPModel) -> CLIPModel:
    """A copy whose attention is written out: torch's own is exported as a tangle of shapes."""
    copied = copy.deepcopy(clip)
    copied.set_attn_implementation("eager")
    return copied


def folded(convolution: nn.Conv2d, preprocessing: Preprocessing) -> nn.Conv2d:
    """The convolution that gives on bytes what the given one gives on normalised pixels.

    w * ((x / 255 - mean) / std) = (w / (255 std)) * x - sum(w mean / std): exact, since CLIP's
    patches do not overlap the border.
    """
    assert convolution.padding == (0, 0)
    mean = torch.tensor(preprocessing.mean).view(1, 3, 1, 1)
    std = torch.tensor(preprocessing.std).view(1, 3, 1, 1)
    weight = convolution.weight.detach()  # (D, 3, P, P)
    shift = (weight * mean / std).sum(dim=(1, 2, 3))
    bias = torch.zeros_like(shift) if convolution.bias is None else convolution.bias.detach()
    out = nn.Conv2d(
        3, weight.shape[0], weight.shape[2], stride=weight.shape[2], bias=True
    )  # (., 3, S, S) -> (., D, S/P, S/P)
    out.weight = nn.Parameter(weight / (255 * std))
    out.bias = nn.Parameter(bias - shift)
    return out
