import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import pytest

from clip_har.dataset import MANIFEST_FILE, data_set_from_folder
from clip_har.limits import Limits
from clip_har.product import file_hash, tree_hash
from clip_har.sampling import centred
from training.decoding import decoded_clip
from training.importers.data_set import ImportResult
from training.importers.journal import JOURNAL_FILE
from training.importers.probe import Probe, Probed, answers, probe

Imported = Callable[..., ImportResult]


@pytest.fixture
def mixed(tmp_path: Path, media: Any) -> Path:
    """Two classes in official splits, with all that can be wrong with a file."""
    root = tmp_path / "my data"
    media.write(
        *(root / "train" / label / f"{i}.mp4" for label in ("PushUps", "sit_down") for i in "01"),
        root / "val" / "PushUps" / "0.avi",
        root / "val" / "sit_down" / "0.jpg",
        root / "test" / "PushUps" / "0.webm",
        root / "test" / "sit_down" / "0.mp4",
    )
    train = root / "train" / "PushUps"
    (train / "text.mp4").write_text("no video")
    (train / "empty.mp4").write_bytes(b"")
    whole = media.contents[".mp4"]
    (train / "truncated.mp4").write_bytes(whole[: len(whole) // 2])
    (train / "copy.mp4").write_bytes((root / "test" / "sit_down" / "0.mp4").read_bytes())
    return root


def test_what_can_be_used_is_listed_and_the_rest_is_told(
    mixed: Path, tmp_path: Path, imported: Imported
) -> None:
    result = imported("folders", mixed)
    out = tmp_path / "out"
    data_set = data_set_from_folder(out)
    assert data_set == result.data_set
    assert data_set.labels == ("push ups", "sit down")
    assert {(Path(c.path).suffix, c.codec, c.seconds, c.frames) for c in data_set.clips} == {
        (".mp4", "h264", 0.5, 5),
        (".avi", "mpeg4", 0.5, 5),
        (".webm", "vp8", 0.5, 5),
        (".jpg", "JPEG", 0, 1),
    }
    for clip in data_set.clips:
        assert clip.path.startswith("../my data/")
        assert file_hash(out / clip.path) == clip.sha256
        assert len(decoded_clip(out, clip, centred(2), Limits()).frames) in (1, 2)
    quarantine = json.loads((out / "quarantine.json").read_text())["faults"]
    assert {(Path(one["where"]).name, one["reason"]) for one in quarantine} == {
        ("text.mp4", "undecodable"),
        ("empty.mp4", "undecodable"),
        ("truncated.mp4", "undecodable"),
        ("copy.mp4", "duplicate"),
    }
    assert result.reasons == {"undecodable": 3, "duplicate": 1}


def test_a_rerun_decodes_only_what_is_new(
    mixed: Path, tmp_path: Path, media: Any, imported: Imported
) -> None:
    first = imported("folders", mixed)
    journal = tmp_path / "out" / JOURNAL_FILE
    lines = [line for line in journal.read_text().splitlines() if line]
    assert len(lines) == 9  # the usable files
    forged = json.loads(lines[0])
    forged["probe"]["seconds"] = 99.0
    # As after an interruption: the last line is cut off.
    journal.write_text("\n".join([json.dumps(forged), *lines[1:-1], lines[-1][:20]]))
    media.write(mixed / "train" / "PushUps" / "new.mp4")
    second = imported("folders", mixed)
    assert len(second.data_set.clips) == len(first.data_set.clips) + 1
    assert [clip.seconds for clip in second.data_set.clips].count(99.0) == 1  # not decoded again
    assert second.faults == first.faults
    media.write(mixed / "train" / "PushUps" / "0.mp4")  # changed: decoded again
    third = {clip.path: clip for clip in imported("folders", mixed).data_set.clips}
    changed = third["../my data/train/PushUps/0.mp4"]
    assert (changed.seconds, changed.sha256) == (0.5, file_hash(tmp_path / "out" / changed.path))


def test_a_rerun_keeps_the_reversals_that_somebody_named(
    mixed: Path, tmp_path: Path, imported: Imported
) -> None:
    data_set = imported("folders", mixed).data_set
    assert data_set.reversals == {}
    one, other = data_set.labels[:2]
    named = {one: other, other: one}
    manifest = tmp_path / "out" / MANIFEST_FILE
    manifest.write_text(data_set.model_copy(update={"reversals": named}).model_dump_json())
    again = imported("folders", mixed).data_set
    assert again.reversals == named
    assert again.clips == data_set.clips
    manifest.write_text(manifest.read_text().replace(f'"{one}": "{other}"', f'"{one}": "typo"'))
    with pytest.raises(ValueError, match=r"not in `labels`: typo.*Mend this manifest"):
        imported("folders", mixed)


def test_folders_of_frames_are_hashed_and_counted(
    tmp_path: Path, media: Any, imported: Imported
) -> None:
    for name in ("a", "b", "c"):
        media.frames(tmp_path / name, [f"img_{i:05d}.jpg" for i in range(1, 5)])
    (tmp_path / "train.txt").write_text("a 4 walk\nb 4 run\nc 9 run\n")
    result = imported("frames", tmp_path, fps=8)
    one = result.data_set.clips[0]
    assert (one.fps, one.frames, one.seconds, one.codec) == (8, 4, 0.5, "JPEG")
    assert one.sha256 == tree_hash(tmp_path / "a")
    assert "promises 9 frames, but the folder has 4" in result.faults[0].why


def test_nothing_usable_is_told_with_the_first_fault(tmp_path: Path, imported: Imported) -> None:
    for label in ("walk", "run"):
        (tmp_path / "data" / label).mkdir(parents=True)
        (tmp_path / "data" / label / "a.mp4").write_text(label)
    with pytest.raises(ValueError, match=r"Nothing of data can be used: .*quarantine\.json"):
        imported("folders", tmp_path / "data")
    assert not (tmp_path / "out" / "manifest.json").exists()
    assert len(json.loads((tmp_path / "out" / "quarantine.json").read_text())["faults"]) == 2


def test_a_class_without_training_clips_is_told(
    tmp_path: Path, media: Any, imported: Imported
) -> None:
    root = tmp_path / "data"
    media.write(root / "train" / "walk" / "a.jpg", root / "test" / "run" / "a.jpg")
    with pytest.raises(ValueError, match=r"1 of 2 classes have no training clip .*: run"):
        imported("folders", root)


def test_an_unknown_format_or_folder_is_told(tmp_path: Path, imported: Imported) -> None:
    with pytest.raises(ValueError, match=r"No format 'ucf'.*folders, ucf101"):
        imported("ucf", tmp_path)
    with pytest.raises(ValueError, match="gone: not a folder"):
        imported("folders", tmp_path / "gone")


def test_a_file_over_a_limit_is_told_as_such(tmp_path: Path) -> None:
    with (tmp_path / "big.mp4").open("wb") as file:
        file.truncate(Limits().max_bytes + 1)
    fault = probe(Probed(tmp_path / "big.mp4", None))
    assert getattr(fault, "reason", None) == "limit"
    fault = probe(Probed(tmp_path / "gone.mp4", None))
    assert getattr(fault, "reason", None) == "missing"


def test_a_file_whose_end_alone_is_damaged_is_told(
    movie: Callable[..., bytes], tmp_path: Path
) -> None:
    content = bytearray(movie(20, options={"g": "1", "bf": "0"}))
    (tmp_path / "clip.mp4").write_bytes(content)
    assert isinstance(probe(Probed(tmp_path / "clip.mp4", None)), Probe)
    with av.open(io.BytesIO(content)) as file:
        *_, last = (packet for packet in file.demux(video=0) if packet.size)
    assert last.pos is not None
    content[last.pos : last.pos + last.size] = bytes(last.size)
    (tmp_path / "clip.mp4").write_bytes(content)
    fault = probe(Probed(tmp_path / "clip.mp4", None))
    assert getattr(fault, "reason", None) == "undecodable"


def test_a_job_that_kills_its_process_takes_no_other_along() -> None:
    jobs = [*(f"{i}" for i in range(6)), "__import__('os')._exit(1)", "6", "7"]
    assert list(answers(eval, jobs)) == [0, 1, 2, 3, 4, 5, None, 6, 7]
