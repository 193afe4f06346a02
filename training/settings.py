"""Settings of a training run: the table of a TOML file in configs/."""

from typing import Literal

from pydantic import Field, model_validator

from clip_har.config import Config
from clip_har.spec import TemporalKind
from training.augmentation import Augmentation

Trains = Literal["frozen", "lora", "unfrozen"]


class Variant(Config):
    """One checkpoint that a run writes. All variants of a run share one CLIP."""

    temporal: TemporalKind
    """Which temporal module: `mean` (base) or `attention_motion` (temporal attention)."""
    rate: float = Field(default=1.0, gt=0)
    """Times the stage's learning rate for this variant's temporal module and head."""


class Stage(Config):
    """One stage of training. Each goes on from what the one before it left."""

    trains: Trains
    """What of the CLIP learns beside the action parts: `frozen` nothing, on cached embeddings;
    `lora` low-rank additions to the last blocks, merged at the end; `unfrozen` the last blocks."""
    epochs: float = Field(gt=0)
    """Passes over the training clips."""
    warmup_epochs: float = Field(default=0.0, ge=0)
    """Passes of linear warm-up; a cosine decay follows."""
    batch: int = Field(ge=2)
    """Clips of an optimiser step, over all processes and accumulated parts."""
    accumulate: int = Field(default=1, ge=1)
    """Parts that a batch is computed in, to save memory. Contrast is within a part."""
    learning_rate: float = Field(gt=0)
    """Peak rate of the action parts."""
    encoder_learning_rate: float = Field(default=0.0, ge=0)
    """Peak rate of the CLIP's last block or of the LoRA weights."""
    layer_decay: float = Field(default=0.75, gt=0, le=1)
    """`unfrozen`: the rate of a block is that of the block after it times this (BEiT, 2021)."""
    final_rate: float = Field(default=0.0, ge=0, lt=1)
    """Share of the peak rate at which the decay ends."""
    blocks: int = Field(default=0, ge=0)
    """Last blocks of the vision tower that learn."""
    lora_rank: int = Field(default=8, ge=1)
    """Rank of the LoRA weights (Hu et al., 2021)."""
    lora_alpha: int = Field(default=16, gt=0)
    """Scale of the LoRA weights, divided by the rank."""
    weight_decay: float = Field(default=0.05, ge=0)
    """AdamW's weight decay; biases, norms and the logit scale have none."""
    clip_gradient: float = Field(default=1.0, gt=0)
    """Longest gradient."""
    label_smoothing: float = Field(default=0.1, ge=0, lt=1)
    """Probability mass that the truth gives to the other classes."""
    text_weight: float = Field(default=0.5, ge=0)
    """Weight of the symmetric image-text contrast beside the classification loss."""
    distillation: float = Field(default=0.0, ge=0)
    """Weight of each variant's clip embeddings staying close to those of the pretrained CLIP
    (FROSTER, 2024), so that other names still fit them; in `lora` and `unfrozen` it takes a second
    pass."""
    ema: float = Field(default=0.0, ge=0, lt=1)
    """Decay of the moving average of the weights that the stage ends with; 0: the last weights."""
    noise: float = Field(default=0.0, ge=0)
    """Length of the random vector added to each frame embedding (their own length is 1)."""
    patience: int = Field(default=0, ge=0)
    """Validations without a better result before the stage stops, and ends with the best weights,
    for `lora` and `unfrozen` perhaps those that it began with; 0: it runs to its end."""
    validate_epochs: float = Field(default=1.0, gt=0)
    """Passes between two validations, where there is patience; the last step has one, too."""
    save_steps: int = Field(default=100, ge=1)
    """Steps between two saved states, from which an interrupted stage goes on."""
    augmentation: Augmentation = Augmentation()
    """What happens to the pixels; not in `frozen`, which sees each frame once."""

    @model_validator(mode="after")
    def _parts_fit(self) -> "Stage":
        if self.batch % self.accumulate:
            raise ValueError(
                f"batch = {self.batch} cannot be computed in accumulate = {self.accumulate} equal "
                "parts: choose a multiple."
            )
        if self.trains == "frozen":
            if self.augmentation != Augmentation():
                raise ValueError(
                    "a `frozen` stage learns from embeddings that are computed once, so it has no "
                    "`augmentation`: leave it out, or choose `lora` or `unfrozen`."
                )
        elif not (self.blocks and self.encoder_learning_rate):
            raise ValueError(
                f"a `{self.trains}` stage needs `blocks` (how many of the last blocks learn) and "
                "`encoder_learning_rate`."
            )
        return self

    def steps(self, clips: int) -> int:
        """Optimiser steps for a training split of this many clips."""
        return max(round(self.epochs * clips / self.batch), 1)


