"""The measure "time": how far features move with the motion, against how far with the scene.

Every window is altered in two ways, and what the encoder makes of it is compared with the feature
of the window as it is.

    motion side   reversed   played backwards               scene side   warp        thin-plate warp
                  shuffled   in random order                             colour      strong jitter
                  frozen     the middle frame only                       crop        another place
                  slow       half the tempo                              background  another's scene
                  fast       twice the tempo                             overlay     half another's
                  shift      half a window later
                  flow       motion times U[0, 5]

How far is told in two ways: as 1 - cosine, and as a *rank*: the share of all other videos that are
nearer to the window than its altered self. 0 means that no video is as near, 0.5 that the altered
window is as far away as any video, and it means so for every encoder, whatever its cosines are.

The headline compares the sides directly: in how many windows, over all pairs of one alteration of
the motion and one of the scene, the motion's moves the feature further. 1: any change of the motion
counts for more than any of the scene; 0: the other way round; an equal counts as half. Shift and
flow are not in it: a steady motion is the same motion later, and flow scaling makes pictures that
no camera takes. They are in the decoupling score (`evaluate.decouple`), which is reported too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from unscene.audit.footage import Footage, apart, basic, centre_view
from unscene.audit.measures.base import FEWEST, Measured, Watcher, too_few
from unscene.audit.measures.shared_views import lending, shuffled, swapped_views
from unscene.data.loading import Batch
from unscene.evaluate import decoupling as decouple
from unscene.evaluate import decoupling_views as decouple_views
from unscene.results.statistics import bootstrap, ratio
from unscene.views.augment import make_view
from unscene.views.disturb import draw_offsets, draw_phi

MOTION = ("reversed", "shuffled", "frozen", "slow", "fast", "shift", "flow")
SCENE = ("warp", "colour", "crop", "background", "overlay")
HEADLINE = ("reversed", "shuffled", "frozen", "slow", "fast")

_Rows = Tensor | None  # which windows of a batch; None for all
_Altered = tuple[str, _Rows, Callable[[], Tensor]]
_CHUNK = 512  # windows that are compared with all others at once


class Time:
    """How far features move; see the head of this file.

    Args:
        watcher: the encoder.
        footage: what is audited.
    """

    name = "time"

    def __init__(self, watcher: Watcher, footage: Footage) -> None:
        self.watcher, self.footage = watcher, footage
        self.anchors: list[Tensor] = []
        self.files: list[int] = []  # which each window is of
        self.cosines: list[dict[str, float]] = []
        self.left_out: Counter[str] = Counter()
        self.batches = self.forwards = 0

    def see(self, batch: Batch) -> None:
        """Alter every window in which something moves, and encode what comes out."""
        if self.watcher.spec.frames < 3:
            return
        before = self.watcher.forwards
        lent = lending(self.watcher, batch, self.footage)
        anchors = F.normalize(self.watcher.anchors(batch).double(), dim=1)
        cosines: list[dict[str, float]] = [{} for _ in range(len(batch))]
        for name, rows, make in self._altered(batch):
            which = torch.arange(len(batch)) if rows is None else rows
            if len(which):
                found = F.normalize(self.watcher.once(batch, name, make).double(), dim=1)
                for i, cosine in zip(which.tolist(), (found * anchors[which]).sum(1), strict=True):
                    cosines[i][name] = float(cosine)
        self._count(batch, cosines, lent.moving)
        files = self.footage.file_of(batch).tolist()
        for i in torch.nonzero(lent.moving)[:, 0].tolist():
            self.anchors.append(anchors[i].float())
            self.files.append(files[i])
            self.cosines.append(cosines[i])
        self.batches += 1
        self.forwards += self.watcher.forwards - before

    def finish(self) -> Measured:
        """Headline "motion"; "decoupling_untrained" and "decoupling_trained" as `evaluate` has.

        None has a chance: at 0.5 both sides move features as far, and the features of untrained
        networks move further with the scene. What fewer than `FEWEST` files show is left out.
        """
        absent = self._absent()
        if absent:
            details = {"left_out": dict(self.left_out)}
            return Measured(self.name, absent=absent, details=details, forwards=self.forwards)
        files = np.array(self.files)
        headline = decouple.compare_pairs(files, self.cosines, SCENE, HEADLINE)
        pairs = decouple.compare_pairs(
            files, self.cosines, decouple_views.SCENE, decouple_views.MOTION
        )
        means = {"motion": decouple.average_pairs(headline)}
        for name, wanted in (("untrained", decouple.UNTRAINED), ("trained", decouple.TRAINED)):
            columns = [decouple.PAIRS.index(pair) for pair in wanted]
            means[f"decoupling_{name}"] = decouple.average_pairs(pairs[:, columns])
        scores = {name: one for name, one in means.items() if one is not None and one.n >= FEWEST}
        return Measured(
            self.name,
            scores=scores,
            details={
                "altered": self._moved(files),
                "pairs": self._table(files),
                "left_out": dict(sorted(self.left_out.items())),
            },
            forwards=self.forwards,
        )

    def _altered(self, batch: Batch) -> Iterator[_Altered]:
        """Name, windows that have it, and how it is made; one at a time, so that one is held."""
        watcher, spec = self.watcher, self.watcher.spec
        anchor, clip = watcher.centre(batch), batch.clips["clip"]
        lent = lending(watcher, batch, self.footage)
        augmentation, size, middle = basic(spec), spec.size, spec.frames // 2
        rng = np.random.default_rng([self.footage.seed, 0x5, self.batches])
        generator = torch.Generator().manual_seed(int(rng.integers(2**63)))
        centre = augmentation.center(clip.sizes.cpu())
        drawn = augmentation.draw(clip.sizes, generator)
        offsets = draw_offsets(len(batch), generator)
        phi = draw_phi(len(batch), clip.frames, generator)
        scene = watcher.parted(batch).scene
        borrowing = torch.nonzero(lent.lender >= 0)[:, 0]

        def tempo(name: str) -> _Altered:
            rows = torch.nonzero(apart(batch, name))[:, 0]
            return name, rows, lambda: centre_view(batch, spec, name)[rows]

        def coloured() -> Tensor:
            return make_view(clip, replace(centre, color=drawn.color), size=size)

        def cropped() -> Tensor:
            return make_view(clip, replace(centre, affine=drawn.affine), size=size)

        def overlaid() -> Tensor:
            own = anchor[borrowing]
            return torch.lerp(own, scene[lent.lender[borrowing]].expand_as(own), 0.5)

        yield "reversed", None, lambda: anchor.flip(2)
        yield "shuffled", None, lambda: shuffled(watcher, batch, self.footage)
        yield "frozen", None, lambda: anchor[:, :, middle : middle + 1].expand_as(anchor)
        if "slow" in batch.clips:
            yield tempo("slow")
        else:
            yield "slow", None, lambda: anchor[:, :, held(spec.frames)]
        yield tempo("fast")
        _, rows, make = tempo("shifted")
        yield "shift", rows, make
        yield "flow", None, lambda: make_view(clip, centre, size=size, phi=phi)
        yield "warp", None, lambda: make_view(clip, centre, size=size, warp_offsets=offsets)
        yield "colour", None, coloured
        yield "crop", None, cropped
        yield "background", lent.swapped, lambda: swapped_views(watcher, batch, lent)
        yield "overlay", borrowing, overlaid

    def _count(self, batch: Batch, cosines: list[dict[str, float]], moving: Tensor) -> None:
        reasons = {
            "fast": "video too short",
            "slow": "video too short",
            "shift": "video too short",
            "background": "the camera moves, or no other scene",
            "overlay": "no other scene",
        }
        for found, moves in zip(cosines, moving.tolist(), strict=True):
            if not moves:
                self.left_out["all: nothing moves"] += 1
                continue
            for name, reason in reasons.items():
                if name not in found:
                    self.left_out[f"{name}: {reason}"] += 1

    def _absent(self) -> str:
        frames = self.watcher.spec.frames
        if frames < 3:
            return f"the model sees {frames} frames at a time: an order needs at least 3"
        if not self.files:
            return "nothing moves in any video"
        return too_few(self.files, "in which something moves")

    def _moved(self, files: NDArray[np.int64]) -> dict[str, Any]:
        """Of every alteration that files enough show: its side, mean distance, and rank with its
        interval."""
        names = (*MOTION, *SCENE)
        distances = 1 - np.array([[c.get(name, np.nan) for name in names] for c in self.cosines])
        ranks = self._ranks(files, distances)
        known = ~np.isnan(ranks)
        tables = [np.nan_to_num(ranks), known.astype(np.float64)]
        lows, highs = bootstrap(tables, files, ratio).tolist()
        shown = [len(np.unique(files[column])) for column in known.T]
        return {
            name: {
                "side": "motion" if name in MOTION else "scene",
                "distance": float(np.nanmean(distances[:, k])),
                "rank": float(np.nanmean(ranks[:, k])),
                "ci95": (lows[k], highs[k]),
                "n": shown[k],
            }
            for k, name in enumerate(names)
            if shown[k] >= FEWEST
        }

    def _ranks(
        self, files: NDArray[np.int64], distances: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Which share of the other files' windows is nearer than the altered one: as distances."""
        anchors = torch.stack(self.anchors).double().numpy()
        ranks = np.full(distances.shape, np.nan)
        for start in range(0, len(files), _CHUNK):
            part = slice(start, start + _CHUNK)
            far = 1 - anchors[part] @ anchors.T
            foreign = files[part, None] != files
            for i, (row, of_others) in enumerate(zip(far, foreign, strict=True), start):
                gap = distances[i][:, None] - row[of_others]
                nearer = np.where(np.abs(gap) <= decouple.TIE, 0.5, gap > 0).mean(axis=1)
                ranks[i] = np.where(np.isnan(distances[i]), np.nan, nearer)
        return ranks

    def _table(self, files: NDArray[np.int64]) -> dict[str, float]:
        """By "reversed>warp" and so on: in which share of files the motion side went further."""
        wins = decouple.compare_pairs(files, self.cosines, SCENE, MOTION)
        names = [f"{motion}>{scene}" for scene in SCENE for motion in MOTION]
        return {
            name: float(np.nanmean(column))
            for name, column in zip(names, wins.T, strict=True)
            if not np.isnan(column).all()
        }


def held(frames: int) -> list[int]:
    """The middle half of a window at half the tempo, where there is nothing between two frames:
    each frame is shown twice.

    T = 8    2 2 3 3 4 4 5 5
    """
    return [frames // 4 + k // 2 for k in range(frames)]
