"""int8 graphs of the small pretrained CLIP: calibrated on clips they pass, on noise they do not."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from builder.checkpoints import Variants
from builder.engines.engine import Tensors
from builder.engines.onnx_runtime import OnnxRuntime
from builder.gate import Figures, cosine_figures, judged
from builder.graph_store import GraphStore
from builder.held_out import frame_embeds_of_clips, frames_of_clips
from builder.onnx_export import onnx_from_graph
from builder.profile import BuildProfile
from builder.quantization import layer_errors
from builder.trials import FLOAT_SHARES
from clip_har.contract import FRAMES, VISION_ENCODER
from clip_har.dataset import DataSet, data_set_from_folder
from clip_har.nn.clip import clip_from_pretrained, preprocessing_of
from clip_har.nn.model import CLIPHARModel
from clip_har.spec import ModelSpec

ROOT = Path(__file__).parents[2]
PROFILE = BuildProfile.from_toml(ROOT / "configs" / "profiles" / "cpu-speed.toml")
SIDE, FRAMES_OF_A_CLIP = 64, 2
Feeds = Sequence[Tensors]


@pytest.fixture(scope="module")
def data_set(mocap: Path) -> DataSet:
    return data_set_from_folder(mocap)


@pytest.fixture(scope="module")
def calibration(data_set: DataSet, mocap: Path) -> Feeds:
    frames, _ = frames_of_clips(data_set.split("train"), mocap, FRAMES_OF_A_CLIP, SIDE)
    return [{FRAMES.name: clip[None]} for clip in frames]


@pytest.fixture(scope="module")
def noise(calibration: Feeds) -> Feeds:
    random = np.random.default_rng(0)
    return [
        {FRAMES.name: random.integers(0, 256, feed[FRAMES.name].shape, dtype=np.uint8)}
        for feed in calibration
    ]


@pytest.fixture(scope="module")
def store(
    data_set: DataSet, calibration: Feeds, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[GraphStore]:
    source = str(ROOT / "assets" / "mocap-clip")
    clip = clip_from_pretrained(source)
    spec = ModelSpec(
        backbone=source,
        clip=clip.config.to_dict(),
        embed_dim=clip.config.projection_dim,
        frames=FRAMES_OF_A_CLIP,
        temporal="mean",
        labels=data_set.labels,
        prompts=("a person {}",),
        preprocessing=preprocessing_of(source, clip.config),
    )
    torch.manual_seed(0)
    made = GraphStore(
        folder=tmp_path_factory.mktemp("graphs"),
        variants=Variants({"mean": CLIPHARModel(spec, clip).eval()}, {}),
        opset=20,
        quantization=PROFILE.quantization,
        calibration=lambda model: calibration,
        made_from="tests",
        threads=1,
    )
    with pytest.MonkeyPatch.context() as patched:  # other tests have builds copy their graphs
        patched.setattr("builder.graph_store.onnx_from_graph", onnx_from_graph)
        yield made


@pytest.fixture(scope="module")
def held_out(data_set: DataSet, mocap: Path) -> np.ndarray:
    """Frames that no graph was calibrated on, (C, T, S, S, 3)."""
    frames, _ = frames_of_clips(data_set.split("test"), mocap, FRAMES_OF_A_CLIP, SIDE)
    return frames


def cosines(store: GraphStore, path: Path, frames: np.ndarray) -> Figures:
    exact, given = (
        frame_embeds_of_clips(OnnxRuntime().open(one, 1), frames)
        for one in (store.path(VISION_ENCODER, "fp32"), path)
    )
    return Figures.model_validate({"rows": len(frames), **cosine_figures(exact, given)})


def test_calibrated_on_clips_it_is_within_the_budget(
    store: GraphStore, held_out: np.ndarray, vnni: bool
) -> None:
    share = 0.0 if vnni else FLOAT_SHARES[0]  # what the builder would try next
    figures = cosines(store, store.path(VISION_ENCODER, "int8", share), held_out)
    assert judged(figures, PROFILE.budget, trained=False).faults == ()
    assert figures.min_cosine < 0.99999, "nothing was rounded: this compares nothing"


def test_calibrated_on_noise_it_is_refused(
    store: GraphStore, noise: Feeds, held_out: np.ndarray, tmp_path: Path
) -> None:
    spoilt = replace(store, folder=tmp_path, calibration=lambda model: noise)
    figures = cosines(store, spoilt.path(VISION_ENCODER, "int8"), held_out)
    (fault,) = judged(figures, PROFILE.budget, trained=False).faults
    assert fault.startswith("cosine 0.9")
    assert fault.endswith("(at least 0.99)")


def test_the_more_products_are_float_the_nearer_it_is(
    store: GraphStore, calibration: Feeds, held_out: np.ndarray
) -> None:
    notes = store.notes(VISION_ENCODER, "int8")
    half = store.notes(VISION_ENCODER, "int8", 0.5)
    assert len(half["kept_float"]) >= 0.5 * len(notes["layer_errors"])
    assert set(notes["kept_float"]) <= set(half["kept_float"])
    graph, rounded = (
        onnx.load(store.path(VISION_ENCODER, *which)) for which in (("fp32",), ("int8", 0.5))
    )
    assert not set(half["kept_float"]) & layer_errors(graph, rounded, calibration[:1]).keys()
    near, far = (
        cosines(store, store.path(VISION_ENCODER, "int8", share), held_out) for share in (0.5, 0.0)
    )
    assert near.mean_cosine > far.mean_cosine
