"""C clips, T sampled frames, D embedding."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from clip_har.dataset import Clip, DataSet
from clip_har.limits import Limits
from clip_har.media import frames_from_media
from clip_har.nn.clip import clip_from_pretrained, preprocessing_of
from clip_har.nn.model import CLIPHARModel
from clip_har.spec import ModelSpec
from training.features import FeatureSet, FrozenEncoder, features_from_clips


@pytest.fixture(scope="module")
def encoder(backbone: Path) -> FrozenEncoder:
    clip = clip_from_pretrained(str(backbone))
    return FrozenEncoder(clip, preprocessing_of(str(backbone), clip.config), "tiny")


def decided_model(encoder: FrozenEncoder, labels: Sequence[str]) -> CLIPHARModel:
    """A whole model on the encoder's CLIP; its last layers are large, so that answers differ."""
    spec = ModelSpec(
        backbone="tiny",
        clip=encoder.clip.config.to_dict(),
        embed_dim=16,
        frames=4,
        temporal="attention_motion",
        labels=tuple(labels),
        prompts=("a person {}",),
        preprocessing=encoder.preprocessing,
    )
    torch.manual_seed(0)
    model = CLIPHARModel(spec, encoder.clip).eval()
    torch.nn.init.normal_(model.temporal.fusion[-1].weight, std=0.3)
    torch.nn.init.normal_(model.head[-1].weight)
    return model


def test_features_are_what_a_server_would_see(
    encoder: FrozenEncoder, rendered: Path, data_set: DataSet, tmp_path: Path
) -> None:
    clips = data_set.split("val")
    features = features_from_clips(clips, data_set.labels, rendered, encoder, 4, tmp_path / "cache")
    embeds, times = features.as_served()  # (C, T, D), (C, T)
    model = decided_model(encoder, data_set.labels)
    for row, clip in enumerate(clips):
        frames, seconds = frames_from_media((rendered / clip.path).read_bytes(), 4, 32, Limits())
        with torch.inference_mode():
            served = model.encode_frames(torch.from_numpy(frames)[None])
            seen = model(torch.from_numpy(frames)[None], torch.from_numpy(seconds)[None])
            kept = model.recognise(embeds[row : row + 1], times[row : row + 1])
        torch.testing.assert_close(embeds[row], served[0], atol=1e-5, rtol=0)
        np.testing.assert_allclose(times[row], seconds, atol=1e-5)
        torch.testing.assert_close(kept.probs, seen.probs, atol=1e-5, rtol=0)
    assert [data_set.labels[k] for k in features.labels] == [clip.label for clip in clips]


def test_features_are_computed_once_for_the_same_files_and_encoder(
    encoder: FrozenEncoder, rendered: Path, data_set: DataSet, tmp_path: Path
) -> None:
    clips, file = data_set.split("val")[:2], tmp_path / "cache" / "features.safetensors"

    def written(some: list[Clip], frames: int, by: FrozenEncoder) -> int:
        features_from_clips(some, data_set.labels, rendered, by, frames, tmp_path / "cache")
        return file.stat().st_mtime_ns

    first = written(clips, 4, encoder)
    assert written(clips, 4, encoder) == first
    seen = [first, written(clips, 6, encoder)]
    seen.append(written(clips[:1], 6, encoder))
    other = FrozenEncoder(encoder.clip, encoder.preprocessing, "another")
    seen.append(written(clips[:1], 6, other))
    assert len(set(seen)) == 4


def test_places_show_the_frames_that_are_on_screen(by_hand: FeatureSet) -> None:
    places = torch.tensor([[0.0, 0.24, 0.25, 0.49, 0.5, 0.999], [0.0, 0.1, 0.49, 0.5, 0.6, 0.999]])
    embeds, times = by_hand.sampled(torch.tensor([0, 1]), places)
    assert embeds[..., 0].tolist() == [[1, 1, 2, 2, 3, 3], [4, 4, 4, 5, 5, 5]]
    assert times[0].tolist() == [0.5, 0.5, 1.5, 1.5, 3.0, 3.0]
    assert times[1].tolist() == [0.25, 0.25, 0.25, 0.75, 0.75, 0.75]


def test_clips_may_be_sampled_in_any_order_and_more_than_once(by_hand: FeatureSet) -> None:
    embeds, _ = by_hand.sampled(torch.tensor([1, 0, 1]), torch.tensor([[0.1], [0.3], [0.9]]))
    assert embeds.flatten().tolist() == [4, 2, 5]
    served, times = by_hand.as_served()
    assert served[..., 0].tolist() == [[1, 3], [4, 5]]
    assert times.tolist() == [[0.5, 3.0], [0.25, 0.75]]
