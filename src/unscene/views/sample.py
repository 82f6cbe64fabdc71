"""Bilinear samples of planes at the positions of a view: the inner loop of `render`.

Two implementations of the same arithmetic. `sample_dense` uses torch's grid_sample and runs on any
device. `sample_clip` is for the CPU: compiled loops (`gather`) that read bytes and write into the
view's memory. If all frames share one grid, the frames are stored side by side, so that the four
neighbors of a position are four rows of T numbers.

Convention
----------
Pixel X of a plane of width W has its center at x = (2 X + 1) / W - 1. Chroma is left-sited, as in
MPEG-2, H.264 and HEVC: sample (i, j) lies at luma pixel x = 2 i, between the rows y = 2 j and
2 j + 1. (MPEG-1 and JPEG center it in x too; their chroma is off by a quarter of a chroma pixel.)
Positions are relative to the true size of each sample and are clamped to its border; the padding of
a batch is never read.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

# Gain, shift and last index of one sample, (x, y) each.
Affine = tuple[tuple[float, ...], tuple[float, ...], tuple[float, ...]]
# From so many numbers in a view's plane (all frames) on, storing frames side by side is faster.
_LARGE = 1 << 16


def affine_of(sizes: Tensor, *, chroma: bool, pool: int) -> tuple[Tensor, Tensor, Tensor]:
    """Find the map from normalized positions to pixel indices of a (pooled) plane.

    Args:
        sizes: (B, 2), true (H, W) in luma pixels.
        chroma: whether the plane is U or V.
        pool: side of the blocks over which the plane was averaged.

    Returns:
        gain, shift, last: float32 (B, 2) in (x, y) order; index = position * gain + shift, to be
        clamped to 0..last. A last block that is only partly inside the frame is not used.
    """
    extent = sizes.flip(1).float()
    true = ((extent + 1) / 2).floor() if chroma else extent
    gain = extent / 4 if chroma else extent / 2
    center = torch.tensor([0.25, 0.5] if chroma else [0.5, 0.5], device=sizes.device)
    shift = (gain - center - (pool - 1) / 2) / pool
    return gain / pool, shift, ((true / pool).floor() - 1).clamp(min=0)


def affines(sizes: Tensor, *, chroma: bool, pool: int) -> list[Affine]:
    """Return `affine_of` as numbers, for each sample."""
    each = [side.tolist() for side in affine_of(sizes, chroma=chroma, pool=pool)]
    return [(tuple(g), tuple(s), tuple(n)) for g, s, n in zip(*each, strict=True)]


def sample_dense(
    planes: Sequence[Tensor],
    grid: Tensor,
    sizes: Tensor,
    frames: Tensor | None,
    *,
    chroma: bool,
    pool: int,
) -> Tensor:
    """Sample planes bilinearly with torch: any device, any grid.

    Args:
        planes: n planes (B, T, Hp, Wp) that share their positions, uint8 or float32.
        grid: float32 (B, h, w, 2) or (B, T', h, w, 2).
        sizes: (B, 2).
        frames: int64 (T',) or None.
        chroma, pool: see `affine_of`.

    Returns:
        float32 (B, n, T', h, w), in the units of the planes: 0..255 for bytes.
    """
    if frames is not None:
        planes = [plane.index_select(1, frames) for plane in planes]
    batch, steps = planes[0].shape[:2]
    per_frame = grid.ndim == 5
    axis = 2 if per_frame else 1
    source = torch.stack(list(planes), dim=axis) if len(planes) > 1 else planes[0].unsqueeze(axis)
    source = (source.flatten(0, 1) if per_frame else source.flatten(1, 2)).float()
    if pool > 1:
        source = F.avg_pool2d(source, pool, ceil_mode=True)
    cells = torch.tensor([source.shape[-1], source.shape[-2]], device=grid.device)
    gain, shift, last = affine_of(sizes, chroma=chroma, pool=pool)
    # grid_sample expects index p of n cells at (2 p + 1) / n - 1.
    pairs = grid.reshape(batch, -1, grid.shape[-2] * 2)

    def along(values: Tensor) -> Tensor:  # (B, 2) as a full row: short inner axes are slow
        return values[:, None].expand(-1, grid.shape[-2], -1).reshape(batch, 1, -1)

    where = torch.addcmul(along((2 * shift + 1) / cells - 1), pairs, along(2 * gain / cells))
    if grid.device.type != "cpu" or not bool((last == cells - 1).all()):
        where = torch.minimum(where, along((2 * last + 1) / cells - 1))
    where = where.view(-1, *grid.shape[-3:])
    sampled = F.grid_sample(source, where, padding_mode="border", align_corners=False)
    if per_frame:
        return sampled.unflatten(0, (batch, steps)).transpose(1, 2)
    return sampled.unflatten(1, (len(planes), steps))


def sample_clip(
    planes: Sequence[Tensor],
    grid: Tensor,
    affine: Affine,
    frames: Tensor,
    out: Tensor,
    *,
    pool: int,
) -> None:
    """Sample one clip bilinearly on the CPU.

    Args:
        planes: n uint8 planes (T, Hp, Wp).
        grid: float32 (h, w, 2), one map for all frames, or (T', h, w, 2).
        affine: see `affines`.
        frames: int64 (T',), contiguous, within 0..T-1.
        pool: see `affine_of`.
        out: float32 (n, T', h, w), contiguous, written to: values 0..255.
    """
    gain, shift, last = affine
    cells = (-(-n // pool) for n in (planes[0].shape[2], planes[0].shape[1]))
    # The compiled loops check no bounds: keep the indices inside of the planes.
    affine = gain, shift, tuple(min(n, c - 1) for n, c in zip(last, cells, strict=True))
    if grid.ndim == 3 and out[0].numel() > _LARGE:
        _sample_rows(planes, grid, affine, frames, out.flatten(0, 1), pool)
        return
    from unscene.views.gather import gather_frames

    source = torch.from_numpy(np.stack([plane.numpy() for plane in planes]))
    if pool > 1:
        source = F.avg_pool2d(source.float(), pool, ceil_mode=True)
    maps = grid.reshape(-1, out[0, 0].numel(), 2)
    gather_frames(source.numpy(), frames.numpy(), maps.numpy(), *affine, out.flatten(2).numpy())


def _sample_rows(
    planes: Sequence[Tensor], grid: Tensor, affine: Affine, frames: Tensor, out: Tensor, pool: int
) -> None:
    # As two contiguous arrays, x and y make every step below a vector operation.
    gain, shift, last = affine
    x, y = (
        (grid[..., k].reshape(-1) * gain[k]).add_(shift[k]).nan_to_num_(0).clamp_(0, last[k])
        for k in (0, 1)
    )
    # Copy only the rows that the view shows.
    top, bottom = _window(y, last[1])
    rows = slice(top * pool, bottom * pool)
    # Not with torch, whose threads compete with ours and whose transpose takes 20 times as long.
    seen = np.concatenate([plane.numpy()[frames.numpy(), rows] for plane in planes])
    across = seen.reshape(len(seen), -1)
    table = torch.from_numpy(cv2.transpose(across)).view(-1, seen.shape[2], len(seen))
    if pool > 1:
        left, right = _window(x, last[0])
        floats = table[:, left * pool : right * pool].float()
        pooled = F.avg_pool2d(floats.permute(2, 0, 1)[None], pool, ceil_mode=True)
        table, x = pooled[0].permute(1, 2, 0).contiguous(), x.sub_(left)
    gather(table, x, y.sub_(top), out.flatten(1))


def _window(index: Tensor, last: float) -> tuple[int, int]:
    """Return the range of cells [first, end) that bilinear samples at these indices read."""
    low, high = index.aminmax()
    return int(low), int(min(math.floor(float(high)) + 1, last)) + 1


def gather(table: Tensor, x: Tensor, y: Tensor, out: Tensor) -> None:
    """Sample the rows of a table bilinearly on the CPU.

    Args:
        table: uint8 or float32 (H, W, C), contiguous.
        x, y: float32 (P,), pixel indices within 0..W-1 and 0..H-1.
        out: float32 (C, P), contiguous, written to.
    """
    from unscene.views.gather import gather_rows

    gather_rows(table.numpy(), x.numpy(), y.numpy(), out.numpy())


def gather_pairs(pairs: Tensor, grid: Tensor) -> Tensor:
    """Sample the flow of one clip bilinearly on the CPU.

    Args:
        pairs: (P, G, G', 2), any float dtype.
        grid: float32 (h, w, 2), normalized.

    Returns:
        float32 (P, h, w, 2); beyond the frame its border repeats.
    """
    if pairs.dtype not in (torch.float16, torch.float32):
        pairs = pairs.float()
    count, rows, columns, _ = pairs.shape
    # A pair (x, y) moves as one number of twice the width.
    wide = torch.int32 if pairs.dtype == torch.float16 else torch.float64
    numbers = pairs.contiguous().view(wide).view(count, -1).numpy()
    table = torch.from_numpy(cv2.transpose(numbers)).view(pairs.dtype).float()
    x, y = (
        (grid[..., k].reshape(-1) * (n / 2)).add_((n - 1) / 2).clamp_(0, n - 1)
        for k, n in enumerate((columns, rows))
    )
    out = torch.empty(count * 2, *grid.shape[:-1])
    gather(table.view(rows, columns, count * 2), x, y, out.flatten(1))
    return out.unflatten(0, (count, 2)).movedim(1, -1)
