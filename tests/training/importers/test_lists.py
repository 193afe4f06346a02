"""Generic lists of clips, and files of class names."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from training.importers.class_names import class_names_from_file
from training.importers.listing import Listing

Listed = Callable[..., Listing]


@pytest.fixture
def clips(tmp_path: Path, media: Any) -> Path:
    media.write(*(tmp_path / "clips" / f"my clip {i}.mp4" for i in range(4)))
    return tmp_path


def rows(listing: Listing) -> list[tuple[str, str, str]]:
    return [(entry.path.name, entry.label, entry.split) for entry in listing.entries]


def test_a_path_may_hold_blanks_since_the_label_follows_the_last(
    clips: Path, listed: Listed
) -> None:
    (clips / "my_train_list.txt").write_text(
        "clips/my clip 0.mp4 0\n\nclips/my clip 1.mp4\t1\nclips/my clip 2.mp4 7\n"
        "clips/my clip 3.mp4 -1\n"
    )
    (clips / "names.csv").write_text("id,name\n1,RunFast\n0,sit_down\n")
    listing = listed("list-space", clips, labels=clips / "names.csv")
    assert listing.labels == ("sit down", "run fast")
    assert rows(listing) == [
        ("my clip 0.mp4", "sit down", "train"),
        ("my clip 1.mp4", "run fast", "train"),
    ]
    assert [fault.why for fault in listing.faults] == ["No class '7'.", "There is no label."]
    assert (listing.shares.val, listing.shares.test) == (0.1, 0.2)


def test_a_test_list_without_labels_cannot_be_scored(clips: Path, listed: Listed) -> None:
    (clips / "train.csv").write_text("clips/my clip 0.mp4,walk\nclips/my clip 1.mp4,run\n")
    (clips / "val.csv").write_text("path,label\r\nclips/my clip 2.mp4,run\r\n", newline="")
    (clips / "test.csv").write_text("clips/my clip 3.mp4\n")
    listing = listed("list-comma", clips)
    assert listing.labels == ("run", "walk")
    assert rows(listing)[2] == ("my clip 2.mp4", "run", "test")
    assert [(Path(f.where).name, f.reason) for f in listing.faults] == [("test.csv", "unlabelled")]


def test_the_split_number_chooses_among_lists(clips: Path, listed: Listed) -> None:
    for number in (1, 2):
        text = f"clips/my clip {number}.mp4 walk\nclips/my clip 0.mp4 run\n"
        (clips / f"ucf101_train_split_{number}_videos.txt").write_text(text)
    assert rows(listed("list-space", clips, split_number=2))[0][0] == "my clip 2.mp4"
    with pytest.raises(ValueError, match="0 of its lists are for train and the split number 3"):
        listed("list-space", clips, split_number=3)


def test_one_list_without_splits_holds_training_clips(clips: Path, listed: Listed) -> None:
    (clips / "all.txt").write_text(f"{clips}/clips/my clip 0.mp4 walk\nclips/my clip 1.mp4 run\n")
    listing = listed("list-space", clips, annotations=clips / "all.txt")
    assert [split for _, _, split in rows(listing)] == ["train", "train"]


def test_a_clip_that_is_listed_twice_counts_once(clips: Path, listed: Listed) -> None:
    name = "clips/my clip 0.mp4"
    (clips / "train.txt").write_text(f"{name} walk\n{name} walk\n{name} run\n")
    listing = listed("list-space", clips)
    assert len(listing.entries) == 1
    assert [fault.reason for fault in listing.faults] == ["twice", "label"]


@pytest.mark.parametrize(
    ("format", "line"), [("list-space", "a.mp4 3 5"), ("list-comma", "a.mp4,3,5")]
)
def test_several_labels_a_clip_are_refused(
    tmp_path: Path, listed: Listed, format: str, line: str
) -> None:
    (tmp_path / "train.txt").write_text(f"b.mp4{line[5]}3\n{line}\n")
    with pytest.raises(ValueError, match=r"train\.txt:2: .*several labels are not read"):
        listed(format, tmp_path)


def test_numbers_that_nothing_names_are_told(clips: Path, listed: Listed) -> None:
    (clips / "train.txt").write_text("clips/my clip 0.mp4 0\n")
    with pytest.raises(ValueError, match=r"numbers for labels.*--labels FILE"):
        listed("list-space", clips)


def test_numbers_that_begin_at_one_are_not_taken_for_the_next_class(
    clips: Path, listed: Listed
) -> None:
    (clips / "train.txt").write_text("clips/my clip 0.mp4 1\nclips/my clip 1.mp4 2\n")
    (clips / "names.txt").write_text("walk\nrun\n")
    with pytest.raises(ValueError, match="count classes from 1 to 2"):
        listed("list-space", clips, labels=clips / "names.txt")


def test_an_empty_list_is_told(tmp_path: Path, listed: Listed) -> None:
    (tmp_path / "train.txt").write_bytes(b"\r\n \r\n")
    with pytest.raises(ValueError, match=r"train\.txt: the list is empty"):
        listed("list-space", tmp_path)
    (tmp_path / "train.txt").rename(tmp_path / "list.txt")
    with pytest.raises(ValueError, match="no list is named for training clips"):
        listed("list-space", tmp_path)


def test_frame_lists_need_a_frame_rate(tmp_path: Path, media: Any, listed: Listed) -> None:
    media.frames(tmp_path / "a clip", ["img_00001.jpg", "img_00002.jpg"])
    (tmp_path / "train.txt").write_text("a clip 2 0\ngone 9 1\nbad line\n")
    (tmp_path / "names.json").write_text('{"0": "walk", "1": "run"}')
    with pytest.raises(ValueError, match="--fps"):
        listed("frames", tmp_path)
    listing = listed("frames", tmp_path, fps=25, labels=tmp_path / "names.json")
    entry = listing.entries[0]
    assert (entry.path.name, entry.label, entry.fps, entry.frames) == ("a clip", "walk", 25, 2)
    assert [fault.reason for fault in listing.faults] == ["label", "missing"]


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("a.csv", "id,name\r\n1,run\r\n0,walk\r\n"),
        ("a.csv", "0,walk\n1,run\n"),
        ("a.json", '{"1": "run", "0": "walk"}'),
        ("a.json", '{"run": "1", "walk": 0}'),
        ("a.txt", "\ufeffwalk\n\nrun\n"),
    ],
)
def test_class_names_are_read_in_every_published_form(tmp_path: Path, file: str, text: str) -> None:
    (tmp_path / file).write_text(text, encoding="utf-8", newline="")
    classes = class_names_from_file(tmp_path / file)
    assert classes.names == ("walk", "run")
    assert [classes.find(key) for key in ("0", "01", "2", "run", "RUN")] == [
        "walk", "run", None, "run", None,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("file", "text", "told"),
    [
        ("a.csv", "0,walk\nrun\n", "expected `id,name` on each line, found 'run'"),
        ("a.csv", "0,walk\n0,run\n", "two classes have the same number"),
        ("a.txt", "PushUps\npush_ups\n", "'push_ups' is empty or occurs twice"),
        ("a.json", "[1]", "found list"),
        ("a.json", '{"a": "b"}', "found other keys"),
        ("a.json", "{", "cannot be read"),
    ],
)
def test_class_names_that_tell_nothing_apart_are_refused(
    tmp_path: Path, file: str, text: str, told: str
) -> None:
    (tmp_path / file).write_text(text)
    with pytest.raises(ValueError, match=told):
        class_names_from_file(tmp_path / file)
