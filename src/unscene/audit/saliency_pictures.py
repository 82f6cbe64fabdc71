"""Saliency drawn over frames, as animations and filmstrips.

Frames are uint8 RGB (T, h, w, 3); pictures are PNG files as bytes.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from unscene.encoders import EncoderSpec
from unscene.views.picture import GAP, PAGE, Image, brighten, pick_frames, resize_square, to_rgb
from unscene.views.picture import filmstrip as strip

TILE = 112  # px, of a film
_STEPS = 6  # frames of a filmstrip


def to_frames(view: Tensor, spec: EncoderSpec) -> Image:
    """Convert a view (3, T, h, w) to frames of `TILE` px, brightened if it is dark."""
    frames = resize_square(to_rgb(view, spec.mean, spec.std), TILE)
    return brighten({"view": frames})[0]["view"]


def overlay(
    frames: Image, heat: NDArray[np.float32], color: tuple[int, int, int] | None = None
) -> Image:
    """Draw a heat map over frames; where it is 0, they turn dark gray.

    Args:
        frames: (T, s, s, 3).
        heat: (T, h, w); 0 is none, 1 or more is full.
        color: RGB; None: the scale inferno, from violet over red to yellow.
    """
    size = frames.shape[1:3]
    lit = np.stack([cv2.resize(h, size[::-1], interpolation=cv2.INTER_LINEAR) for h in heat])
    lit = lit.clip(0, 1)
    if color is None:
        table = cv2.applyColorMap(np.arange(256, dtype=np.uint8), cv2.COLORMAP_INFERNO)
        table = table.reshape(256, 3)[:, ::-1]
        tint = table[(lit * 255).round().astype(np.uint8)].astype(np.float32)
    else:
        tint = np.broadcast_to(np.array(color, dtype=np.float32), frames.shape)
    gray = frames.astype(np.float32).mean(axis=-1, keepdims=True) * 0.6
    strength = (0.85 * lit**1.2)[..., None]
    image: Image = (gray * (1 - strength) + tint * strength).clip(0, 255).astype(np.uint8)
    return image


def film(frames: Image) -> bytes:
    """Frames side by side without gaps, which CSS plays as an animation (`html.pictures.film`)."""
    return png(np.concatenate(list(frames), axis=1))


def filmstrip(rows: Sequence[Image]) -> bytes:
    """The same moments of several clips, one above the other."""
    lines = []
    for frames in rows:
        line = strip(frames[pick_frames(len(frames), _STEPS)], TILE)
        lines += [line, np.full((GAP, line.shape[1], 3), PAGE, dtype=np.uint8)]
    return png(np.concatenate(lines[:-1], axis=0))


def png(image: Image) -> bytes:
    """Encode an image (h, w, 3) as a PNG file."""
    written, data = cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    assert written
    return bytes(data.tobytes())
