"""The built line's graphs, and builds of the base variant alone, which are quick."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from builder.build import Build, build
from builder.checkpoints import Variants, variants_from_folder
from builder.cpu import INT8_FLAGS, cpu_flags
from builder.profile import BuildProfile
from clip_har.contract import GRAPHS, ServedModel

PROFILE = Path(__file__).parents[2] / "configs" / "profiles" / "cpu-exact.toml"
BuildBase = Callable[..., Build]


@pytest.fixture(scope="session")
def profile() -> BuildProfile:
    return BuildProfile.from_toml(PROFILE)


@pytest.fixture(scope="session")
def vnni() -> bool:
    """Whether the CPU adds products of bytes in 32 bits; else it cuts sums of two at 16."""
    return not cpu_flags().isdisjoint(INT8_FLAGS)


@pytest.fixture(scope="session")
def variants(checkpoints: Path) -> Variants:
    return variants_from_folder(checkpoints)


@pytest.fixture(scope="session")
def graphs(built: Path) -> dict[ServedModel, Path]:
    """The published ONNX files."""
    repository = built / "model_repository"
    return {model: repository / model.name / "1" / "model.onnx" for model in GRAPHS}


@pytest.fixture(scope="session")
def build_base(
    checkpoints: Path, mocap: Path, profile: BuildProfile, graphs: dict[ServedModel, Path]
) -> Iterator[BuildBase]:
    """Builds the base variant into a folder, with changes to the profile if wanted.

    Its graphs are copies of the published ones, which were exported from the same checkpoint:
    an export takes many seconds.
    """

    def exported(graph, model: ServedModel, sizes, path: Path, opset: int) -> None:
        shutil.copyfile(graphs[model], path)

    def base(out: Path, **changes):
        settings = profile.model_copy(update=changes)
        return build(settings, checkpoints / "base", mocap, out)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("builder.graph_store.onnx_from_graph", exported)
        yield base
