"""The training loop of one stage, over one process or many.

B clips of this process, K classes. All processes together hold a whole batch.
"""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list, gather_object
from torch import Tensor
from torch.distributed.fsdp import register_fsdp_forward_method

from clip_har.progress import progress_bar
from training.action_model import ActionModel
from training.averaging import (
    WeightAverage,
    load_trained_weights,
    trained_weights,
    whole_weights,
)
from training.batches import Batch, Batches
from training.objective import action_loss
from training.resume import load_extra, load_state, save_state
from training.settings import Stage, TrainConfig
from training.stages import parameter_groups
from training.views import Schedule

LOG_STEPS = 10


@dataclass(frozen=True)
class Course:
    """What one stage is made of."""

    name: str
    config: TrainConfig
    schedule: Schedule
    batches: Batches
    texts: Tensor
    """Class texts, (K, D)."""
    pretrained: Callable[[Tensor], Tensor] | None
    """Frames (B, T, S, S, 3) to the pretrained CLIP's frame embeddings (B, T, D), to distil."""
    validate: Callable[[ActionModel], float]
    """Gives what early stopping watches, higher is better; the same on every process."""
    state: Path
    """Folder of the saved state."""
    faults: tuple[str, ...] = ()
    """Why clips were left out before the stage began."""

    @property
    def settings(self) -> Stage:
        """The stage's table."""
        return self.config.stages[self.name]


@dataclass
class Progress:
    """How far a stage is. Saved with its state."""

    step: int = 0
    """Finished steps."""
    best: float = -math.inf
    """Best validation so far."""
    since_best: int = 0
    """Validations since then."""
    seconds: float = 0.0
    """How long the steps took."""
    faults: list[str] = field(default_factory=list)
    """Clips that could not be decoded, of all processes once it is saved."""

    def validated(self, score: float) -> bool:
        """Takes a validation into account; True where it is the best so far."""
        better = score > self.best
        self.best, self.since_best = (score, 0) if better else (self.best, self.since_best + 1)
        return better


def fit(
    accelerator: Accelerator, model: ActionModel, course: Course
) -> tuple[Progress, dict[str, Tensor]]:
    """Trains what `begin_stage` let learn; goes on from a saved state where there is one.

    Gives the weights that learned, whole and on the CPU: the last ones, their moving average, or
    those of the best validation, as the stage asks. The model itself may be spread over processes
    afterwards. Raises ValueError where the loss is not a number.
    """
    return _Fit(accelerator, model, course).run()


