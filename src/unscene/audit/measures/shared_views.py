"""Views that several measures share, above all what moves in one clip over the scene of another.

Nothing is segmented by a model: `background_swap` cuts out what moves. A clip is laid over the
scene of the first clip after it in the batch (which is in random order) that comes from another
file and shows another place. Mostly that is the very next, so that every clip gives its motion once
and its scene once, and clips that are near to everything favour neither side.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from unscene.audit.footage import Footage
from unscene.audit.measures.base import Watcher
from unscene.data.loading import Batch
from unscene.evaluate.decoupling_views import ALIKE, STILL, draw_frame_order
from unscene.views.background_swap import correlate_scenes, paste_motion


@dataclass(frozen=True)
class Lending:
    """Who lends a scene to whom in a batch of B windows; all on the CPU.

    Attributes:
        moving: bool (B,), whether anything moves.
        fixed: bool (B,), whether the camera stands, so that what moves can be cut out.
        lender: int64 (B,), the window that lends its scene; -1 where no other place is shown.
    """

    moving: Tensor
    fixed: Tensor
    lender: Tensor

    @property
    def swapped(self) -> Tensor:
        """int64 (R,), the windows whose motion can be laid over another scene."""
        return torch.nonzero(self.moving & self.fixed & (self.lender >= 0))[:, 0]


def lending(watcher: Watcher, batch: Batch, footage: Footage) -> Lending:
    """Decided once for every batch and watcher."""
    return watcher.keep(batch, "lending", lambda: _decide(watcher, batch, footage))


def swapped_views(watcher: Watcher, batch: Batch, lent: Lending) -> Tensor:
    """What moves over the lender's scene: (R, C, T, size, size), as normalised as the centre view.

    Args:
        lent: from `lending`, with R windows in `lent.swapped`.
    """
    parted, rows = watcher.parted(batch), lent.swapped
    scene = parted.scene[lent.lender[rows]]
    return paste_motion(watcher.centre(batch)[rows], parted.mask[rows], scene)


def shuffled(watcher: Watcher, batch: Batch, footage: Footage) -> Tensor:
    """Centre views with their frames in an order of their own, neither forwards nor backwards.

    The order is drawn from the seed and the videos, so that all who ask for it get the same.
    """
    rng = np.random.default_rng([footage.seed, 0x5F, *batch.index.tolist()])
    return torch.stack(
        [one[:, draw_frame_order(one.shape[1], rng)] for one in watcher.centre(batch)]
    )


def _decide(watcher: Watcher, batch: Batch, footage: Footage) -> Lending:
    parted, count = watcher.parted(batch), len(batch)
    files = footage.file_of(batch)
    lender = torch.full((count,), -1)
    for i in range(count):
        alike = correlate_scenes(parted.scene[i : i + 1], parted.scene).tolist()
        for j in ((i + step) % count for step in range(1, count)):
            if files[j] != files[i] and alike[j] < ALIKE:
                lender[i] = j
                break
    fixed = parted.fixed.cpu()
    return Lending(~fixed | (parted.share.cpu() >= STILL), fixed, lender)
