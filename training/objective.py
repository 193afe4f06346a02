"""What training minimises. B clips, D embedding, K classes."""

from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import CLIPModel, CLIPTokenizer

from clip_har.labels import sentences
from clip_har.nn.clip import class_embeds, encode_texts
from training.settings import Stage


def text_bank(
    clip: CLIPModel, tokenizer: CLIPTokenizer, labels: Sequence[str], prompts: Sequence[str]
) -> Tensor:
    """One unit text embedding a class: the mean over its prompts, (K, D)."""
    rows = []
    for label in labels:
        tokens = tokenizer(sentences(label, prompts), padding=True, return_tensors="pt").input_ids
        rows.append(class_embeds(encode_texts(clip, tokens.to(clip.device))))
    return torch.stack(rows)


def action_loss(
    answers: Mapping[str, Tensor], targets: Tensor, variants: Iterable[str], stage: Stage
) -> Tensor:
    """Classification, image-text contrast and distillation of all variants -> scalar.

    `answers` are those of `ActionModel`; `targets` are class probabilities (B, K).
    """
    smoothing = stage.label_smoothing
    parts: list[Tensor] = []
    for name in variants:
        logits, by_text = answers[f"{name}.logits"], answers[f"{name}.text_logits"]  # (B, K)
        parts.append(F.cross_entropy(logits, targets, label_smoothing=smoothing))
        parts.append(stage.text_weight * contrastive_loss(by_text, targets, smoothing))
    if "distance" in answers:
        parts.append(stage.distillation * answers["distance"].mean())
    return torch.stack(parts).sum()


def contrastive_loss(logits: Tensor, pairs: Tensor, smoothing: float = 0.0) -> Tensor:
    """Symmetric cross-entropy with any number of positives a row or column -> scalar.

    `logits` of N images against M texts (N, M); `pairs` says how far each pair belongs together,
    (N, M) in [0, 1]. A row's or column's share in each positive is its target: the multi-positive
    form of CLIP's loss (ActionCLIP, Wang et al., 2021). An image without a text, or a text without
    an image, takes no part in that direction. Smoothing is over the texts of an image.
    """

    def one_way(scores: Tensor, positives: Tensor, smoothing: float) -> Tensor:
        told = positives.sum(dim=1) > 0
        targets = positives[told] / positives[told].sum(dim=1, keepdim=True)
        return F.cross_entropy(scores[told], targets, label_smoothing=smoothing)

    pairs = pairs.to(logits.dtype)
    return (one_way(logits, pairs, smoothing) + one_way(logits.T, pairs.T, 0.0)) / 2


def reversal_table(labels: Sequence[str], reversals: Mapping[str, str]) -> Tensor:
    """For each class the one that it becomes when played backwards, or -1, (K,)."""
    return torch.tensor(
        [
            labels.index(reversals[label]) if reversals.get(label) in labels else -1
            for label in labels
        ]
    )
