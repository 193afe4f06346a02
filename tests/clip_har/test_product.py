import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from clip_har.product import (
    INPUTS_FILE,
    fingerprint,
    is_current,
    record_inputs,
    staged,
    tree_hash,
    write_whole,
)


def contents(folder: Path) -> dict[str, str]:
    return {str(p.relative_to(folder)): p.read_text() for p in folder.rglob("*") if p.is_file()}


@pytest.fixture
def product(tmp_path: Path) -> Path:
    folder = tmp_path / "product"
    with staged(folder) as staging:
        (staging / "old").write_text("old")
    return folder


def test_a_finished_block_replaces_the_whole_folder(product: Path) -> None:
    with staged(product) as staging:
        assert list(staging.iterdir()) == []
        (staging / "new").write_text("new")
        assert contents(product) == {"old": "old"}
    assert contents(product) == {"new": "new"}
    assert list(product.parent.iterdir()) == [product]


def fail(target: Path, error: type[BaseException]) -> None:
    with staged(target) as staging:
        (staging / "new").write_text("new")
        raise error


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_a_failed_block_keeps_the_old_folder(product: Path, error: type[BaseException]) -> None:
    with pytest.raises(error):
        fail(product, error)
    assert contents(product) == {"old": "old"}
    assert list(product.parent.iterdir()) == [product]


def test_a_stop_between_the_renames_brings_the_old_folder_back(
    product: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rename = Path.rename

    def stop_at_the_second(path: Path, target: Path) -> Path:
        if path.name.endswith(".partial"):
            raise KeyboardInterrupt
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", stop_at_the_second)
    with pytest.raises(KeyboardInterrupt), staged(product):
        pass
    assert contents(product) == {"old": "old"}


def test_a_folder_that_a_lost_machine_left_aside_is_not_lost(product: Path) -> None:
    product.rename(product.with_name(".product.old"))
    with staged(product) as staging:
        assert contents(product) == {"old": "old"}
        (staging / "new").write_text("new")
    assert contents(product) == {"new": "new"}
    assert list(product.parent.iterdir()) == [product]


def test_a_failed_first_block_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        fail(tmp_path / "a" / "product", KeyboardInterrupt)
    assert list((tmp_path / "a").iterdir()) == []


def test_what_a_killed_process_left_is_not_in_the_next_product(product: Path) -> None:
    killed = (
        "import os, signal, sys; from pathlib import Path; from clip_har.product import staged\n"
        "with staged(Path(sys.argv[1])) as staging:\n"
        "    (staging / 'rest').write_text('rest')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", killed, str(product)])
    assert done.returncode == -signal.SIGKILL
    assert contents(product) == {"old": "old"}
    assert len(list(product.parent.iterdir())) == 2
    with staged(product) as staging:
        (staging / "new").write_text("new")
    assert contents(product) == {"new": "new"}
    assert list(product.parent.iterdir()) == [product]


def test_a_text_file_is_written_whole(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "file.json"
    write_whole(path, "one")
    write_whole(path, "two")
    assert contents(tmp_path) == {"deep/file.json": "two"}


def test_the_fingerprint_follows_values_names_and_bytes(tmp_path: Path) -> None:
    folder = tmp_path / "code"
    (folder / "sub").mkdir(parents=True)
    file = folder / "sub" / "a.py"
    file.write_text("x = 1")
    seen = [fingerprint({"steps": 1, "code": folder})]
    assert fingerprint({"code": folder, "steps": 1}) == seen[0]
    seen.append(fingerprint({"steps": 2, "code": folder}))
    seen.append(fingerprint({"step": 1, "code": folder}))
    file.write_text("x = 2")
    seen.append(fingerprint({"steps": 1, "code": folder}))
    file.rename(folder / "a.py")
    seen.append(fingerprint({"steps": 1, "code": folder}))
    assert len(set(seen)) == len(seen)


def test_the_tree_hash_is_of_bytes_and_not_of_times_caches_or_records(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("x = 1")
    before = tree_hash(tmp_path)
    (tmp_path / "__pycache__").mkdir()
    (tmp_path / "__pycache__" / "a.pyc").write_text("compiled")
    record_inputs(tmp_path, "made from")
    time.sleep(0.01)
    (tmp_path / "a.py").touch()
    assert tree_hash(tmp_path) == before
    (tmp_path / "b.py").write_text("")
    assert tree_hash(tmp_path) != before


def test_a_product_is_current_for_its_own_inputs_alone(tmp_path: Path) -> None:
    record_inputs(tmp_path, "these")
    assert is_current(tmp_path, "these")
    assert not is_current(tmp_path, "others")


@pytest.mark.parametrize("half", [None, "", '{"fingerpr', "{}", "[]", "null"])
def test_a_half_written_product_is_not_current(tmp_path: Path, half: str | None) -> None:
    if half is not None:
        (tmp_path / INPUTS_FILE).write_text(half)
    assert not is_current(tmp_path, "these")
    assert not is_current(tmp_path / "missing", "these")
