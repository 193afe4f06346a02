"""The repository that a build writes, apart from its graphs."""

import shutil
from pathlib import Path

import pytest
from google.protobuf import text_format
from tritonclient.grpc.model_config_pb2 import ModelConfig

from builder.repository import Given, instances, write_repository
from builder.triton_config import is_pinned
from clip_har.contract import HAR_BASE, HAR_TIMELINE, PREPROCESS, RESIZE
from clip_har.spec import ModelSpec, Preprocessing

SOURCES = Path(__file__).parents[2] / "model_repository"
SPEC = ModelSpec(
    backbone="backbone",
    clip={"text_config": {"max_position_embeddings": 77}},
    embed_dim=8,
    frames=4,
    temporal="mean",
    labels=("a", "b"),
    prompts=("{}",),
    preprocessing=Preprocessing(image_size=32, mean=(0, 0, 0), std=(1, 1, 1)),
)


def written(
    folder: Path, sources: Path = SOURCES, *, response_cache: bool = False
) -> dict[str, ModelConfig]:
    """The configurations of a repository without graphs, by model."""
    given = Given(tokenizer=Path(), warmup=b"", response_cache=response_cache)
    write_repository(folder, sources, {}, SPEC, ("mean",), given)
    return {
        path.parent.name: text_format.Parse(path.read_text(), ModelConfig())
        for path in folder.glob("*/config.pbtxt")
    }


@pytest.mark.parametrize("wanted", [False, True])
def test_only_ensembles_are_remembered_and_only_where_the_profile_says_so(
    tmp_path: Path, wanted: bool
) -> None:
    configs = written(tmp_path, response_cache=wanted)
    told = {name: config.response_cache.enable for name, config in configs.items()}
    assert told == {PREPROCESS.name: False, HAR_BASE.name: wanted}


def test_every_version_is_named_though_sources_say_newest(tmp_path: Path) -> None:
    configs = written(tmp_path)
    assert configs[PREPROCESS.name].version_policy.specific.versions == [1]
    steps = configs[HAR_BASE.name].ensemble_scheduling.step
    assert {step.model_version for step in steps} == {1}
    source = (SOURCES / HAR_BASE.name / "config.pbtxt").read_text()
    assert "model_version: -1" in source
    assert all(is_pinned(config) for config in configs.values())


@pytest.mark.parametrize(
    ("cores", "on_gpu", "counts"),
    [
        (1, False, (1, 1, 2)),
        (2, False, (2, 1, 2)),
        (12, False, (8, 6, 3)),
        (64, False, (8, 8, 4)),
        (24, True, (24, 12, 4)),
        (192, True, (32, 32, 4)),
    ],
)
def test_processes_grow_with_the_cores_up_to_what_memory_bears(
    cores: int, on_gpu: bool, counts: tuple[int, ...]
) -> None:
    told = instances(cores, on_gpu=on_gpu)
    assert tuple(told[model] for model in (PREPROCESS, RESIZE, HAR_TIMELINE)) == counts


@pytest.mark.parametrize("cores", [2, 6])
def test_repository_is_written_for_the_cores_that_can_be_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cores: int
) -> None:
    monkeypatch.setattr("builder.repository.usable_cores", lambda: cores)
    (group,) = written(tmp_path)[PREPROCESS.name].instance_group
    assert group.count == cores


def test_count_that_a_source_states_stays(tmp_path: Path) -> None:
    sources = tmp_path / "sources"
    shutil.copytree(SOURCES, sources)
    source = sources / PREPROCESS.name / "config.pbtxt"
    source.write_text(source.read_text().replace("{ kind: KIND_CPU }", "{ count: 3 }"))
    (group,) = written(tmp_path / "out", sources)[PREPROCESS.name].instance_group
    assert group.count == 3
