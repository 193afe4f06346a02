"""Class folders, and the 15 classes of pictures from Kaggle and from Hugging Face."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from training.importers.listing import Listing

Listed = Callable[..., Listing]


def test_class_folders_in_splits(tmp_path: Path, media: Any, listed: Listed) -> None:
    media.write(
        tmp_path / "train" / "PushUps" / "a clip.mp4",
        tmp_path / "train" / "sit_down" / "a.jpg",
        tmp_path / "Validation" / "PushUps" / "b.avi",
        tmp_path / "extra" / "PushUps" / "c.mp4",
        tmp_path / "train" / "sit_down" / "deep" / "d.jpg",
    )
    (tmp_path / "train" / "PushUps" / ".DS_Store").write_bytes(b"x")
    listing = listed("folders", tmp_path)
    assert listing.labels == ("push ups", "sit down")
    assert {(e.path.name, e.label, e.split) for e in listing.entries} == {
        ("a clip.mp4", "push ups", "train"),
        ("a.jpg", "sit down", "train"),
        ("b.avi", "push ups", "test"),
    }
    assert {Path(fault.where).name for fault in listing.faults} == {"extra", "deep"}


def test_class_folders_without_splits_are_carved(
    tmp_path: Path, media: Any, listed: Listed
) -> None:
    media.write(tmp_path / "test" / "a.mp4", tmp_path / "walk" / "b.mp4")
    (tmp_path / "out").mkdir()  # where the data set goes is no class
    listing = listed("folders", tmp_path)
    assert listing.labels == ("test", "walk")
    assert {entry.split for entry in listing.entries} == {"train"}
    assert (listing.shares.val, listing.shares.test) == (0.1, 0.2)
    assert listed("folders", tmp_path, val_share=0.25).shares.val == 0.25


def test_a_folder_of_files_is_told(tmp_path: Path, media: Any, listed: Listed) -> None:
    media.write(tmp_path / "a.mp4")
    with pytest.raises(ValueError, match=r"holds no class folders\. Expected LABEL/file"):
        listed("folders", tmp_path)


def test_kaggle_pictures_and_a_test_without_labels(
    tmp_path: Path, media: Any, listed: Listed
) -> None:
    root = tmp_path / "Human Action Recognition"
    media.write(root / "train" / "Image_1.jpg", root / "train" / "Image_2.jpg")
    (root / "Training_set.csv").write_text(
        "filename,label\r\nImage_1.jpg,listening_to_music\r\nImage_2.jpg,using_laptop\r\n"
        "Image_3.jpg,using_laptop\r\nImage_1.jpg\r\n",
        newline="",
    )
    (root / "Testing_set.csv").write_text("filename\nImage_1.jpg\n")
    listing = listed("har15", tmp_path)
    assert listing.labels == ("listening to music", "using laptop")
    assert [fault.reason for fault in listing.faults] == ["label", "missing", "unlabelled"]
    assert (listing.shares.val, listing.shares.test) == (0.15, 0.25)


def write_parquet(path: Path, images: Sequence[bytes | None], labels: Sequence[int]) -> None:
    names = {"names": ["calling", "using_laptop"], "_type": "ClassLabel"}
    features = {"image": {"_type": "Image"}, "labels": names}
    image = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    table = pa.table(
        {
            "image": pa.array([{"bytes": one, "path": None} for one in images], image),
            "labels": pa.array(labels, pa.int64()),
        }
    ).replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    path.parent.mkdir(exist_ok=True)
    pq.write_table(table, path)


def test_hugging_face_pictures_are_extracted_and_dummy_labels_refused(
    tmp_path: Path, media: Any, listed: Listed
) -> None:
    images = [media.unique(".jpg") for _ in range(3)]
    write_parquet(tmp_path / "data" / "train-00000-of-00001.parquet", [*images, None], [1, 0, 9, 0])
    write_parquet(tmp_path / "data" / "test-00000-of-00001.parquet", images[:2], [0, 0])
    listing = listed("har15", tmp_path)
    assert listing.labels == ("calling", "using laptop")
    assert [(e.path.read_bytes(), e.label, e.split) for e in listing.entries] == [
        (images[0], "using laptop", "train"),
        (images[1], "calling", "train"),
    ]
    assert [fault.reason for fault in listing.faults] == ["label", "label", "unlabelled"]
    assert "is 0, a dummy: a score on it would mean nothing" in listing.faults[-1].why
    assert (listing.shares.val, listing.shares.test) == (0.15, 0.25)
    first = listing.entries[0].path.stat().st_mtime_ns
    assert listed("har15", tmp_path).entries[0].path.stat().st_mtime_ns == first


def test_a_test_split_with_real_labels_is_used(tmp_path: Path, media: Any, listed: Listed) -> None:
    images = [media.unique(".jpg") for _ in range(4)]
    write_parquet(tmp_path / "train-00000-of-00001.parquet", images[:2], [0, 1])
    write_parquet(tmp_path / "test-00000-of-00001.parquet", images[2:], [0, 1])
    listing = listed("har15", tmp_path)
    assert [entry.split for entry in listing.entries] == ["train", "train", "test", "test"]
    assert listing.shares.test == 0


def test_a_damaged_parquet_is_told(tmp_path: Path, listed: Listed) -> None:
    (tmp_path / "train-00000-of-00001.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(ValueError, match="A parquet file of train cannot be read"):
        listed("har15", tmp_path)


def test_another_folder_is_told(tmp_path: Path, listed: Listed) -> None:
    with pytest.raises(ValueError, match=r"neither Training_set\.csv .* nor data/train-"):
        listed("har15", tmp_path)
