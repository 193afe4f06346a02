"""What `python -m training` prints, and how it ends."""

import subprocess
import sys
from pathlib import Path

import pytest


def told(*arguments: str) -> tuple[int, str]:
    """The exit code and everything printed."""
    command = [sys.executable, "-m", "training", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("train", "nowhere.toml", "data", "out"), "cannot be read"),
        (("evaluate", "nowhere", "data"), "no checkpoint there"),
        (("inspect", "nowhere"), "cannot be read"),
        (("import", "vhs", "nowhere", "out"), "vhs"),
        (("push-to-hub", "nowhere", "me/mine"), "nowhere"),
    ],
)
def test_a_users_mistake_is_a_message_and_exit_code_2(
    arguments: tuple[str, ...], words: str, tmp_path: Path
) -> None:
    code, text = told(*arguments)
    assert code == 2
    assert words in " ".join(text.split())
    assert "Traceback" not in text


def test_inspect_prints_the_class_table_and_writes_a_contact_sheet(
    rendered: Path, tmp_path: Path
) -> None:
    sheet = tmp_path / "sheet.png"
    code, text = told("inspect", str(rendered), "--sheet", str(sheet))
    assert code == 0, text
    assert "walking backwards" in text
    assert sheet.read_bytes().startswith(b"\x89PNG")
