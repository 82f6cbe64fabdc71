"""Static distractors: a cut-out from another video that stands still in a clip.

    cut_out   what moves in the donor, at its middle frame: picture and mask
    paste     lay it, still, over all frames of another clip

Source: DSM paper, Figure 6. Deviations: the paper pastes a person from any frame. Here the object
is segmented by its motion, as the audit uses no segmentation model, and is pasted where the clip
moves least, so that saliency on it is not caused by motion behind it.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

SMALLEST, LARGEST = 0.003, 0.25  # share of the picture that an object to paste may cover
_NEAR = 0.001  # penalty on distance: of places that move equally little, prefer the nearest


def cut_out(view: Tensor, mask: Tensor) -> tuple[Tensor, Tensor] | None:
    """Cut out what moves in a clip, at its middle frame.

    Args:
        view: float (C, T, h, w).
        mask: (T, h, w) in 0..1, what moves, see `moving.Moving`.

    Returns:
        The frame (C, h, w) and the mask of the object (h, w); None if too little or too much
        moves in it.
    """
    middle = view.shape[1] // 2
    area = float(mask[middle].mean())
    if not SMALLEST <= area <= LARGEST:
        return None
    return view[:, middle], mask[middle]


def paste(view: Tensor, mask: Tensor, frame: Tensor, thing: Tensor) -> tuple[Tensor, Tensor]:
    """Paste an object, still, over a whole clip, where the clip moves least.

    Args:
        view: float (C, T, h, w).
        mask: (T, h, w), what moves in it.
        frame, thing: picture and mask from `cut_out`, of another clip of the same size.

    Returns:
        The clip (C, T, h, w) and the mask of the object in it, (h, w) in 0..1.
    """
    down, across = _calmest(mask.amax(dim=0), thing)
    where = thing.roll((down, across), (0, 1))
    laid = frame.roll((down, across), (1, 2))[:, None].expand_as(view)
    return torch.lerp(view, laid, where.expand_as(view)), where


def _calmest(moves: Tensor, thing: Tensor) -> tuple[int, int]:
    """The shift (down, across) in pixels at which an object covers least of what moves."""
    rows, columns = (thing.amax(dim=d).nonzero()[:, 0] for d in (1, 0))
    top, left = int(rows[0]), int(columns[0])
    box = thing[top : int(rows[-1]) + 1, left : int(columns[-1]) + 1]
    covered = F.conv2d(moves[None, None].float(), box[None, None].float())[0, 0] / box.sum()
    y = torch.arange(covered.shape[0], device=covered.device)[:, None] - top
    x = torch.arange(covered.shape[1], device=covered.device)[None] - left
    away = (y.square() + x.square()).sqrt() / thing.shape[-1]
    best = int((covered + _NEAR * away).argmin())
    row, column = divmod(best, covered.shape[1])
    return row - top, column - left
