"""Pictures inside the file: still images, and clips that play without a script."""

from __future__ import annotations

import base64
from html import escape

import cv2
import numpy as np
from numpy.typing import NDArray

_SIDE, _LONGEST = 112, 24  # at most, px and frames of a clip: the file stays small

# A switch for readers who do not want moving pictures (printed pages have none anyway).
PAUSE = '<p class="pause"><label><input type="checkbox" id="still"> pause all clips</label></p>'


def data_uri(image: bytes) -> str:
    """PNG or JPEG bytes as a data: address."""
    kind = "png" if image.startswith(b"\x89PNG") else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(image).decode('ascii')}"


def film(frames: NDArray[np.uint8], alt: str, *, side: int = _SIDE) -> str:
    """A clip that plays: its frames side by side in one JPEG, which CSS moves past a window.

    Args:
        frames: uint8 RGB (T, H, W, 3); they become square, and long clips lose frames.
        alt: what it shows, in words.
        side: largest side of the window in pixels.
    """
    if len(frames) > _LONGEST:
        frames = frames[np.linspace(0, len(frames) - 1, _LONGEST).round().astype(int)]
    side = min(side, frames.shape[1])
    strip = np.concatenate(
        [cv2.resize(f, (side, side), interpolation=cv2.INTER_AREA) for f in frames], axis=1
    )
    written, data = cv2.imencode(
        ".jpg", cv2.cvtColor(strip, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 82]
    )
    assert written
    return (
        f'<div class="film" style="--n:{len(frames)}">'
        f'<img src="{data_uri(data.tobytes())}" alt="{escape(alt)}"></div>'
    )
