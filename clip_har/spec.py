"""What a checkpoint says of itself: the `config.json` of its folder."""

from typing import Literal

from pydantic import Field, model_validator

from clip_har.config import Config

TemporalKind = Literal["mean", "attention_motion"]


class Preprocessing(Config):
    """How media become pixels. The same in training and in the server."""

    image_size: int = Field(gt=0)
    """Side of the model's square input in pixels: shortest edge resized to it, then centre crop."""
    mean: tuple[float, float, float]
    """Mean of each RGB channel of the pretraining data, in [0, 1]."""
    std: tuple[float, float, float]
    """Standard deviation of each RGB channel of the pretraining data."""


class ModelSpec(Config):
    """The description of a trained model."""

    format: Literal[1] = 1
    """Version of this description."""
    backbone: str
    """Where the CLIP came from: a folder or a Hub name."""
    clip: dict[str, object]
    """The CLIP's own configuration, as transformers writes it."""
    embed_dim: int = Field(gt=0)
    """D, dimension of the joint embedding space."""
    frames: int = Field(ge=1)
    """T, frames sampled from a video."""
    temporal: TemporalKind
    """`mean` is the base variant, `attention_motion` the temporal one."""
    labels: tuple[str, ...] = Field(min_length=2)
    """Class names, in the order of the head's outputs."""
    prompts: tuple[str, ...] = Field(min_length=1)
    """Templates that turn a label into a sentence; `{}` stands for the label."""
    temperature: float = Field(default=1.0, gt=0)
    """Divides the head's logits; fitted on validation."""
    preprocessing: Preprocessing
    """How media become pixels."""

    @model_validator(mode="after")
    def _labels_and_prompts_are_usable(self) -> "ModelSpec":
        doubled = sorted({label for label in self.labels if self.labels.count(label) > 1})
        if doubled:
            raise ValueError(f"labels must differ, but these occur twice: {', '.join(doubled)}")
        blank = [prompt for prompt in self.prompts if "{}" not in prompt]
        if blank:
            raise ValueError(
                f"every prompt needs {{}} where the label goes, but {blank[0]!r} has none"
            )
        return self

    @property
    def max_tokens(self) -> int:
        """Most tokens of a text, its start and its end included."""
        tower = self.clip["text_config"]
        assert isinstance(tower, dict)
        return int(tower["max_position_embeddings"])  # pyright: ignore[reportUnknownArgumentType]

    @property
    def sizes(self) -> dict[str, int]:
        """Sizes of the axes that the checkpoint fixes, by their letter in the contract."""
        return {
            "S": self.preprocessing.image_size,
            "D": self.embed_dim,
            "K": len(self.labels),
        }
