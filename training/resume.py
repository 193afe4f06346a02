"""The state of a run on disk, so that an interrupted one goes on where it stopped. No pickle."""

import json
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import nn

from clip_har.product import staged


def save_state(folder: Path, model: nn.Module, optimizer: torch.optim.Optimizer, step: int) -> None:
    """Writes weights, optimizer state and the number of finished steps, whole or not at all."""
    moments = {
        f"{index}.{name}": value
        for index, state in optimizer.state_dict()["state"].items()
        for name, value in state.items()
    }
    with staged(folder) as staging:
        save_file(model.state_dict(), staging / "model.safetensors")
        save_file(moments, staging / "optimizer.safetensors")
        (staging / "state.json").write_text(json.dumps({"step": step}))


def load_state(folder: Path, model: nn.Module, optimizer: torch.optim.Optimizer) -> int:
    """Restores what save_state wrote; returns the finished steps, 0 where nothing was saved."""
    if not (folder / "state.json").exists():
        return 0
    model.load_state_dict(load_file(folder / "model.safetensors"))
    state: dict[int, dict[str, torch.Tensor]] = {}
    for key, value in load_file(folder / "optimizer.safetensors").items():
        index, name = key.split(".", 1)
        state.setdefault(int(index), {})[name] = value
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": state, "param_groups": groups})
    return json.loads((folder / "state.json").read_text())["step"]
