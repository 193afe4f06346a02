"""python -m training: what is printed, exit codes, and no traceback for what a user can mend."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from clip_har.command import run_command_line
from clip_har.dataset import MANIFEST_FILE
from training.__main__ import app
from training.evaluation.metrics import METRICS_FILE, REPORT_FILE
from training.settings import TrainConfig

ROOT = Path(__file__).parents[2]
Call = Callable[..., tuple[int, str, str]]
pytestmark = pytest.mark.usefixtures("in_one_process")


def toml(table: Mapping[str, Any], place: tuple[str, ...] = ()) -> str:
    """A table as TOML, whose values are written like JSON's."""
    values = {key: value for key, value in table.items() if not isinstance(value, dict)}
    lines = [f"[{'.'.join(place)}]"] if place and values else []
    lines += [f"{key} = {json.dumps(value)}" for key, value in values.items()]
    tables = (key for key in table if key not in values)
    return "\n".join([*lines, *(toml(table[key], (*place, key)) for key in tables)])


@pytest.fixture
def settings_file(settings_of: Callable[..., TrainConfig], tmp_path: Path) -> Path:
    """The settings of the finished run."""
    path = tmp_path / "settings.toml"
    path.write_text(toml(settings_of().model_dump(exclude_unset=True)))
    return path


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """Runs a command as `python -m training` does; gives exit code, output and errors."""
    monkeypatch.setenv("COLUMNS", "200")

    def called(*arguments: str | Path) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["training", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            run_command_line(app, "training")
        out, errors = capsys.readouterr()
        code = ended.value.code
        return code if isinstance(code, int) else 0, out, " ".join(errors.split())

    return called


def test_a_finished_run_is_up_to_date(
    call: Call, settings_file: Path, lean: Path, trained: Path
) -> None:
    written = (trained / METRICS_FILE).stat().st_mtime_ns
    code, out, _ = call("train", settings_file, lean, trained)
    assert code == 0
    assert f"{trained.name}: up to date" in out.replace("\n", "")
    for told in ("unfrozen", "top-1", "order: reversal", "kept: alpha", METRICS_FILE, REPORT_FILE):
        assert told in out
    assert (trained / METRICS_FILE).stat().st_mtime_ns == written


def test_only_the_first_process_prints(settings_file: Path, lean: Path, trained: Path) -> None:
    finished = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2",
         "-m", "training", "train", settings_file, lean, trained],
        cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True,
        timeout=120,
    )  # fmt: skip
    assert finished.returncode == 0, finished.stderr[-4000:]
    assert finished.stdout.count("up to date") == 1
    assert finished.stdout.count(f"/{REPORT_FILE}") == 1


def test_a_users_mistake_is_a_message_and_no_traceback(tmp_path: Path) -> None:
    finished = subprocess.run(
        [sys.executable, "-m", "training", "inspect", tmp_path],
        cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    assert finished.returncode == 2
    assert finished.stderr.startswith("error: ")
    assert MANIFEST_FILE in finished.stderr
    assert "Traceback" not in finished.stderr
    assert finished.stdout == ""


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (("seed = 1", "seeds = 1"), "unknown key 'seeds'"),
        (("seed = 1", "seed 1"), "not valid TOML"),
        (('"kicking"', '"flying"'), "held_out_labels names 'flying', which the data set"),
        (("backbone = ", 'backbone = "no/where/at-all" #'), "no/where/at-all"),
        (('tracker = "none"', 'tracker = "abacus"'), "tracker = 'abacus' cannot be used"),
    ],
)
def test_settings_that_cannot_be_used_are_explained(
    call: Call, settings_file: Path, lean: Path, tmp_path: Path, change: tuple[str, str], told: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    text = settings_file.read_text()
    assert change[0] in text
    settings_file.write_text(text.replace(*change))
    code, _, errors = call("train", settings_file, lean, tmp_path / "run")
    assert code == 2
    assert errors.startswith("error: ")
    assert told in errors


def test_files_that_are_missing_are_named(
    call: Call, settings_file: Path, lean: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    code, _, errors = call("train", tmp_path / "none.toml", lean, out)
    assert (code, "none.toml" in errors) == (2, True)
    code, _, errors = call("train", settings_file, tmp_path, out)
    assert (code, MANIFEST_FILE in errors) == (2, True)
    code, _, errors = call("evaluate", tmp_path, lean)
    assert (code, "no checkpoint there" in errors) == (2, True)
    assert not out.exists()


def test_a_checkpoint_is_evaluated_into_a_folder_of_its_own(
    call: Call, lean: Path, trained: Path, tmp_path: Path
) -> None:
    shutil.copytree(trained / "base", tmp_path / "base")
    code, out, _ = call("evaluate", tmp_path / "base", lean, "--split", "val")
    assert code == 0
    assert "16 val clips" in out
    for name in (METRICS_FILE, REPORT_FILE):
        assert (tmp_path / "base" / "evaluation" / name).is_file()
    code, _, errors = call("evaluate", tmp_path / "base", lean, "--crops", "2")
    assert (code, "crops 1 or 3" in errors) == (2, True)
    code, _, errors = call("evaluate", tmp_path / "base", lean, "--split", "all")
    assert (code, "'train', 'val', 'test'" in errors) == (2, True)


def test_a_folder_of_classes_is_imported_and_inspected(
    call: Call, movie: Callable[..., bytes], tmp_path: Path
) -> None:
    for split in ("train", "val", "test"):
        for label in ("walking", "running"):
            folder = tmp_path / "media" / split / label
            folder.mkdir(parents=True)
            frames = 4 + len(split) + len(label)
            (folder / f"{split}-{label}.mp4").write_bytes(movie(frames=frames))
    (tmp_path / "media" / "train" / "walking" / "broken.mp4").write_bytes(b"nothing")
    data, sheet = tmp_path / "data", tmp_path / "sheet.png"
    code, out, errors = call("import", "folders", tmp_path / "media", data)
    assert code == 0, errors
    assert "2 classes, 2 train, 2 val, 2 test clips" in out.replace("\n", "")
    assert "left out: 1 " in out
    code, out, errors = call("inspect", data, "--sheet", sheet)
    assert code == 0, errors
    for told in ("walking", "running", "h264"):
        assert told in out
    assert sheet.read_bytes().startswith(b"\x89PNG")


def test_an_unknown_layout_is_explained(call: Call, tmp_path: Path) -> None:
    code, _, errors = call("import", "imagenet", tmp_path, tmp_path / "data")
    assert code == 2
    assert "imagenet" in errors
    assert "ucf101" in errors


def test_what_cannot_be_uploaded_is_refused(
    call: Call, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "no-token"))
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    for checkpoint, repository, told in (
        (tmp_path, "ann/har", "not a checkpoint"),
        (trained / "base", "ann/har/1", "OWNER/NAME"),
        (trained / "base", "ann/har", "No access token"),
    ):
        code, out, errors = call("push-to-hub", checkpoint, repository)
        assert (code, out) == (2, "")
        assert told in errors


def test_a_command_that_does_not_exist_is_refused(call: Call) -> None:
    code, _, errors = call("trian")
    assert code == 2
    assert "No such command" in errors
