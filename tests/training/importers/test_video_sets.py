"""UCF101, HMDB51 and Kinetics in their published layouts, with the faults that people meet."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from training.importers.listing import Listing

Listed = Callable[..., Listing]


def splits(listing: Listing) -> dict[str, str]:
    return {entry.path.name: entry.split for entry in listing.entries}


def reasons(listing: Listing) -> list[tuple[str, str]]:
    return [(fault.where.rpartition("/")[2], fault.reason) for fault in listing.faults]


@pytest.fixture
def ucf(tmp_path: Path, media: Any) -> Path:
    """Two classes; a group in both lists, a missing clip, a wrong number, an unknown class."""
    root = tmp_path / "ucf"
    lists = root / "ucfTrainTestlist"
    lists.mkdir(parents=True)
    (lists / "classInd.txt").write_bytes(b"1 ApplyEyeMakeup\r\n2 YoYo\r\n")
    train = [
        "ApplyEyeMakeup/v_ApplyEyeMakeup_g08_c01.avi 1",
        "ApplyEyeMakeup/v_ApplyEyeMakeup_g01_c02.avi 1",
        "",
        "YoYo/v_YoYo_g01_c01.avi 2",
        "YoYo/v_YoYo_g09_c01.avi 2",
        "YoYo/v_YoYo_g10_c01.avi 1",
        "Juggling/v_Juggling_g10_c01.avi 2",
    ]
    test = ["ApplyEyeMakeup/v_ApplyEyeMakeup_g01_c01.avi", "YoYo/v_YoYo_g02_c01.avi"]
    (lists / "trainlist02.txt").write_bytes("\r\n".join(train).encode() + b"\r\n")
    (lists / "testlist02.txt").write_bytes("\r\n".join(test).encode() + b"\r\n")
    there = [line.split()[0] for line in (*train, *test) if line and "YoYo_g09" not in line]
    media.write(*(root / "UCF-101" / name for name in there))
    return root


def test_ucf101_counts_from_one_and_speaks_in_words(ucf: Path, listed: Listed) -> None:
    listing = listed("ucf101", ucf, split_number=2)
    assert listing.labels == ("apply eye makeup", "yo yo")
    assert {(e.path.name, e.label, e.split, e.group) for e in listing.entries} == {
        ("v_ApplyEyeMakeup_g08_c01.avi", "apply eye makeup", "train", "ApplyEyeMakeup g08"),
        ("v_YoYo_g01_c01.avi", "yo yo", "train", "YoYo g01"),
        ("v_ApplyEyeMakeup_g01_c01.avi", "apply eye makeup", "test", "ApplyEyeMakeup g01"),
        ("v_YoYo_g02_c01.avi", "yo yo", "test", "YoYo g02"),
    }
    assert (listing.shares.val, listing.shares.test) == (0.1, 0)


def test_ucf101_names_every_fault_with_its_line(ucf: Path, listed: Listed) -> None:
    assert reasons(listed("ucf101", ucf, split_number=2)) == [
        ("trainlist02.txt:2", "group"),
        ("trainlist02.txt:5", "missing"),
        ("trainlist02.txt:6", "label"),
        ("trainlist02.txt:7", "label"),
    ]


def test_a_split_that_was_not_published_is_told(ucf: Path, listed: Listed) -> None:
    with pytest.raises(ValueError, match=r"testlist07\.txt: the list cannot be read"):
        listed("ucf101", ucf, split_number=7)


def test_videos_without_their_lists_are_told(ucf: Path, listed: Listed) -> None:
    with pytest.raises(ValueError, match=r"No classInd\.txt in .*UCF-101.*--annotations"):
        listed("ucf101", ucf / "UCF-101")


def test_ucf101_lists_may_lie_elsewhere(ucf: Path, listed: Listed) -> None:
    apart = listed("ucf101", ucf / "UCF-101", annotations=ucf / "ucfTrainTestlist", split_number=2)
    assert apart.entries == listed("ucf101", ucf, split_number=2).entries


def test_hmdb51_uses_one_split_and_leaves_unused_clips(
    tmp_path: Path, media: Any, listed: Listed
) -> None:
    root = tmp_path / "hmdb"
    lists = {
        "sword_exercise": "Blade_sword_exercise_f_cm_np1_ri_bad_0.avi 1 \n"
        "Blade_sword_exercise_f_cm_np1_ri_bad_1.avi 0 \n\n",
        "sword": "My Film_sword_f_cm_np1_ri_bad_0.avi 2 \r\n"
        "Gone_sword_f_cm_np1_ri_bad_0.avi 1 \r\nodd_sword_f.avi 3\r\n",
    }
    for name, text in lists.items():
        (root / name).mkdir(parents=True)
        (root / f"{name}_test_split3.txt").write_text(text, newline="")
        (root / f"{name}_test_split1.txt").write_text("other.avi 1\n")
    media.write(
        root / "sword_exercise" / "Blade_sword_exercise_f_cm_np1_ri_bad_0.avi",
        root / "sword_exercise" / "Blade_sword_exercise_f_cm_np1_ri_bad_1.avi",
        root / "sword" / "My Film_sword_f_cm_np1_ri_bad_0.avi",
    )
    listing = listed("hmdb51", root, split_number=3)
    assert listing.labels == ("sword", "sword exercise")
    assert [(e.label, e.split, e.group) for e in listing.entries] == [
        ("sword exercise", "train", "sword_exercise Blade"),
        ("sword", "test", "sword My Film"),
    ]
    assert reasons(listing) == [
        ("sword_test_split3.txt:2", "missing"),
        ("sword_test_split3.txt:3", "label"),
    ]


KINETICS = "label,youtube_id,time_start,time_end,split"


@pytest.fixture
def kinetics(tmp_path: Path, media: Any) -> Path:
    root = tmp_path / "k400"
    root.mkdir()
    (root / "train.csv").write_text(
        f"{KINETICS},is_cc\r\n"
        "playing guitar,-abcdefghij,3,13,train,0\r\n"
        '"massaging person\'s head",aaaaaaaaaaa,100,110,train,1\r\n'
        "playing guitar,removed0000,0,10,train,0\r\n"
        "playing guitar,badtimes000,x,10,train,0\r\n",
        newline="",
    )
    (root / "validate.csv").write_text(
        f"{KINETICS}\nplaying guitar,flat0000000,0,10,validate\n\n"
        "massaging person's head,cvdf0000000,1,11,validate\n"
    )
    (root / "test.csv").write_text("youtube_id,time_start,time_end,split\nhidden00000,0,10,test\n")
    media.write(
        root / "playing guitar" / "-abcdefghij_000003_000013.mp4",
        root / "massaging person's head" / "aaaaaaaaaaa_000100_000110.mp4",
        root / "flat0000000_000000_000010.mp4",
        root / "validate" / "cvdf0000000_000001_000011.mp4",
    )
    return root


def test_kinetics_validation_is_the_test_and_missing_clips_are_usual(
    kinetics: Path, listed: Listed
) -> None:
    listing = listed("kinetics", kinetics)
    assert listing.labels == ("massaging person's head", "playing guitar")
    assert splits(listing) == {
        "-abcdefghij_000003_000013.mp4": "train",
        "aaaaaaaaaaa_000100_000110.mp4": "train",
        "flat0000000_000000_000010.mp4": "test",
        "cvdf0000000_000001_000011.mp4": "test",
    }
    assert reasons(listing) == [("train.csv:4", "missing"), ("train.csv:5", "label")]
    assert (listing.shares.val, listing.shares.test) == (0.1, 0)


@pytest.mark.parametrize(
    "folder",
    [
        "playing guitar", "playing_guitar", ".",
        "validate/playing guitar", "validate/playing_guitar", "validate",
        "val/playing guitar", "val/playing_guitar", "val",
    ],
)  # fmt: skip
def test_kinetics_clips_are_found_where_downloaders_put_them(
    tmp_path: Path, media: Any, listed: Listed, folder: str
) -> None:
    (tmp_path / "validate.csv").write_text(f"{KINETICS}\nplaying guitar,abc,0,10,validate\n")
    media.write(tmp_path / folder / "abc_000000_000010.mp4")
    listing = listed("kinetics", tmp_path)
    assert splits(listing) == {"abc_000000_000010.mp4": "test"}
    assert listing.faults == ()


def test_tables_that_are_not_kinetics_are_told(tmp_path: Path, listed: Listed) -> None:
    (tmp_path / "train.csv").write_text("path,label\na.mp4,walk\n")
    with pytest.raises(ValueError, match="no CSV has labelled rows under the columns label,you"):
        listed("kinetics", tmp_path)
