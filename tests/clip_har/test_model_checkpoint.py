"""B clips, T frames, N texts, K classes."""

import json
import shutil
from pathlib import Path

import pytest
import torch

from clip_har.checkpoint import (
    model_from_checkpoint,
    save_checkpoint,
    spec_from_checkpoint,
    tokenizer_from_checkpoint,
)
from clip_har.nn.clip import clip_from_pretrained, preprocessing_of, tokenizer_from_pretrained
from clip_har.nn.model import CLIPHARModel
from clip_har.spec import ModelSpec, TemporalKind

LABELS = ("walking", "kicking", "lying down")


def make_model(small_clip: Path, kind: TemporalKind) -> CLIPHARModel:
    clip = clip_from_pretrained(str(small_clip))
    spec = ModelSpec(
        backbone="clip",
        clip=clip.config.to_dict(),
        embed_dim=16,
        frames=4,
        temporal=kind,
        labels=LABELS,
        prompts=("a person {}",),
        temperature=1.7,
        preprocessing=preprocessing_of(str(small_clip), clip.config),
    )
    torch.manual_seed(3)
    model = CLIPHARModel(spec, clip)
    torch.nn.init.normal_(model.head[-1].weight)  # far from uniform answers
    return model.eval()


def media(frames: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(frames)
    pixels = torch.randint(0, 256, (2, frames, 32, 32, 3), generator=generator)
    return pixels.to(torch.uint8), torch.arange(frames).expand(2, -1) / 5


@pytest.fixture(params=["mean", "attention_motion"])
def model(request: pytest.FixtureRequest, small_clip: Path) -> CLIPHARModel:
    return make_model(small_clip, request.param)


@pytest.fixture
def checkpoint(model: CLIPHARModel, small_clip: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "run" / "temporal"
    tokenizer = tokenizer_from_pretrained(str(small_clip), model.clip.config)
    save_checkpoint(folder, model, tokenizer, {"command": "a test", "metrics": {"top1": 0.5}})
    return folder


@torch.inference_mode()
@pytest.mark.parametrize("frames", [1, 4, 7])
def test_a_loaded_checkpoint_answers_as_the_saved_model(
    model: CLIPHARModel, checkpoint: Path, frames: int
) -> None:
    loaded = CLIPHARModel.from_pretrained(checkpoint)
    assert loaded.spec.model_dump_json() == model.spec.model_dump_json()
    assert not loaded.training
    before, after = model(*media(frames)), loaded(*media(frames))
    assert torch.equal(before.probs, after.probs)
    assert torch.equal(before.embedding, after.embedding)
    assert before.probs.shape == (2, len(LABELS))
    torch.testing.assert_close(before.probs.sum(dim=-1), torch.ones(2))


def test_the_folder_holds_spec_weights_tokenizer_and_run_but_no_pickle(checkpoint: Path) -> None:
    files = {path.name for path in checkpoint.iterdir()}
    assert {"config.json", "model.safetensors", "tokenizer.json", "run.json"} <= files
    assert not [name for name in files if Path(name).suffix in {".bin", ".pt", ".pth", ".pkl"}]
    assert json.loads((checkpoint / "run.json").read_text())["metrics"] == {"top1": 0.5}
    assert [path.name for path in checkpoint.parent.iterdir()] == ["temporal"]


def test_the_tokenizer_is_the_one_that_was_saved(checkpoint: Path, small_clip: Path) -> None:
    loaded = model_from_checkpoint(checkpoint)
    own = tokenizer_from_checkpoint(checkpoint, loaded)
    original = tokenizer_from_pretrained(str(small_clip), loaded.clip.config)
    sentence = "a person kicking a ball, and ünknown words"
    assert own(sentence).input_ids == original(sentence).input_ids


@torch.inference_mode()
def test_probabilities_are_tempered_logits(model: CLIPHARModel) -> None:
    seen = model(*media(4))
    torch.testing.assert_close(seen.probs, (seen.logits / 1.7).softmax(dim=-1))


@torch.inference_mode()
def test_text_logits_are_scaled_cosines(model: CLIPHARModel) -> None:
    seen = model(*media(4))
    texts = torch.nn.functional.normalize(torch.randn(5, 16), dim=-1)
    scores = model.text_logits(seen.embedding, texts)  # (B, N)
    assert scores.shape == (2, 5)
    cosine = torch.cosine_similarity(seen.embedding[:, None], texts[None], dim=-1)
    torch.testing.assert_close(scores, cosine * model.clip.logit_scale.exp())


def rewritten_config(checkpoint: Path, **changes: object) -> None:
    path = checkpoint / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_an_unknown_key_in_the_config_is_named(checkpoint: Path) -> None:
    rewritten_config(checkpoint, frame_count=8)
    with pytest.raises(ValueError, match=r"unknown key 'frame_count'.*temperature"):
        model_from_checkpoint(checkpoint)


def test_weights_of_other_classes_are_refused(checkpoint: Path) -> None:
    rewritten_config(checkpoint, labels=["a", "b"])
    with pytest.raises(ValueError, match=r"does not fit config\.json"):
        model_from_checkpoint(checkpoint)


@pytest.mark.parametrize("damage", ["missing", "cut"])
def test_missing_or_broken_weights_are_a_user_error(checkpoint: Path, damage: str) -> None:
    weights = checkpoint / "model.safetensors"
    whole = weights.read_bytes()
    weights.unlink()
    if damage == "cut":
        weights.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"model\.safetensors"):
        model_from_checkpoint(checkpoint)


def test_a_folder_that_is_no_checkpoint_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"empty: not a checkpoint.*config\.json"):
        spec_from_checkpoint(tmp_path / "empty")


def test_a_failed_save_keeps_the_old_checkpoint(model: CLIPHARModel, checkpoint: Path) -> None:
    kept = shutil.copytree(checkpoint, checkpoint.parent.parent / "kept")
    tokenizer = tokenizer_from_checkpoint(checkpoint, model)
    with pytest.raises(TypeError):
        save_checkpoint(checkpoint, model, tokenizer, {"metrics": object()})
    assert {p.name for p in checkpoint.iterdir()} == {p.name for p in kept.iterdir()}
    assert (checkpoint / "run.json").read_bytes() == (kept / "run.json").read_bytes()
