"""CLIPs of real size, ViT-B/16 and ViT-B/32 with random weights, through all stages and back."""

import shutil
from collections.abc import Callable, Generator
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from tokenizers.pre_tokenizers import ByteLevel
from transformers import CLIPConfig, CLIPModel, CLIPTokenizer

from clip_har.checkpoint import model_from_checkpoint
from clip_har.dataset import MANIFEST_FILE, Clip, DataSet, SplitName
from clip_har.product import file_hash
from training import resume
from training.evaluating import evaluate
from training.settings import TrainConfig
from training.train import train

LABELS = ("opening a door", "closing a door")
PATCHES = (16, 32)
PARAMETERS = {16: 149_620_737, 32: 151_277_313}
"""Numbers in openai/clip-vit-base-patch16 and -patch32."""


def tokenizer_of(size: int) -> CLIPTokenizer:
    """A tokenizer of CLIP's kind: its bytes, and made-up merges of two letters at a word's end."""
    letters = sorted(ByteLevel.alphabet())
    ends = [f"{letter}</w>" for letter in letters]
    merges: Any = list(product(letters, ends))[: size - 2 * len(letters) - 2]
    tokens = [*letters, *ends, *map("".join, merges), "<|startoftext|>", "<|endoftext|>"]
    return CLIPTokenizer(
        vocab={token: number for number, token in enumerate(tokens)}, merges=merges
    )


@pytest.fixture(scope="session")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Generator[dict[int, Path]]:
    """CLIP folders as they would be downloaded, by the side of a patch; 16 has a pickle, as on the
    Hub."""
    folder = tmp_path_factory.mktemp("real-size")
    tokenizer = tokenizer_of(49408)
    for patch in PATCHES:
        torch.manual_seed(patch)
        config = CLIPConfig(vision_config={"patch_size": patch})  # the other sizes are the defaults
        CLIPModel(config).save_pretrained(folder / f"patch{patch}")
        tokenizer.save_pretrained(folder / f"patch{patch}")
    weights = folder / "patch16" / "model.safetensors"
    torch.save(load_file(weights), folder / "patch16" / "pytorch_model.bin")
    weights.unlink()
    yield {patch: folder / f"patch{patch}" for patch in PATCHES}
    shutil.rmtree(folder)  # 1.2 GB


def weights_of(clip: Path) -> dict[str, torch.Tensor]:
    """What a CLIP folder holds, in either format."""
    pickled = clip / "pytorch_model.bin"
    return torch.load(pickled) if pickled.exists() else load_file(clip / "model.safetensors")


