import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import CLIPTokenizer

from clip_har.nn.clip import (
    OPENAI_MEAN,
    OPENAI_STD,
    clip_from_pretrained,
    encode_frames,
    encode_texts,
    pixels_from_frames,
    preprocessing_of,
    tokenizer_from_pretrained,
)
from clip_har.spec import Preprocessing

PROJECTION = "visual_projection.weight"


@pytest.fixture
def folder(small_clip: Path, tmp_path: Path) -> Path:
    """A CLIP folder that may be spoilt."""
    return shutil.copytree(small_clip, tmp_path / "clip")


def rewrite(folder: Path, change: Callable[[dict[str, Tensor]], object]) -> None:
    weights = load_file(folder / "model.safetensors")
    change(weights)
    save_file(weights, folder / "model.safetensors", {"format": "pt"})


def test_a_whole_clip_is_loaded_with_its_own_weights(small_clip: Path) -> None:
    saved = load_file(small_clip / "model.safetensors")
    loaded = clip_from_pretrained(str(small_clip)).state_dict()
    assert all(torch.equal(loaded[name], weight) for name, weight in saved.items())


def test_a_missing_weight_is_named(folder: Path) -> None:
    rewrite(folder, lambda weights: weights.pop(PROJECTION))
    with pytest.raises(ValueError, match=rf"missing_keys.*{PROJECTION}"):
        clip_from_pretrained(str(folder))


def test_an_unknown_weight_is_named(folder: Path) -> None:
    rewrite(folder, lambda weights: weights.update({"visual_bias": torch.zeros(3)}))
    with pytest.raises(ValueError, match=r"unexpected_keys.*visual_bias"):
        clip_from_pretrained(str(folder))


def test_a_weight_of_another_shape_is_named(folder: Path) -> None:
    rewrite(folder, lambda weights: weights.update({PROJECTION: torch.zeros(5, 16)}))
    with pytest.raises(ValueError, match=rf"mismatched_keys.*{PROJECTION}"):
        clip_from_pretrained(str(folder))


def test_the_position_ids_of_older_exports_are_no_fault(folder: Path) -> None:
    ids = {"text_model.embeddings.position_ids": torch.arange(32)[None]}
    rewrite(folder, lambda weights: weights.update(ids))
    clip_from_pretrained(str(folder))


def test_pickled_weights_are_refused(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    torch.save(weights, folder / "pytorch_model.bin")
    with pytest.raises(ValueError, match=r"no CLIP could be loaded"):
        clip_from_pretrained(str(folder))


def test_broken_weights_are_a_user_error(folder: Path) -> None:
    whole = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"no CLIP could be loaded"):
        clip_from_pretrained(str(folder))


def test_a_folder_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="nowhere"):
        clip_from_pretrained(str(tmp_path / "nowhere"))


def test_a_tokenizer_of_another_size_is_refused(folder: Path) -> None:
    clip = clip_from_pretrained(str(folder))
    size = len(tokenizer_from_pretrained(str(folder), clip.config))
    other = CLIPTokenizer().train_new_from_iterator(
        ["some quite different words"], vocab_size=600, show_progress=False
    )
    other.save_pretrained(folder)
    with pytest.raises(ValueError, match=rf"has {len(other)} entries.*trained with {size}"):
        tokenizer_from_pretrained(str(folder), clip.config)


def test_a_missing_tokenizer_is_a_user_error(folder: Path) -> None:
    clip = clip_from_pretrained(str(folder))
    for file in ("tokenizer.json", "tokenizer_config.json"):
        (folder / file).unlink()
    with pytest.raises(ValueError, match="tokenizer"):
        tokenizer_from_pretrained(str(folder), clip.config)


def test_preprocessing_is_read_where_the_folder_tells_it(folder: Path) -> None:
    clip = clip_from_pretrained(str(folder))
    untold = preprocessing_of(str(folder), clip.config)
    assert untold == Preprocessing(image_size=32, mean=OPENAI_MEAN, std=OPENAI_STD)
    told = {"image_mean": [0.5, 0.4, 0.3], "image_std": [0.1, 0.2, 0.3]}
    (folder / "preprocessor_config.json").write_text(json.dumps(told))
    assert preprocessing_of(str(folder), clip.config) == Preprocessing(
        image_size=32, mean=(0.5, 0.4, 0.3), std=(0.1, 0.2, 0.3)
    )


def test_pixels_are_scaled_and_normalised_by_channel() -> None:
    frames = torch.tensor([0, 51, 255], dtype=torch.uint8).expand(1, 2, 4, 4, 3)
    how = Preprocessing(image_size=4, mean=(0.5, 0.2, 0.0), std=(0.5, 0.1, 2.0))
    pixels = pixels_from_frames(frames, how)
    assert pixels.shape == (1, 2, 3, 4, 4)
    for channel, expected in enumerate((-1.0, 0.0, 0.5)):
        torch.testing.assert_close(pixels[:, :, channel], torch.full((1, 2, 4, 4), expected))


@torch.inference_mode()
def test_frames_and_texts_become_unit_embeddings_one_by_one(small_clip: Path) -> None:
    clip = clip_from_pretrained(str(small_clip)).eval()
    pixels = torch.randn(2, 3, 3, 32, 32)
    embeds = encode_frames(clip, pixels)
    assert embeds.shape == (2, 3, 16)
    torch.testing.assert_close(embeds.norm(dim=-1), torch.ones(2, 3))
    torch.testing.assert_close(embeds[1:, 2:], encode_frames(clip, pixels[1:, 2:]))
    tokenizer = tokenizer_from_pretrained(str(small_clip), clip.config)
    texts = ["a person walking", "a person kicking a ball with the other foot"]
    together = encode_texts(clip, tokenizer(texts, padding=True, return_tensors="pt").input_ids)
    alone = encode_texts(clip, tokenizer(texts[:1], return_tensors="pt").input_ids)
    torch.testing.assert_close(together.norm(dim=-1), torch.ones(2))
    torch.testing.assert_close(together[:1], alone)  # padding says nothing
