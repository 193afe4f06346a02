from collections import Counter
from collections.abc import Sequence

from clip_har.dataset import Clip, SplitName
from training.importers.data_set import without_leaks
from training.importers.splits import Shares, carved


def clip(name: str, label: str = "walk", split: SplitName = "train", group: str = "") -> Clip:
    sha256 = name.partition("/")[0]
    return Clip(
        path=name, label=label, sha256=sha256, split=split, seconds=1, frames=1, group=group
    )


def counts(clips: Sequence[Clip], label: str) -> Counter[str]:
    return Counter(one.split for one in clips if one.label == label)


def test_each_class_gives_its_share() -> None:
    clips = [clip(f"{label}{i}", label) for label in ("walk", "run") for i in range(20)]
    clips += [clip(f"sit{i}", "sit") for i in range(3)] + [clip("stand", "stand")]
    out = carved(clips, Shares(val=0.15, test=0.25))
    assert counts(out, "walk") == counts(out, "run") == {"train": 12, "val": 3, "test": 5}
    assert counts(out, "sit") == {"train": 1, "val": 1, "test": 1}
    assert counts(out, "stand") == {"train": 1}
    assert [one.path for one in out] == [one.path for one in clips]


def test_the_same_clips_are_held_out_wherever_and_in_whatever_order_they_are_listed() -> None:
    clips = [clip(f"{i}/a") for i in range(30)]
    elsewhere = [clip(f"{i}/b") for i in reversed(range(30))]
    first, second = (
        {one.sha256: one.split for one in carved(some, Shares(0.1, 0.2))}
        for some in (clips, elsewhere)
    )
    assert first == second


def test_a_recording_moves_as_a_whole() -> None:
    clips = [clip(f"{group}{i}", group=group) for group in "abcdefgh" for i in range(5)]
    out = carved(clips, Shares(val=0.2, test=0))
    assert counts(out, "walk") == {"train": 30, "val": 10}
    assert len({(one.group, one.split) for one in out}) == 8


def test_a_recording_of_two_classes_is_not_taken_from_one_that_has_no_other() -> None:
    clips = [clip("1", "walk", group="a"), clip("2", "run", group="a")]
    clips += [clip(f"w{i}", "walk") for i in range(3)]
    out = carved(clips, Shares(val=0.5, test=0))
    assert counts(out, "run") == {"train": 1}
    assert counts(out, "walk") == {"train": 2, "val": 2}


def test_official_splits_are_left_alone() -> None:
    clips = [clip("a", split="test"), *(clip(f"{i}") for i in range(10))]
    assert carved(clips, Shares(0, 0)) == clips
    assert counts(carved(clips, Shares(0.1, 0)), "walk") == {"train": 9, "val": 1, "test": 1}


def test_copies_are_carved_together() -> None:
    clips = [clip(f"{i}/{copy}") for i in range(6) for copy in "ab"]
    out = carved(clips, Shares(val=0.2, test=0.2))
    assert without_leaks(out) == (out, [])
    assert counts(out, "walk") == {"train": 8, "val": 2, "test": 2}


def test_of_copies_in_two_splits_the_one_that_is_held_out_more_stays() -> None:
    clips = [
        clip("1/train"), clip("1/test", split="test"), clip("1/val", split="val"),
        clip("2/train"), clip("2/val", split="val"), clip("3/train"), clip("3/again"),
    ]  # fmt: skip
    kept, faults = without_leaks(clips)
    assert [one.path for one in kept] == ["1/test", "2/val", "3/train", "3/again"]
    assert [fault.where for fault in faults] == ["1/train", "1/val", "2/train"]
    assert {fault.reason for fault in faults} == {"duplicate"}
    assert faults[0].why == "The same content is in the test split: 1/test."
