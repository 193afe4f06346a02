"""The CLIP towers, through transformers: any CLIP folder or Hub name.

B clips, T frames, S side in pixels, D embedding, K classes, P prompts, N texts, L tokens.
"""

import os
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import CLIPConfig, CLIPModel, CLIPTokenizer

from clip_har.spec import Preprocessing

OPENAI_MEAN = (0.48145466, 0.4578275, 0.40821073)
OPENAI_STD = (0.26862954, 0.26130258, 0.27577711)

# Or transformers has a service of the Hub convert every CLIP without safetensors, in a thread.
os.environ["DISABLE_SAFETENSORS_CONVERSION"] = "1"


def silence_loading() -> None:
    """Keeps transformers' own notes and bars about the loading of weights off the terminal."""
    import transformers

    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()


def clip_from_pretrained(source: str) -> CLIPModel:
    """Loads a CLIP from a folder or the Hub, all of it or not at all.

    Raises ValueError when it cannot be found or read, or when a weight is missing, unknown or of
    another shape: a tower that silently keeps random weights would train to a poor model.
    """
    model, info = _clip_and_what_was_loaded(source)
    faults = {
        name: sorted(map(str, info[name]))
        for name in ("missing_keys", "mismatched_keys", "unexpected_keys")
        if info[name]
    }
    # Older exports carry the position ids, which are not weights.
    unexpected = [k for k in faults.pop("unexpected_keys", []) if not k.endswith("position_ids")]
    if unexpected:
        faults["unexpected_keys"] = unexpected
    if faults:
        told = "; ".join(f"{name} {keys[:3]} ({len(keys)})" for name, keys in faults.items())
        raise ValueError(
            f"{source}: its weights are not those of its own configuration: {told}. "
            "Expected every weight of a transformers CLIPModel; save it again with save_pretrained."
        )
    return model


def tokenizer_from_pretrained(source: str, clip: CLIPConfig) -> CLIPTokenizer:
    """Loads the tokenizer that belongs to a CLIP; raises ValueError where it is another's."""
    try:
        tokenizer: CLIPTokenizer = CLIPTokenizer.from_pretrained(source)
    except OSError as error:
        raise ValueError(f"{source}: no CLIP tokenizer could be loaded: {error}") from error
    vocabulary = _tower(clip.text_config).vocab_size
    if len(tokenizer) != vocabulary:
        raise ValueError(
            f"{source}: the tokenizer has {len(tokenizer)} entries, but the CLIP was trained with "
            f"{vocabulary}. Use the tokenizer that the CLIP was saved with."
        )
    return tokenizer


def preprocessing_of(source: str, clip: CLIPConfig) -> Preprocessing:
    """The mean, deviation and size that a CLIP was trained with.

    Read from its preprocessor_config.json where the folder has one; otherwise OpenAI's values.
    Raises ValueError where the Hub or its cache has none.
    """
    from transformers import CLIPImageProcessorPil

    size = _tower(clip.vision_config).image_size
    if not (Path(source) / "preprocessor_config.json").exists() and Path(source).is_dir():
        return Preprocessing(image_size=size, mean=OPENAI_MEAN, std=OPENAI_STD)
    try:
        processor: Any = CLIPImageProcessorPil.from_pretrained(source)
    except OSError as error:
        raise ValueError(f"{source}: no preprocessing could be loaded: {error}") from error
    return Preprocessing(image_size=size, mean=processor.image_mean, std=processor.image_std)


def encode_frames(clip: CLIPModel, pixels: Tensor) -> Tensor:
    """Normalised pixels (B, T, 3, S, S) to unit frame embeddings (B, T, D)."""
    frames = pixels.flatten(0, 1)  # (B*T, 3, S, S)
    embeds = _pooled(clip.get_image_features(pixel_values=frames))  # (B*T, D)
    frame_embeds = embeds.unflatten(0, pixels.shape[:2])  # (B, T, D)
    return F.normalize(frame_embeds.float(), dim=-1)  # in fp32 also where the towers ran in bf16


def encode_texts(clip: CLIPModel, tokens: Tensor) -> Tensor:
    """Token ids (N, L), padded with the end token, to unit text embeddings (N, D)."""
    return F.normalize(_pooled(clip.get_text_features(input_ids=tokens)), dim=-1)


def class_embeds(sentence_embeds: Tensor) -> Tensor:
    """Unit embeddings of each class's sentences (K, P, D) to one of the class: (K, D)."""
    return F.normalize(sentence_embeds.mean(dim=-2), dim=-1)


def normalized(pixels: Tensor, preprocessing: Preprocessing) -> Tensor:
    """Pixels (..., 3, S, S) in [0, 1] with the mean and the deviation taken out."""
    mean = torch.tensor(preprocessing.mean, device=pixels.device).view(3, 1, 1)
    std = torch.tensor(preprocessing.std, device=pixels.device).view(3, 1, 1)
    return (pixels - mean) / std


def pixels_from_frames(frames: Tensor, preprocessing: Preprocessing) -> Tensor:
    """Uint8 frames (B, T, S, S, 3) as the pixels (B, T, 3, S, S) that a CLIP takes."""
    return normalized(frames.movedim(-1, -3).float() / 255, preprocessing)


def _clip_and_what_was_loaded(source: str) -> tuple[CLIPModel, dict[str, Any]]:
    """From safetensors where there are any, else from pytorch_model.bin: OpenAI's have no other."""
    told = f"{source}: no CLIP could be loaded from there"
    try:
        loaded: Any = CLIPModel.from_pretrained(
            source,
            dtype=torch.float32,  # whatever it was saved in
            output_loading_info=True,
            ignore_mismatched_sizes=True,
            # A .bin is a pickle. transformers 5 reads it, or its shards, by torch.load with
            # weights_only=True, which makes tensors and plain values, and runs no code of the file.
            weights_only=True,
        )
    except (UnpicklingError, EOFError) as error:
        # torch's own message advises to read it without that guard.
        raise ValueError(
            f"{told}: its pytorch_model.bin is damaged, or holds more than weights and would run "
            "code. None was run. Take an intact copy, or one in safetensors."
        ) from error
    except Exception as error:  # a damaged pickle may raise anything
        raise ValueError(f"{told}: {error}") from error
    return loaded


def _pooled(output: Any) -> Tensor:
    return output.pooler_output  # transformers types it as a tuple, too


def _tower(config: Any) -> Any:
    return config  # transformers types it as a dict or None, too
