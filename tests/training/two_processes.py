"""What each process of test_distributed.py runs, in the folder of a run."""

import json
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard

from training import staging
from training.action_model import ActionModel
from training.loop import Course, Progress, fit
from training.prediction import seen_by
from training.run import begun_run, run_fingerprints
from training.settings import TrainConfig
from training.train import accelerator_for


def descent(groups: Any) -> torch.optim.Optimizer:
    """In AdamW's place, which makes the rounding errors of small gradients as large as steps."""
    return torch.optim.SGD(groups, lr=0.0, momentum=0.9)


class Sharding(Accelerator):
    """Spreads weights over the processes as Accelerate's FSDP does, which is for GPUs alone."""

    def prepare(self, model: ActionModel, optimizer: torch.optim.Optimizer) -> Any:
        names = {id(parameter): name for name, parameter in model.named_parameters()}
        groups = [
            {**group, "params": [names[id(one)] for one in group["params"]]}
            for group in optimizer.param_groups
        ]
        mesh = init_device_mesh("cpu", (self.num_processes,))
        for layer in model.clip.vision_model.encoder.layers:
            fully_shard(layer, mesh=mesh)
        fully_shard(model, mesh=mesh)
        spread: dict[str, nn.Parameter] = dict(model.named_parameters())
        for group in groups:
            group["params"] = [spread[name] for name in group["params"]]
        return model, self.prepare_optimizer(descent(groups))


def main(what: str) -> None:
    """Weights are `replicated` or `sharded`."""
    torch.set_num_threads(1)
    torch.optim.AdamW = descent
    config, data, out = TrainConfig.from_json(Path("config.json")), Path("data"), Path("run")
    accelerator = Sharding(cpu=True) if what == "sharded" else accelerator_for(config, out)
    run = begun_run(config, data, out, accelerator)
    steps = dict[str, int]()

    def told(
        accelerator: Accelerator, model: ActionModel, course: Course
    ) -> tuple[Progress, dict[str, Tensor]]:
        progress, weights = fit(accelerator, model, course)
        steps[course.name] = progress.step
        return progress, weights

    staging.fit = told
    last = staging.run_stages(run, run_fingerprints(config, data))[-1]
    novel = run.split("val", novel=True)
    seen = seen_by(run.loaded(last.folder), novel.views)
    process = accelerator.process_index
    save_file({"embeds": seen.embeds, "times": seen.times}, f"seen-{process}.safetensors")
    Path(f"steps-{process}.json").write_text(json.dumps(steps))
    accelerator.end_training()  # threads that wait for others would abort the process
