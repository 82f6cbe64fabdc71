"""Bilinear samples of uint8 planes at the positions of a view: the inner loop of `render`.

Two ways to the same numbers. `sample_dense` is torch's grid_sample: any device, a map for every
frame. `sample_rows` is for the CPU and one map for all frames: it lays the frames of a clip side by
side, so that the four neighbours of a position are four rows of T numbers each, and gathers whole
rows (an embedding bag with the bilinear weights). That is several times faster than grid_sample,
which fetches every number on its own.

Convention
----------
Pixel X of a plane of width W is centred at x = (2 X + 1) / W - 1. Chroma is left-sited, as MPEG-2,
H.264 and HEVC have it: sample (i, j) stands at luma pixel x = 2 i, between the rows y = 2 j and
2 j + 1. (MPEG-1 and JPEG centre it in x too; their chroma lands a quarter of a chroma pixel off.)
Positions are relative to the true size of each sample, and clamped to its border, whatever the
padding.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import torch
import torch.nn.functional as F
from torch import Tensor


def affine_of(sizes: Tensor, *, chroma: bool, pool: int) -> tuple[Tensor, Tensor, Tensor]:
    """From normalised positions to pixel indices of a (pooled) plane.

    Args:
        sizes: (B, 2), true (H, W) in luma pixels.
        chroma: for U and V.
        pool: block size by which the plane was averaged.

    Returns:
        gain, shift, last: float32 (B, 2) in (x, y) order; index = position * gain + shift, to be
        clamped to 0..last. A last cell that is not wholly inside the frame is left out.
    """
    extent = sizes.flip(1).float()
    true = ((extent + 1) / 2).floor() if chroma else extent
    gain = extent / 4 if chroma else extent / 2
    centre = torch.tensor([0.25, 0.5] if chroma else [0.5, 0.5], device=sizes.device)
    shift = (gain - centre - (pool - 1) / 2) / pool
    return gain / pool, shift, ((true / pool).floor() - 1).clamp(min=0)


def sample_dense(
    planes: Sequence[Tensor],
    grid: Tensor,
    sizes: Tensor,
    frames: Tensor | None,
    *,
    chroma: bool,
    pool: int,
    scratch: Tensor | None = None,
) -> Tensor:
    """Any device, any grid.

    Args:
        planes: n uint8 planes (B, T, Hp, Wp) that share their positions.
        grid: float32 (B, h, w, 2) or (B, T', h, w, 2).
        sizes: (B, 2).
        frames: int64 (T',) or None.
        chroma, pool: see `affine_of`.
        scratch: see `as_floats`.

    Returns:
        float32 (B, n, T', h, w), values 0..255.
    """
    if frames is not None:
        planes = [plane.index_select(1, frames) for plane in planes]
    batch, steps = planes[0].shape[:2]
    per_frame = grid.ndim == 5
    axis = 2 if per_frame else 1
    source = torch.stack(list(planes), dim=axis) if len(planes) > 1 else planes[0].unsqueeze(axis)
    source = as_floats(source.flatten(0, 1) if per_frame else source.flatten(1, 2), scratch)
    if pool > 1:
        source = F.avg_pool2d(source, pool, ceil_mode=True)
    cells = torch.tensor([source.shape[-1], source.shape[-2]], device=grid.device)
    gain, shift, last = affine_of(sizes, chroma=chroma, pool=pool)
    # Index p of n cells is at (2 p + 1) / n - 1 of what grid_sample is given.
    pairs = grid.reshape(batch, -1, grid.shape[-2] * 2)

    def along(values: Tensor) -> Tensor:  # (B, 2) to a whole row: short inner axes are slow
        return values[:, None].expand(-1, grid.shape[-2], -1).reshape(batch, 1, -1)

    where = torch.addcmul(along((2 * shift + 1) / cells - 1), pairs, along(2 * gain / cells))
    if grid.device.type != "cpu" or not bool((last == cells - 1).all()):
        where = torch.minimum(where, along((2 * last + 1) / cells - 1))
    where = where.view(-1, *grid.shape[-3:])
    sampled = F.grid_sample(source, where, padding_mode="border", align_corners=False)
    if per_frame:
        return sampled.unflatten(0, (batch, steps)).transpose(1, 2)
    return sampled.unflatten(1, (len(planes), steps))


def sample_rows(
    planes: Sequence[Tensor],
    grid: Tensor,
    size: Tensor,
    frames: Tensor | None,
    *,
    chroma: bool,
    pool: int,
    scratch: Tensor | None = None,
) -> Tensor:
    """One clip on the CPU, one map for all its frames.

    Args:
        planes: n uint8 planes (T, Hp, Wp).
        grid: float32 (h, w, 2).
        size: (2,), true (H, W) in luma pixels.
        frames, chroma, pool, scratch: as in `sample_dense`.

    Returns:
        float32 (h * w, n * T'), values 0..255: time runs fastest.
    """
    gain, shift, last = (t[0].tolist() for t in affine_of(size[None], chroma=chroma, pool=pool))
    # Apart, x and y are contiguous and every step below is vectorised.
    x, y = ((grid[..., k].reshape(-1) * gain[k]).add_(shift[k]).clamp_(0, last[k]) for k in (0, 1))
    # Convert, lay out and average only what the view sees.
    left, right = _window(x, last[0])
    top, bottom = _window(y, last[1])
    rows = slice(top * pool, bottom * pool)
    seen = [plane[:, rows] if frames is None else plane[frames, rows] for plane in planes]
    columns = seen[0].shape[2]
    block = torch.cat(seen).flatten(1) if len(seen) > 1 else seen[0].reshape(len(seen[0]), -1)
    # torch takes some twenty times as long for this transpose.
    table = torch.from_numpy(cv2.transpose(block.numpy())).view(-1, columns, len(block))
    table = as_floats(table[:, left * pool : right * pool], scratch)
    if pool > 1:
        pooled = F.avg_pool2d(table.permute(2, 0, 1)[None], pool, ceil_mode=True)
        table = pooled[0].permute(1, 2, 0).contiguous()
    return gather(table, x.sub_(left), y.sub_(top))


def as_floats(values: Tensor, scratch: Tensor | None) -> Tensor:
    """`values.float()`, in memory that is there already.

    Fresh megabytes cost more page faults than the conversion costs arithmetic.

    Args:
        values: any shape, any dtype.
        scratch: float32 (n,), overwritten; None, or one that is too small, is not used.
    """
    if scratch is None or scratch.numel() < values.numel():
        return values.float()
    return scratch[: values.numel()].view(values.shape).copy_(values)


def _window(index: Tensor, last: float) -> tuple[int, int]:
    """First and one past the last cell that bilinear samples at these indices touch."""
    low, high = index.aminmax()
    return int(low), int(min(math.floor(float(high)) + 1, last)) + 1


def gather(table: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Bilinear rows of a table on the CPU.

    Args:
        table: float32 (H, W, C), contiguous.
        x, y: float32 (P,), pixel indices within 0..W-1 and 0..H-1.

    Returns:
        float32 (P, C).
    """
    height, width, channels = table.shape
    column, row = x.int(), y.int()
    fx, fy = x - column, y - row
    right = (column + 1).clamp_(max=width - 1)
    below = (row + 1).clamp_(max=height - 1).mul_(width)
    row.mul_(width)
    index = torch.empty(len(x), 4, dtype=torch.int32)
    weights = torch.empty(len(x), 4)
    for k, (start, across) in enumerate(((row, column), (row, right), (below, column))):
        torch.add(start, across, out=index[:, k])
    torch.add(below, right, out=index[:, 3])
    both = fx * fy
    weights[:, 3] = both
    torch.sub(fy, both, out=weights[:, 2])
    torch.sub(fx, both, out=weights[:, 1])
    torch.sub(1 - fx, weights[:, 2], out=weights[:, 0])
    return F.embedding_bag(index, table.view(-1, channels), per_sample_weights=weights, mode="sum")


def gather_pairs(pairs: Tensor, grid: Tensor) -> Tensor:
    """Bilinear samples of one clip's flow on the CPU.

    Args:
        pairs: float16 or float32 (P, G, G', 2).
        grid: float32 (h, w, 2), normalised.

    Returns:
        float32 (P, h, w, 2); beyond the frame its border.
    """
    count, rows, columns, _ = pairs.shape
    # (x, y) travel together as one number of twice the width.
    wide = torch.int32 if pairs.dtype == torch.float16 else torch.float64
    numbers = pairs.contiguous().view(wide).view(count, -1).numpy()
    table = torch.from_numpy(cv2.transpose(numbers)).view(pairs.dtype).float()
    x, y = (
        (grid[..., k].reshape(-1) * (n / 2)).add_((n - 1) / 2).clamp_(0, n - 1)
        for k, n in enumerate((columns, rows))
    )
    sampled = gather(table.view(rows, columns, count * 2), x, y)
    across = cv2.transpose(sampled.view(torch.float64).numpy())
    return torch.from_numpy(across).view(torch.float32).view(count, *grid.shape)
