"""What each kind of stage lets learn, and how fast."""

import re
import warnings
from typing import Any, cast

from torch import nn
from transformers import CLIPModel

from training.action_model import ActionModel
from training.settings import Stage, TrainConfig

ATTENTION_AND_MLP = r"(self_attn\.(q_proj|k_proj|v_proj|out_proj)|mlp\.(fc1|fc2))"
LAST_PARTS = ("vision_model.post_layernorm", "visual_projection")
_BLOCK = re.compile(r"vision_model\.encoder\.layers\.(\d+)\.")


def check_blocks(clip: CLIPModel, stage: Stage) -> None:
    """Raises ValueError where a stage lets more blocks learn than the vision tower has."""
    layers = _layers(clip)
    if stage.blocks > layers:
        raise ValueError(
            f"blocks = {stage.blocks}, but the vision tower has {layers}: choose at most that."
        )


def begin_stage(model: ActionModel, stage: Stage) -> None:
    """Sets what learns; for `lora` wraps the CLIP. Raises ValueError like `check_blocks`."""
    check_blocks(model.clip, stage)
    layers = _layers(model.clip)
    _reshape_scale(model.clip, (1,))  # FSDP spreads nothing that has no dimension
    model.requires_grad_(True)
    model.clip.requires_grad_(False)
    model.distiller.requires_grad_(bool(stage.distillation))
    if stage.trains == "lora":
        model.clip = _with_lora(model.clip, stage, layers)
    elif stage.trains == "unfrozen":
        for name, parameter in model.clip.named_parameters():
            parameter.requires_grad_(_depth(name, layers) < stage.blocks)
        model.clip.logit_scale.requires_grad_(True)


def end_stage(model: ActionModel, stage: Stage) -> None:
    """Merges what was added, so that the CLIP is a plain one again."""
    if stage.trains == "lora":
        wrapped = cast(Any, model.clip)
        model.clip = wrapped.merge_and_unload()
    _reshape_scale(model.clip, ())
    model.requires_grad_(False)


def parameter_groups(model: ActionModel, config: TrainConfig, stage: Stage) -> list[dict[str, Any]]:
    """AdamW's groups: parameters with the same peak learning rate and weight decay."""
    layers = _layers(model.clip)
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            rate = _rate(name, config, stage, layers)
            decay = stage.weight_decay if parameter.ndim > 1 else 0.0
            groups.setdefault((rate, decay), []).append(parameter)
    return [
        {"params": parameters, "lr": rate, "weight_decay": decay}
        for (rate, decay), parameters in groups.items()
    ]


def _reshape_scale(clip: CLIPModel, shape: tuple[int, ...]) -> None:
    clip.logit_scale = nn.Parameter(clip.logit_scale.detach().view(shape))


def _rate(name: str, config: TrainConfig, stage: Stage, layers: int) -> float:
    part, _, rest = name.partition(".")
    if part in ("temporal", "heads"):
        return stage.learning_rate * config.variants[rest.split(".")[0]].rate
    if part == "distiller":
        return stage.learning_rate
    if stage.trains == "lora":
        return stage.encoder_learning_rate
    return stage.encoder_learning_rate * stage.layer_decay ** max(_depth(rest, layers), 0)


def _depth(name: str, layers: int) -> int:
    """How many blocks lie between a weight of the CLIP and the end of the vision tower."""
    if name == "logit_scale" or name.startswith(LAST_PARTS):
        return 0
    block = _BLOCK.match(name)
    return layers - 1 - int(block[1]) if block else layers


def _with_lora(clip: CLIPModel, stage: Stage, layers: int) -> CLIPModel:
    from peft import LoraConfig, get_peft_model

    numbers = "|".join(str(number) for number in range(layers - stage.blocks, layers))
    target = rf"vision_model\.encoder\.layers\.({numbers})\.{ATTENTION_AND_MLP}"
    config = LoraConfig(r=stage.lora_rank, lora_alpha=stage.lora_alpha, target_modules=target)
    with warnings.catch_warnings():  # peft asks by a name that transformers has given up
        warnings.filterwarnings("ignore", "`is_gradient_checkpointing`", FutureWarning)
        return cast(CLIPModel, get_peft_model(cast(Any, clip), config))


def _layers(clip: CLIPModel) -> int:
    return cast(Any, clip.config.vision_config).num_hidden_layers
