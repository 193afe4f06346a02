"""What training minimises. B clips, T frames, D embedding, K classes."""

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import CLIPModel, CLIPTokenizer

from clip_har.labels import sentences
from clip_har.nn.clip import encode_texts
from clip_har.nn.model import CLIPHARModel, Recognition

TEMPERATURE_BOUNDS = (0.05, 20.0)  # a handful of clips can ask for any value beyond


def text_bank(
    clip: CLIPModel, tokenizer: CLIPTokenizer, labels: Sequence[str], prompts: Sequence[str]
) -> Tensor:
    """One unit text embedding a class: the mean over its prompts, (K, D)."""
    rows = []
    for label in labels:
        tokens = tokenizer(sentences(label, prompts), padding=True, return_tensors="pt").input_ids
        rows.append(F.normalize(encode_texts(clip, tokens).mean(dim=0), dim=-1))
    return torch.stack(rows)


def action_loss(
    model: CLIPHARModel,
    seen: Recognition,
    texts: Tensor,
    truth: Tensor,
    smoothing: float,
    text_weight: float,
) -> Tensor:
    """Classification by the head plus image-text contrast, (B,) class numbers -> scalar.

    With every class text (K, D) as a column, image-text contrast is cross-entropy over classes.
    """
    by_head = F.cross_entropy(seen.logits, truth, label_smoothing=smoothing)
    scores = model.text_logits(seen.embedding, texts)  # (B, K)
    return by_head + text_weight * F.cross_entropy(scores, truth, label_smoothing=smoothing)


def fitted_temperature(logits: Tensor, truth: Tensor) -> float:
    """The temperature under which held-out logits (B, K) are most likely (Guo et al., 2017)."""
    log_temperature = torch.zeros(1, requires_grad=True)
    low, high = (math.log(bound) for bound in TEMPERATURE_BOUNDS)
    optimizer = torch.optim.LBFGS([log_temperature], max_iter=50)

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = F.cross_entropy(logits / log_temperature.clamp(low, high).exp(), truth)
        loss.backward()
        return loss

    optimizer.step(closure)
    return float(log_temperature.detach().clamp(low, high).exp())


def reversal_table(labels: Sequence[str], reversals: Mapping[str, str]) -> Tensor:
    """For each class the one that it becomes when played backwards, or -1, (K,)."""
    return torch.tensor(
        [labels.index(reversals[label]) if label in reversals else -1 for label in labels]
    )
