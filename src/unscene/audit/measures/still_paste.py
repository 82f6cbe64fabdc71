"""The clips of DSM paper, Figure 6, made of a video's own motion and of another's stills.

    static    the middle frame all the time: the scene and the things, and no motion
    paste     what moves in another video, cut out at its middle frame, stands still in the clip
    noise     half the clip, half another video's middle frame: a still pattern over everything

The paper pastes a person and takes any frame. Here the thing is cut out by its motion, as no model
segments anything, and laid where the clip itself moves least, so that saliency on it is not owed to
something that moves behind it [ours].
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

SMALLEST, LARGEST = 0.003, 0.25  # share of the picture that a thing to paste may have
_NEAR = 0.001  # of two places where as little moves, the one nearer to the thing's own


def cut_out(view: Tensor, mask: Tensor) -> tuple[Tensor, Tensor] | None:
    """What moves in a clip, at its middle frame.

    Args:
        view: float (C, T, h, w).
        mask: (T, h, w) in 0..1, what moves, as `moving.Moving.mask`.

    Returns:
        The frame (C, h, w) and the mask in it (h, w); None if too little or too much moves in it.
    """
    middle = view.shape[1] // 2
    area = float(mask[middle].mean())
    if not SMALLEST <= area <= LARGEST:
        return None
    return view[:, middle], mask[middle]


def paste(view: Tensor, mask: Tensor, frame: Tensor, thing: Tensor) -> tuple[Tensor, Tensor]:
    """Lay a thing, still, over a whole clip, where the clip moves least.

    Args:
        view: float (C, T, h, w).
        mask: (T, h, w), what moves in it.
        frame, thing: of `cut_out` from another clip of the same size.

    Returns:
        The clip (C, T, h, w) and where the thing lies, (h, w) in 0..1.
    """
    down, across = _calmest(mask.amax(dim=0), thing)
    where = thing.roll((down, across), (0, 1))
    laid = frame.roll((down, across), (1, 2))[:, None].expand_as(view)
    return torch.lerp(view, laid, where.expand_as(view)), where


def _calmest(moves: Tensor, thing: Tensor) -> tuple[int, int]:
    """By how many pixels (down, across) to move a thing within the frame, so that it covers the
    least of what moves."""
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
