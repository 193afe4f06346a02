"""Symmetric image-text contrastive pretraining of a small CLIP on rendered frames.

B frames of a batch, M sentences, K actions, D embedding, S side in pixels.
"""

import json
import time
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from pydantic import model_validator
from torch import Tensor
from torch.nn import functional as F
from transformers import CLIPConfig, CLIPModel, CLIPTokenizer

from clip_har.config import Config
from clip_har.nn.clip import (
    OPENAI_MEAN,
    OPENAI_STD,
    encode_frames,
    encode_texts,
    normalized,
    pixels_from_frames,
)
from clip_har.product import staged, write_whole
from clip_har.progress import progress_bar
from clip_har.spec import Preprocessing
from training.device import best_device
from training.mocap.actions import PRETRAINED_ACTIONS, REVERSAL_OF_LABEL, Action
from training.mocap.captions import MOTIONS, draw_sentences, truth
from training.mocap.frames import FrameOrder, FrameSet, frame_set
from training.objective import contrastive_loss
from training.resume import load_state, save_state

MOST_LOGIT_SCALE = 100.0
GROUP_WEIGHTS = (1.0, 1.0, 0.5, 0.25, 0.25)  # actions, moments, views, postures, places
TOKENIZER_DRAWS = 100


class Tower(Config):
    """Size of one transformer of the CLIP."""

    width: int
    """Channels of a token."""
    layers: int
    """Transformer blocks."""
    heads: int
    """Attention heads of a block."""


class PretrainConfig(Config):
    """A pretraining run."""

    seed: int
    """Seeds the renders, the sentences, the weights and the order of the batches."""
    takes: int
    """Training takes to render; each gives eight frames."""
    val_takes: int
    """Takes of the validation split, for the accuracy printed on the way."""
    rendered: int
    """Side in pixels at which frames are rendered, as the clips are."""
    image_size: int
    """Side in pixels of the CLIP's input."""
    patch_size: int
    """Side in pixels of a patch."""
    embed_dim: int
    """Dimension of the joint embedding space."""
    vision: Tower
    """The vision transformer."""
    text: Tower
    """The text transformer."""
    vocabulary: int
    """Entries of the byte-pair vocabulary that is trained on the sentences."""
    context: int
    """Longest sentence in tokens."""
    batch: int
    """Frames of a step."""
    steps: int
    """Steps of the whole run."""
    learning_rate: float
    """Peak learning rate: linear warm-up, flat, linear decay to zero."""
    warmup: int
    """Steps of the warm-up."""
    decay: int
    """Steps of the decay at the end."""
    weight_decay: float
    """AdamW's weight decay."""
    save_every: int
    """Steps between two saved states, from which an interrupted run goes on."""
    unknown: tuple[str, ...] = ()
    """Labels of actions that it is neither shown nor told of; name a reversal with its action."""

    @model_validator(mode="after")
    def _unknown_are_whole(self) -> "PretrainConfig":
        labels = [action.label for action in PRETRAINED_ACTIONS]
        if strange := [label for label in self.unknown if label not in labels]:
            raise ValueError(f"unknown = {strange} names no action. There are {', '.join(labels)}.")
        for label in self.unknown:
            reversal = REVERSAL_OF_LABEL.get(label, label)
            if reversal not in self.unknown:
                raise ValueError(
                    f"{label!r} is in `unknown`, but its reversal, {reversal!r}, is not, and has "
                    "the same pictures. Name both, or neither."
                )
        return self

    @property
    def actions(self) -> tuple[Action, ...]:
        """What it is shown and told of."""
        return tuple(a for a in PRETRAINED_ACTIONS if a.label not in self.unknown)


