"""C clips, N frames of the longest clip, D embedding."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch

from clip_har.dataset import Clip
from clip_har.limits import Limits
from clip_har.media import frames_from_media
from clip_har.nn.clip import clip_from_pretrained, preprocessing_of
from clip_har.product import file_hash
from training.features import FeatureSet, FrozenEncoder, features_from_clips


@pytest.fixture(scope="module")
def encoder(small_clip: Path) -> FrozenEncoder:
    clip = clip_from_pretrained(str(small_clip))
    return FrozenEncoder(clip, preprocessing_of(str(small_clip), clip.config), "tiny")


@pytest.fixture(scope="module")
def made(
    movie: Callable[..., bytes], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, list[Clip]]:
    """A folder with clips of 3 frames and of 8 frames, and a picture."""
    folder = tmp_path_factory.mktemp("made")
    (folder / "short.mp4").write_bytes(movie(frames=3))
    (folder / "long.mp4").write_bytes(movie(frames=8))
    (folder / "still.jpg").write_bytes(movie(frames=1, container="mjpeg", codec="mjpeg"))
    seconds = {"short.mp4": 0.3, "long.mp4": 0.8, "still.jpg": 0.0}
    clips = [
        Clip(path=name, label="ab"[n % 2], sha256=file_hash(folder / name), split="train",
             seconds=length, frames=1)
        for n, (name, length) in enumerate(seconds.items())
    ]  # fmt: skip
    return folder, clips


def test_features_are_the_embeddings_that_a_server_would_see(
    encoder: FrozenEncoder, made: tuple[Path, list[Clip]], tmp_path: Path
) -> None:
    folder, clips = made
    features = features_from_clips(clips, "ab", folder, encoder, 4, tmp_path / "cache")
    assert features.embeds.shape == (3, 4, 16)
    assert features.labels.tolist() == [0, 1, 0]
    assert features.ends.tolist() == [
        pytest.approx([1 / 3, 2 / 3, 1.0, 2.0]),  # three frames of its own
        pytest.approx([0.25, 0.5, 0.75, 1.0]),  # 4 of 8
        pytest.approx([1.0, 2.0, 2.0, 2.0]),  # a picture
    ]
    for row, frames in ((0, 3), (1, 4), (2, 1)):
        content = (folder / clips[row].path).read_bytes()
        pixels, _ = frames_from_media(content, frames, 32, Limits())
        torch.testing.assert_close(
            features.embeds[row, :frames], encoder(pixels), atol=1e-5, rtol=0
        )
        assert (features.embeds[row, frames:] == 0).all()


def test_features_are_computed_once_for_the_same_files_and_encoder(
    encoder: FrozenEncoder, made: tuple[Path, list[Clip]], tmp_path: Path, in_one_process: None
) -> None:
    folder, clips = made
    file = tmp_path / "cache" / "00000.safetensors"

    def written(some: Sequence[Clip], frames: int, by: FrozenEncoder) -> int:
        features_from_clips(some, "ab", folder, by, frames, tmp_path / "cache")
        return file.stat().st_mtime_ns

    first = written(clips, 4, encoder)
    assert written(clips, 4, encoder) == first
    seen = [first, written(clips, 6, encoder), written(clips[:1], 6, encoder)]
    seen.append(written(clips[:1], 6, FrozenEncoder(encoder.clip, encoder.preprocessing, "other")))
    assert len(set(seen)) == 4
    with pytest.raises(ValueError, match="not the file that"):  # a changed clip is never reused
        written([clips[0].model_copy(update={"sha256": "0" * 64})], 6, encoder)


def test_a_clip_that_cannot_be_decoded_is_left_out_and_named(
    encoder: FrozenEncoder, made: tuple[Path, list[Clip]], tmp_path: Path, in_one_process: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr("training.features.CLIPS_A_SHARD", 1)
    folder, clips = made
    (folder / "broken.mp4").write_bytes((folder / "long.mp4").read_bytes()[:-500])
    changes = {"path": "broken.mp4", "sha256": file_hash(folder / "broken.mp4")}
    broken = clips[1].model_copy(update=changes)
    whole = features_from_clips(clips, "ab", folder, encoder, 4, tmp_path / "whole")
    for _ in range(2):  # encoded, and opened again
        features = features_from_clips(
            [clips[0], broken, *clips[1:]], "ab", folder, encoder, 4, tmp_path / "cache"
        )
        assert len(features) == 3
        for name in ("embeds", "ends", "seconds", "labels"):
            assert torch.equal(getattr(features, name), getattr(whole, name)), name
        (fault,) = features.faults
        assert "broken.mp4: The file ends early" in fault
    with pytest.raises(ValueError, match=r"None of the 1 clips .*broken\.mp4.* inspect"):
        features_from_clips([broken], "ab", folder, encoder, 4, tmp_path / "none")


def test_interrupted_encoding_goes_on_with_the_next_shard(
    encoder: FrozenEncoder, made: tuple[Path, list[Clip]], tmp_path: Path, in_one_process: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr("training.features.CLIPS_A_SHARD", 2)
    folder, clips = made
    whole = features_from_clips(clips, "ab", folder, encoder, 4, tmp_path / "cache")
    first, second = sorted((tmp_path / "cache").glob("*.safetensors"))
    written = first.stat().st_mtime_ns
    second.unlink()
    again = features_from_clips(clips, "ab", folder, encoder, 4, tmp_path / "cache")
    assert first.stat().st_mtime_ns == written
    assert torch.equal(again.embeds, whole.embeds)
    assert torch.equal(again.ends, whole.ends)


def test_places_show_the_frames_that_are_on_screen(by_hand: FeatureSet) -> None:
    places = torch.tensor([[0.0, 0.24, 0.25, 0.49, 0.5, 0.999], [0.0, 0.1, 0.49, 0.5, 0.6, 0.999]])
    embeds, times = by_hand.sampled(torch.tensor([0, 1]), places)
    assert embeds[..., 0].tolist() == [[1, 1, 2, 2, 3, 3], [4, 4, 4, 5, 5, 5]]
    assert times[0].tolist() == [0.5, 0.5, 1.5, 1.5, 3.0, 3.0]
    assert times[1].tolist() == [0.25, 0.25, 0.25, 0.75, 0.75, 0.75]


def test_clips_may_be_sampled_in_any_order_and_more_than_once(by_hand: FeatureSet) -> None:
    embeds, _ = by_hand.sampled(torch.tensor([1, 0, 1]), torch.tensor([[0.1], [0.3], [0.9]]))
    assert embeds.flatten().tolist() == [4, 2, 5]
