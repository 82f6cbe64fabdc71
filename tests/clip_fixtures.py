"""Synthetic clips whose right answer is known."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from unscene.video.clip import Clip, ClipBatch


def texture(height: int, width: int, seed: int = 0) -> Tensor:
    """Random texture, uint8 (height, width): sharp enough to track, soft enough to sample."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(1, 1, height // 4 + 2, width // 4 + 2, generator=generator)
    fine = torch.nn.functional.interpolate(
        coarse, size=(height, width), mode="bicubic", align_corners=False
    )
    return (fine[0, 0] * 160 + 40).clamp(0, 255).round().byte()


@pytest.fixture
def make_clip() -> Callable[..., Clip]:
    def make(
        frames: int = 4, size: tuple[int, int] = (64, 96), step: tuple[int, int] = (0, 0)
    ) -> Clip:
        """A picture that moves by `step` = (x, y) pixels a frame; chroma is flat."""
        height, width = size
        dx, dy = step
        margin = 64 + frames * max(abs(dx), abs(dy))
        scene = texture(height + 2 * margin, width + 2 * margin)
        y = torch.stack(
            [
                scene[
                    margin - t * dy : margin - t * dy + height,
                    margin - t * dx : margin - t * dx + width,
                ]
                for t in range(frames)
            ]
        )
        chroma = torch.full((frames, (height + 1) // 2, (width + 1) // 2), 128, dtype=torch.uint8)
        times = torch.arange(frames, dtype=torch.float64) / 25
        return Clip(y=y, u=chroma, v=chroma.clone(), times=times)

    return make


@pytest.fixture
def noise() -> Callable[..., ClipBatch]:
    def make(batch: int = 2, frames: int = 3, size: tuple[int, int] = (48, 64)) -> ClipBatch:
        """Independent random bytes in every plane."""
        generator = torch.Generator().manual_seed(batch * 1000 + size[0])
        height, width = size

        def plane(h: int, w: int) -> Tensor:
            shape = (batch, frames, h, w)
            return torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)

        half = ((height + 1) // 2, (width + 1) // 2)
        return ClipBatch(
            y=plane(height, width),
            u=plane(*half),
            v=plane(*half),
            sizes=torch.tensor([size] * batch),
            full_range=torch.zeros(batch, dtype=torch.bool),
            bt709=torch.zeros(batch, dtype=torch.bool),
        )

    return make


@pytest.fixture
def planes() -> Tensor:
    """A color matrix (3, 4) that shows Y, U and V as they are."""
    return torch.eye(3, 4)
