"""From frame embeddings to one clip embedding.

B clips, T frames, D embedding, H hidden. Any T >= 1 works: time enters as a continuous position.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from clip_har.spec import TemporalKind

MOTION_STEPS = (1, 2, 4)
MOTION_WIDTH = 256
POSITION_FREQUENCIES = 8


class MeanPool(nn.Module):
    """The base variant: the mean of the frames, as CLIP itself reads a video."""

    def __init__(self, dim: int) -> None:
        super().__init__()

    def forward(self, frame_embeds: Tensor, times: Tensor) -> Tensor:
        """Unit frame embeddings (B, T, D), seconds (B, T) -> unit clip embedding (B, D)."""
        return F.normalize(frame_embeds.mean(dim=1), dim=-1)


class AttentionMotion(nn.Module):
    """The temporal attention variant: attention pooling and motion, as a residual on the mean.

    The last layer starts at zero, so training begins at plain CLIP.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.mean = MeanPool(dim)
        self.attention = AttentionPool(dim)
        self.motion = Motion(dim)
        self.norms = nn.ModuleList(nn.LayerNorm(dim) for _ in range(3))
        self.fusion = nn.Sequential(nn.Linear(3 * dim, dim), nn.GELU(), nn.Linear(dim, dim))
        last = self.fusion[-1]
        assert isinstance(last, nn.Linear)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)

    def forward(self, frame_embeds: Tensor, times: Tensor) -> Tensor:
        """Unit frame embeddings (B, T, D), seconds (B, T) -> unit clip embedding (B, D)."""
        base = self.mean(frame_embeds, times)  # (B, D)
        parts = (base, self.attention(frame_embeds, times), self.motion(frame_embeds))
        joined = torch.cat([norm(part) for norm, part in zip(self.norms, parts, strict=True)], -1)
        return F.normalize(base + self.fusion(joined), dim=-1)


class AttentionPool(nn.Module):
    """One pre-norm transformer layer over the frames, then a learned query that reads them.

    What the mean frame, standing still, would give is taken out: one frame, or one frame repeated,
    gives zero, so a still clip is answered like the picture it shows.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        heads = max(dim // 64, 4)
        self.norm = nn.LayerNorm(dim)
        self.position = nn.Linear(2 * POSITION_FREQUENCIES, dim)
        self.mix_norm = nn.LayerNorm(dim)
        self.mix = nn.MultiheadAttention(dim, heads, batch_first=True)
        self.mlp = nn.Sequential(
            nn.LayerNorm(dim),
            nn.Linear(dim, 4 * dim),
            nn.GELU(),
            nn.Linear(4 * dim, dim, bias=False),
        )
        self.query = nn.Parameter(torch.randn(1, 1, dim) * dim**-0.5)
        # Biases of what is read linearly would cancel in the difference.
        self.read = nn.MultiheadAttention(dim, heads, bias=False, batch_first=True)

    def forward(self, frame_embeds: Tensor, times: Tensor) -> Tensor:
        """Unit frame embeddings (B, T, D), seconds (B, T) -> (B, D)."""
        positions = self.position(position_waves(times))  # (B, T, D)
        still = frame_embeds.mean(dim=1, keepdim=True).expand_as(frame_embeds)
        return self._read(frame_embeds, positions) - self._read(still, positions)

    def _read(self, frames: Tensor, positions: Tensor) -> Tensor:
        h = self.norm(frames) + positions  # (B, T, D)
        x = self.mix_norm(h)
        h = h + self.mix(x, x, x, need_weights=False)[0]
        h = h + self.mlp(h)
        query = self.query.expand(h.shape[0], -1, -1)  # (B, 1, D)
        return self.read(query, h, h, need_weights=False)[0][:, 0]


class Motion(nn.Module):
    """Signed frame differences, joined with the frame itself before the non-linearity.

    Order shows only in such a product of what is seen and how it changes. What a clip that stands
    still would give is taken out, so one frame, or one frame repeated, gives exactly zero.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        width = MOTION_WIDTH
        self.norm = nn.LayerNorm((1 + len(MOTION_STEPS)) * dim)
        self.join = nn.Linear((1 + len(MOTION_STEPS)) * dim, width)
        self.along = nn.Conv1d(width, width, 3, padding=1, groups=width)
        self.mix = nn.Linear(width, width)
        self.out = nn.Linear(width, dim, bias=False)

    def forward(self, frame_embeds: Tensor) -> Tensor:
        """Unit frame embeddings (B, T, D) -> (B, D)."""
        f = frame_embeds
        changes = [f - _earlier(f, step) for step in MOTION_STEPS]
        moving = self._pooled(torch.cat([f, *changes], dim=-1))
        still = self._pooled(torch.cat([f, *(torch.zeros_like(f) for _ in changes)], dim=-1))
        return self.out(moving - still)

    def _pooled(self, joined: Tensor) -> Tensor:
        h = F.gelu(self.join(self.norm(joined)))  # (B, T, H)
        h = self.along(h.transpose(1, 2)).transpose(1, 2)
        return F.gelu(self.mix(h)).mean(dim=1)  # (B, H)


TEMPORAL: dict[TemporalKind, type[MeanPool] | type[AttentionMotion]] = {
    "mean": MeanPool,
    "attention_motion": AttentionMotion,
}


def position_waves(times: Tensor) -> Tensor:
    """Seconds (B, T) as waves of the place in the clip, 0 at its start and 1 at its end."""
    start, end = times.amin(dim=1, keepdim=True), times.amax(dim=1, keepdim=True)
    place = (times - start) / (end - start).clamp(min=1e-6)  # (B, T)
    octaves = math.pi * torch.arange(1, POSITION_FREQUENCIES + 1, device=times.device)
    angles = place[..., None] * octaves  # (B, T, F)
    return torch.cat([angles.sin(), angles.cos()], dim=-1)


def _earlier(frames: Tensor, step: int) -> Tensor:
    """Each frame's predecessor (B, T, D); before the first frame the clip stands still."""
    first = frames[:, :1].expand(-1, step, -1)
    return torch.cat([first, frames], dim=1)[:, : frames.shape[1]]
