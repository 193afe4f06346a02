"""The rendered data set on disk."""

import json
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import av
import numpy as np
import pytest

from clip_har.dataset import DataSet, data_set_from_folder, sample_bytes
from clip_har.limits import Limits
from clip_har.media import clip_from_media
from clip_har.sampling import centred
from training.mocap.actions import LABELS, REVERSAL_OF_LABEL
from training.mocap.pairs import LABELS_OF_TIER
from training.mocap.render import ClipJob, Item, MocapConfig, render_mocap


def media(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*.*") if p.is_file()}


def pictures(path: Path) -> tuple[np.ndarray, list[bool]]:
    """Decoded pictures (N, S, S, 3), and whether each stands alone (an intra picture)."""
    with av.open(path) as container:
        frames = list(container.decode(video=0))
    return np.stack([frame.to_ndarray(format="rgb24") for frame in frames]), [
        frame.key_frame for frame in frames
    ]


def without_progress(items: Iterable[Item], _title: str, _total: int) -> Iterable[Item]:
    return items


def test_every_class_has_its_clips_stills_and_pairs(rendered: Path, data_set: DataSet) -> None:
    assert data_set.labels == LABELS
    assert data_set.reversals == REVERSAL_OF_LABEL
    for split in ("train", "val", "test"):
        assert [clip.label for clip in data_set.split(split)] == list(LABELS)
    assert [still.label for still in data_set.stills] == list(LABELS)
    assert {p.tier for p in data_set.pairs} == set(LABELS_OF_TIER)
    for tier, labels in LABELS_OF_TIER.items():
        pairs = [(p.label, p.reversed_label) for p in data_set.pairs if p.tier == tier]
        assert sorted(pairs) == [(label, REVERSAL_OF_LABEL[label]) for label in labels]
    for sample in (*data_set.clips, *data_set.stills):
        assert sample_bytes(rendered, sample)


def test_clips_are_videos_of_the_size_and_length_told(
    renders: MocapConfig, rendered: Path, data_set: DataSet
) -> None:
    for clip in data_set.split("val"):
        shown, _ = pictures(rendered / clip.path)
        assert shown.shape == (clip.frames, renders.side, renders.side, 3)
        assert clip.seconds == pytest.approx(clip.frames / renders.fps, abs=1e-3)
        assert np.abs(np.diff(shown.astype(int), axis=0)).max() > 20  # something moves


def test_the_same_seed_gives_the_same_bytes_and_another_seed_gives_others(
    renders: MocapConfig, rendered: Path, tmp_path: Path
) -> None:
    once = media(rendered)
    again, other = tmp_path / "again", tmp_path / "other"
    assert render_mocap(renders, again, without_progress)
    assert media(again) == once
    assert render_mocap(renders.model_copy(update={"seed": 4}), other, without_progress)
    changed = media(other)
    assert not [name for name in changed if name.endswith("mp4") and changed[name] == once[name]]


def test_a_data_set_that_is_up_to_date_is_left_alone(renders: MocapConfig, rendered: Path) -> None:
    before = {p: p.stat().st_mtime_ns for p in rendered.rglob("*")}
    assert not render_mocap(renders, rendered, without_progress)
    assert {p: p.stat().st_mtime_ns for p in rendered.rglob("*")} == before


def test_pairs_hold_the_same_pictures_in_opposite_order(rendered: Path, data_set: DataSet) -> None:
    for pair in data_set.pairs:
        forward, alone = pictures(rendered / pair.forward)
        backward, alone_too = pictures(rendered / pair.backward)
        np.testing.assert_array_equal(forward, backward[::-1])
        assert not np.array_equal(forward, backward)
        assert all(alone)
        assert all(alone_too)


def test_any_number_of_sampled_frames_is_mirrored_by_a_reversal(
    rendered: Path, data_set: DataSet
) -> None:
    for pair in data_set.pairs:
        contents = [(rendered / path).read_bytes() for path in (pair.forward, pair.backward)]
        for count in (1, 3, 8):
            forward, backward = (
                clip_from_media(content, centred(count), Limits()).frames for content in contents
            )
            np.testing.assert_array_equal(forward, np.asarray(backward)[::-1])


def test_pairs_of_whole_cycles_end_with_the_picture_they_began_with(
    rendered: Path, data_set: DataSet
) -> None:
    for pair in data_set.pairs:
        shown, _ = pictures(rendered / pair.forward)
        closed = pair.tier in {"closed_loop", "rotation"}
        assert np.array_equal(shown[0], shown[-1]) == closed
        assert not np.array_equal(shown[0], shown[len(shown) // 3])


def test_an_interrupted_render_leaves_no_folder(renders: MocapConfig, tmp_path: Path) -> None:
    def interrupted(items: Iterable[Item], title: str, total: int) -> Iterator[Item]:
        yield next(iter(items))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        render_mocap(renders, tmp_path / "mocap", interrupted)
    assert list(tmp_path.iterdir()) == []


def test_haze_lies_on_clips_and_on_no_pair(
    renders: MocapConfig, rendered: Path, data_set: DataSet, tmp_path: Path
) -> None:
    folder = tmp_path / "haze"
    assert render_mocap(renders.model_copy(update={"haze": 1.0}), folder, without_progress)
    haze = data_set_from_folder(folder)
    assert (data_set.name, haze.name) == ("mocap", "mocap-haze")
    assert haze.pairs == data_set.pairs
    for pair in haze.pairs:
        assert (folder / pair.forward).read_bytes() == (rendered / pair.forward).read_bytes()
    for one, other in zip(data_set.clips, haze.clips, strict=True):
        assert (one.path, one.label, one.frames) == (other.path, other.label, other.frames)
        assert one.sha256 != other.sha256


@pytest.mark.parametrize(("haze", "hazy"), [(0.0, 0), (0.25, 3), (0.33, 4), (1.0, 12)])
def test_the_last_clips_of_a_class_are_hazy(renders: MocapConfig, haze: float, hazy: int) -> None:
    config = renders.model_copy(update={"haze": haze, "val_clips": 12})
    jobs = [ClipJob(Path(), config, "val", LABELS[0], number) for number in range(12)]
    assert [job.hazy for job in jobs] == [False] * (12 - hazy) + [True] * hazy


def test_the_command_names_what_to_install_where_pybullet_is_missing(
    renders: MocapConfig, tmp_path: Path
) -> None:
    (tmp_path / "mocap.toml").write_text(
        "".join(f"{key} = {json.dumps(value)}\n" for key, value in renders.model_dump().items())
    )
    # The renderers are processes of their own, so the package is hidden on the path they share.
    for name in ("pybullet", "pybullet_data"):
        (tmp_path / f"{name}.py").write_text(f"raise ModuleNotFoundError('No module {name}')")
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "training",
            "render-mocap",
            tmp_path / "mocap.toml",
            tmp_path / "out",
        ],
        env={"PYTHONPATH": str(tmp_path), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert 'pip install ".[mocap]"' in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()
