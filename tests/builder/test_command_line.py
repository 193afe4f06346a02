"""python -m builder: what it prints, and how it exits."""

import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from builder.__main__ import app

ROOT = Path(__file__).parents[2]
PROFILES = sorted((ROOT / "configs" / "profiles").glob("*.toml"))


def run(*words: object) -> tuple[int, str]:
    done = CliRunner().invoke(app, [str(word) for word in words])
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.exit_code, done.output


@pytest.fixture
def copy(built: Path, tmp_path: Path) -> Path:
    """A built folder that a test may spoil."""
    return Path(shutil.copytree(built, tmp_path / "copy"))


def test_an_untouched_build_is_verified(built: Path) -> None:
    code, told = run("verify", built)
    assert code == 0
    assert "every file is as the manifest says" in " ".join(told.split())


def test_a_truncated_and_a_changed_file_are_named(copy: Path) -> None:
    repository = copy / "model_repository"
    encoder = repository / "vision_encoder" / "1" / "model.onnx"
    encoder.write_bytes(encoder.read_bytes()[:1000])
    config = repository / "har_temporal" / "config.pbtxt"
    config.write_text(config.read_text() + "# changed\n")
    code, told = run("verify", copy)
    assert code == 1
    assert "vision_encoder/1/model.onnx" in told.replace("\n", "")
    assert "har_temporal/config.pbtxt" in told.replace("\n", "")


def test_a_folder_that_is_no_build_is_an_error_with_help(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no manifest\.json in it"):
        run("verify", tmp_path)


def test_a_profile_whose_engine_cannot_build_here_stops_before_any_work(
    checkpoints: Path, mocap: Path, tmp_path: Path
) -> None:
    from builder.engines.gpu import gpus

    if gpus():
        pytest.skip("this machine has a GPU")
    profile = ROOT / "configs" / "profiles" / "gpu.toml"
    with pytest.raises(ValueError, match=r"profile gpu wants tensorrt: .* GPU"):
        run("build", profile, checkpoints, mocap, "--out", tmp_path / "product")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("path", PROFILES, ids=lambda path: path.stem)
def test_every_profile_is_valid_and_named_after_its_file(path: Path) -> None:
    from builder.profile import BuildProfile

    assert BuildProfile.from_toml(path).name == path.stem


def test_an_unknown_candidate_is_refused_with_what_there_is(tmp_path: Path) -> None:
    from builder.profile import BuildProfile

    text = PROFILES[0].read_text().replace('"onnxruntime:fp32"', '"onnxruntime:fp8"')
    (tmp_path / "odd.toml").write_text(text)
    with pytest.raises(ValueError, match=r"onnxruntime:fp8.*engine:precision"):
        BuildProfile.from_toml(tmp_path / "odd.toml")
