"""What a model says of held-out clips, over one process or many.

C clips, V views of a clip, T frames, D embedding, K classes, N texts.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor

from training.action_model import ActionModel
from training.held_out import CLIPS_AT_ONCE, ViewSet


@dataclass(frozen=True)
class Seen:
    """Clips as the vision tower sees them."""

    embeds: Tensor
    """Frame embeddings, (C, V, T, D)."""
    times: Tensor
    """Seconds, (C, V, T)."""

    @property
    def moving(self) -> Tensor:
        """Whether each clip has a direction in time: a picture has none, bool (C,)."""
        return (self.times.amax(dim=2) > self.times.amin(dim=2)).any(dim=1)

    def only(self, clips: Tensor) -> "Seen":
        """Some of the clips, chosen by a mask (C,)."""
        return Seen(self.embeds[clips], self.times[clips])

    def shuffled(self, seed: int) -> "Seen":
        """The frames of each clip in a random order, at the same times."""
        generator = torch.Generator().manual_seed(seed)
        order = torch.rand(self.embeds.shape[:3], generator=generator).argsort(dim=2)  # (C, V, T)
        return Seen(
            torch.gather(self.embeds, 2, order[..., None].expand_as(self.embeds)), self.times
        )

    def backwards(self, clips: Tensor) -> "Seen":
        """Some of the clips, chosen by a mask (C,), as they are seen when played backwards."""
        times = self.times[clips]
        ends = times.amin(dim=2, keepdim=True) + times.amax(dim=2, keepdim=True)
        return Seen(self.embeds[clips].flip(2), ends - times.flip(2))

    def standing(self) -> "Seen":
        """Each clip's middle frame, repeated to its length."""
        middle = self.embeds.shape[2] // 2
        return Seen(self.embeds[:, :, middle : middle + 1].expand_as(self.embeds), self.times)

    def pictures(self) -> "Seen":
        """Each clip's middle frame, as a picture."""
        middle = self.embeds.shape[2] // 2
        return Seen(self.embeds[:, :, middle : middle + 1], torch.zeros_like(self.times[..., :1]))


@dataclass(frozen=True)
class Answers:
    """What one variant says of C clips."""

    logits: Tensor
    """Of the head; of several views the logarithm of the mean probability, (C, K)."""
    text_logits: Tensor
    """Of the texts, likewise, (C, N)."""


@torch.no_grad()  # inference mode would be kept in weights that FSDP gathers here
def seen_by(model: ActionModel, views: ViewSet) -> Seen:
    """Runs the vision tower over all views; each process does its part, and all get the whole."""
    rows = _rows_of_process(len(views))
    embeds = [
        _embeds(model, views, rows[start : start + CLIPS_AT_ONCE])
        for start in range(0, len(rows), CLIPS_AT_ONCE)
    ]
    return Seen(_whole(torch.cat(embeds), len(views)).cpu(), views.times)


def seen_in_passing(model: ActionModel, views: Iterable[ViewSet]) -> Seen:
    """Runs the vision tower over views that are decoded on the way, in one process."""
    seen = [seen_by(model, some) for some in views]
    return Seen(torch.cat([one.embeds for one in seen]), torch.cat([one.times for one in seen]))


@torch.no_grad()
def answers_of(model: ActionModel, seen: Seen, texts: Tensor) -> dict[str, Answers]:
    """The answers of every variant: class texts (N, D) -> by name."""
    device = model.clip.logit_scale.device
    clips, views = seen.embeds.shape[:2]
    told: dict[str, list[Tensor]] = {}
    for start in range(0, clips, CLIPS_AT_ONCE):
        some = slice(start, start + CLIPS_AT_ONCE)
        embeds, times = seen.embeds[some].flatten(0, 1), seen.times[some].flatten(0, 1)
        answers = model(embeds.to(device), times.to(device), texts.to(device))
        for name, answer in answers.items():
            told.setdefault(name, []).append(answer.float().cpu().unflatten(0, (-1, views)))
    whole = {name: _over_views(torch.cat(parts)) for name, parts in told.items()}
    return {n: Answers(whole[f"{n}.logits"], whole[f"{n}.text_logits"]) for n in model.kinds}


def top1(logits: Tensor, truth: Tensor) -> float:
    """Share of clips (C, K) whose first answer is the truth (C,)."""
    return float((logits.argmax(dim=1) == truth).float().mean())


def _embeds(model: ActionModel, views: ViewSet, rows: Tensor) -> Tensor:
    frames = torch.from_numpy(views.frames[rows.numpy()])  # (C, V, T, S, S, 3)
    device = model.clip.logit_scale.device
    embeds = model.frame_embeds(frames.flatten(0, 1).to(device))  # (C*V, T, D)
    return embeds.unflatten(0, (len(rows), -1))


def _over_views(logits: Tensor) -> Tensor:
    """One answer a clip: (C, V, K) -> (C, K)."""
    if logits.shape[1] == 1:
        return logits[:, 0]
    return logits.softmax(dim=-1).mean(dim=1).log()


def _rows_of_process(count: int) -> Tensor:
    """Clips of this process: each every n-th, the last ones repeated so that all have as many."""
    if not dist.is_initialized():
        return torch.arange(count)
    processes, process = dist.get_world_size(), dist.get_rank()
    return torch.arange(process, count + (-count) % processes, processes).clamp(max=count - 1)


def _whole(part: Tensor, count: int) -> Tensor:
    """The rows of all processes in order, without the repeated ones."""
    if not dist.is_initialized():
        return part
    parts = [torch.empty_like(part) for _ in range(dist.get_world_size())]
    dist.all_gather(parts, part.contiguous())
    return torch.stack(parts, dim=1).flatten(0, 1)[:count]
