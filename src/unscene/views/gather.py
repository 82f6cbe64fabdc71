"""The compiled loops of `render` on the CPU: bilinear samples of bytes, and colors.

With torch the same takes float planes, four indices and four weights per position, and several
passes over memory.
"""

from __future__ import annotations

import numpy as np
from numba import types

from unscene.compiled import compiled

_F32, _U8 = types.float32, types.uint8
_TABLES = [types.Array(kind, 3, "C") for kind in (_U8, _F32)]
_PLANES = [types.Array(kind, 4, "C") for kind in (_U8, _F32)]
_LINE, _PAIR = types.Array(_F32, 1, "C"), types.UniTuple(_F32, 2)
_MAPS, _OUT = types.Array(_F32, 3, "C"), types.Array(_F32, 3, "C")
_FRAMES = types.Array(types.int64, 1, "C")


@compiled(_F32(_F32, _F32))
def _within(value: np.float32, last: np.float32) -> np.float32:
    """Clamp to 0..last; NaN becomes 0, so that no index leaves the memory."""
    if not value > np.float32(0):
        return np.float32(0)
    return value if value < last else last


@compiled(*(types.void(table, _LINE, _LINE, types.Array(_F32, 2, "C")) for table in _TABLES))
def gather_rows(table: np.ndarray, x: np.ndarray, y: np.ndarray, out: np.ndarray) -> None:
    """Sample at positions that all frames share; the numbers of all frames lie side by side.

    Args:
        table: uint8 or float32 (H, W, C).
        x, y: float32 (P,), indices within 0..W-1 and 0..H-1.
        out: float32 (C, P), written to.
    """
    height, width, channels = table.shape
    found = np.empty(channels, np.float32)
    ends = np.float32(width - 1), np.float32(height - 1)
    for p in range(len(x)):
        across, down = _within(x[p], ends[0]), _within(y[p], ends[1])
        column, row = np.int64(across), np.int64(down)
        across, down = across - np.float32(column), down - np.float32(row)
        right, below = min(column + 1, width - 1), min(row + 1, height - 1)
        both = across * down
        w2, w1 = down - both, across - both
        w0 = np.float32(1) - across - w2
        a, b = table[row, column], table[row, right]
        c, d = table[below, column], table[below, right]
        for k in range(channels):
            upper = w0 * np.float32(a[k]) + w1 * np.float32(b[k])
            found[k] = upper + w2 * np.float32(c[k]) + both * np.float32(d[k])
        for k in range(channels):
            out[k, p] = found[k]


@compiled(*(types.void(one, _FRAMES, _MAPS, _PAIR, _PAIR, _PAIR, _OUT) for one in _PLANES))
def gather_frames(
    planes: np.ndarray,
    frames: np.ndarray,
    maps: np.ndarray,
    gain: tuple[float, float],
    shift: tuple[float, float],
    last: tuple[float, float],
    out: np.ndarray,
) -> None:
    """Sample planes that share their positions, which may differ from frame to frame.

    Args:
        planes: uint8 or float32 (n, T, H, W).
        frames: int64 (T',), which of the T.
        maps: float32 (T', P, 2), normalized positions (x, y); or (1, P, 2), for all frames.
        gain, shift, last: (x, y): index = position * gain + shift, clamped to 0..last.
        out: float32 (n, T', P), written to.
    """
    count, _, height, width = planes.shape
    places = maps.shape[1]
    # First the steps that vectorize, then the others. Unsigned indices spare Numba the check for
    # negative ones.
    first, right = np.empty(places, np.uint32), np.empty(places, np.uint32)
    below = np.empty(places, np.uint32)
    across, down = np.empty(places, np.float32), np.empty(places, np.float32)
    for t in range(len(frames)):
        for p in range(places if t < len(maps) else 0):
            x = _within(maps[t, p, 0] * gain[0] + shift[0], last[0])
            y = _within(maps[t, p, 1] * gain[1] + shift[1], last[1])
            column, row = np.int32(x), np.int32(y)
            across[p], down[p] = x - np.float32(column), y - np.float32(row)
            first[p] = row * np.int32(width) + column
            right[p] = column < width - 1
            below[p] = (row < height - 1) * np.int32(width)
        for k in range(count):
            plane, found = planes[k, frames[t]].ravel(), out[k, t]
            for p in range(places):
                f = first[p]
                g = f + below[p]
                a, b = np.float32(plane[f]), np.float32(plane[f + right[p]])
                c, d = np.float32(plane[g]), np.float32(plane[g + right[p]])
                upper, lower = a + (b - a) * across[p], c + (d - c) * across[p]
                found[p] = upper + (lower - upper) * down[p]


@compiled(types.void(types.Array(_F32, 2, "C"), types.Array(_F32, 2, "C"), _LINE, _LINE))
def recolor(pixels: np.ndarray, matrix: np.ndarray, low: np.ndarray, high: np.ndarray) -> None:
    """Apply a color matrix to one clip, in place.

    Args:
        pixels: float32 (3, N).
        matrix: float32 (3, 4), acting on (pixel, 1).
        low, high: float32 (3,), bounds of the results.
    """
    for n in range(pixels.shape[1]):
        y, u, v = pixels[0, n], pixels[1, n], pixels[2, n]
        for k in range(3):
            value = matrix[k, 0] * y + matrix[k, 1] * u + matrix[k, 2] * v + matrix[k, 3]
            pixels[k, n] = min(max(value, low[k]), high[k])
