import json
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import huggingface_hub.constants
import pytest
import torch
import transformers.modeling_utils
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


def test_broken_weights_are_a_user_error(folder: Path) -> None:
    whole = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"no CLIP could be loaded"):
        clip_from_pretrained(str(folder))


# Weights as OpenAI's CLIPs have them on the Hub: pytorch_model.bin, a pickle.


def pickled(folder: Path, **more: Any) -> Path:
    """The weights of a CLIP folder, moved into a pickle that may hold more."""
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    torch.save({**weights, **more}, folder / "pytorch_model.bin")
    return folder


class Payload:
    """Unpickled, it makes a folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


def same_weights(loaded: torch.nn.Module, folder: Path) -> bool:
    saved = load_file(folder / "model.safetensors")
    return all(torch.equal(saved[name], weight) for name, weight in loaded.state_dict().items())


def test_pickled_weights_are_loaded_where_there_are_no_others(
    small_clip: Path, folder: Path
) -> None:
    ids = {"text_model.embeddings.position_ids": torch.arange(77)[None]}
    assert same_weights(clip_from_pretrained(str(pickled(folder, **ids))), small_clip)


def test_pickled_weights_in_shards_are_loaded(small_clip: Path, folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    shards = {
        name: f"pytorch_model-0000{number % 2 + 1}-of-00002.bin"
        for number, name in enumerate(weights)
    }
    for file in set(shards.values()):
        torch.save({n: w for n, w in weights.items() if shards[n] == file}, folder / file)
    index = {"metadata": {}, "weight_map": shards}
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps(index))
    assert same_weights(clip_from_pretrained(str(folder)), small_clip)


def test_pickled_weights_must_be_whole_too(folder: Path) -> None:
    rewrite(folder, lambda weights: weights.pop(PROJECTION))
    with pytest.raises(ValueError, match=rf"missing_keys.*{PROJECTION}"):
        clip_from_pretrained(str(pickled(folder)))


@pytest.mark.parametrize("how", ["among the weights", "in an old file", "alone"])
def test_code_in_pickled_weights_is_refused_and_not_run(
    folder: Path, tmp_path: Path, how: str
) -> None:
    made = tmp_path / "made by the pickle"
    bin_file = pickled(folder, more=Payload(made)) / "pytorch_model.bin"
    if how == "in an old file":
        torch.save({"more": Payload(made)}, bin_file, _use_new_zipfile_serialization=False)
    if how == "alone":
        bin_file.write_bytes(pickle.dumps(Payload(made), protocol=2))
    with pytest.raises(ValueError, match=r"no CLIP could be loaded.*would run code\. None was run"):
        clip_from_pretrained(str(folder))
    assert not made.exists()
    with bin_file.open("rb") as file:  # without that guard it would be there
        pickle.load(file) if how == "alone" else torch.load(file, weights_only=False)
    assert made.exists()


def test_a_pickle_beside_safetensors_is_not_opened(small_clip: Path, folder: Path) -> None:
    (folder / "pytorch_model.bin").write_bytes(b"no weights")
    assert same_weights(clip_from_pretrained(str(folder)), small_clip)


@pytest.mark.parametrize("content", ["half", "nothing", "a pointer", "a list"])
def test_a_pickle_that_is_no_weights_is_a_user_error(folder: Path, content: str) -> None:
    file = pickled(folder) / "pytorch_model.bin"
    whole = file.read_bytes()
    pointer = b"version https://git-lfs.github.com/spec/v1\n"
    if content == "a list":
        torch.save([torch.zeros(3)], file)
    else:
        file.write_bytes(
            {"half": whole[: len(whole) // 2], "nothing": b"", "a pointer": pointer}[content]
        )
    with pytest.raises(ValueError, match=r"no CLIP could be loaded"):
        clip_from_pretrained(str(folder))


@pytest.fixture
def hub_name(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A CLIP with pickled weights in the Hub's cache, as it lies there at `main`; no network."""
    name, commit = "openai/clip-vit-base-patch16", "5" * 40
    (pickled(folder) / "preprocessor_config.json").write_text(
        json.dumps({"image_mean": [0.5] * 3, "image_std": [0.1] * 3})
    )
    cached = tmp_path / "hub" / "models--openai--clip-vit-base-patch16"
    for part in ("refs", "blobs", f"snapshots/{commit}"):
        (cached / part).mkdir(parents=True)
    (cached / "refs" / "main").write_text(commit)
    for number, file in enumerate(sorted(folder.iterdir())):
        file.rename(cached / "blobs" / str(number))
        (cached / "snapshots" / commit / file.name).symlink_to(f"../../blobs/{number}")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    return name


def test_a_clip_in_the_hubs_cache_is_loaded_without_a_network(
    small_clip: Path, hub_name: str
) -> None:
    clip = clip_from_pretrained(hub_name)
    assert same_weights(clip, small_clip)
    tokenizer_from_pretrained(hub_name, clip.config)
    assert preprocessing_of(hub_name, clip.config).mean == (0.5, 0.5, 0.5)


def test_a_cache_without_the_preprocessing_is_a_user_error(hub_name: str, tmp_path: Path) -> None:
    clip = clip_from_pretrained(hub_name)
    next(tmp_path.rglob("preprocessor_config.json")).unlink()
    with pytest.raises(ValueError, match=r"no preprocessing .*preprocessor_config\.json"):
        preprocessing_of(hub_name, clip.config)


def test_nobody_is_asked_to_convert_pickled_weights(
    small_clip: Path, hub_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_thread(name: str, **_: Any) -> None:
        pytest.fail(f"started {name}")

    # As transformers believes itself online; what it asks of the Hub still finds the cache alone.
    monkeypatch.setattr(transformers.modeling_utils, "is_offline_mode", lambda: False)
    monkeypatch.setattr(transformers.modeling_utils, "Thread", no_thread)
    assert same_weights(clip_from_pretrained(hub_name), small_clip)


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