def pretrain(config: PretrainConfig, run: Path, out: Path) -> dict[str, float]:
    """Renders the frames, trains the CLIP and writes it to `out`; resumes a run found in `run`.

    Returns what the run ended with: validation accuracy of single frames read by action names.
    Raises ValueError where `run` was begun with other settings.
    """
    started = time.monotonic()
    _check_same_run(config, run)
    frames, held_out = _frames(config, run, "train"), _frames(config, run, "val")
    tokenizer = _tokenizer(config, run)
    torch.manual_seed(config.seed)
    with torch.device(best_device()):
        model = CLIPModel(clip_config(config, tokenizer))
    optimizer = torch.optim.AdamW(
        model.parameters(),
        config.learning_rate,
        weight_decay=config.weight_decay,
        betas=(0.9, 0.98),
    )
    state = load_state(run / "state", model, optimizer)
    done = state["step"] if state else 0
    steps = range(done, config.steps)
    for step in progress_bar(steps, "pretrain", config.steps, done):
        loss = train_step(model, optimizer, tokenizer, frames, config, step)
        if (step + 1) % config.save_every == 0:
            save_state(run / "state", model, optimizer, step + 1)
            record = {
                "step": step + 1,
                "loss": round(loss, 4),
                "val_accuracy": accuracy_by_name(model, tokenizer, held_out, config),
                "seconds": round(time.monotonic() - started),
            }
            with (run / "history.jsonl").open("a") as history:
                history.write(json.dumps(record) + "\n")
    with staged(out) as staging:
        model.save_pretrained(staging)
        tokenizer.save_pretrained(staging)
    return {"val_accuracy": accuracy_by_name(model, tokenizer, held_out, config)}


def train_step(
    model: CLIPModel,
    optimizer: torch.optim.Optimizer,
    tokenizer: CLIPTokenizer,
    frames: FrameSet,
    config: PretrainConfig,
    step: int,
) -> float:
    """One step, fixed by (seed, step) alone, so that a resumed run repeats an uninterrupted one."""
    rng = np.random.default_rng([config.seed, step])
    torch.manual_seed(int(rng.integers(2**31)))
    picked = np.sort(rng.choice(len(frames.pixels), config.batch, replace=False))
    bank = draw_sentences(rng, config.actions)
    true = torch.from_numpy(truth(frames.attributes[picked], bank)).to(model.device)  # (B, M)
    shown = augmented(torch.from_numpy(frames.pixels[picked]).to(model.device))
    pixels = normalized(shown, preprocessing(config))  # (B, 3, S, S)
    texts = tokenizer(list(bank.texts), padding=True, return_tensors="pt").input_ids
    for group in optimizer.param_groups:
        group["lr"] = config.learning_rate * _schedule(config, step)
    optimizer.zero_grad()
    images = encode_frames(model, pixels[:, None])[:, 0]  # (B, D)
    names = encode_texts(model, texts.to(model.device))  # (M, D)
    logits = images @ names.T * model.logit_scale.exp()  # (B, M)
    losses = [contrastive_loss(logits[:, group], true[:, group]) for group in bank.groups]
    loss = torch.stack(losses) @ torch.tensor(GROUP_WEIGHTS, device=model.device)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    with torch.no_grad():
        model.logit_scale.clamp_(max=float(np.log(MOST_LOGIT_SCALE)))
    return loss.item()


def augmented(pixels: Tensor) -> Tensor:
    """Uint8 frames (B, S, S, 3) moved, scaled, relit and noisy, in [0, 1], (B, 3, S, S)."""
    frames = pixels.permute(0, 3, 1, 2).float() / 255
    count = len(frames)
    place = frames.new_zeros(count, 2, 3)
    place[:, 0, 0] = place[:, 1, 1] = frames.new_empty(count).uniform_(0.85, 1.15)
    place[:, :, 2] = frames.new_empty(count, 2).uniform_(-0.12, 0.12)
    grid = F.affine_grid(place, list(frames.shape), align_corners=False)
    frames = F.grid_sample(frames, grid, padding_mode="border", align_corners=False)
    tint = frames.new_empty(count, 3, 1, 1).uniform_(0.75, 1.25)
    gain = tint * frames.new_empty(count, 1, 1, 1).uniform_(0.8, 1.2)
    return (frames * gain + torch.randn_like(frames) * 0.02).clamp(0, 1)


