"""A build profile: which engines are tried, what they may lose in accuracy, and what is wanted."""

import re
from typing import Literal, get_args

from pydantic import Field, field_validator

from builder.engines.engine import EngineName
from builder.engines.plan import PlanChoices
from clip_har.config import Config

Precision = Literal["fp32", "fp16", "bf16", "int8", "int8-dynamic"]
Goal = Literal["throughput", "latency", "size"]


class Budget(Config):
    """The largest difference from the trained model that is published."""

    min_cosine: float = Field(gt=0, le=1)
    """Smallest cosine between embeddings on any clip or text."""
    max_probability_error: float = Field(gt=0)
    """Largest absolute difference of a class probability on any clip."""
    min_top1_agreement: float = Field(gt=0, le=1)
    """Share of clips on which both name the same class first; below 1, one clip may differ."""
    max_accuracy_drop: float = Field(ge=0)
    """Points of top-1 accuracy that may be lost, in percent; above 0, one clip may be."""

    def least_agreement(self, clips: int) -> float:
        """The share of so many clips that must agree: few clips cannot show a fine share."""
        if self.min_top1_agreement == 1 or not clips:
            return 1.0
        return min(self.min_top1_agreement, 1 - 1 / clips)

    def most_drop(self, clips: int) -> float:
        """The points of accuracy that may be lost on so many clips: likewise, one of them."""
        if not self.max_accuracy_drop or not clips:
            return 0.0
        return max(self.max_accuracy_drop, 100 / clips)


class Quantization(Config):
    """How int8 graphs are made."""

    clips: int = Field(default=32, ge=1)
    """Training clips whose ranges they are calibrated on."""
    smooth_quant: tuple[float, ...] = Field(default=(0.0, 0.5), min_length=1)
    """Strengths of SmoothQuant that are tried, 0 for none; the nearest to the exact graph stays."""
    max_layer_error: float = Field(default=0.03, gt=0)
    """A product that is further off than this share of its length stays float."""


class BuildProfile(Config):
    """Settings of one build."""

    name: str
    """Name of the profile, and of its folder below build/."""
    goal: Goal
    """What is best: most a second, least time for one, or the smallest file."""
    opset: int = Field(ge=20, le=21)
    """ONNX operator set of the graphs; the ONNX Runtime of Triton 24.10 reads up to 21."""
    encoders: tuple[str, ...] = Field(min_length=1)
    """Candidates for the two encoders, as `engine:precision`."""
    others: tuple[str, ...] = Field(min_length=1)
    """Candidates for the small graphs behind them."""
    threads: tuple[int, ...] = Field(default=(0,), min_length=1)
    """Threads that an encoder is tried with; 0 takes every core that this process may use."""
    batch: int = Field(default=8, ge=1)
    """Frames, clips or texts of a measured run; `max_batch_size` of config.pbtxt is the most."""
    gate_clips: int = Field(ge=1)
    """Held-out clips on which candidates are compared with the trained model, as many of each class
    and at least one; of weights that name no better than chance, two of each do."""
    quantization: Quantization = Quantization()
    """How int8 graphs are made."""
    capabilities: tuple[str, ...] = ()
    """GPU architectures to build for without one, such as `8.9` (TensorRT for RTX)."""
    plans: PlanChoices = PlanChoices()
    """How TensorRT builds plans; TensorRT for RTX takes `workspace_mib` alone."""
    response_cache: bool = False
    """Whether Triton may remember answers by the bytes of a request, for callers who send the same
    media again. The server must have a cache, too: `python -m server run --cache-mib`."""
    budget: Budget
    """What a candidate may lose before it is refused."""

    @field_validator("encoders", "others")
    @classmethod
    def _are_candidates(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        engines, precisions = get_args(EngineName), get_args(Precision)
        pattern = re.compile(f"({'|'.join(engines)}):({'|'.join(precisions)})")
        for name in names:
            if not pattern.fullmatch(name):
                raise ValueError(
                    f"{name!r} is no candidate: write engine:precision, an engine of "
                    f"{', '.join(engines)} and a precision of {', '.join(precisions)}"
                )
        return names
