"""A build profile: which engine serves the graphs, how, and what it may lose in accuracy."""

from typing import Literal

from pydantic import Field

from clip_har.config import Config


class Budget(Config):
    """The largest difference from the trained model that is published."""

    max_probability_error: float = Field(gt=0)
    """Largest absolute difference of a class probability on any clip."""
    min_cosine: float = Field(gt=0, le=1)
    """Smallest cosine between clip embeddings on any clip."""
    min_top1_agreement: float = Field(gt=0, le=1)
    """Share of clips on which both name the same class first."""


class BuildProfile(Config):
    """Settings of one build."""

    name: str
    """Name of the profile, and of its folder below build/."""
    platform: Literal["onnxruntime_onnx"]
    """Triton's name of what runs the graphs."""
    opset: int = Field(ge=18, le=21)
    """ONNX operator set of the graphs; the ONNX Runtime of Triton 24.10 reads up to 21."""
    encoder_threads: int = Field(ge=0)
    """Threads of the vision and text encoders; 0 takes every core that this process may use."""
    parity_clips: int = Field(ge=1)
    """Held-out clips a class on which graphs are compared with the trained model."""
    budget: Budget
    """What a graph may lose before it is refused."""
