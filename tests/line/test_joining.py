"""Two builds in one repository, behind a real server."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from builder.joining import Joined, join
from builder.manifest import read_manifest, repository_files, verify, write_manifest
from clients.recognizer import Recognizer
from clip_har.reference import Reference
from server.process import RunningServer

RENAMED = ["classifier_temporal", "har_temporal"]
"""What differs between the two builds: a graph, and what calls it."""


def changed_head(build: Path, target: Path) -> Path:
    """A copy of a build whose temporal classifier is another one."""
    shutil.copytree(build, target)
    repository = target / "model_repository"
    path = repository / "classifier_temporal" / "1" / "model.onnx"
    proto = onnx.load(path)
    (bias,) = (one for one in proto.graph.initializer if one.name == "head.3.bias")
    values = numpy_helper.to_array(bias).copy()
    values[0] += 3
    bias.CopyFrom(numpy_helper.from_array(values, bias.name))
    onnx.save(proto, path)
    manifest = read_manifest(target)
    write_manifest(target, manifest.model_copy(update={"files": repository_files(repository)}))
    return target


@pytest.fixture(scope="module")
def folder(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return changed_head(built, tmp_path_factory.mktemp("joined") / "kitchen")


@pytest.fixture(scope="module")
def joined(built: Path, folder: Path) -> tuple[Path, Joined]:
    out = folder.parent / "both"
    return out, join([built, folder], out)


def test_what_is_alike_is_there_once(joined: tuple[Path, Joined], built: Path) -> None:
    out, done = joined
    models = {path.name for path in (out / "model_repository").iterdir()}
    before = {path.name for path in (built / "model_repository").iterdir()}
    assert "vision_encoder" in done.shared
    assert {name.removesuffix("_kitchen") for name in models - before} >= set(RENAMED)
    assert not {"vision_encoder_kitchen", "preprocess_kitchen", "har_base_kitchen"} & models
    assert verify(out) == []
    manifest = read_manifest(out)
    assert all(
        (out / "model_repository" / graph.file).is_file() for graph in manifest.models.values()
    )
    assert "har_temporal_kitchen" in manifest.checkpoints


@pytest.mark.triton
def test_both_builds_answer_from_one_server(
    joined: tuple[Path, Joined], serve: Callable[[Path], RunningServer], mocap: Path
) -> None:
    out, _ = joined
    server = serve(out / "model_repository")
    reference = Reference.from_json(out / "reference.json")
    clip = next(one for one in reference.clips if "har_temporal" in one.models)
    with Recognizer(server.grpc_url) as recognizer:
        first, second = (
            recognizer.probabilities(mocap / clip.path, name)
            for name in ("har_temporal", "har_temporal_kitchen")
        )
    assert np.abs(first - np.array(clip.models["har_temporal"].onnx)).max() < 1e-6
    # A logit that is 3 higher, at the temperature of the test's checkpoint.
    shifted = np.log(second / first)
    assert shifted[0] - shifted[1:].mean() == pytest.approx(3 / 1.5, abs=1e-3)


def test_a_build_that_has_changed_is_refused(built: Path, tmp_path: Path) -> None:
    other = changed_head(built, tmp_path / "kitchen")
    labels = other / "model_repository" / "har_temporal" / "labels.txt"
    labels.write_text(labels.read_text().upper())
    with pytest.raises(ValueError, match=r"kitchen is not what was built: har_temporal/labels"):
        join([built, other], tmp_path / "both")
    assert not (tmp_path / "both").exists()


def test_builds_are_told_apart_by_their_folders(built: Path, tmp_path: Path) -> None:
    for folders in ([built], [built, built]):
        with pytest.raises(ValueError, match=r"expected two builds or more, in folders of\s+diff"):
            join(folders, tmp_path / "both")
