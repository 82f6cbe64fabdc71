"""The codec's motion as a view shows it: maps of forward motion, which serve as training targets.

In: motion vectors of a batch and the affine of a view. Out: motion maps and residual maps.

A sampler names clips of consecutive frames in `Request.motion_only` (or in `Request.motion` to read
their pixels too); `video.decode` reads their vectors while it decodes; `ClipBatch.of` stacks them
into `batch.clips[name].motion`, a `MotionBatch`. With the affine of the view that shows the clip,
`motion_maps` renders them. For CMD:

    maps, valid = motion_maps(batch.clips["future"].motion, params.affine, (112, 112), limit=10)

Convention
----------
A map holds FORWARD motion per frame, dst - src, at the position of the block in the current frame
(dst): channel 0 is x, positive to the right, channel 1 is y, positive downward. Blocks without a
vector from the past, and so all blocks of an I-frame, are 0 and not valid. Affines map the view to
the source in normalized units, as in `geometry`. Blocks are sampled with nearest neighbor, so the
values are those of the codec, and a pan of v px gives v everywhere.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from unscene.device import fp32_context
from unscene.motion.flow import accumulate_vectors
from unscene.video.clip import ClipBatch
from unscene.video.motion_vectors import MotionBatch
from unscene.views import geometry
from unscene.views.render import pool_of
from unscene.views.sample import sample_dense

Unit = Literal["view", "source"]


def motion_maps(
    motion: MotionBatch,
    affine: Tensor,
    size: geometry.Size,
    *,
    unit: Unit = "view",
    limit: float | None = None,
    corrected: bool = True,
) -> tuple[Tensor, Tensor]:
    """Render the forward motion of every frame in an affine view.

    Vectors rotate and scale with the view: a flip negates x, and a crop to half the frame doubles
    vectors in pixels of the view.

    Args:
        motion: vectors of B clips of F consecutive frames.
        affine: (B, 3, 3), from the view to the source, of the clip that the motion belongs to.
        size: (h, w) of the view.
        unit: "view": pixels of the view. "source": along the axes of the view, but in pixels of
            the coded frame, whatever the size of the crop.
        limit: in that unit; motion is clamped to -limit..limit and divided by it (CMD: 10).
        corrected: False reproduces two errors in the code of CMD's authors: a flip moves the
            blocks but does not negate x, and a crop does not rescale; `unit` then has no effect.

    Returns:
        float32 (B, 2, F, h, w), and bool (B, F, h, w), False where there is no vector, on the
        motion's device. Beyond the frame its border repeats.

    Raises:
        ValueError: affine does not fit the motion, unit is unknown, or limit is not positive.

    Source:
        CMD paper (arXiv 2104.00862).

    >>> from unscene.video.clip import Motion
    >>> left = torch.full((3, 2, 2, 2), 0.0)  # blocks of 16 px; vectors point back
    >>> left[..., 0] = -4.0  # the content was 4 px to the left: it moves to the right
    >>> motion = Motion(left, torch.ones(3, 2, 2).bool(), torch.arange(3), (32, 32), 16, True)
    >>> maps, valid = motion_maps(MotionBatch.of([motion]), geometry.identity(1), (32, 32))
    >>> maps.shape, maps[0, :, 0, 0, 0].tolist()
    (torch.Size([1, 2, 3, 32, 32]), [4.0, 0.0])
    """
    batch, frames, rows, columns, _ = motion.vectors.shape
    if affine.shape != (batch, 3, 3):
        raise ValueError(f"affine must be {[batch, 3, 3]}, got {list(affine.shape)}")
    if unit not in ("view", "source"):
        raise ValueError(f"unit must be 'view' or 'source', got {unit!r}")
    if limit is not None and not limit > 0:
        raise ValueError(f"limit must be above 0, got {limit}")
    affine = affine.to(motion.device).float()
    fields = -motion.vectors.float() * motion.valid[..., None]
    with fp32_context(motion.device):
        if corrected:
            turn = _turn(affine, motion.sizes, size, unit)
            fields = torch.einsum("bij,blrcj->blrci", turn, fields)
        index = _blocks(motion, affine, size)
    if limit is not None:
        fields = fields.clamp(-limit, limit) / limit
    channels = fields.permute(0, 4, 1, 2, 3).reshape(batch, 2 * frames, rows * columns)
    maps = _gather(channels, index).view(batch, 2, frames, *size)
    valid = _gather(motion.valid.view(batch, frames, -1), index).view(batch, frames, *size)
    return maps, valid


def compute_residual(batch: ClipBatch) -> tuple[Tensor, Tensor]:
    """Compute what motion does not explain: each frame minus its motion-compensated predecessor.

    FFmpeg does not return the residuals that a codec stores; this is an approximation of them
    (bilinear interpolation instead of the codec's filters; with a stride of several frames the
    vectors are chained).

    Args:
        batch: B clips of T frames with `motion`.

    Returns:
        float32 (B, T-1, H, W), luma of frames 1..T-1 minus the prediction, -255..255; and bool of
        the same shape, False (and 0) where there is no vector (I-frames) and in the padding of
        the batch.

    Raises:
        ValueError: the batch has no motion.
    """
    motion = batch.motion
    if motion is None:
        raise ValueError("residuals need motion: name the clip in `Request.motion`")
    total, has = accumulate_vectors(motion)
    size = batch.y.shape[-2], batch.y.shape[-1]
    true = batch.sizes.flip(1).float()  # (W, H)
    # The padded frame as a view of the true one.
    low = -torch.ones_like(true)
    padded = true.new_tensor([size[1], size[0]])
    affine = geometry.crop(torch.cat([low, padded * 2 / true - 1], dim=1))
    grid = geometry.grid(affine, size)
    with fp32_context(motion.device):
        index = _blocks(motion, affine, size)
    steps, shape = total.shape[1], (len(batch), total.shape[1], *size)
    back = total * (2 / motion.sizes.flip(1).float())[:, None, None, None]
    channels = back.permute(0, 4, 1, 2, 3).flatten(3).flatten(1, 2)
    moved = _gather(channels, index).view(len(batch), 2, steps, *size).permute(0, 2, 3, 4, 1)
    frames = torch.arange(steps, device=batch.device)
    predicted = sample_dense(
        [batch.y], grid[:, None] + moved, batch.sizes, frames, chroma=False, pool=1
    )[:, 0]
    valid = _gather(has.flatten(2), index).view(shape) & (grid < 1).all(dim=-1)[:, None]
    return (batch.y[:, 1:].float() - predicted) * valid, valid


def residual_maps(
    batch: ClipBatch, affine: Tensor, size: geometry.Size, *, limit: float = 64.0
) -> Tensor:
    """Render the residual in an affine view: a third channel beside `motion_maps`.

    Args:
        batch: B clips of T frames with `motion`.
        affine, size: of the view, as in `motion_maps`.
        limit: luma; the residual is clamped to -limit..limit and divided by it. Most values are
            below 10; an edge that is not predicted has about 100.

    Returns:
        float32 (B, T-1, h, w), -1..1.
    """
    left = compute_residual(batch)[0].clamp_(-limit, limit).div_(limit)
    grid = geometry.grid(affine.to(left), size)
    pool = pool_of(grid, batch.sizes)
    return sample_dense([left], grid, batch.sizes, None, chroma=False, pool=pool)[:, 0]


def _turn(affine: Tensor, sizes: Tensor, size: geometry.Size, unit: Unit) -> Tensor:
    """Make the matrices (B, 2, 2) from motion in pixels of the source to motion in the view."""
    source = sizes.flip(1).to(affine)  # (W, H)
    view = affine.new_tensor([size[1], size[0]])
    # Columns: how far one pixel of the view, across and down, goes in the source.
    steps = affine[:, :2, :2] * source[:, :, None] / view
    turn = torch.linalg.inv(steps)
    return turn if unit == "view" else turn * steps.norm(dim=1)[:, :, None]


def _blocks(motion: MotionBatch, affine: Tensor, size: geometry.Size) -> Tensor:
    """Find the index of the block that every pixel of the view shows, int64 (B, h * w)."""
    extent = motion.sizes.flip(1).to(affine)  # (W, H) in luma pixels
    half = extent / (2 * motion.block)
    to_blocks = torch.diag_embed(torch.cat([half, torch.ones_like(half[:, :1])], dim=1))
    to_blocks[:, :2, 2] = half
    place = geometry.grid(geometry.compose(to_blocks, affine), size)
    last = ((extent - 1) / motion.block).floor()[:, :, None, None]  # block of the last pixel
    column, row = (torch.minimum(place[..., k].floor().clamp_(min=0), last[:, k]) for k in (0, 1))
    return row.mul_(motion.valid.shape[3]).add_(column).long().flatten(1)


def _gather(channels: Tensor, index: Tensor) -> Tensor:
    """Read (B, C, N) at indices (B, P): (B, C, P)."""
    return channels.gather(2, index[:, None].expand(-1, channels.shape[1], -1))
