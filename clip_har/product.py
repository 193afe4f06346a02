"""Products are built whole or not at all, and again only when what they were made from changed.

A product is a folder. It is written beside its target and renamed when it is complete; the file
`inputs.json` in it says what it was made from.
"""

import hashlib
import json
import shutil
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path

INPUTS_FILE = "inputs.json"


@contextmanager
def staged(target: Path) -> Generator[Path]:
    """Gives an empty folder that becomes `target` only if the block ends well.

    What stood at `target` is replaced in the same moment, and untouched if the block fails.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    restore_folder(target)
    staging = target.with_name(f".{target.name}.partial")
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir()
    try:
        yield staging
    except BaseException:
        shutil.rmtree(staging, ignore_errors=True)
        raise
    replace_folder(staging, target)


def replace_folder(new: Path, target: Path) -> None:
    """Renames `new` to `target`; an older `target` is moved aside first and deleted last."""
    old = _aside(target)
    shutil.rmtree(old, ignore_errors=True)
    try:
        if target.exists():
            target.rename(old)
        new.rename(target)
    except BaseException:
        restore_folder(target)
        raise
    shutil.rmtree(old, ignore_errors=True)


def restore_folder(target: Path) -> None:
    """Brings back what was moved aside and never replaced, be it that the machine went down."""
    old = _aside(target)
    if old.exists() and not target.exists():
        old.rename(target)


def _aside(target: Path) -> Path:
    """Where an older folder is while the new one takes its name."""
    return target.with_name(f".{target.name}.old")


def write_whole(path: Path, content: str | bytes) -> None:
    """Writes a file beside its target, then renames it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    partial.write_bytes(content.encode() if isinstance(content, str) else content)
    partial.rename(path)


def fingerprint(inputs: Mapping[str, object]) -> str:
    """One hash for what a product is made from.

    A Path stands for the bytes below it, anything else for its JSON.
    """
    digest = hashlib.sha256()
    for name, value in sorted(inputs.items()):
        shown = tree_hash(value) if isinstance(value, Path) else json.dumps(value, sort_keys=True)
        digest.update(f"{name}={shown}\n".encode())
    return digest.hexdigest()


def is_current(target: Path, made_from: str) -> bool:
    """True where `target` is complete and was made from inputs with this fingerprint."""
    try:
        return json.loads((target / INPUTS_FILE).read_text())["fingerprint"] == made_from
    except (OSError, ValueError, KeyError, TypeError):
        return False


def record_inputs(folder: Path, made_from: str) -> None:
    """Notes in a product what it was made from, for `is_current`."""
    (folder / INPUTS_FILE).write_text(json.dumps({"fingerprint": made_from}) + "\n")


def tree_hash(path: Path) -> str:
    """SHA-256 over the names and bytes of a file, or of every file below a folder."""
    digest = hashlib.sha256()
    files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
    for file in files:
        if "__pycache__" not in file.parts and file.name != INPUTS_FILE:
            digest.update(f"{file.relative_to(path)}\0{file_hash(file)}\n".encode())
    return digest.hexdigest()


def file_hash(path: Path) -> str:
    """SHA-256 of a file's bytes, in hex."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(2**20):
            digest.update(chunk)
    return digest.hexdigest()
