"""A checkpoint folder: config.json (the spec), model.safetensors, tokenizer files, run.json."""

import json
from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from transformers import CLIPTokenizer

from clip_har.nn.clip import tokenizer_from_pretrained
from clip_har.nn.model import CLIPHARModel
from clip_har.product import staged
from clip_har.spec import ModelSpec

SPEC_FILE, WEIGHTS_FILE, RUN_FILE = "config.json", "model.safetensors", "run.json"


def save_checkpoint(
    folder: Path,
    model: CLIPHARModel,
    tokenizer: CLIPTokenizer,
    run: Mapping[str, object],
    texts: Mapping[str, str] | None = None,
) -> None:
    """Writes a checkpoint whole or not at all.

    `run` says how it came about; `texts` are more files to put beside it, by name.
    """
    with staged(folder) as staging:
        (staging / SPEC_FILE).write_text(model.spec.model_dump_json(indent=2) + "\n")
        save_file(model.state_dict(), staging / WEIGHTS_FILE)
        tokenizer.save_pretrained(staging)
        (staging / RUN_FILE).write_text(json.dumps(run, indent=2) + "\n")
        for name, text in (texts or {}).items():
            (staging / name).write_text(text)


def checkpoint_folders(folder: Path) -> list[Path]:
    """A checkpoint itself, or those directly below a folder; raises ValueError for none."""
    if (folder / SPEC_FILE).is_file():
        return [folder]
    folders = sorted(path.parent for path in folder.glob(f"*/{SPEC_FILE}"))
    if not folders:
        raise ValueError(
            f"{folder}: no checkpoint there, nor in a folder directly below it (a checkpoint has a "
            f"{SPEC_FILE}). Train one with: python -m training train"
        )
    return folders


def spec_from_checkpoint(folder: Path) -> ModelSpec:
    """Reads what a checkpoint says of itself; raises ValueError where it is none."""
    path = folder / SPEC_FILE
    if not path.is_file():
        raise ValueError(
            f"{folder}: not a checkpoint, it has no {SPEC_FILE}. "
            "A checkpoint is a folder that `python -m training train` wrote."
        )
    return ModelSpec.from_json(path)


def model_from_checkpoint(folder: Path) -> CLIPHARModel:
    """Loads a model for inference (eval mode, on the CPU).

    Raises ValueError where the folder is no checkpoint or its weights do not fit its spec.
    """
    spec = spec_from_checkpoint(folder)
    model = CLIPHARModel(spec)
    try:
        model.load_state_dict(load_file(folder / WEIGHTS_FILE))
    except (OSError, RuntimeError, SafetensorError) as error:
        raise ValueError(f"{folder / WEIGHTS_FILE}: does not fit {SPEC_FILE}: {error}") from error
    return model.eval()


def tokenizer_from_checkpoint(folder: Path, model: CLIPHARModel) -> CLIPTokenizer:
    """Loads the tokenizer that was saved with a checkpoint."""
    return tokenizer_from_pretrained(str(folder), model.clip.config)
