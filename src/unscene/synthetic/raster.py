"""The compiled loops of `figures`: joints that turn, and limbs painted over one another.

Convention
----------
A limb is a capsule: the points within `radius` of the line between its two ends. Coordinates are
normalized (the frame is 2 wide and 2 high), x to the right, y down. Limbs are painted in their
order: the last one covers the others. Flow points back in time, as in `motion.flow`.
"""

from __future__ import annotations

import math

import numpy as np
from numba import types
from numpy.typing import NDArray

from unscene.compiled import compiled

Floats = NDArray[np.float64]
_F2 = types.Array(types.float64, 2, "C")
_F1 = types.Array(types.float64, 1, "C")
_I1 = types.Array(types.int64, 1, "C")
_F3 = types.Array(types.float64, 3, "C")
_TEXTURE = types.Array(types.float32, 3, "C")
_ENDS = types.Array(types.float64, 4, "C")


@compiled(_ENDS(_F2, _F2, _I1, _F1, _F1, _F1))
def chain_limbs(angles, spread, parents, attached, lengths, sideways):  # type: ignore[no-untyped-def]
    """Place the limbs of a figure whose root is at the origin, (T, L, 2 ends, 3).

    Args:
        angles: (T, L) of each limb against its parent, radians; 0 points down.
        spread: (T, L) the same away from the body's middle plane. Limbs on the first one, the
            trunk, do not take over its spread.
        parents: (L,) index of the parent, which comes earlier; -1 for limbs at the root.
        attached: (L,) where on its parent a limb begins: 0 at its start, 1 at its end.
        lengths, sideways: (L,) length, and offset of the limb to the left.

    Returns:
        Forward, down, left.
    """
    count, limbs = angles.shape
    ends = np.zeros((count, limbs, 2, 3))
    turned, away = np.zeros(limbs), np.zeros(limbs)
    for t in range(count):
        for i in range(limbs):
            x, y, z, angle, off = 0.0, 0.0, sideways[i], angles[t, i], spread[t, i]
            parent = parents[i]
            if parent >= 0:
                share = attached[i]
                x = (1 - share) * ends[t, parent, 0, 0] + share * ends[t, parent, 1, 0]
                y = (1 - share) * ends[t, parent, 0, 1] + share * ends[t, parent, 1, 1]
                z += (1 - share) * ends[t, parent, 0, 2] + share * ends[t, parent, 1, 2]
                z -= sideways[parent]
                angle += turned[parent]
                if parent > 0:
                    off += away[parent]
            turned[i], away[i] = angle, off
            in_plane = lengths[i] * math.cos(off)
            ends[t, i, 0, 0], ends[t, i, 0, 1], ends[t, i, 0, 2] = x, y, z
            ends[t, i, 1, 0] = x + in_plane * math.sin(angle)
            ends[t, i, 1, 1] = y + in_plane * math.cos(angle)
            ends[t, i, 1, 2] = z + lengths[i] * math.sin(off)
    return ends


def paint_flow(ends: Floats, radius: Floats, grid: int) -> NDArray[np.float32]:
    """Flow of limbs that are painted over one another, exact at the centers of the cells.

    Args:
        ends: (T, L, 2, 2) of every limb in every frame.
        radius: (L,), or (T, L) if it changes.
        grid: G.

    Returns:
        float32 (T-1, G, G, 2), pointing back; 0 where no limb is.
    """
    every = np.broadcast_to(radius, ends.shape[:2]).copy()
    flow: NDArray[np.float32] = _paint_flow(ends, every, grid)
    return flow


@compiled(types.Array(types.float32, 4, "C")(_ENDS, _F2, types.int64))
def _paint_flow(ends, radius, grid):  # type: ignore[no-untyped-def]
    count, limbs = ends.shape[0], ends.shape[1]
    flow = np.zeros((count - 1, grid, grid, 2), np.float32)
    for t in range(count - 1):
        for i in range(limbs):
            ax, ay = ends[t + 1, i, 0, 0], ends[t + 1, i, 0, 1]
            ux, uy = ends[t + 1, i, 1, 0] - ax, ends[t + 1, i, 1, 1] - ay
            bx, by = ends[t, i, 0, 0], ends[t, i, 0, 1]
            vx, vy = ends[t, i, 1, 0] - bx, ends[t, i, 1, 1] - by
            new = max(math.sqrt(ux * ux + uy * uy), 1e-6)
            old = max(math.sqrt(vx * vx + vy * vy), 1e-6)
            r = radius[t + 1, i]
            grown = radius[t, i] / r
            left = max(0, math.floor((min(ax, ax + ux) - r + 1) * grid / 2))
            right = min(grid - 1, math.floor((max(ax, ax + ux) + r + 1) * grid / 2))
            top = max(0, math.floor((min(ay, ay + uy) - r + 1) * grid / 2))
            bottom = min(grid - 1, math.floor((max(ay, ay + uy) + r + 1) * grid / 2))
            for row in range(top, bottom + 1):
                y = (row + 0.5) * 2 / grid - 1
                for column in range(left, right + 1):
                    x = (column + 0.5) * 2 / grid - 1
                    along = ((x - ax) * ux + (y - ay) * uy) / new
                    across = ((y - ay) * ux - (x - ax) * uy) / new
                    beyond = max(-along, along - new, 0.0)
                    if beyond * beyond + across * across > r * r:
                        continue
                    # A limb that turns away from the viewer shortens; its round ends do not.
                    if along > new:
                        along = old + (along - new) * grown
                    elif along < 0:
                        along *= grown
                    else:
                        along *= old / new
                    across *= grown
                    flow[t, row, column, 0] = bx + (along * vx - across * vy) / old - x
                    flow[t, row, column, 1] = by + (along * vy + across * vx) / old - y
    return flow


