"""The codec's motion as a view shows it: maps of forward motion, a target for training.

How it hangs together
---------------------
A sampler names windows of consecutive frames in `Request.motion_only` (or `Request.motion`, if
their pixels are wanted too); `video.decode` reads them in the one pass; `ClipBatch.of` stacks their
vectors into `batch.clips[name].motion`, a `MotionBatch`, which `.to` and `.pin_memory` carry along.
With the affine of the view that shows the clip, `motion_maps` renders them. For CMD:

    maps, valid = motion_maps(batch.clips["future"].motion, params.affine, (112, 112), limit=10)

Convention
----------
A map holds FORWARD motion per frame, dst - src, where the block stands now (dst): channel 0 is x,
positive for what moves right, channel 1 is y, positive for what moves down. Blocks without a
vector from the past, and so all of an I-frame, are 0 and not valid. Affines take the view to the
source in normalised units, as in `geometry`; a block covers whole pixels of the view (nearest), so
that values are the codec's own and a pan of v px reads v everywhere.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from unscene.video.motion import MotionBatch
from unscene.views import geometry

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
    """Per-frame forward motion as an affine view shows it.

    Vectors turn and scale with the view: a flip negates x, and a crop of half the frame, shown as
    large as the frame, doubles them (in pixels of the view).

    Args:
        motion: B windows of F consecutive frames.
        affine: (B, 3, 3), from the view to the source, of the clip that the motion belongs to.
        size: (h, w) of the view.
        unit: "view": pixels of the view. "source": along the axes of the view, but in pixels of
            the coded frame, whatever the size of the crop.
        limit: in that unit; motion is clamped to -limit..limit and divided by it (CMD: 10).
        corrected: False repeats two slips of CMD's authors: a flip moves the blocks and does not
            negate x, and a crop does not rescale; `unit` then has no effect.

    Returns:
        float32 (B, 2, F, h, w), and bool (B, F, h, w), False where there is no vector. On the
        motion's device. Beyond the frame its border repeats.

    Raises:
        ValueError: affine does not fit the motion, or the unit or limit is none.
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
    if corrected:
        turn = _turn(affine, motion.sizes, size, unit)
        fields = torch.einsum("bij,blrcj->blrci", turn, fields)
    if limit is not None:
        fields = fields.clamp(-limit, limit) / limit
    index = _blocks(motion, affine, size)
    channels = fields.permute(0, 4, 1, 2, 3).reshape(batch, 2 * frames, rows * columns)
    maps = _gather(channels, index).view(batch, 2, frames, *size)
    valid = _gather(motion.valid.view(batch, frames, -1), index).view(batch, frames, *size)
    return maps, valid


def _turn(affine: Tensor, sizes: Tensor, size: geometry.Size, unit: Unit) -> Tensor:
    """(B, 2, 2): from motion in pixels of the source to motion in the view."""
    source = sizes.flip(1).to(affine)  # (W, H)
    view = affine.new_tensor([size[1], size[0]])
    # Columns: how far one pixel of the view, across and down, goes in the source.
    steps = affine[:, :2, :2] * source[:, :, None] / view
    turn = torch.linalg.inv(steps)
    return turn if unit == "view" else turn * steps.norm(dim=1)[:, :, None]


def _blocks(motion: MotionBatch, affine: Tensor, size: geometry.Size) -> Tensor:
    """Which block every pixel of the view shows, int64 (B, h * w)."""
    extent = motion.sizes.flip(1).to(affine)[:, None, None]  # (W, H) in luma pixels
    place = (geometry.grid(affine, size) + 1) * (extent / 2)
    last = ((extent - 1) / motion.block).floor().long()  # block that holds the last pixel
    block = (place / motion.block).floor().long().clamp(min=torch.zeros_like(last), max=last)
    return (block[..., 1] * motion.valid.shape[3] + block[..., 0]).flatten(1)


def _gather(channels: Tensor, index: Tensor) -> Tensor:
    """(B, C, N) at (B, P) -> (B, C, P)."""
    return channels.gather(2, index[:, None].expand(-1, channels.shape[1], -1))
