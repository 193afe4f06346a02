"""Classes as texts. K classes, D embedding."""

from collections.abc import Sequence

import torch
from torch import Tensor
from transformers import CLIPModel, CLIPTokenizer

from clip_har.labels import sentences
from clip_har.nn.clip import class_embeds, encode_texts


def text_bank(
    clip: CLIPModel, tokenizer: CLIPTokenizer, labels: Sequence[str], prompts: Sequence[str]
) -> Tensor:
    """One unit text embedding a class: the mean over its prompts, (K, D)."""
    rows = []
    for label in labels:
        tokens = tokenizer(sentences(label, prompts), padding=True, return_tensors="pt").input_ids
        rows.append(class_embeds(encode_texts(clip, tokens.to(clip.device))))
    return torch.stack(rows)