@compiled(
    types.Tuple((types.Array(types.int16, 3, "C"), types.Array(types.float32, 4, "C")))(
        _ENDS, _F1, _F3, types.int64
    )
)
def paint_limbs(ends, radius, view, grid):  # type: ignore[no-untyped-def]
    """Which limb each cell shows, and which point of it, through a camera that moves.

    Args:
        ends: (T, L, 2, 2) of every limb in every frame, in the world.
        radius: (L,).
        view: (T, 2, 3): (x, y, 1) on the screen to the point of the world that is seen there.
        grid: G.

    Returns:
        limb int16 (T, G, G), -1 where none is, and where float32 (T, G, G, 2): the share of the
        way from the limb's beginning to its end (beyond 0 to 1 in its round ends), and the
        distance to the side. Without a limb: x and y in the world.
    """
    count, limbs = ends.shape[0], ends.shape[1]
    limb = np.full((count, grid, grid), -1, np.int16)
    where = np.empty((count, grid, grid, 2), np.float32)
    for t in range(count):
        a, b, c = view[t, 0, 0], view[t, 0, 1], view[t, 0, 2]
        d, e, f = view[t, 1, 0], view[t, 1, 1], view[t, 1, 2]
        det = a * e - b * d
        for row in range(grid):
            y = (row + 0.5) * 2 / grid - 1
            for column in range(grid):
                x = (column + 0.5) * 2 / grid - 1
                where[t, row, column, 0] = a * x + b * y + c
                where[t, row, column, 1] = d * x + e * y + f
        for i in range(limbs):
            px, py = ends[t, i, 0, 0], ends[t, i, 0, 1]
            ux, uy = ends[t, i, 1, 0] - px, ends[t, i, 1, 1] - py
            length = max(math.sqrt(ux * ux + uy * uy), 1e-6)
            r = radius[i]
            # The corners of the limb's box on the screen.
            ax, ay = (e * (px - c) - b * (py - f)) / det, (a * (py - f) - d * (px - c)) / det
            bx, by = ax + (e * ux - b * uy) / det, ay + (a * uy - d * ux) / det
            wide = r * math.sqrt(e * e + b * b) / abs(det)
            high = r * math.sqrt(a * a + d * d) / abs(det)
            left = max(0, math.floor((min(ax, bx) - wide + 1) * grid / 2))
            right = min(grid - 1, math.floor((max(ax, bx) + wide + 1) * grid / 2))
            top = max(0, math.floor((min(ay, by) - high + 1) * grid / 2))
            bottom = min(grid - 1, math.floor((max(ay, by) + high + 1) * grid / 2))
            for row in range(top, bottom + 1):
                sy = (row + 0.5) * 2 / grid - 1
                for column in range(left, right + 1):
                    sx = (column + 0.5) * 2 / grid - 1
                    x, y = a * sx + b * sy + c - px, d * sx + e * sy + f - py
                    along = (x * ux + y * uy) / length
                    across = (y * ux - x * uy) / length
                    beyond = max(-along, along - length, 0.0)
                    if beyond * beyond + across * across <= r * r:
                        limb[t, row, column] = i
                        where[t, row, column, 0] = along / length
                        where[t, row, column, 1] = across
    return limb, where


@compiled(
    types.Array(types.float32, 4, "C")(
        types.Array(types.int16, 3, "C"),
        types.Array(types.float32, 4, "C"),
        _TEXTURE,
        types.float64,
        types.Array(types.float32, 4, "C"),
        _I1,
        _F2,
        _F1,
    )
)
def shade(limb, where, ground, span, skins, skin, paint, radius):  # type: ignore[no-untyped-def]
    """Color what `paint_limbs` found; each pixel is the mean of 2 x 2 cells.

    Args:
        limb, where: of 2S x 2S cells.
        ground: (N, N, 3), the texture of the scene, which repeats.
        span: normalized units of the world after which it does.
        skins: (K, M, M, 3), textures that repeat, 1 on average.
        skin: (L,) which of them a limb has.
        paint: (L, 7): red, green, blue; where on its texture the limb begins, x and y in shares;
            repeats of the texture along the limb; and per normalized unit across it.
        radius: (L,).

    Returns:
        float32 (T, S, S, 3).
    """
    count, size = limb.shape[0], limb.shape[1] // 2
    frames = np.zeros((count, size, size, 3), np.float32)
    for t in range(count):
        for row in range(2 * size):
            for column in range(2 * size):
                i = limb[t, row, column]
                u, v = where[t, row, column, 0], where[t, row, column, 1]
                texture, light = ground, 0.25
                if i >= 0:
                    texture = skins[skin[i]]
                    light *= 1 - 0.45 * (v / radius[i]) ** 2  # round limbs, lit from the front
                    u, v = u * paint[i, 5] + paint[i, 3], v * paint[i, 6] + paint[i, 4]
                else:
                    u, v = u / span, v / span
                side = texture.shape[0]
                u, v = (u - math.floor(u)) * side, (v - math.floor(v)) * side
                x, y = int(u), int(v)
                right, down = u - x, v - y
                x, y = x % side, y % side
                x1, y1 = (x + 1) % side, (y + 1) % side
                for channel in range(3):
                    upper = texture[y, x, channel] * (1 - right) + texture[y, x1, channel] * right
                    lower = texture[y1, x, channel] * (1 - right) + texture[y1, x1, channel] * right
                    value = light * (upper * (1 - down) + lower * down)
                    if i >= 0:
                        value *= paint[i, channel]
                    frames[t, row // 2, column // 2, channel] += value
    return frames
