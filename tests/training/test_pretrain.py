"""Pretraining: its loss, that it learns, and that it survives being killed."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from transformers import CLIPModel, CLIPTokenizer

from clip_har.nn.clip import clip_from_pretrained, tokenizer_from_pretrained
from training.mocap.captions import MOMENTS, MOTIONS, draw_sentences
from training.mocap.frames import FrameOrder, FrameSet, frame_set
from training.objective import contrastive_loss
from training.pretrain import (
    PretrainConfig,
    accuracy_by_name,
    augmented,
    clip_config,
    pretrain,
    tokenizer_from_sentences,
    train_step,
)
from training.resume import load_state, save_state

# A run that is killed by the system in the middle of a step, after a saved state.
KILLED_AT_STEP_4 = """
import os, signal, sys, torch
from pathlib import Path
import training.pretrain as module

torch.set_num_threads(1)
step_of_training = module.train_step

def killed(*args):
    if args[-1] == 4:
        os.kill(os.getpid(), signal.SIGKILL)
    return step_of_training(*args)

if __name__ == "__main__":
    module.train_step = killed
    folder = Path(sys.argv[1])
    config = module.PretrainConfig.from_json(folder / "config.json")
    module.pretrain(config, folder / "run", folder / "clip")
"""


def test_a_killed_run_goes_on_to_the_same_weights(
    settings: PretrainConfig, pretraining: Path, tmp_path: Path
) -> None:
    (tmp_path / "config.json").write_text(settings.model_dump_json())
    for made_before in ("frames", "tokenizer"):
        shutil.copytree(pretraining / "run" / made_before, tmp_path / "run" / made_before)
    (tmp_path / "killed.py").write_text(KILLED_AT_STEP_4)
    process = subprocess.run(
        [sys.executable, tmp_path / "killed.py", tmp_path],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
    )
    assert process.returncode == -signal.SIGKILL, process.stderr.decode()
    assert json.loads((tmp_path / "run" / "state" / "state.json").read_text())["step"] == 3
    assert not (tmp_path / "clip").exists()
    pretrain(settings, tmp_path / "run", tmp_path / "clip")
    resumed = load_file(tmp_path / "clip" / "model.safetensors")
    whole = load_file(pretraining / "clip" / "model.safetensors")
    assert resumed.keys() == whole.keys()
    assert not [name for name in whole if not torch.equal(resumed[name], whole[name])]


def test_a_resumed_run_reads_its_sentences_by_the_same_tokenizer(
    settings: PretrainConfig, pretraining: Path, tmp_path: Path
) -> None:
    shutil.copytree(pretraining / "run", tmp_path / "run")
    pretrain(settings, tmp_path / "run", tmp_path / "clip")  # nothing is left to be done
    before, after = (
        CLIPTokenizer.from_pretrained(folder / "clip") for folder in (pretraining, tmp_path)
    )
    assert before.get_vocab() == after.get_vocab()


def test_a_run_leaves_a_clip_with_its_tokenizer_and_a_history(
    settings: PretrainConfig, pretraining: Path
) -> None:
    clip = clip_from_pretrained(str(pretraining / "clip"))
    tokenizer = tokenizer_from_pretrained(str(pretraining / "clip"), clip.config)
    text = "a person kicking, moment 3 of 8"
    assert tokenizer.decode(tokenizer(text).input_ids, skip_special_tokens=True).replace(
        " ", ""
    ) == text.replace(" ", "")
    lines = (pretraining / "run" / "history.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [3, 6, 9]
    pickled = {".bin", ".pt", ".pth", ".pkl"}
    assert not [path for path in pretraining.rglob("*") if path.suffix in pickled]


@pytest.fixture
def frames(settings: PretrainConfig, pretraining: Path) -> FrameSet:
    folder = pretraining / "run" / "frames" / "train"
    return frame_set(folder, FrameOrder("train", settings.takes, 32, 32, settings.seed))


def test_frames_are_rendered_once(
    settings: PretrainConfig, pretraining: Path, frames: FrameSet
) -> None:
    assert frames.pixels.shape == (8 * settings.takes, 32, 32, 3)
    assert frames.attributes.shape == (8 * settings.takes, 5)
    pixels = pretraining / "run" / "frames" / "train" / "pixels.npy"
    before = pixels.stat().st_mtime_ns
    frame_set(pixels.parent, FrameOrder("train", settings.takes, 32, 32, settings.seed))
    assert pixels.stat().st_mtime_ns == before


def test_the_loss_falls(settings: PretrainConfig, frames: FrameSet) -> None:
    steps = 60
    config = settings.model_copy(update={"steps": steps, "learning_rate": 3e-3})
    tokenizer = tokenizer_from_sentences(config)
    torch.manual_seed(0)
    model = CLIPModel(clip_config(config, tokenizer))
    optimizer = torch.optim.AdamW(model.parameters())
    before = accuracy_by_name(model, tokenizer, frames, config)
    losses = [
        train_step(model, optimizer, tokenizer, frames, config, step) for step in range(steps)
    ]
    assert np.mean(losses[-5:]) < 0.8 * np.mean(losses[:5])
    assert accuracy_by_name(model, tokenizer, frames, config) > before + 0.1


def test_the_contrastive_loss_shares_a_row_between_its_positives() -> None:
    logits = torch.tensor([[2.0, 1.0, 0.0], [0.5, -1.0, 3.0]])
    true = torch.tensor([[True, True, False], [False, False, True]])
    rows = logits.log_softmax(dim=1)
    columns = logits.log_softmax(dim=0)
    by_row = -((rows[0, 0] + rows[0, 1]) / 2 + rows[1, 2]) / 2
    by_column = -(columns[0, 0] + columns[0, 1] + columns[1, 2]) / 3
    torch.testing.assert_close(contrastive_loss(logits, true), (by_row + by_column) / 2)


def test_what_has_no_positive_takes_no_part_in_its_direction() -> None:
    torch.manual_seed(0)
    logits = torch.randn(4, 5)
    true = torch.zeros(4, 5, dtype=torch.bool)
    true[0, 0] = true[1, 1] = true[1, 2] = True  # rows 2 and 3, columns 3 and 4 have none
    rows, columns = logits.log_softmax(dim=1), logits.log_softmax(dim=0)
    by_row = -(rows[0, 0] + (rows[1, 1] + rows[1, 2]) / 2) / 2
    by_column = -(columns[0, 0] + columns[1, 1] + columns[1, 2]) / 3
    torch.testing.assert_close(contrastive_loss(logits, true), (by_row + by_column) / 2)


def test_augmented_frames_stay_pictures_that_differ(frames: FrameSet) -> None:
    torch.manual_seed(0)
    same = torch.from_numpy(frames.pixels[:1].repeat(4, axis=0))
    shown = augmented(same)
    assert shown.shape == (4, 3, 32, 32)
    assert shown.min() >= 0
    assert shown.max() <= 1
    original = same[0].permute(2, 0, 1) / 255
    gaps = [(shown[n] - shown[0]).abs().mean() for n in (1, 2, 3)]
    assert min(gaps) > 0.02
    assert (shown - original).abs().mean() < 0.25


def test_the_tokenizer_fits_every_sentence_and_any_text(settings: PretrainConfig) -> None:
    tokenizer = tokenizer_from_sentences(settings)
    bank = draw_sentences(np.random.default_rng(0))
    assert max(map(len, tokenizer(list(bank.texts)).input_ids)) <= settings.context
    ids = tokenizer("zebra #7?").input_ids
    assert tokenizer.unk_token_id not in ids[1:-1]


def test_a_saved_state_restores_weights_moments_and_step(tmp_path: Path) -> None:
    def started() -> tuple[nn.Module, torch.optim.Optimizer]:
        torch.manual_seed(0)
        layer = nn.Linear(4, 3)
        return layer, torch.optim.AdamW(layer.parameters(), lr=0.1)

    def step(layer: nn.Module, optimizer: torch.optim.Optimizer, seed: int) -> None:
        batch = torch.randn(5, 4, generator=torch.Generator().manual_seed(seed))
        optimizer.zero_grad()
        layer(batch).pow(2).sum().backward()
        optimizer.step()

    whole = started()
    assert load_state(tmp_path / "state", *whole) is None
    for seed in range(3):
        step(*whole, seed)
    save_state(tmp_path / "state", *whole, 3)
    step(*whole, 3)
    resumed = started()
    assert load_state(tmp_path / "state", *resumed) == {"step": 3}
    step(*resumed, 3)
    for ours, theirs in zip(resumed[0].parameters(), whole[0].parameters(), strict=True):
        assert torch.equal(ours, theirs)
    assert resumed[1].state_dict()["state"][0]["step"] == 4


def test_an_unknown_action_is_neither_shown_nor_told_of(
    settings: PretrainConfig, tmp_path: Path
) -> None:
    table = settings.model_dump(mode="json") | {"unknown": ["running"]}
    config = PretrainConfig.model_validate(table)
    order = FrameOrder("train", 17, 32, 32, config.seed, config.actions)
    frames = frame_set(tmp_path / "frames", order)
    assert set(frames.attributes[:, 0]) == set(range(len(MOTIONS))) - {MOTIONS.index("run")}
    bank = draw_sentences(np.random.default_rng(0), config.actions)
    assert not [text for text in bank.texts if "running" in text]
    assert len(bank.texts) == len(draw_sentences(np.random.default_rng(0)).texts) - 1 - MOMENTS


@pytest.mark.parametrize(
    ("unknown", "told"),
    [
        (["sprinting"], "names no action. There are walking forwards"),
        (["walking forwards"], "'walking forwards' is in `unknown`, but .* Name both"),
    ],
)
def test_unknown_actions_are_whole(settings: PretrainConfig, unknown: list[str], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        PretrainConfig.model_validate(settings.model_dump(mode="json") | {"unknown": unknown})
