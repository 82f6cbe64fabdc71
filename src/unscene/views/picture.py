"""Views as images that people can look at: uint8 RGB, brightened if dark, frames side by side.

In: normalized views. Out: images, arrays uint8 RGB (..., h, w, 3).
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Image = NDArray[np.uint8]
TILE, FRAMES, GAP = 128, 8, 3  # side of a tile in px, tiles of a filmstrip, px between tiles
PAGE = (250, 249, 246)  # background color
_DARK = 0.25  # views are brightened if their mean is below this, 0..1


def to_rgb(view: Tensor, mean: Sequence[float], std: Sequence[float]) -> Image:
    """Undo the normalization: float (..., 3, T, h, w) -> uint8 (..., T, h, w, 3).

    >>> int(to_rgb(torch.zeros(3, 1, 2, 2), (0.5, 0.5, 0.5), (0.2, 0.2, 0.2)).max())
    128
    """
    shape = (3, 1, 1, 1)
    pixels = view.float().cpu() * torch.tensor(std).view(shape) + torch.tensor(mean).view(shape)
    image: Image = (pixels.clamp(0, 1) * 255).round().byte().movedim(-4, -1).contiguous().numpy()
    return image


def brighten(videos: dict[str, Image]) -> tuple[dict[str, Image], bool]:
    """Brighten dark views for display; returns the views, and whether they were changed."""
    pixels = np.concatenate([view.ravel() for view in videos.values()]) / 255
    if pixels.mean() >= _DARK:
        return videos, False
    white = max(float(np.quantile(pixels, 0.995)), 0.05)
    middle = float(np.clip(pixels / white, 0, 1).mean())
    gamma = float(np.clip(np.log(0.42) / np.log(max(middle, 1e-3)), 0.45, 1.0))
    table = np.clip(np.arange(256) / 255 / white, 0, 1) ** gamma * 255
    curve = table.round().astype(np.uint8)
    return {name: curve[view] for name, view in videos.items()}, True


def resize_square(frames: Image, tile: int = TILE) -> Image:
    """Resize (T, h, w, 3) to squares of `tile` pixels."""
    interpolation = cv2.INTER_AREA if frames.shape[1] > tile else cv2.INTER_CUBIC
    return np.stack(
        [cv2.resize(frame, (tile, tile), interpolation=interpolation) for frame in frames]
    )


def pick_frames(total: int, count: int = FRAMES) -> list[int]:
    """Choose evenly spaced frames, the first and the last included, none twice.

    >>> pick_frames(16, 4), pick_frames(3, 8)
    ([0, 5, 10, 15], [0, 1, 2])
    """
    return sorted({round(i) for i in np.linspace(0, total - 1, min(count, total))})


def filmstrip(frames: Image, tile: int = TILE, gap: int = GAP) -> Image:
    """Put frames (T, h, w, 3) side by side, `gap` pixels apart."""
    space = np.full((tile, gap, 3), PAGE, dtype=np.uint8)
    parts = [part for frame in resize_square(frames, tile) for part in (frame, space)]
    return np.concatenate(parts[:-1], axis=1)
