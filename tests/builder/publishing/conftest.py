"""Builds of a few bytes, and what Triton would read in the folder that they are published into."""

from collections.abc import Callable
from pathlib import Path

import pytest
from google.protobuf import text_format
from tritonclient.grpc.model_config_pb2 import ModelConfig

from builder.manifest import Manifest, repository_files, write_manifest

TENSORS = """
input [{ name: "X" data_type: TYPE_FP32 dims: [4] }]
output [{ name: "Y" data_type: TYPE_FP32 dims: [4] }]
"""
PINNED = "version_policy { specific { versions: [1] } }"
GRAPH = f'platform: "onnxruntime_onnx" max_batch_size: 8 {PINNED} {TENSORS}'
PARAMETER = """parameters {{ key: "{}" value {{ string_value: "{}" }} }}"""
CHAIN = """
platform: "ensemble" max_batch_size: 8
input [{ name: "X" data_type: TYPE_FP32 dims: [4] }]
output [{ name: "Y" data_type: TYPE_FP32 dims: [4] label_filename: "labels.txt" }]
ensemble_scheduling { step [
  { model_name: "encoder" model_version: 1
    input_map { key: "X" value: "X" } output_map { key: "Y" value: "y" } },
  { model_name: "head" model_version: 1
    input_map { key: "X" value: "y" } output_map { key: "Y" value: "Y" } }
] }"""
CHAINS = ("chain_a", "chain_b")
Answers = dict[str, list[str]]


class Live:
    """A live folder, as Triton reads it."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.repository = folder / "model_repository"

    def config(self, model: str) -> ModelConfig:
        text = (self.repository / model / "config.pbtxt").read_text()
        return text_format.Parse(text, ModelConfig())

    def loaded(self, model: str) -> list[int]:
        """The versions that Triton loads, all of which must lie there."""
        versions = list(self.config(model).version_policy.specific.versions)
        assert set(versions) <= set(self.versions(model))
        return versions

    def versions(self, model: str) -> list[int]:
        folders = (self.repository / model).iterdir()
        return sorted(int(path.name) for path in folders if path.name.isdigit())

    def answers(self) -> Answers:
        """The files behind each public model's answer, from loaded versions alone."""
        told = {"text": [self._content("text", max(self.loaded("text")))]}
        for chain in CHAINS:
            steps = self.config(chain).ensemble_scheduling.step
            assert all(step.model_version in self.loaded(step.model_name) for step in steps)
            told[chain] = [self._content(step.model_name, step.model_version) for step in steps]
        return told

    def files(self) -> dict[str, str]:
        return repository_files(self.repository)

    def _content(self, model: str, version: int) -> str:
        return (self.repository / model / str(version) / "model.onnx").read_text()


@pytest.fixture(scope="session")
def served() -> Callable[[str, str, str], Answers]:
    """What the public models answer from these contents."""

    def answers(encoder: str, head: str, text: str) -> Answers:
        return {"text": [text], **{chain: [encoder, head] for chain in CHAINS}}

    return answers


@pytest.fixture
def live_at(tmp_path: Path) -> Callable[[str], Live]:
    """A live folder of some name, which need not be there yet."""
    return lambda name: Live(tmp_path / name)


@pytest.fixture
def live(live_at: Callable[[str], Live]) -> Live:
    return live_at("live")


@pytest.fixture
def write_build(tmp_path: Path) -> Callable[..., Path]:
    """Writes a build of an encoder, a head, two chains of them, and a text model of its own."""

    def write(
        name: str, threads: int = 1, labels: str = "run\nwalk\n", frames: int = 8, **contents: str
    ) -> Path:
        folder = tmp_path / name
        graphs = {"encoder": "e1", "head": "h1", "text": "t1", "preprocess": "p"} | contents
        parameters = {
            "encoder": PARAMETER.format("intra_op_thread_count", threads),
            "preprocess": PARAMETER.format("frames", frames),
        }
        for model, content in graphs.items():
            write_model(folder, model, GRAPH + parameters.get(model, ""))
            (folder / "model_repository" / model / "1" / "model.onnx").write_text(content)
        for model in CHAINS:
            write_model(folder, model, CHAIN)
            (folder / "model_repository" / model / "labels.txt").write_text(labels)
        (folder / "reference.json").write_text(f"{name}\n")
        write_manifest(folder, manifest_of(folder))
        return folder

    return write


@pytest.fixture
def edit() -> Callable[[Path, str, str, str], None]:
    """Changes the configuration of one model of a build, as another build would."""

    def change(build: Path, model: str, old: str, new: str) -> None:
        path = build / "model_repository" / model / "config.pbtxt"
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new))
        write_manifest(build, manifest_of(build))

    return change


@pytest.fixture
def add_model() -> Callable[[Path, str, str, dict[str, str]], None]:
    """Adds a model with the files of its version to a build."""

    def add(build: Path, model: str, config: str, files: dict[str, str]) -> None:
        write_model(build, model, config)
        for name, content in files.items():
            (build / "model_repository" / model / "1" / name).write_text(content)
        write_manifest(build, manifest_of(build))

    return add


def write_model(build: Path, model: str, config: str) -> None:
    folder = build / "model_repository" / model
    (folder / "1").mkdir(parents=True)
    (folder / "config.pbtxt").write_text(f'name: "{model}" {config}')


def manifest_of(build: Path) -> Manifest:
    graph = {
        "engine": "onnxruntime",
        "precision": "fp32",
        "threads": 1,
        "description": {"engine": "onnxruntime", "version": "1.32.0"},
    }
    table = {
        "profile": {"name": "test"},
        "checkpoints": {},
        "models": {
            name: {**graph, "file": f"{name}/1/model.onnx"} for name in ("encoder", "head", "text")
        },
        "parity": {},
        "files": repository_files(build / "model_repository"),
        "provenance": {},
    }
    return Manifest.from_table(table, "test")
