"""The tensors and models that every stage agrees on: export, pbtxt, server and clients.

Axes: a batch axis B stands in front of every tensor and is not written. T frames, H and W of a
frame, S side of the model's input in pixels, D embedding, K classes, N texts, L tokens.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Dtype = Literal["UINT8", "INT64", "FP32", "BYTES"]
AXIS_NAMES = {
    "B": "batch",
    "T": "frames",
    "H": "height",
    "W": "width",
    "N": "texts",
    "L": "tokens",
}
"""Axes whose size a request decides, with their names in a graph; a checkpoint fixes the others."""


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """One named tensor."""

    name: str
    """Name in the graph, in config.pbtxt and in a request."""
    dtype: Dtype
    """Triton's name of the element type."""
    axes: tuple[str, ...]
    """Axes after the batch axis; "1" is an axis of that size."""

    def dims(self, sizes: Mapping[str, int]) -> list[int]:
        """The dims of config.pbtxt: -1 for a dynamic axis, otherwise the size of the checkpoint."""
        return [
            int(axis) if axis.isdigit() else -1 if axis in AXIS_NAMES else sizes[axis]
            for axis in self.axes
        ]


@dataclass(frozen=True, slots=True)
class ServedModel:
    """One model of the repository."""

    name: str
    """Name of its folder, and in a request."""
    inputs: tuple[TensorSpec, ...]
    """Tensors that it takes."""
    outputs: tuple[TensorSpec, ...]
    """Tensors that it gives."""


MEDIA = TensorSpec("MEDIA", "BYTES", ("1",))
RAW_FRAMES = TensorSpec("RAW_FRAMES", "UINT8", ("T", "H", "W", "3"))
FRAME = TensorSpec("FRAME", "BYTES", ("1",))
TEXTS = TensorSpec("TEXTS", "BYTES", ("N",))
NAMES = TensorSpec("NAMES", "BYTES", ("N",))
FRAMES = TensorSpec("FRAMES", "UINT8", ("T", "S", "S", "3"))
TIMES = TensorSpec("TIMES", "FP32", ("T",))
FRAME_EMBEDS = TensorSpec("FRAME_EMBEDS", "FP32", ("T", "D"))
CLIP_EMBED = TensorSpec("CLIP_EMBED", "FP32", ("D",))
PROBS = TensorSpec("PROBS", "FP32", ("K",))
EMBEDDING = TensorSpec("EMBEDDING", "FP32", ("D",))
TOKENS = TensorSpec("TOKENS", "INT64", ("L",))
TEXT_EMBED = TensorSpec("TEXT_EMBED", "FP32", ("D",))
EMBEDDINGS = TensorSpec("EMBEDDINGS", "FP32", ("N", "D"))
SCORES = TensorSpec("SCORES", "FP32", ("N",))
START = TensorSpec("START", "FP32", ("1",))
END = TensorSpec("END", "FP32", ("1",))

PREPROCESS = ServedModel("preprocess", (MEDIA,), (FRAMES, TIMES))
VISION_ENCODER = ServedModel("vision_encoder", (FRAMES,), (FRAME_EMBEDS,))
MEAN_POOL = ServedModel("mean_pool", (FRAME_EMBEDS,), (CLIP_EMBED,))
TEMPORAL = ServedModel("temporal", (FRAME_EMBEDS, TIMES), (CLIP_EMBED,))
CLASSIFIER_BASE = ServedModel("classifier_base", (CLIP_EMBED,), (PROBS,))
CLASSIFIER_TEMPORAL = ServedModel("classifier_temporal", (CLIP_EMBED,), (PROBS,))
TEXT_ENCODER = ServedModel("text_encoder", (TOKENS,), (TEXT_EMBED,))
HAR_BASE = ServedModel("har_base", (MEDIA,), (PROBS,))
HAR_TEMPORAL = ServedModel("har_temporal", (MEDIA,), (PROBS,))
HAR_EMBED = ServedModel("har_embed", (MEDIA,), (EMBEDDING,))
RESIZE = ServedModel("resize", (RAW_FRAMES, TIMES), (FRAMES, TIMES))
TEXT_EMBEDDER = ServedModel("text_embedder", (TEXTS, NAMES, CLIP_EMBED), (EMBEDDINGS,))
SIMILARITY = ServedModel("similarity", (CLIP_EMBED, EMBEDDINGS), (SCORES,))
MIXTURE = ServedModel("mixture", (FRAME_EMBEDS, TIMES), (PROBS,))
HAR_ENSEMBLE = ServedModel("har_ensemble", (MEDIA,), (PROBS,))
HAR_TEMPORAL_FRAMES = ServedModel("har_temporal_frames", (RAW_FRAMES, TIMES), (PROBS,))
HAR_ZERO_SHOT = ServedModel("har_zero_shot", (MEDIA, TEXTS), (SCORES,))
HAR_TEXT_EMBED = ServedModel("har_text_embed", (TEXTS,), (EMBEDDINGS,))
HAR_STREAM = ServedModel("har_stream", (FRAME,), (PROBS,))
HAR_TIMELINE = ServedModel("har_timeline", (MEDIA,), (START, END, PROBS))

GRAPHS = (
    VISION_ENCODER,
    MEAN_POOL,
    TEMPORAL,
    CLASSIFIER_BASE,
    CLASSIFIER_TEMPORAL,
    TEXT_ENCODER,
    SIMILARITY,
    MIXTURE,
)
"""Models that are ONNX graphs or engines made of them."""

PUBLIC_CLASSIFIERS = (HAR_BASE, HAR_TEMPORAL)
"""Models that a client asks for the action in a piece of media."""

PUBLIC_MODELS = (
    *PUBLIC_CLASSIFIERS,
    HAR_ENSEMBLE,
    HAR_EMBED,
    HAR_TEMPORAL_FRAMES,
    HAR_ZERO_SHOT,
    HAR_TEXT_EMBED,
    HAR_STREAM,
    HAR_TIMELINE,
)
"""Models that clients call."""

MODELS = (PREPROCESS, RESIZE, TEXT_EMBEDDER, *GRAPHS, *PUBLIC_MODELS)
"""Every model of the repository."""

OVERLOADED = ("Exceeds maximum queue size", "Request timeout expired")
"""What Triton says where requests come faster than a model answers them."""
LABELS_FILE = "labels.txt"
"""File in a classifier's folder: one class name a line, in the order of PROBS."""

FRAMES_PER_RUN = "frames_per_run"
"""Parameter of a graph on a CPU: frames that run together at most, a request's own aside; 0 where
nothing bounds them. More at once may be slower: they outgrow the CPU's caches."""
LANES = "lanes"
"""Parameter of a graph on a CPU: runs side by side where several requests wait, each on its share
of the threads; 0 or 1 for one run at a time."""
