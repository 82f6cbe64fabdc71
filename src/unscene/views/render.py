"""One resample and one matrix: the only place that touches pixels.

Y is sampled on the view's grid, U and V on the same positions of the half-size planes, and one
3x4 matrix per sample turns the result into the colours of the view. No plane is ever scaled up,
no RGB frame is ever made at the source's size, and pixels are interpolated once.

Convention
----------
Grids are maps from output to source in normalised units (see `geometry`), relative to each
sample's true size; beyond the frame its border repeats. Where chroma stands: see `sample`.

Bilinear sampling sees at most two source pixels in each direction, so a map that skips pixels
would alias. Where it does, planes are first averaged over blocks of 2, 4, 8 ... pixels: `pool`,
one number for the batch, taken from its least shrinking sample so that none is blurred too much.
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
_THREADS = 16  # more wait for memory


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
        ValueError: if grid, frames, color and batch do not fit each other.
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
        if not isinstance(color, Tensor):
            color = color(out.flatten(2).mean(dim=2))
        _recolour(out, color.detach().float(), clamp)
        if blur_sigma is not None:
            _blur(out, blur_sigma)
    return out


def _sample_dense(
    batch: ClipBatch, grid: Tensor, frames: Tensor | None, pool: int, out: Tensor
) -> None:
    """Y, U and V of every clip's view, on any device."""
    half, how = max(1, pool // 2), (grid, batch.sizes, frames)
    out[:, :1] = sample_dense([batch.y], *how, chroma=False, pool=pool)
    out[:, 1:] = sample_dense([batch.u, batch.v], *how, chroma=True, pool=half)


def _sample_clips(
    batch: ClipBatch, grid: Tensor, frames: Tensor | None, pool: int, out: Tensor
) -> None:
    """The same in compiled loops, a clip a thread: on the CPU."""
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


def _recolour(out: Tensor, matrix: Tensor, clamp: Bounds | None) -> None:
    """In place: (Y, U, V) of every pixel times its sample's matrix."""
    bounds = tuple(clamp or ((-math.inf, math.inf),) * 3)
    if matrix.shape != (len(out), 3, 4) or len(bounds) != 3:
        raise ValueError(
            f"color must be ({len(out)}, 3, 4) with bounds for 3 channels, "
            f"got {list(matrix.shape)} and {len(bounds)}"
        )
    if out.device.type != "cpu":
        return _recolour_dense(out, matrix, bounds)
    from unscene.views.gather import recolour

    low, high = np.ascontiguousarray(np.array(bounds, np.float32).T)
    matrices = matrix.contiguous().numpy()
    _each(lambda b: recolour(out[b].flatten(1).numpy(), matrices[b], low, high), len(out))


def _recolour_dense(out: Tensor, matrix: Tensor, bounds: Bounds) -> None:
    """The same by products of matrices, as a GPU likes it."""
    pixels = out.flatten(2)
    pixels.copy_(torch.baddbmm(matrix[:, :, 3:], matrix[:, :, :3], pixels))
    for channel, (low, high) in enumerate(bounds):
        pixels[:, channel].clamp_(low, high)


def _each(work: Callable[[int], None], count: int) -> None:
    """For every sample, on as many threads as torch has, up to some."""
    threads = min(torch.get_num_threads(), count, _THREADS)
    if threads <= 1:
        for b in range(count):
            work(b)
        return
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(work, range(count)))


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
    exponent = -squared / (2 * sigma.float().clamp(min=1e-3).square())[:, None, None]
    # Beyond five sigma weights are zero, not denormal: those make the products crawl on a CPU.
    weights = torch.where(exponent > -12.5, exponent.exp(), 0.0)
    return weights / weights.sum(dim=2, keepdim=True)


def _blur(out: Tensor, sigma: Tensor) -> None:
    """In place. As two matrix products a blur of any width costs the same and mixes no samples."""
    index = torch.nonzero(sigma > 0)[:, 0].tolist()
    down, across = gaussian(sigma, out.shape[-2]), gaussian(sigma, out.shape[-1])
    for b in index:
        # Written out as one product over rows and one batch over columns, which BLAS likes best.
        rows = out[b].view(-1, out.shape[-1]) @ across[b].T
        columns = rows.view(-1, *out.shape[-2:])
        torch.bmm(down[b].expand(len(columns), -1, -1), columns, out=out[b].flatten(0, 1))
