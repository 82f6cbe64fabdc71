"""Views that several measures share: clips with swapped backgrounds, and shuffled frames.

What moves is segmented by change, without a segmentation model (`views.background_swap`). A camera
that moves is followed, and films the new background with the same motion. The background comes from
the first later clip of the batch, which is in random order, that belongs to another file and shows
another scene. Usually that is the next one. So almost every clip is a motion donor once and a
background donor once, and a clip that is near to everything favors neither side.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from unscene.audit.extractor import FeatureExtractor
from unscene.audit.footage import Footage
from unscene.data.loading import Batch
from unscene.evaluate.decoupling_views import ALIKE, STILL, draw_frame_order
from unscene.views.background_swap import correlate_scenes, film_scene, paste_motion


@dataclass(frozen=True)
class Donors:
    """The background donor of each of the B clips of a batch; all on the CPU.

    Attributes:
        moving: bool (B,), whether anything moves, or the camera.
        known: bool (B,), whether the camera is fixed or was followed, so that what moves can be
            segmented.
        cut: bool (B,), whether something moves before the scene that can be cut out.
        donor: int64 (B,), the clip that gives its background; -1 if none shows another scene.
    """

    moving: Tensor
    known: Tensor
    cut: Tensor
    donor: Tensor

    @property
    def swapped(self) -> Tensor:
        """int64 (R,), the clips whose background can be swapped."""
        return torch.nonzero(self.cut & (self.donor >= 0))[:, 0]


def find_donors(extractor: FeatureExtractor, batch: Batch, footage: Footage) -> Donors:
    """Find the background donor of each clip, once per batch."""
    return extractor.keep(batch, "donors", lambda: _find(extractor, batch, footage))


def swap_backgrounds(extractor: FeatureExtractor, batch: Batch, donors: Donors) -> Tensor:
    """Lay what moves over the background of the donor: (R, C, T, size, size), normalized.

    Args:
        donors: from `find_donors`, with R clips in `donors.swapped`.
    """

    def swap() -> Tensor:
        segments, rows = extractor.segment(batch), donors.swapped
        scene = film_scene(segments.scene[donors.donor[rows]], segments.maps[rows])
        return paste_motion(extractor.center(batch)[rows], segments.mask[rows], scene)

    return extractor.keep(batch, "swapped backgrounds", swap)


def shuffle_frames(extractor: FeatureExtractor, batch: Batch, footage: Footage) -> Tensor:
    """Center views with shuffled frames, neither forward nor backward.

    The order is a function of the seed and the videos: every measure gets the same.
    """
    rng = np.random.default_rng([footage.seed, 0x5F, *batch.index.tolist()])
    views = extractor.center(batch)
    return torch.stack([view[:, draw_frame_order(view.shape[1], rng)] for view in views])


def _find(extractor: FeatureExtractor, batch: Batch, footage: Footage) -> Donors:
    segments, count = extractor.segment(batch), len(batch)
    files = footage.file_of(batch)
    donor = torch.full((count,), -1)
    for i in range(count):
        alike = correlate_scenes(segments.scene[i : i + 1], segments.scene).tolist()
        for j in ((i + step) % count for step in range(1, count)):
            if files[j] != files[i] and alike[j] < ALIKE:
                donor[i] = j
                break
    known, some = segments.known.cpu(), segments.share.cpu() >= STILL
    return Donors(~segments.fixed.cpu() | some, known, known & some, donor)
