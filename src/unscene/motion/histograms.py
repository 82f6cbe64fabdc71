"""Histograms of flow: what moves, how much and where to, with no training.

    HOF   directions of the flow, weighted by its length, and the share of pixels that stay
    MBH   the same of the spatial derivatives of u and of v: constant camera motion drops out

A histogram has 8 bins of direction, the first of them to the right, the next ones clockwise on the
screen (y points down), with linear interpolation between the two nearest bins, and one bin for the
share of the pixels below a threshold.

Sources: Dalal, Triggs and Schmid, "Human Detection Using Oriented Histograms of Flow and
Appearance", ECCV 2006 (MBH); Laptev et al., "Learning Realistic Human Actions from Movies", CVPR
2008 (HOF); Wang and Schmid, "Action Recognition with Improved Trajectories", ICCV 2013 (the camera
taken out, the square root). The thresholds are ours.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

BINS = 8
STILL = 0.0107  # normalized units a step: 0.6 px of a frame 112 px wide
_EVEN = 0.05  # px per px: a smaller derivative is none


def orientation_histogram(
    vectors: Tensor, cells: tuple[int, int], *, still: float = STILL
) -> Tensor:
    """Count directions in each cell of a grid, weighted by length.

    Args:
        vectors: (..., h, w, 2), x and y.
        cells: rows and columns of cells.
        still: shorter vectors count for the last bin instead.

    Returns:
        float32 (..., 9, rows, columns): means over the pixels of the cell; the first eight in units
        of the vectors, the last a share.

    Source:
        Laptev et al. 2008; Dalal et al. 2006.

    >>> right = torch.tensor([0.5, 0.0]).expand(4, 4, 2)
    >>> orientation_histogram(right, (1, 1)).flatten().tolist()
    [0.5, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]
    """
    lead, (height, width) = vectors.shape[:-3], vectors.shape[-3:-1]
    if vectors.device.type == "cpu" and not (height % cells[0] or width % cells[1]):
        return _count_in_loops(vectors, cells, still).view(*lead, BINS + 1, *cells)
    u, v = vectors.float().reshape(-1, height, width, 2).unbind(-1)
    length = torch.hypot(u, v)
    rests = length < still
    weight = length.masked_fill(rests, 0)
    bin_ = torch.atan2(v, u) * (BINS / (2 * math.pi)) % BINS
    parts = []
    for k in range(BINS):
        distance = (bin_ - k).abs()
        distance = torch.minimum(distance, BINS - distance)
        parts.append(weight * (1 - distance).clamp(min=0))
    counted = torch.stack([*parts, rests.float()], dim=1)
    return F.adaptive_avg_pool2d(counted, cells).view(*lead, BINS + 1, *cells)


def _count_in_loops(vectors: Tensor, cells: tuple[int, int], still: float) -> Tensor:
    """The histograms (N, 9, rows, columns) of cells of equal size, on the CPU."""
    from unscene.motion.loops import count_directions

    height, width = vectors.shape[-3:-1]
    each = vectors.detach().float().reshape(-1, height, width, 2).contiguous()
    counted = torch.zeros(len(each), BINS + 1, *cells)
    sides = (height // cells[0], width // cells[1])
    of = (torch.arange(n) // side for n, side in zip((height, width), sides, strict=True))
    count_directions(each.numpy(), still, *(cell.numpy() for cell in of), counted.numpy())
    return counted / (sides[0] * sides[1])


def hof(flow: Tensor, cells: tuple[int, int] = (1, 1)) -> Tensor:
    """Histogram of optical flow.

    Args:
        flow: (..., h, w, 2), normalized units, the camera taken out.
        cells: rows and columns.

    Returns:
        float32 (..., 9, rows, columns), the square root of each mean. Lengths are in units of 1/56
        of the frame's half (pixels of a frame 112 px wide).
    """
    counted = orientation_histogram(flow * (1 / _PIXEL), cells, still=STILL / _PIXEL)
    return counted.sqrt()


def mbh(flow: Tensor, cells: tuple[int, int] = (1, 1)) -> Tensor:
    """Motion boundary histograms, of the derivatives of u and of v.

    Args:
        flow: (..., h, w, 2), normalized units; h and w at least 2.
        cells: rows and columns.

    Returns:
        float32 (..., 18, rows, columns), the square root of each mean; derivatives are pure
        numbers (px per px).
    """
    height, width = flow.shape[-3:-1]
    parts = []
    for field in flow.float().unbind(-1):
        down, across = torch.gradient(field, dim=(-2, -1))
        slopes = torch.stack([across * (width / 2), down * (height / 2)], dim=-1)
        parts.append(orientation_histogram(slopes, cells, still=_EVEN))
    return torch.cat(parts, dim=-3).sqrt()


_PIXEL = 2 / 112  # normalized units
