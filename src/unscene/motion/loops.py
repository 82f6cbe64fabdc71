"""Compiled loops over motion vectors: chained, rid of the camera, sampled on a view, counted.

torch takes dozens of passes over a few hundred blocks for each of these, which costs several times
as much as decoding the vectors. Every function here does what one of `flow`, `camera` or
`histograms` does, and a test compares the two.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import types

from unscene.compiled import compiled

_F, _I, _B = types.float32, types.int64, types.boolean


def _in(kind: types.Type, axes: int) -> types.Array:
    return types.Array(kind, axes, "C", readonly=True)


def _out(kind: types.Type, axes: int) -> types.Array:
    return types.Array(kind, axes, "C")


@compiled(types.void(_in(_F, 4), _in(_B, 3), _in(_I, 1), _in(_I, 1), _I, _out(_F, 4), _out(_B, 3)))
def chain(
    vectors: np.ndarray,
    valid: np.ndarray,
    source: np.ndarray,
    frames: np.ndarray,
    block: int,
    total: np.ndarray,
    known: np.ndarray,
) -> None:
    """Chain vectors from each sampled frame back to the previous one: `flow.accumulate_vectors`.

    Args:
        vectors, valid: (L, R, C, 2) and (L, R, C), luma pixels.
        source: (L,), the frame whose vectors stand for those of each frame.
        frames: (T,), index of each sampled frame among the L frames.
        block: side of a block in luma pixels.
        total, known: (T-1, R, C, 2) and (T-1, R, C), written to.
    """
    _, rows, columns = valid.shape
    for pair in range(len(frames) - 1):
        last, steps = frames[pair + 1], frames[pair + 1] - frames[pair]
        for row in range(rows):
            for column in range(columns):
                x, y, sure = np.float32(0), np.float32(0), steps > 0
                for step in range(steps):
                    c = math.floor(x / block + column + np.float32(0.5))
                    r = math.floor(y / block + row + np.float32(0.5))
                    c, r = min(max(c, 0), columns - 1), min(max(r, 0), rows - 1)
                    frame = source[max(last - step, 0)]
                    if valid[frame, r, c]:
                        x += vectors[frame, r, c, 0]
                        y += vectors[frame, r, c, 1]
                    else:
                        sure = False
                total[pair, row, column, 0], total[pair, row, column, 1] = x, y
                known[pair, row, column] = sure


@compiled(_F(_in(_F, 2), _in(_I, 2), _in(_F, 3), _in(_F, 2), _F, _F, _out(_F, 1)))
def _try_samples(
    vectors: np.ndarray,
    samples: np.ndarray,
    solvers: np.ndarray,
    seen: np.ndarray,
    total: float,
    inverse: float,
    best: np.ndarray,
) -> Any:
    """Of the maps through two points each, find the one that the most weight follows.

    Args:
        vectors: (P, 2).
        samples, solvers: as in `fit_similarities`.
        seen: (K, 5), position, vector and weight of the points that have weight.
        total: their weight.
        inverse: 1 / tolerance squared.
        best: (4,), written to.

    Returns:
        The weight that follows it.
    """
    score = np.float32(-1)
    for m in range(len(samples)):
        (u0, v0), (u1, v1) = vectors[samples[m, 0]], vectors[samples[m, 1]]
        s = solvers[m]
        tx = s[0, 0] * u0 + s[0, 1] * v0 + s[0, 2] * u1 + s[0, 3] * v1
        ty = s[1, 0] * u0 + s[1, 1] * v0 + s[1, 2] * u1 + s[1, 3] * v1
        zoom = s[2, 0] * u0 + s[2, 1] * v0 + s[2, 2] * u1 + s[2, 3] * v1
        turn = s[3, 0] * u0 + s[3, 1] * v0 + s[3, 2] * u1 + s[3, 3] * v1
        found, lost = np.float32(0), total - score
        for x, y, u, v, w in seen:
            du, dv = u - (tx + zoom * x - turn * y), v - (ty + zoom * y + turn * x)
            part = w / (1 + (du * du + dv * dv) * inverse)
            found += part
            lost -= w - part
            if lost < 0:  # whatever follows, this map is no better
                break
        if lost >= 0 and found > score:
            score = found
            best[0], best[1], best[2], best[3] = tx, ty, zoom, turn
            if found > np.float32(0.75) * total:
                break  # no other map has so many, and `_refine` does the rest
    return score


@compiled(_F(_in(_F, 2), _F, _F, _I, _out(_F, 1)))
def _refine(seen: np.ndarray, total: float, inverse: float, steps: int, best: np.ndarray) -> Any:
    """Iteratively reweighted least squares from a map on, which is overwritten.

    Returns:
        The weight of the points within the tolerance.
    """
    ridge = np.float32(1e-6) * total
    for _ in range(steps):
        tx, ty, zoom, turn = best
        s0 = sx = sy = sr = su = sv = sp = sq = np.float32(0)
        for x, y, u, v, weight in seen:
            du, dv = u - (tx + zoom * x - turn * y), v - (ty + zoom * y + turn * x)
            near = 1 / (1 + (du * du + dv * dv) * inverse)
            w = weight * near * near
            s0, sx, sy, sr = s0 + w, sx + w * x, sy + w * y, sr + w * (x * x + y * y)
            su, sv = su + w * u, sv + w * v
            sp, sq = sp + w * (x * u + y * v), sq + w * (x * v - y * u)
        s0, sr = s0 + ridge, sr + ridge
        spread = sr - (sx * sx + sy * sy) / s0
        best[2] = (sp - (sx * su + sy * sv) / s0) / spread
        best[3] = (sq - (sx * sv - sy * su) / s0) / spread
        best[0] = (su - sx * best[2] + sy * best[3]) / s0
        best[1] = (sv - sy * best[2] - sx * best[3]) / s0
        shift = max(abs(best[0] - tx), abs(best[1] - ty))
        if max(shift, max(abs(best[2] - zoom), abs(best[3] - turn))) < np.float32(1e-6):
            break
    tx, ty, zoom, turn = best
    inside = np.float32(0)
    for x, y, u, v, w in seen:
        du, dv = u - (tx + zoom * x - turn * y), v - (ty + zoom * y + turn * x)
        if (du * du + dv * dv) * inverse <= 1:
            inside += w
    return inside


@compiled(
    types.void(
        *(_in(_F, 3), _in(_F, 2), _in(_F, 2), _in(_I, 2), _in(_F, 3)),
        *(_F, _F, _I, _out(_F, 2), _out(_F, 1)),
    )
)
def fit_similarities(
    vectors: np.ndarray,
    weight: np.ndarray,
    points: np.ndarray,
    samples: np.ndarray,
    solvers: np.ndarray,
    least: float,
    share: float,
    steps: int,
    solution: np.ndarray,
    followed: np.ndarray,
) -> None:
    """Fit shift, zoom and rotation to the flow of N pairs of frames: `camera._fit`.

    Args:
        vectors, weight: (N, P, 2) and (N, P).
        points: (P, 2), positions in units that are as long in x as in y.
        samples: (M, 2), points of each map that is tried first.
        solvers: (M, 4, 4), from the flow of these two points to the map.
        least, share: of the tolerance.
        steps: of iteratively reweighted least squares, at most.
        solution: (N, 4), written to: shift x, shift y, zoom, rotation.
        followed: (N,), written to: the share of the weight that follows.
    """
    seen = np.empty((len(points), 5), np.float32)
    for n in range(len(vectors)):
        kept, total, typical = 0, np.float32(0), np.float32(0)
        for p in range(len(points)):
            w = weight[n, p]
            if w > 0:
                u, v = vectors[n, p]
                seen[kept, 0], seen[kept, 1] = points[p]
                seen[kept, 2], seen[kept, 3], seen[kept, 4] = u, v, w
                kept += 1
                total += w
                typical += w * math.sqrt(u * u + v * v)
        total = max(total, np.float32(1e-6))
        inverse = 1 / (least + share * typical / total) ** 2
        best = solution[n]
        best[:] = 0
        _try_samples(vectors[n], samples, solvers, seen[:kept], total, inverse, best)
        followed[n] = _refine(seen[:kept], total, inverse, steps, best) / total


@compiled(
    types.void(
        *(_out(_F, 4), _in(_B, 3), _in(_F, 3), _F, _F),
        *(_in(_I, 1), _in(_F, 1), _in(_I, 1), _in(_F, 1), _F, _F, _out(_F, 4)),
    )
)
def stabilize_on_view(
    total: np.ndarray,
    known: np.ndarray,
    camera: np.ndarray,
    across: float,
    down: float,
    row_of: np.ndarray,
    row_share: np.ndarray,
    column_of: np.ndarray,
    column_share: np.ndarray,
    scale_x: float,
    scale_y: float,
    view: np.ndarray,
) -> None:
    """Take the camera out of the flow of blocks and sample it on an upright view.

    Args:
        total: (P, R, C, 2), normalized units of the frame; overwritten by the stabilized flow.
        known: (P, R, C); blocks without a vector move with the scene.
        camera: (P, 2, 3), as in `CameraMotion`.
        across, down: width and height of a block in the units of the camera.
        row_of, row_share: (h,), the upper of the two rows of blocks that a row of the view lies
            between, and the share of the lower one; column_of, column_share alike.
        scale_x, scale_y: units of the view in a unit of the frame.
        view: (P, h, w, 2), written to.
    """
    pairs, rows, columns = known.shape
    for pair in range(pairs):
        a, b, c = camera[pair, 0]
        d, e, f = camera[pair, 1]
        for row in range(rows):
            y = (row + np.float32(0.5)) * down - 1
            for column in range(columns):
                if known[pair, row, column]:
                    x = (column + np.float32(0.5)) * across - 1
                    total[pair, row, column, 0] -= a * x + b * y + c
                    total[pair, row, column, 1] -= d * x + e * y + f
                else:
                    total[pair, row, column, 0] = total[pair, row, column, 1] = 0
        for i in range(len(row_of)):
            r, q = row_of[i], row_share[i]
            next_r = min(r + 1, rows - 1)
            for j in range(len(column_of)):
                k, s = column_of[j], column_share[j]
                next_k = min(k + 1, columns - 1)
                for axis in range(2):
                    left = total[pair, r, k, axis] * (1 - q) + total[pair, next_r, k, axis] * q
                    right = total[pair, r, next_k, axis] * (1 - q)
                    right += total[pair, next_r, next_k, axis] * q
                    scale = scale_x if axis == 0 else scale_y
                    view[pair, i, j, axis] = (left * (1 - s) + right * s) * scale


@compiled(types.void(_in(_F, 4), _F, _in(_I, 1), _in(_I, 1), _out(_F, 4)))
def count_directions(
    vectors: np.ndarray,
    still: float,
    row_cell: np.ndarray,
    column_cell: np.ndarray,
    out: np.ndarray,
) -> None:
    """Sum the lengths of vectors by direction in each cell: `histograms.orientation_histogram`.

    Args:
        vectors: (N, h, w, 2).
        still: shorter vectors are counted by the last bin.
        row_cell, column_cell: (h,) and (w,), the cell of each row and column.
        out: (N, 9, rows, columns), added to.
    """
    bins = out.shape[1] - 1
    turn = np.float32(bins / (2 * math.pi))
    for n in range(len(vectors)):
        for i in range(vectors.shape[1]):
            r = row_cell[i]
            for j in range(vectors.shape[2]):
                c = column_cell[j]
                u, v = vectors[n, i, j]
                length = math.sqrt(u * u + v * v)
                if length < still:
                    out[n, bins, r, c] += 1
                    continue
                place = math.atan2(v, u) * turn
                if place < 0:
                    place += bins
                low = int(place)
                share = place - low
                out[n, low % bins, r, c] += length * (1 - share)
                out[n, (low + 1) % bins, r, c] += length * share
