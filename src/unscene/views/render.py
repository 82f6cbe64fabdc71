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

import torch
from torch import Tensor

from unscene.video.clip import ClipBatch
from unscene.views.sample import sample_dense, sample_rows

Color = Tensor | Callable[[Tensor], Tensor]
Bounds = Sequence[tuple[float, float]]
# Values of a plane of a whole clip that fit a CPU's cache; smaller clips go through together.
_CACHED = 1 << 18


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
    large = out.shape[2] * h * w * 2 > _CACHED
    if batch.device.type == "cpu" and not per_frame and large:
        _render_rows(batch, grid, color, frames, pool, out)
    else:
        _render_dense(batch, grid, color, frames, pool, out)
    for channel, (low, high) in enumerate(clamp or ()):
        out[:, channel].clamp_(low, high)
    if blur_sigma is not None:
        _blur(out, blur_sigma)
    return out


def _render_rows(
    batch: ClipBatch, grid: Tensor, color: Color, frames: Tensor | None, pool: int, out: Tensor
) -> None:
    """CPU, one map a clip: rows of frames are gathered and turned into colours clip by clip."""
    steps = out.shape[2]
    luma, chroma, half = [], [], max(1, pool // 2)
    scratch = torch.empty(steps * batch.y[0, 0].numel())
    for b, size in enumerate(batch.sizes):
        args = (grid[b], size, frames)
        luma.append(sample_rows([batch.y[b]], *args, chroma=False, pool=pool, scratch=scratch))
        both = [batch.u[b], batch.v[b]]
        chroma.append(sample_rows(both, *args, chroma=True, pool=half, scratch=scratch))
    if not isinstance(color, Tensor):
        means = [
            torch.cat([y.mean(dim=0), uv.mean(dim=0)]).view(3, steps).mean(dim=1)
            for y, uv in zip(luma, chroma, strict=True)
        ]
        color = color(torch.stack(means))
    # A product with m * identity turns rows back into frames and applies the matrix at once.
    eye = torch.eye(steps)
    for b, (y, uv) in enumerate(zip(luma, chroma, strict=True)):
        pixels = out[b].view(3 * steps, -1)
        offset = color[b, :, 3:].repeat_interleave(steps, dim=0)
        torch.addmm(offset, torch.kron(color[b, :, :1].contiguous(), eye), y.T, out=pixels)
        pixels.addmm_(torch.kron(color[b, :, 1:3].contiguous(), eye), uv.T)


def _render_dense(
    batch: ClipBatch, grid: Tensor, color: Color, frames: Tensor | None, pool: int, out: Tensor
) -> None:
    """Any device, any grid. One clip at a time stays in a CPU's cache; a GPU wants all at once."""
    clip = out.shape[2] * max(out[0, 0, 0].numel(), batch.y[0, 0].numel())
    on_cpu, half = batch.device.type == "cpu", max(1, pool // 2)
    chunk = min(len(batch), max(1, _CACHED // clip)) if on_cpu else len(batch)
    scratch = torch.empty(chunk * out.shape[2] * batch.y[0, 0].numel()) if on_cpu else None
    parts = [slice(start, start + chunk) for start in range(0, len(batch), chunk)]
    for part in parts:
        args = (grid[part], batch.sizes[part], frames)
        both = [batch.u[part], batch.v[part]]
        out[part, :1] = sample_dense(
            [batch.y[part]], *args, chroma=False, pool=pool, scratch=scratch
        )
        out[part, 1:] = sample_dense(both, *args, chroma=True, pool=half, scratch=scratch)
    if not isinstance(color, Tensor):
        color = color(out.flatten(2).mean(dim=2))
    for part in parts:
        pixels = out[part].flatten(2)
        pixels.copy_(torch.baddbmm(color[part, :, 3:], color[part, :, :3], pixels))


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
