"""Render views: one sampling grid and one color matrix. The only file that computes pixels.

In: a batch of YUV clips, a grid and a color matrix per sample. Out: float RGB views.

Y is sampled on the view's grid, U and V at the same positions of the half-size planes; one 3x4
matrix per sample then turns YUV into the colors of the view. No plane is scaled up, no RGB frame is
made at the size of the source, and pixels are interpolated once.

Convention
----------
Grids are maps from output to source in normalized units (see `geometry`), relative to the true size
of each sample; beyond the frame its border repeats. The position of chroma samples: see `sample`.

Bilinear sampling reads at most two source pixels in each direction, so a view that shrinks the
frame would alias. Planes are therefore averaged over blocks of 2, 4, 8 ... pixels first. `pool` is
the side of a block, one number per batch; the sample that shrinks least decides, so that no sample
is blurred too much.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor

from unscene.device import fp32_context
from unscene.video.clip import ClipBatch
from unscene.views.sample import affines, sample_clip, sample_dense

Color = Tensor | Callable[[Tensor], Tensor]
Bounds = Sequence[tuple[float, float]]
_THREADS = 16  # memory bandwidth limits more threads


@torch.no_grad()
def render(
    batch: ClipBatch,
    grid: Tensor,
    color: Color,
    *,
    frames: Tensor | None = None,
    blur_sigma: Tensor | None = None,
    clamp: Bounds | None = ((0.0, 1.0),) * 3,
    pool: int | None = None,
    black_outside: bool = False,
) -> Tensor:
    """Sample a batch of clips on grids and convert the colors.

    Args:
        batch: B clips of T frames.
        grid: (B, h, w, 2), one map for all frames, or (B, T', h, w, 2), one for each.
        color: (B, 3, 4), acting on (Y, U, V, 1) with planes in 0..255; or a function that makes
            it from the mean Y, U, V of every sampled view, float32 (B, 3), which contrast needs.
        frames: int64 (T',), the source frame of every output frame; None for all, in order.
        blur_sigma: (B,), standard deviation of a Gaussian blur in output pixels, 0 for none.
        clamp: lower and upper bound of each output channel, None to leave values as they are.
        pool: 1, 2, 4 ..., block size of the averaging before sampling; None: from the grid, which
            synchronizes with a GPU once.
        black_outside: black where the grid leaves the frame, instead of its border.

    Returns:
        float32 (B, 3, T', h, w) on the batch's device.

    Raises:
        ValueError: grid, frames, color and batch do not fit each other.

    >>> from unscene.video.clip import Clip, ClipBatch
    >>> from unscene.views import geometry
    >>> from unscene.views.color import yuv_to_rgb
    >>> white = torch.full((2, 8, 8), 235, dtype=torch.uint8)
    >>> chroma = torch.full((2, 4, 4), 128, dtype=torch.uint8)
    >>> batch = ClipBatch.of([Clip(white, chroma, chroma, torch.tensor([0.0, 0.04]))])
    >>> grid = geometry.grid(geometry.identity(1), (4, 4))
    >>> matrix = yuv_to_rgb(batch.full_range, batch.bt709)[:, :3]
    >>> view = render(batch, grid, matrix)
    >>> view.shape, bool((view > 0.999).all())
    (torch.Size([1, 3, 2, 4, 4]), True)
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
    sample = _sample_clips if batch.device.type == "cpu" else _sample_dense
    with fp32_context(batch.device):
        grid = grid.detach().float()
        pool = pool_of(grid, batch.sizes) if pool is None else pool
        out = torch.empty(len(batch), 3, steps, h, w, device=batch.device)
        sample(batch, grid, frames, pool, out)
        if black_outside:
            _blacken(out, grid, batch.full_range)
        if not isinstance(color, Tensor):
            color = color(out.flatten(2).mean(dim=2))
        _recolor(out, color.detach().float(), clamp)
        if blur_sigma is not None:
            _blur(out, blur_sigma)
    return out


def _blacken(out: Tensor, grid: Tensor, full_range: Tensor) -> None:
    """Make Y, U, V black where the grid points outside of the frame, in place."""
    inside = (grid.abs() <= 1).all(dim=-1)
    inside = inside[:, None] if grid.ndim == 5 else inside[:, None, None]  # (B, 1, T' or 1, h, w)
    luma = torch.where(full_range, 0.0, 16.0).to(out)
    black = torch.stack([luma, *[torch.full_like(luma, 128.0)] * 2], dim=1)
    torch.where(inside, out, black[:, :, None, None, None], out=out)


def _sample_dense(
    batch: ClipBatch, grid: Tensor, frames: Tensor | None, pool: int, out: Tensor
) -> None:
    """On any device: sample Y, U and V of every clip's view into `out`."""
    half, how = max(1, pool // 2), (grid, batch.sizes, frames)
    out[:, :1] = sample_dense([batch.y], *how, chroma=False, pool=pool)
    out[:, 1:] = sample_dense([batch.u, batch.v], *how, chroma=True, pool=half)


def _sample_clips(
    batch: ClipBatch, grid: Tensor, frames: Tensor | None, pool: int, out: Tensor
) -> None:
    """On the CPU: the same in compiled loops, one clip per thread."""
    if frames is not None and not 0 <= int(frames.min()) <= int(frames.max()) < batch.frames:
        raise ValueError(f"frames must lie in 0..{batch.frames - 1}, got {frames.tolist()}")
    half = max(1, pool // 2)
    luma = affines(batch.sizes, chroma=False, pool=pool)
    chroma = affines(batch.sizes, chroma=True, pool=half)
    chosen = torch.arange(batch.frames) if frames is None else frames.long().contiguous()
    maps = grid.contiguous()

    def work(b: int) -> None:
        both = [batch.u[b], batch.v[b]]
        sample_clip([batch.y[b]], maps[b], luma[b], chosen, out[b, :1], pool=pool)
        sample_clip(both, maps[b], chroma[b], chosen, out[b, 1:], pool=half)

    _each(work, len(batch))


def _recolor(out: Tensor, matrix: Tensor, clamp: Bounds | None) -> None:
    """Multiply (Y, U, V) of every pixel by the matrix of its sample, in place."""
    bounds = tuple(clamp or ((-math.inf, math.inf),) * 3)
    if matrix.shape != (len(out), 3, 4) or len(bounds) != 3:
        raise ValueError(
            f"color must be ({len(out)}, 3, 4) with bounds for 3 channels, "
            f"got {list(matrix.shape)} and {len(bounds)}"
        )
    if out.device.type != "cpu":
        return _recolor_dense(out, matrix, bounds)
    from unscene.views.gather import recolor

    low, high = np.ascontiguousarray(np.array(bounds, np.float32).T)
    matrices = matrix.contiguous().numpy()
    _each(lambda b: recolor(out[b].flatten(1).numpy(), matrices[b], low, high), len(out))


def _recolor_dense(out: Tensor, matrix: Tensor, bounds: Bounds) -> None:
    """The same as matrix products, for a GPU."""
    pixels = out.flatten(2)
    pixels.copy_(torch.baddbmm(matrix[:, :, 3:], matrix[:, :, :3], pixels))
    for channel, (low, high) in enumerate(bounds):
        pixels[:, channel].clamp_(low, high)


def _each(work: Callable[[int], None], count: int) -> None:
    """Call `work` for every sample, on as many threads as torch has, at most `_THREADS`."""
    threads = min(torch.get_num_threads(), count, _THREADS)
    if threads <= 1:
        for b in range(count):
            work(b)
        return
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(work, range(count)))


def pool_of(grid: Tensor, sizes: Tensor) -> int:
    """Find the block size for averaging from grids: that of the sample that shrinks least.

    Args:
        grid: (B, h, w, 2) or (B, T, h, w, 2); only the first frame counts.
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
    """Find the block size, a power of two, for (B,) source pixels per output pixel.

    >>> pool_from(torch.tensor([2.0, 5.0]))  # see `geometry.shrinkage`
    2
    """
    least = float(shrinkage.min())
    # The tolerance keeps an exact halving, computed as 1.9999, at 2.
    return 2 ** max(0, math.floor(math.log2(max(least, 1.0)) + 1e-4))


def gaussian(sigma: Tensor, size: int) -> Tensor:
    """Make the Gaussian blur of one axis as a matrix (B, size, size).

    Rows sum to 1, so that the border neither darkens nor mirrors.

    Args:
        sigma: (B,), standard deviation in pixels; 0 gives the identity.
        size: length of the axis.
    """
    steps = torch.arange(size, device=sigma.device, dtype=torch.float32)
    squared = (steps[:, None] - steps).square()
    exponent = -squared / (2 * sigma.float().clamp(min=1e-3).square())[:, None, None]
    # Beyond five sigma weights are zero: denormal numbers slow matrix products on a CPU.
    weights = torch.where(exponent > -12.5, exponent.exp(), 0.0)
    return weights / weights.sum(dim=2, keepdim=True)


def _blur(out: Tensor, sigma: Tensor) -> None:
    """Blur in place by two matrix products: the cost does not depend on sigma."""
    index = torch.nonzero(sigma > 0)[:, 0].tolist()
    down, across = gaussian(sigma, out.shape[-2]), gaussian(sigma, out.shape[-1])
    for b in index:
        # One product over rows and one batched product over columns: the fastest form for BLAS.
        rows = out[b].view(-1, out.shape[-1]) @ across[b].T
        columns = rows.view(-1, *out.shape[-2:])
        torch.bmm(down[b].expand(len(columns), -1, -1), columns, out=out[b].flatten(0, 1))