def preprocessing(config: PretrainConfig) -> Preprocessing:
    """What the CLIP's input is: the size of the run, OpenAI's mean and deviation."""
    return Preprocessing(image_size=config.image_size, mean=OPENAI_MEAN, std=OPENAI_STD)


@torch.inference_mode()
def accuracy_by_name(
    model: CLIPModel, tokenizer: CLIPTokenizer, frames: FrameSet, config: PretrainConfig
) -> float:
    """Share of single frames named right; an action and its reversal count as one."""
    names = [f"a person {action.label}" for action in config.actions]
    tokens = tokenizer(names, padding=True, return_tensors="pt").input_ids
    bank = encode_texts(model, tokens.to(model.device))  # (K, D)
    motion = torch.tensor([MOTIONS.index(action.motion) for action in config.actions])
    shown_as = preprocessing(config)
    right = 0
    for start in range(0, len(frames.pixels), 512):
        some = torch.from_numpy(frames.pixels[start : start + 512].copy()).to(model.device)
        images = encode_frames(model, pixels_from_frames(some[:, None], shown_as))[:, 0]
        truth = torch.from_numpy(frames.attributes[start : start + 512, 0]).long()
        right += int((motion[(images @ bank.T).argmax(dim=1).cpu()] == truth).sum())
    return round(right / len(frames.pixels), 4)


def tokenizer_from_sentences(config: PretrainConfig) -> CLIPTokenizer:
    """Trains a byte-pair tokenizer on the sentences; single characters keep it open to any text."""
    rng = np.random.default_rng(config.seed)
    corpus = [
        text for _ in range(TOKENIZER_DRAWS) for text in draw_sentences(rng, config.actions).texts
    ]
    corpus += [" ".join(map(chr, range(33, 127)))] * 10
    return CLIPTokenizer().train_new_from_iterator(
        corpus, vocab_size=config.vocabulary, show_progress=False
    )


def clip_config(config: PretrainConfig, tokenizer: CLIPTokenizer) -> CLIPConfig:
    """The architecture as transformers describes it."""

    def tower(size: Tower) -> dict[str, object]:
        return {
            "hidden_size": size.width,
            "intermediate_size": 4 * size.width,
            "num_hidden_layers": size.layers,
            "num_attention_heads": size.heads,
            "hidden_act": "gelu",
            "projection_dim": config.embed_dim,
        }

    text = {
        "vocab_size": len(tokenizer),
        "max_position_embeddings": config.context,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    vision = {"image_size": config.image_size, "patch_size": config.patch_size}
    return CLIPConfig(
        text_config={**tower(config.text), **text},
        vision_config={**tower(config.vision), **vision},
        projection_dim=config.embed_dim,
    )


def _frames(config: PretrainConfig, run: Path, split: Literal["train", "val"]) -> FrameSet:
    takes = config.takes if split == "train" else config.val_takes
    order = FrameOrder(
        split, takes, config.image_size, config.rendered, config.seed, config.actions
    )
    return frame_set(run / "frames" / split, order)


def _tokenizer(config: PretrainConfig, run: Path) -> CLIPTokenizer:
    """The run's own tokenizer; another training would number the same entries in another order."""
    folder = run / "tokenizer"
    if not folder.exists():
        with staged(folder) as staging:
            tokenizer_from_sentences(config).save_pretrained(staging)
    return CLIPTokenizer.from_pretrained(folder)


def _check_same_run(config: PretrainConfig, run: Path) -> None:
    path = run / "settings.json"
    # How long it goes on may be decided later: the learning rate is flat until the decay.
    settings = config.model_dump_json(exclude={"steps", "decay", "save_every"})
    if path.exists() and path.read_text() != settings:
        raise ValueError(
            f"{run}: holds a run with other settings. Name another folder with --run, or delete it."
        )
    write_whole(path, settings)


def _schedule(config: PretrainConfig, step: int) -> float:
    return min((step + 1) / config.warmup, (config.steps - step) / config.decay, 1.0)
