"""The measure "swap": whose neighbour is a clip that moves like one video in the scene of another?

    motion donor       what moves in it is cut out ... --+
                                                         +--> the swapped clip: nearer to which?
    background donor   ... and laid over its scene ------+

    motion share   how often its feature is nearer to the motion donor's clip than to the background
                   donor's: 1 the motion, 0 the scene, 0.5 neither; a tie counts half
    order          how often it is nearer to the motion donor's clip than to the very frames of that
                   clip in random order, which show the same things without their motion: 0.5 for an
                   encoder that knows the moving thing by its looks only
    nearest        of all clips: the motion donor's, the background donor's, or that of a third

Cut out by what changes (`background_swap`), by no segmentation model. The distance is the cosine.
Ours; the nearest in the literature are action swaps with person masks, which need a person.
"""

from __future__ import annotations

from collections import Counter

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from unscene.audit.footage import Footage
from unscene.audit.measures.base import FEWEST, Measured, Watcher, against, counted, too_few
from unscene.audit.measures.shared_views import Lending, lending, shuffled, swapped_views
from unscene.data.loading import Batch
from unscene.evaluate.decoupling import TIE
from unscene.results.statistics import share

_CHUNK = 512  # swapped clips that are compared with all clips at once
NEAREST = ("motion", "background", "other")


class Swap:
    """Motion against background; see the head of this file.

    Args:
        watcher: the encoder.
        footage: what is audited.
    """

    name = "swap"

    def __init__(self, watcher: Watcher, footage: Footage) -> None:
        self.watcher, self.footage = watcher, footage
        self.clips: list[Tensor] = []  # features of the windows as they are
        self.mixed: list[Tensor] = []  # of the swapped ones
        self.disordered: list[float] = []  # their cosines with the motion donor's, shuffled
        self.donors: list[tuple[int, int]] = []  # places in clips: of the motion, the background
        self.owner: list[int] = []  # which file each clip is of
        self.left_out: Counter[str] = Counter()
        self.forwards = 0

    def see(self, batch: Batch) -> None:
        """Swap the scenes of a batch among its windows."""
        before, first = self.watcher.forwards, len(self.clips)
        lent = lending(self.watcher, batch, self.footage)
        self._count(lent)
        clips = F.normalize(self.watcher.anchors(batch).double(), dim=1)
        self.clips += list(clips.float())
        self.owner += self.footage.file_of(batch).tolist()
        rows = lent.swapped
        if len(rows):
            mixed = self.watcher.once(
                batch, "background", lambda: swapped_views(self.watcher, batch, lent)
            )
            mixed = F.normalize(mixed.double(), dim=1)
            self.mixed += list(mixed)
            if self.watcher.spec.frames > 2:
                found = self.watcher.once(
                    batch, "shuffled", lambda: shuffled(self.watcher, batch, self.footage)
                )
                found = F.normalize(found.double(), dim=1)[rows]
                self.disordered += (mixed * found).sum(dim=1).tolist()
            pairs = zip(rows.tolist(), lent.lender[rows].tolist(), strict=True)
            self.donors += [(first + motion, first + scene) for motion, scene in pairs]
        self.forwards += self.watcher.forwards - before

    def finish(self) -> Measured:
        """Headline "motion_share", by chance 0.5; "order" beside it if there are frames enough for
        one, which has no chance: 0.5 is blind to order, and untrained networks are not."""
        details: dict[str, object] = {"left_out": dict(sorted(self.left_out.items()))}
        absent = self._absent()
        if absent:
            return Measured(self.name, absent=absent, details=details, forwards=self.forwards)
        donors = np.array(self.donors)
        files = np.array(self.owner)[donors[:, 0]]
        follows, forwards, nearest = self._compare(donors)
        details["nearest"] = dict(zip(NEAREST, nearest.mean(axis=0).tolist(), strict=True))
        details["swapped"] = len(donors)
        scores = {"motion_share": share(follows, files)}
        if self.disordered:
            order = _won(forwards, np.array(self.disordered))
            scores["order"] = share(order, files)
        return Measured(
            self.name,
            scores=against(scores, {"motion_share": 0.5}),
            details=details,
            forwards=self.forwards,
        )

    def _absent(self) -> str:
        read = set(self.owner)
        swapped = {self.owner[motion] for motion, _ in self.donors}
        if len(swapped) >= FEWEST or len(read) < FEWEST:
            return too_few(read, "in all")
        return (
            f"{too_few(swapped, f'of {len(read)} with something to swap')}: something must move "
            f"before a fixed camera, in several places ({counted(self.left_out)})"
        )

    def _compare(
        self, donors: NDArray[np.int64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Of every swapped clip (N,): whether it follows the motion, and its cosine with the motion
        donor; (N, 3): whose clip is the nearest of all, as in `NEAREST`, a tie divided."""
        clips, mixed = torch.stack(self.clips).double(), torch.stack(self.mixed)
        follows, forwards = np.empty((2, len(donors)))
        nearest = np.empty((len(donors), len(NEAREST)))
        for start in range(0, len(donors), _CHUNK):
            part = slice(start, start + _CHUNK)
            cosines = (mixed[part] @ clips.T).numpy()
            row = np.arange(len(cosines))
            motion, scene = (cosines[row, donors[part, side]] for side in (0, 1))
            follows[part], forwards[part] = _won(motion, scene), motion
            cosines[row, donors[part, 0]] = cosines[row, donors[part, 1]] = -np.inf
            three = np.stack([motion, scene, cosines.max(axis=1)], axis=1)
            first = three >= three.max(axis=1, keepdims=True) - TIE
            nearest[part] = first / first.sum(axis=1, keepdims=True)
        return follows, forwards, nearest

    def _count(self, lent: Lending) -> None:
        for moves, fixed, lender in zip(
            lent.moving.tolist(), lent.fixed.tolist(), lent.lender.tolist(), strict=True
        ):
            if not moves:
                self.left_out["nothing moves"] += 1
            elif not fixed:
                self.left_out["the camera moves"] += 1
            elif lender < 0:
                self.left_out["no other scene"] += 1


def _won(ours: NDArray[np.float64], theirs: NDArray[np.float64]) -> NDArray[np.float64]:
    """1 where ours is larger, 0 where theirs is, 0.5 where they differ by rounding."""
    gap = ours - theirs
    return np.where(np.abs(gap) <= TIE, 0.5, (gap > 0).astype(np.float64))