class _Fit:
    def __init__(self, accelerator: Accelerator, model: ActionModel, course: Course) -> None:
        self.accelerator, self.model, self.course = accelerator, model, course
        self.stage = course.settings
        groups = parameter_groups(model, course.config, self.stage)
        self.peaks = [float(group["lr"]) for group in groups]
        prepared: Any = accelerator.prepare(model, torch.optim.AdamW(groups))
        self.wrapped, self.optimizer = prepared
        register_fsdp_forward_method(model, "frame_embeds")  # that validation calls
        self.average = WeightAverage(model, self.stage.ema) if self.stage.ema else None
        self.best: dict[str, Tensor] = {}
        self.progress = self._resumed()

    def run(self) -> tuple[Progress, dict[str, Tensor]]:
        steps, progress = self.course.schedule.steps, self.progress
        start = steps if self._exhausted() else progress.step
        if start == 0 and self.stage.patience and self.stage.trains != "frozen":
            self._validate()  # what tuning begins with is the first to beat
        self.wrapped.train()
        for parts in self._bar(self.course.batches.steps(start), steps, start):
            started = time.monotonic()
            loss = self._step(progress.step, parts)
            progress.seconds += time.monotonic() - started
            progress.step += 1
            progress.faults += [fault for part in parts for fault in part.faults]
            if progress.step % LOG_STEPS == 0:
                self._log(loss)
            stop = self._validated()
            if stop or progress.step % self.stage.save_steps == 0 or progress.step == steps:
                self._save()
            if stop:
                break
        return progress, whole_weights(self.best or self._ending_weights())

    def _step(self, step: int, parts: list[Batch]) -> float:
        """One optimiser step; gives the loss."""
        factor = rate_factor(step, self.course.schedule, self.stage)
        for group, peak in zip(self.optimizer.param_groups, self.peaks, strict=True):
            group["lr"] = peak * factor
        torch.manual_seed(self.course.schedule.step_seed(step, self.accelerator.process_index))
        total = 0.0
        for number, batch in enumerate(parts, start=1):
            last = number == len(parts)
            with nullcontext() if last else self.accelerator.no_sync(self.wrapped):
                loss = self._loss(batch) / len(parts)
                self.accelerator.backward(loss)
            total += float(loss.detach())
        trained = [p for p in self.wrapped.parameters() if p.requires_grad]
        self.accelerator.clip_grad_norm_(trained, self.stage.clip_gradient)
        self.optimizer.step()
        self.optimizer.zero_grad()
        if not math.isfinite(total):
            raise ValueError(
                f"stage {self.course.name!r}, step {step}: the loss is {total}. Lower the "
                "learning rates, or warm up for longer; then run again."
            )
        if self.average:
            self.average.update(self.model, step + 1)
        return total

    def _loss(self, batch: Batch) -> Tensor:
        """The loss of the whole part, over all processes: contrast needs all of its clips."""
        device, course = self.accelerator.device, self.course
        seen, times = batch.seen.to(device), batch.times.to(device)
        pretrained = course.pretrained(seen).mean(dim=1) if course.pretrained else None
        noise = None if batch.noise is None else batch.noise.to(device)
        answers = self.wrapped(seen, times, course.texts.to(device), pretrained, noise)
        whole = {name: gathered(answer.float()) for name, answer in answers.items()}
        targets = gathered(batch.targets.to(device))
        return action_loss(whole, targets, course.config.variants, self.stage)

    def _validated(self) -> bool:
        """Validates where it is due; True where the stage should stop. Equal on all processes."""
        schedule, step = self.course.schedule, self.progress.step
        every = self.stage.validate_epochs * schedule.clips / self.stage.batch
        due = step // every > (step - 1) // every or step == schedule.steps
        if not (self.stage.patience and due):
            return False
        self._validate()
        return self._exhausted()

    def _validate(self) -> None:
        self.wrapped.eval()
        # One process decides: unlike GPUs may differ by a clip, and one would stop alone.
        (score,) = broadcast_object_list([self._at_its_end(self.course.validate)])
        self.wrapped.train()
        if self.progress.validated(score):
            self.best = {n: v.clone() for n, v in self._ending_weights().items()}
        self.accelerator.log({f"{self.course.name}/validation": score}, self.progress.step)

    def _exhausted(self) -> bool:
        return bool(self.stage.patience) and self.progress.since_best >= self.stage.patience

    def _ending_weights(self) -> dict[str, Tensor]:
        return self.average.weights if self.average else trained_weights(self.model)

    def _at_its_end(self, measure: Callable[[ActionModel], float]) -> float:
        """Measures the model with the weights that it would end with now."""
        now = {name: value.clone() for name, value in trained_weights(self.model).items()}
        load_trained_weights(self.model, self._ending_weights())
        score = measure(self.model)
        load_trained_weights(self.model, now)
        return score

    def _save(self) -> None:
        extras = {"best": self.best} if self.best else {}
        if self.average:
            extras["average"] = self.average.weights
        optimizer = self.optimizer.optimizer
        # Each process saw clips of its own, and some of them in every epoch.
        self.progress.faults = sorted(set(gather_object(self.progress.faults)))
        record = asdict(self.progress)
        save_state(self.course.state, self.wrapped, optimizer, self.progress.step, record, extras)
        self.accelerator.wait_for_everyone()

    def _resumed(self) -> Progress:
        folder = self.course.state
        record = load_state(folder, self.wrapped, self.optimizer.optimizer)
        if record is None:
            return Progress()
        if self.average:
            self.average.restore(load_extra(folder, "average"))
        if (folder / "best.safetensors").exists():
            self.best = load_extra(folder, "best")
        return Progress(**record)

    def _bar(self, steps: Iterator[list[Batch]], total: int, done: int) -> Iterator[list[Batch]]:
        if not self.accelerator.is_main_process:
            return steps
        return progress_bar(steps, f"train {self.course.name}", total, done)

    def _log(self, loss: float) -> None:
        values = {f"{self.course.name}/loss": loss, f"{self.course.name}/rate": self._rate()}
        self.accelerator.log(values, self.progress.step)

    def _rate(self) -> float:
        return max(float(group["lr"]) for group in self.optimizer.param_groups)


def rate_factor(step: int, schedule: Schedule, stage: Stage) -> float:
    """Share of the peak learning rate: linear warm-up, then a cosine down to `final_rate`."""
    warmup = max(stage.warmup_epochs * schedule.clips / stage.batch, 1)
    if step < warmup:
        return (step + 1) / (warmup + 1)
    done = (step - warmup) / max(schedule.steps - warmup, 1)
    return stage.final_rate + (1 - stage.final_rate) * (1 + math.cos(math.pi * done)) / 2


def gathered(values: Tensor) -> Tensor:
    """Rows of all processes, in their order.

    Gradients go to this process's own rows, times the number of processes, whose mean is taken.
    """
    if not dist.is_initialized() or dist.get_world_size() == 1:
        return values
    count = dist.get_world_size()
    parts = list(values.detach().new_empty(count, *values.shape))
    dist.all_gather(parts, values.detach().contiguous())
    own = values.view_as(values)
    if own.requires_grad:
        own.register_hook(partial(torch.mul, count))
    parts[dist.get_rank()] = own
    return torch.cat(parts)
