"""The state of a run on disk, so that an interrupted one goes on where it stopped. No pickle.

Weights and optimizer state are named by parameter, whole on disk however they are spread over
processes, so a run may go on with another number of them.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_optimizer_state_dict,
    get_state_dict,
    set_state_dict,
)

from clip_har.product import staged
from training.averaging import whole_weights

WHOLE = StateDictOptions(
    full_state_dict=True, cpu_offload=True, ignore_frozen_params=True, strict=False
)
PART = StateDictOptions(ignore_frozen_params=True, strict=False)
"""What each process holds; of the whole only the first process is told."""
Extras = Mapping[str, Mapping[str, Tensor]]


def save_state(
    folder: Path,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    step: int,
    record: Mapping[str, object] | None = None,
    extras: Extras | None = None,
) -> None:
    """Writes trained weights, optimizer state and the finished steps, whole or not at all.

    `record` is kept beside them as JSON, `extras` as named sets of tensors. Every process of a
    distributed run calls it; the first one writes.
    """
    state: Any = get_state_dict(model, optimizer, options=WHOLE)  # typed for every kind of value
    weights, optimizer_state = state
    whole = {name: whole_weights(tensors) for name, tensors in (extras or {}).items()}
    if dist.is_initialized() and dist.get_rank() != 0:
        return
    moments = {
        f"{name}|{moment}": value
        for name, state in optimizer_state["state"].items()
        for moment, value in state.items()
    }
    with staged(folder) as staging:
        save_file(whole_weights(weights), staging / "model.safetensors")
        save_file(whole_weights(moments), staging / "optimizer.safetensors")
        for name, tensors in whole.items():
            save_file(tensors, staging / f"{name}.safetensors")
        (staging / "state.json").write_text(json.dumps({**(record or {}), "step": step}))


def load_state(
    folder: Path, model: nn.Module, optimizer: torch.optim.Optimizer
) -> dict[str, Any] | None:
    """Restores what save_state wrote; gives its record with `step`, or None if nothing was."""
    if not (folder / "state.json").exists():
        return None
    current: Any = get_optimizer_state_dict(model, optimizer, options=PART)
    state: dict[str, dict[str, Tensor]] = {}
    for key, value in load_file(folder / "optimizer.safetensors").items():
        name, moment = key.rsplit("|", 1)
        state.setdefault(name, {})[moment] = value
    weights: Any = load_file(folder / "model.safetensors")
    moments: Any = {"state": state, "param_groups": current["param_groups"]}
    set_state_dict(
        model, optimizer, model_state_dict=weights, optim_state_dict=moments, options=WHOLE
    )
    return json.loads((folder / "state.json").read_text())


def load_extra(folder: Path, name: str) -> dict[str, Tensor]:
    """A named set of tensors that save_state kept."""
    return load_file(folder / f"{name}.safetensors")