class TrainConfig(Config):
    """A training run."""

    seed: int
    """Fixes the weights at the start and everything drawn on the way."""
    backbone: str
    """A CLIP folder (relative to where the command runs) or a Hub name."""
    frames: int = Field(ge=1)
    """Frames sampled from a video when serving."""
    train_frames: tuple[int, ...] = Field(min_length=1)
    """Frames sampled in training; one of these a step, so that any number works later."""
    cached_frames: int = Field(default=64, ge=1)
    """Most frames of a clip whose embeddings are kept for `frozen` stages."""
    prompts: tuple[str, ...] = Field(min_length=1)
    """Sentence templates of the class texts; `{}` stands for the label."""
    held_out_labels: tuple[str, ...] = ()
    """Classes never trained: their validation clips choose how much of the pretrained CLIP to
    keep, their test clips measure recognition by name."""
    main: str = ""
    """Variant that decides and that the metrics are about; the last one if empty."""
    still_share: float = Field(default=0.1, ge=0, le=1)
    """Share of steps that see one frame a clip, so that an image keeps its meaning."""
    crop: float = Field(default=1.0, gt=0, le=1)
    """Shortest part of a clip's time that a training view shows."""
    reversed_share: float = Field(default=0.0, ge=0, le=1)
    """Share of clips played backwards and labelled so, among classes that have a reversal."""
    dropout: float = Field(default=0.5, ge=0, lt=1)
    """Of the classification heads."""
    alpha: float | Literal["sweep"] = 1.0
    """Share of the last stage in the weights that are kept; the rest is what the frozen stages left
    on the pretrained CLIP (WiSE-FT, 2022). `sweep` tries 0 to 1 and takes the best for
    `held_out_labels` and the others together."""
    mixed_precision: Literal["no", "bf16"] = "no"
    """Arithmetic of the forward pass; losses and weights stay in fp32."""
    workers: int = Field(default=2, ge=1)
    """Processes that decode clips for `lora` and `unfrozen` stages, at most one a core. What is
    decoded once, before a stage, takes every core: nothing else runs then."""
    tracker: str = "tensorboard"
    """Where curves go: `tensorboard` (a folder of the run), `mlflow`, `wandb`, or `none`."""
    variants: dict[str, Variant] = Field(min_length=1)
    """Checkpoints to write, by folder name."""
    stages: dict[str, Stage] = Field(min_length=1)
    """Stages in their order, by name."""

    @model_validator(mode="after")
    def _parts_fit(self) -> "TrainConfig":
        if self.alpha == "sweep" and not self.held_out_labels:
            raise ValueError(
                'alpha = "sweep" needs `held_out_labels`: it chooses by how well classes that were '
                "not trained are still recognised. Name some, or give alpha as a number."
            )
        if isinstance(self.alpha, float) and not 0 <= self.alpha <= 1:
            raise ValueError(f"alpha = {self.alpha} must lie between 0 and 1.")
        kinds = [stage.trains for stage in self.stages.values()]
        if "frozen" in kinds[len([k for k in kinds if k == "frozen"]) :]:
            raise ValueError(
                "`frozen` stages learn from embeddings of the pretrained CLIP, so they come before "
                f"the stages that change it, but the order is {', '.join(kinds)}."
            )
        if self.main and self.main not in self.variants:
            raise ValueError(
                f"main = {self.main!r} is none of the variants: {', '.join(self.variants)}."
            )
        return self

    @property
    def main_variant(self) -> str:
        """Name of the variant that decides."""
        return self.main or list(self.variants)[-1]
