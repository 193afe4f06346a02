"""The repository that a build writes, apart from its graphs."""

from pathlib import Path

import pytest
from google.protobuf import text_format
from tritonclient.grpc.model_config_pb2 import ModelConfig

from builder.repository import Given, write_repository
from clip_har.contract import HAR_BASE, PREPROCESS
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


def written(folder: Path, *, response_cache: bool = False) -> dict[str, ModelConfig]:
    """The configurations of a repository without graphs, by model."""
    given = Given(tokenizer=Path(), warmup=b"", response_cache=response_cache)
    write_repository(folder, SOURCES, {}, SPEC, ("mean",), given)
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
