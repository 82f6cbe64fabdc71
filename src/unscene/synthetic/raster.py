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

from unscene.compiled import compiled

_F2 = types.Array(types.float64, 2, "C")
_F1 = types.Array(types.float64, 1, "C")
_I1 = types.Array(types.int64, 1, "C")
_ENDS = types.Array(types.float64, 4, "C")


@compiled(_ENDS(_F2, _I1, _F1, _F1, _F1, _F1))
def chain_limbs(angles, parents, attached, lengths, sideways, yaw):  # type: ignore[no-untyped-def]
    """Place the limbs of a figure whose root is at the origin, (T, L, 2 ends, 2).

    Args:
        angles: (T, L) of each limb against its parent, radians; 0 points down.
        parents: (L,) index of the parent, which comes earlier; -1 for limbs at the root.
        attached: (L,) where on its parent a limb begins: 0 at its start, 1 at its end.
        lengths, sideways: (L,) length, and offset towards the viewer of a figure in profile.
        yaw: (T,) direction that the figure faces, radians; 0 is to the right, in profile.
    """
    count, limbs = angles.shape
    ends = np.zeros((count, limbs, 2, 2))
    turned = np.zeros(limbs)
    for t in range(count):
        cos, sin = math.cos(yaw[t]), math.sin(yaw[t])
        for i in range(limbs):
            x, y, angle = 0.0, 0.0, angles[t, i]
            parent = parents[i]
            if parent >= 0:
                share = attached[i]
                x = (1 - share) * ends[t, parent, 0, 0] + share * ends[t, parent, 1, 0]
                y = (1 - share) * ends[t, parent, 0, 1] + share * ends[t, parent, 1, 1]
                angle += turned[parent]
            turned[i] = angle
            ends[t, i, 0, 0] = x
            ends[t, i, 0, 1] = y
            ends[t, i, 1, 0] = x + lengths[i] * math.sin(angle)
            ends[t, i, 1, 1] = y + lengths[i] * math.cos(angle)
        for i in range(limbs):
            for end in range(2):
                ends[t, i, end, 0] = cos * ends[t, i, end, 0] + sin * sideways[i]
    return ends


@compiled(types.Array(types.float32, 4, "C")(_ENDS, _F1, types.int64))
def paint_flow(ends, radius, grid):  # type: ignore[no-untyped-def]
    """Flow of limbs that are painted over one another, exact at the centers of the cells.

    Args:
        ends: (T, L, 2, 2) of every limb in every frame.
        radius: (L,).
        grid: G.

    Returns:
        float32 (T-1, G, G, 2), pointing back; 0 where no limb is.
    """
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
            r = radius[i]
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
                    along = along * old / new  # a limb that turns away from the viewer shortens
                    flow[t, row, column, 0] = bx + (along * vx - across * vy) / old - x
                    flow[t, row, column, 1] = by + (along * vy + across * vx) / old - y
    return flow