@pytest.fixture(scope="session")
def doors(movie: Callable[..., bytes], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set of four small videos: two to train with, one in each other split."""
    folder = tmp_path_factory.mktemp("doors")
    splits: tuple[SplitName, ...] = ("train", "train", "val", "test")
    listed: list[Clip] = []
    for split, label in zip(splits, LABELS * 2, strict=True):
        path = folder / f"{split} {label}.mp4"
        path.write_bytes(movie(6, title=path.name))
        one = {"path": path.name, "label": label, "split": split, "sha256": file_hash(path)}
        listed.append(Clip.model_validate({**one, "seconds": 0.6, "frames": 6}))
    data = DataSet(name="doors", source="Drawn.", labels=LABELS, clips=tuple(listed))
    (folder / MANIFEST_FILE).write_text(data.model_dump_json())
    return folder


def config_for(backbone: Path) -> TrainConfig:
    """Two steps in each stage."""
    stage: dict[str, Any] = {"epochs": 2, "batch": 2, "learning_rate": 1e-3, "save_steps": 1}
    tower = {**stage, "encoder_learning_rate": 1e-4, "blocks": 2}
    return TrainConfig.model_validate(
        {
            "seed": 1,
            "backbone": str(backbone),
            "frames": 2,
            "train_frames": [2],
            "cached_frames": 2,
            "prompts": ["a video of a person {}"],
            "still_share": 0,
            "alpha": 0.5,
            "workers": 1,
            "tracker": "none",
            "variants": {"temporal": {"temporal": "attention_motion"}},
            "stages": {
                "frozen": {**stage, "trains": "frozen"},
                "lora": {**tower, "trains": "lora"},
                "unfrozen": {**tower, "trains": "unfrozen"},
            },
        }
    )


@pytest.fixture
def out(tmp_path: Path) -> Generator[Path]:
    """Where a run goes; it takes gigabytes."""
    yield tmp_path / "run"
    shutil.rmtree(tmp_path / "run", ignore_errors=True)


@pytest.fixture
def saved(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], list[tuple[str, int]]]:
    """Stage and step of every saved state; Ctrl-C comes after the first one of a given stage."""

    def until(stage: str) -> list[tuple[str, int]]:
        states: list[tuple[str, int]] = []

        def save(folder: Path, model: Any, optimizer: Any, step: int, *rest: Any) -> None:
            resume.save_state(folder, model, optimizer, step, *rest)
            states.append((folder.name.split("-")[1], step))
            if states[-1] == (stage, 1) and len(states) == len(set(states)):
                raise KeyboardInterrupt

        monkeypatch.setattr("training.loop.save_state", save)
        return states

    return until


@pytest.mark.parametrize(("patch", "stage", "gflops"), [(16, "unfrozen", 70.3), (32, "lora", 17.7)])
def test_a_clip_of_real_size_is_trained_resumed_and_evaluated(
    clips: dict[int, Path],
    doors: Path,
    out: Path,
    saved: Callable[[str], list[tuple[str, int]]],
    patch: int,
    stage: str,
    gflops: float,
) -> None:
    config, states = config_for(clips[patch]), saved(stage)
    with pytest.raises(KeyboardInterrupt):
        train(config, doors, out, "")
    metrics, fresh = train(config, doors, out, "")
    assert fresh
    assert states == [(name, step) for name in config.stages for step in (1, 2)]  # none twice
    assert [one.steps for one in metrics.stages] == [2, 2, 2]

    before = weights_of(clips[patch])
    tuned = load_file(out / "stages" / "3-unfrozen" / "model.safetensors")
    model = model_from_checkpoint(out / "temporal")
    after = model.clip.state_dict()
    assert sum(weight.numel() for weight in model.clip.parameters()) == PARAMETERS[patch]
    changed = {name for name, weight in after.items() if not torch.equal(weight, before[name])}
    learn = ("layers.10.", "layers.11.", "post_layernorm", "visual_projection", "logit_scale")
    assert changed == {
        n for n in after if any(part in n for part in learn) and not n.startswith("text")
    }
    name = "vision_model.encoder.layers.11.mlp.fc1.weight"
    torch.testing.assert_close(after[name], (before[name] + tuned[f"clip.{name}"]) / 2)

    evaluated = evaluate(out, doors, out / "evaluation")
    assert evaluated.test.clips == 1
    assert evaluated.test.top1 == metrics.test.top1
    assert evaluated.cost["temporal"].gflops_per_view == pytest.approx(gflops, rel=0.05)


def in_a_folder(folder: Path, config: Path, weights: Path, tokenizer: Path) -> Path:
    """A CLIP folder put together from others'."""
    folder.mkdir()
    (folder / "config.json").symlink_to(config / "config.json")
    (folder / "model.safetensors").symlink_to(weights / "model.safetensors")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).symlink_to(tokenizer / name)
    return folder


def refused(backbone: Path, doors: Path, out: Path, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        train(config_for(backbone), doors, out, "")
    assert not out.exists()


def test_weights_of_another_patch_size_are_refused(
    clips: dict[int, Path], doors: Path, tmp_path: Path
) -> None:
    mixed = in_a_folder(tmp_path / "clip", clips[16], weights=clips[32], tokenizer=clips[16])
    told = r"not those of its own configuration: mismatched_keys.*patch_embedding.*save it again"
    refused(mixed, doors, tmp_path / "run", told)


def test_the_tokenizer_of_another_clip_is_refused(
    clips: dict[int, Path], small_clip: Path, doors: Path, tmp_path: Path
) -> None:
    mixed = in_a_folder(tmp_path / "clip", clips[32], weights=clips[32], tokenizer=small_clip)
    told = r"entries, but the CLIP was trained with 49408. Use the tokenizer"
    refused(mixed, doors, tmp_path / "run", told)


def test_a_weight_under_another_name_is_refused(
    small_clip: Path, doors: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(small_clip, tmp_path / "clip")
    weights = load_file(folder / "model.safetensors")
    weights["visual.proj"] = weights.pop("visual_projection.weight")  # OpenAI's own name
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    told = r"missing_keys.*visual_projection\.weight.*unexpected_keys.*visual\.proj"
    refused(folder, doors, tmp_path / "run", told)


def test_a_folder_without_weights_and_no_folder_are_refused(
    small_clip: Path, doors: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(small_clip, tmp_path / "clip")
    (folder / "model.safetensors").unlink()
    refused(folder, doors, tmp_path / "run", r"no CLIP could be loaded.*model\.safetensors")
    refused(tmp_path / "nowhere", doors, tmp_path / "run", r"nowhere: no CLIP could be loaded")
