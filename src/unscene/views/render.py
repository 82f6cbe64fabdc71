"""One resample and one matrix: the only place that touches pixels.

Y is sampled on the view's grid, U and V on the same positions of the half-size planes, and one
3x4 matrix per sample turns the result into the colours of the view. No plane is ever scaled up,
no RGB frame is ever made at the source's size, and pixels are interpolated once.

Convention
----------
Grids are maps from output to source in normalised units (see `geometry`), relative to each
sample's true size; beyond the frame its border repeats. Pixel X of a plane of width W is centred
at x = (2 X + 1) / W - 1. Chroma is left-sited, as MPEG-2, H.264 and HEVC have it: sample (i, j)
stands at luma pixel x = 2 i, between rows y = 2 j and 2 j + 1. (MPEG-1 and JPEG centre it in x
too; their chroma lands a quarter of a chroma pixel off.)

Bilinear sampling sees at most two source pixels in each direction, so a map that skips pixels
would alias. Where it does, planes are first averaged over blocks of 2, 4, 8 ... pixels: `pool`,
one number for the batch, taken from its least shrinking sample so that none is blurred too much.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from unscene.video.clip import ClipBatch

Color = Tensor | Callable[[Tensor], Tensor]
Bounds = Sequence[tuple[float, float]]


def render(
    batch: ClipBatch,
    grid: Tensor,
    color: Color,
    *,
    frames: Tensor | None = None,
    blur_sigma: Tensor | None = None,
    clamp: Bounds | None = ((0.0, 1.0),) * 3,
    pool: int | None = None,
) -> Tensor:
    """Sample a batch on grids and colour it.

    Args:
        batch: B clips of T frames.
        grid: (B, h, w, 2), one map for all frames, or (B, T', h, w, 2), one for each.
        color: (B, 3, 4), acting on (Y, U, V, 1) with planes in 0..255; or a function that makes
            it from the mean Y, U, V of every sampled view, float32 (B, 3) (contrast needs them).
        frames: int64 (T',), the source frame of every output frame; None for all, in order.
        blur_sigma: (B,), standard deviation of a Gaussian blur in output pixels, 0 for none.
        clamp: lower and upper bound of each output channel, None to leave values as they are.
        pool: 1, 2, 4 ..., block size of the averaging before sampling; None to find it from the
            grid (on a GPU that waits for the device once).

    Returns:
        float32 (B, 3, T', h, w) on the batch's device.

    Raises:
        ValueError: if grid, frames and batch do not fit each other.
    """
    steps = batch.frames if frames is None else len(frames)
    per_frame = grid.ndim == 5
    if grid.ndim not in (4, 5) or grid.shape[-1] != 2 or len(grid) != len(batch):
        raise ValueError(
            f"grid must be ({len(batch)}, h, w, 2) or ({len(batch)}, {steps}, h, w, 2), "
            f"got {list(grid.shape)}"
        )
    if per_frame and grid.shape[1] != steps:
        raise ValueError(f"grid has maps for {grid.shape[1]} frames, the view has {steps}")
    h, w = grid.shape[-3:-1]
    pool = pool_of(grid, batch.sizes) if pool is None else pool
    out = torch.empty(len(batch), 3, steps, h, w, device=batch.device)
    # One sample at a time stays within a CPU's cache; a GPU wants all of them at once.
    chunk = 1 if batch.device.type == "cpu" else len(batch)
    for start in range(0, len(batch), chunk):
        part = slice(start, start + chunk)
        some = (batch.sizes[part], frames, out[part])
        _sample_planes(batch.y[part], None, grid[part], *some, pool)
        _sample_planes(batch.u[part], batch.v[part], grid[part], *some, max(1, pool // 2))
    if not isinstance(color, Tensor):
        color = color(out.flatten(2).mean(dim=2))
    for start in range(0, len(batch), chunk):
        part = slice(start, start + chunk)
        pixels = out[part].view(-1, 3, steps * h * w)
        pixels.copy_(torch.baddbmm(color[part, :, 3:], color[part, :, :3], pixels))
        for channel, (low, high) in enumerate(clamp or ()):
            pixels[:, channel].clamp_(low, high)
    if blur_sigma is not None:
        _blur(out, blur_sigma)
    return out


def pool_of(grid: Tensor, sizes: Tensor) -> int:
    """How many source pixels, as a power of two, the least shrinking sample skips per output one.

    Args:
        grid: (B, h, w, 2) or (B, T, h, w, 2); only the first frame is looked at.
        sizes: (B, 2), (H, W).
    """
    first = grid if grid.ndim == 4 else grid[:, 0]
    if min(first.shape[1:3]) < 2:
        return 1
    pixels = first * (sizes.flip(1).to(first) / 2)[:, None, None]
    across = pixels.diff(dim=2).norm(dim=-1).mean(dim=(1, 2))
    down = pixels.diff(dim=1).norm(dim=-1).mean(dim=(1, 2))
    return pool_from(torch.minimum(across, down))


def pool_from(shrinkage: Tensor) -> int:
    """The block size for (B,) source pixels per output pixel (see `geometry.shrinkage`)."""
    least = float(shrinkage.min())
    # The tolerance keeps an exact halving, which rounds to 1.9999, on the side of 2.
    return 2 ** max(0, math.floor(math.log2(max(least, 1.0)) + 1e-4))


def gaussian(sigma: Tensor, size: int) -> Tensor:
    """Blur of one axis as a matrix (B, size, size); sigma (B,) in pixels, 0 the identity.

    Rows are normalised, so that the border neither darkens nor mirrors.
    """
    steps = torch.arange(size, device=sigma.device, dtype=torch.float32)
    squared = (steps[:, None] - steps).square()
    weights = torch.exp(-squared / (2 * sigma.float().clamp(min=1e-3).square())[:, None, None])
    return weights / weights.sum(dim=2, keepdim=True)


def _blur(out: Tensor, sigma: Tensor) -> None:
    """In place. As two matrix products a blur of any width costs the same and mixes no samples."""
    index = torch.nonzero(sigma > 0)[:, 0].tolist()
    down, across = gaussian(sigma, out.shape[-2]), gaussian(sigma, out.shape[-1])
    for b in index:
        out[b] = (down[b] @ out[b]) @ across[b].T


def _sample_planes(
    first: Tensor,
    second: Tensor | None,
    grid: Tensor,
    sizes: Tensor,
    frames: Tensor | None,
    out: Tensor,
    pool: int,
) -> None:
    """Sample Y (second is None) or U and V (B, T, Hp, Wp) into their channels of out."""
    chroma = second is not None
    planes = [first] if second is None else [first, second]
    rows, columns = first.shape[-2:]
    extent = sizes.flip(1).to(grid)  # (B, 2): W, H in luma pixels, in the order of x and y
    true = ((extent + 1) / 2).floor() if chroma else extent
    # Pixel index in the plane = (x + 1) * gain + bias, then once more for the pooled plane.
    gain = extent / 4 if chroma else extent / 2
    bias = grid.new_tensor([-0.25, -0.5] if chroma else [-0.5, -0.5])
    lead = (len(grid),) + (1,) * (grid.ndim - 2) + (2,)
    gain, bias = gain / pool, (bias - (pool - 1) / 2) / pool
    position = torch.addcmul((gain + bias).view(lead), grid, gain.view(lead))
    last = ((true / pool).floor() - 1).clamp(min=0)
    position = torch.minimum(position.clamp_(min=0), last.view(lead))
    left = top = 0
    right, bottom = columns, rows
    if grid.device.type == "cpu":  # convert and pool only what the view sees
        low = position.amin(dim=tuple(range(position.ndim - 1))).floor().long()
        high = position.amax(dim=tuple(range(position.ndim - 1))).floor().long() + 2
        left, top = (low * pool).tolist()
        right, bottom = (high * pool).tolist()
    window = [plane[..., top:bottom, left:right] for plane in planes]
    if frames is not None:
        window = [plane.index_select(1, frames) for plane in window]
    count = window[0].shape[1]
    source = torch.empty((len(grid), len(planes), count, *window[0].shape[-2:]), device=grid.device)
    for k, plane in enumerate(window):
        source[:, k] = plane
    source = source.flatten(1, 2)
    if pool > 1:
        source = F.avg_pool2d(source, pool, ceil_mode=True, count_include_pad=False)
    size = position.new_tensor([source.shape[-1], source.shape[-2]])
    offset = position.new_tensor([left / pool, top / pool])
    position = position.sub_(offset).mul_(2 / size).add_(1 / size - 1)
    target = out[:, 1:] if chroma else out[:, :1]
    if grid.ndim == 5:
        source = source.unflatten(1, (len(planes), count)).transpose(1, 2).flatten(0, 1)
        sampled = _grid_sample(source, position.flatten(0, 1))
        target.copy_(sampled.unflatten(0, (len(grid), count)).transpose(1, 2))
        return
    # grid_sample runs its threads over the batch only: hand it groups of frames as a batch.
    groups = math.gcd(source.shape[1], torch.get_num_threads()) if len(grid) == 1 else 1
    if groups > 1:
        source = source.view(groups, -1, *source.shape[2:])
        position = position.expand(groups, -1, -1, -1)
    sampled = _grid_sample(source, position)
    target.copy_(sampled.view(target.shape))


def _grid_sample(source: Tensor, position: Tensor) -> Tensor:
    return F.grid_sample(source, position, padding_mode="border", align_corners=False)
