"""Clips of noise, for methods that only need something to look at."""

from __future__ import annotations

import torch
from torch import Tensor

from unscene.video.clip import ClipBatch
from unscene.video.motion_vectors import MotionBatch


def noise(seed: int, count: int, frames: int, side: int) -> ClipBatch:
    """Clips of square frames."""
    generator = torch.Generator().manual_seed(seed)

    def plane(side: int) -> Tensor:
        shape = (count, frames, side, side)
        return torch.randint(40, 200, shape, dtype=torch.uint8, generator=generator)

    flags = torch.zeros(count, dtype=torch.bool)
    sizes = torch.tensor([[side, side]] * count)
    return ClipBatch(plane(side), plane(side // 2), plane(side // 2), sizes, flags, flags)


def vectors(seed: int, count: int, frames: int, side: int) -> MotionBatch:
    """Motion vectors of whole pixels, on every block."""
    generator = torch.Generator().manual_seed(seed)
    blocks = -(-side // 8)
    shape = (count, frames, blocks, blocks)
    return MotionBatch(
        torch.randint(-12, 13, (*shape, 2), generator=generator).half(),
        torch.ones(shape, dtype=torch.bool),
        torch.arange(frames).expand(count, -1),
        torch.tensor([[side, side]] * count),
        torch.ones(count, dtype=torch.bool),
        8,
    )
