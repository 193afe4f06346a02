"""The record beside a repository, and what it catches."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from builder.engines.engine import Description
from builder.manifest import (
    CheckpointRecord,
    GraphRecord,
    Manifest,
    read_manifest,
    repository_files,
    verify,
    write_manifest,
)

FILES = {"temporal/1/model.onnx": "weights", "temporal/config.pbtxt": "name", "har/labels.txt": "a"}


@pytest.fixture
def build(tmp_path: Path) -> Path:
    for name, content in FILES.items():
        path = tmp_path / "model_repository" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    graph = GraphRecord(
        engine="openvino",
        precision="int8",
        threads=2,
        file="temporal/1/model.onnx",
        description=Description("openvino", "openvino 2026.4.1", cpu_flags=("avx512_vnni",)),
    )
    manifest = Manifest(
        profile={"name": "cpu", "budget": {"min_cosine": 0.99}},
        checkpoints={"har": CheckpointRecord(folder="runs/har", sha256="0" * 64)},
        models={"temporal": graph},
        parity={"har": {"min_cosine": 0.999}},
        files=repository_files(tmp_path / "model_repository"),
        provenance={"git_revision": "unknown"},
    )
    write_manifest(tmp_path, manifest)
    return tmp_path


def test_a_manifest_is_read_as_it_was_written(build: Path) -> None:
    manifest = read_manifest(build)
    assert manifest.models["temporal"].description.cpu_flags == ("avx512_vnni",)
    assert manifest.profile == {"name": "cpu", "budget": {"min_cosine": 0.99}}
    assert (manifest.version, manifest.standby, manifest.versions) == (1, None, {})
    before = (build / "manifest.json").read_text()
    write_manifest(build, manifest)
    assert (build / "manifest.json").read_text() == before


def test_the_name_of_a_build_is_that_of_its_files(build: Path) -> None:
    manifest = read_manifest(build)
    assert manifest.model_copy(update={"provenance": {"date": "later"}}).build == manifest.build
    other = {**manifest.files, "har/labels.txt": "1" * 64}
    assert manifest.model_copy(update={"files": other}).build != manifest.build


def remove(table: dict) -> None:
    del table["models"]["temporal"]["precision"]


def add(table: dict) -> None:
    table["colour"] = "red"


def add_deep(table: dict) -> None:
    table["models"]["temporal"]["description"]["colour"] = "red"


def rename_engine(table: dict) -> None:
    table["models"]["temporal"]["engine"] = "abacus"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (remove, r"the key 'models.temporal.precision' is missing"),
        (add, r"unknown key 'colour'. Known keys: profile, checkpoints, models"),
        (add_deep, r"models.temporal.description.colour"),
        (rename_engine, r"models.temporal.engine: .*'onnxruntime'.*\(got 'abacus'\)"),
    ],
)
def test_a_wrong_manifest_is_named_with_its_fault(
    build: Path, change: Callable[[dict], None], reason: str
) -> None:
    path = build / "manifest.json"
    table = json.loads(path.read_text())
    change(table)
    path.write_text(json.dumps(table))
    with pytest.raises(ValueError, match=f"{path}: .*{reason}"):
        read_manifest(build)


def test_a_missing_or_truncated_manifest_is_named(build: Path) -> None:
    path = build / "manifest.json"
    path.write_text(path.read_text()[:100])
    with pytest.raises(ValueError, match=f"{path}: not valid JSON"):
        read_manifest(build)
    path.unlink()
    with pytest.raises(ValueError, match=r"no manifest.json in it, so it is not a complete build"):
        verify(build)


def test_an_untouched_repository_is_what_was_recorded(build: Path) -> None:
    cache = build / "model_repository" / "temporal" / "1" / "__pycache__"
    cache.mkdir()
    (cache / "model.pyc").write_bytes(b"compiled")
    assert verify(build) == []


def test_changed_missing_and_extra_files_are_each_named(build: Path) -> None:
    repository = build / "model_repository"
    (repository / "temporal" / "1" / "model.onnx").write_text("weight")
    (repository / "har" / "labels.txt").unlink()
    (repository / "har" / "extra.txt").write_text("")
    extra, missing, changed = verify(build)
    assert extra == "har/extra.txt is not in the manifest"
    assert missing == "har/labels.txt is missing"
    assert changed.startswith("temporal/1/model.onnx has changed: its hash is ")


def test_a_missing_repository_is_named(build: Path) -> None:
    (build / "model_repository").rename(build / "models")
    with pytest.raises(ValueError, match=r"model_repository: no such folder"):
        verify(build)
