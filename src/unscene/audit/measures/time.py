"""The measure "time": do changes of the motion or of the scene move features further?

Every clip is altered, and the feature of the altered clip is compared with that of the clip.

    motion   reversed   played backward                scene   warp        thin-plate warp
             shuffled   frames in random order                 colour      strong color jitter
             frozen     the middle frame only                  crop        another crop
             slow       half the tempo                         background  that of another clip
             fast       twice the tempo                        overlay     half of another's
             shift      half a clip later
             flow       motion scaled by U[0, 5]; a camera that moves stays as it is

The distance of an alteration is 1 - cosine, and is also given as a rank: the share of other videos
that are nearer to the clip than its altered self. 0: no video is as near; 0.5: the altered clip is
as far as any video. Ranks of different encoders can be compared, whatever their cosines are.

The headline "motion" compares the two sides: the share of clips, averaged over all pairs of one
alteration of the motion and one of the scene, in which the motion's moves the feature further. A
tie counts half. Shift and flow are not part of it: a steady motion looks the same later, and flow
scaling makes pictures that no camera takes. They are part of the decoupling score
(`evaluate.decoupling`), which is reported too.

Verdict: the headline, where "swap" gives none. It has no chance: at 0.5 both sides move features
equally far, and what an untrained network has depends on its architecture and on the videos.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from unscene.audit.extractor import FeatureExtractor
from unscene.audit.footage import Footage, center_view, find_distinct, make_augmentation
from unscene.audit.measures.base import FEWEST, VERDICTS, Measure, count_files, find_shortage
from unscene.audit.report.charts import (
    Results,
    grouped_dots,
    join_charts,
    scale_for,
    score_chart,
)
from unscene.audit.report.words import ScoreWords, Words, capitalize
from unscene.audit.result import Finding, Measured, Verdict
from unscene.audit.shared_views import find_donors, shuffle_frames, swap_backgrounds
from unscene.data.loading import Batch
from unscene.evaluate import decoupling, decoupling_views
from unscene.results.statistics import Score, bootstrap, ratio
from unscene.views.augment import make_view
from unscene.views.disturb import draw_offsets, draw_phi
from unscene.views.flow import find_camera

MOTION = ("reversed", "shuffled", "frozen", "slow", "fast", "shift", "flow")
SCENE = ("warp", "colour", "crop", "background", "overlay")
HEADLINE = ("reversed", "shuffled", "frozen", "slow", "fast")

_Rows = Tensor | None  # which clips of a batch; None for all
_Altered = tuple[str, _Rows, Callable[[], Tensor]]
_CHUNK = 512  # clips that are compared with all others at once
_EVEN = 0.5  # both sides move features equally far


class Time(Measure):
    """Alterations of the motion against alterations of the scene.

    Scores: "motion"; "decoupling_untrained" and "decoupling_trained" as in `unscene evaluate
    decouple`. Those of fewer than `FEWEST` files are left out.

    Details: "altered", for each alteration its side, mean distance, and rank with its interval;
    "pairs", the share per pair of alterations; "left_out".
    """

    name = "time"
    order = 2
    judges = True
    words = Words(
        "What moves its features further: another motion or another scene?",
        "Each clip was altered in its motion (reversed, shuffled, frozen, slower, faster) and in "
        "its scene (warped, recolored, cropped, another background). The features of a model that "
        "watches the motion move far when the motion changes, and little when the scene does.",
        "All pairs of one alteration of the motion and one of the scene are compared, clip by "
        "clip. The headline is the share in which the motion moved the feature further. The "
        "distance of an alteration is the share of other videos that are nearer to the clip than "
        "its altered self: at 0 %, no video is as near.",
        {
            "motion": ScoreWords(
                "Motion outweighs scene",
                "How often a change of the motion moves the feature further than a change of the "
                "scene. 50 %: equally far.",
            ),
            "decoupling_untrained": ScoreWords(
                "Decoupling score",
                "The same over perturbations that DSM does not train on.",
            ),
            "decoupling_trained": ScoreWords(
                "Decoupling score, trained pairs",
                "Over perturbations that DSM trains on: a high score may only reflect training.",
            ),
        },
        "motion",
        (("motion outweighs", "good"), ("undecided", "open"), ("scene outweighs", "bad")),
        even=_EVEN,
    )

    def __init__(self, extractor: FeatureExtractor, footage: Footage) -> None:
        super().__init__(extractor, footage)
        self.anchors: list[Tensor] = []
        self.files: list[int] = []  # the file of each clip
        self.cosines: list[dict[str, float]] = []
        self.left_out: Counter[str] = Counter()
        self.reasons: list[tuple[int, str]] = []  # the file of each clip, and why it is left out
        self.batches = 0

    def update(self, batch: Batch) -> None:
        if self.extractor.spec.frames < 3:
            return
        moving = find_donors(self.extractor, batch, self.footage).moving
        anchors = F.normalize(self.extractor.anchors(batch).double(), dim=1)
        cosines: list[dict[str, float]] = [{} for _ in range(len(batch))]
        for name, rows, make in self._altered(batch):
            which = torch.arange(len(batch)) if rows is None else rows
            if len(which):
                found = self.extractor.encode_once(batch, name, make)
                found = F.normalize(found.double(), dim=1)
                for i, cosine in zip(which.tolist(), (found * anchors[which]).sum(1), strict=True):
                    cosines[i][name] = float(cosine)
        self._count(cosines, moving)
        files = self.footage.file_of(batch).tolist()
        stills = ["" if moves else "nothing moves" for moves in moving.tolist()]
        self.reasons += zip(files, stills, strict=True)
        for i in torch.nonzero(moving)[:, 0].tolist():
            self.anchors.append(anchors[i].float())
            self.files.append(files[i])
            self.cosines.append(cosines[i])
        self.batches += 1

    def compute(self) -> Measured:
        absent = self._absent()
        if absent:
            return Measured(self.name, absent=absent, details={"left_out": dict(self.left_out)})
        files = np.array(self.files)
        headline = decoupling.compare_pairs(files, self.cosines, SCENE, HEADLINE)
        pairs = decoupling.compare_pairs(
            files, self.cosines, decoupling_views.SCENE, decoupling_views.MOTION
        )
        means = {"motion": decoupling.average_pairs(headline)}
        for name, wanted in (("untrained", decoupling.UNTRAINED), ("trained", decoupling.TRAINED)):
            columns = [decoupling.PAIRS.index(pair) for pair in wanted]
            means[f"decoupling_{name}"] = decoupling.average_pairs(pairs[:, columns])
        return Measured(
            self.name,
            {name: one for name, one in means.items() if one is not None and one.n >= FEWEST},
            details={
                "altered": self._distances(files),
                "pairs": self._table(files),
                "left_out": dict(sorted(self.left_out.items())),
            },
            coverage=count_files(self.reasons),
        )

    @classmethod
    def sentence(cls, measured: Measured) -> str:
        text = cls.words.phrase(
            measured,
            "motion",
            "moves its features further when the motion changes than when the scene does",
            "moves its features equally far when the scene changes and when the motion does",
            "moves its features further when the scene changes than when the motion does",
        )
        altered: dict[str, Any] = measured.details.get("altered", {})
        if altered:
            order = sorted(altered, key=lambda name: float(altered[name]["rank"]))
            least, most = _label(order[0]), _label(order[-1])
            text += f". Of all alterations, {most} moves them furthest and {least} least"
        return text + "."

    @classmethod
    def charts(cls, results: Results) -> tuple[str, str]:
        heads = {"motion": "The motion was altered", "scene": "The scene was altered"}
        rows: list[tuple[str, Mapping[int, Score]]] = []
        for side, head in heads.items():
            ranks = _ranks_of(results, side)
            rows += (
                [(head, {}), *((capitalize(_label(k)), v) for k, v in ranks.items())]
                if ranks
                else []
            )
        ends = [end for _, values in rows for one in values.values() for end in one.ci95]
        chart = grouped_dots(
            "How far each alteration moves the feature",
            "Share of other videos that are nearer to the clip than its altered self.",
            rows,
            {place: model for place, model, _ in results},
            scale_for(ends, percent=True),
        )
        more = ("decoupling_untrained", "decoupling_trained")
        return (
            join_charts(score_chart(cls.words, results, "motion")) + join_charts(chart),
            join_charts(*(score_chart(cls.words, results, name) for name in more)),
        )

    @classmethod
    def verdict(cls, measured: Measured) -> Verdict:
        found = measured.scores["motion"]
        low, high = found.ci95
        finding: Finding = "motion" if low > _EVEN else "scene" if high < _EVEN else "open"
        sentence = (
            f"{VERDICTS[finding]}: a change of the motion moves its features further than a change "
            f"of the scene in {ScoreWords('').text(found)} of cases (50 %: equally far)."
        )
        return Verdict(found.value, found.ci95, found.n, cls.name, sentence, finding)

    def _altered(self, batch: Batch) -> Iterator[_Altered]:
        """Yield each alteration: name, the clips that have it, and a function that renders it."""
        extractor, spec, size = self.extractor, self.extractor.spec, self.extractor.spec.size
        anchor, clip = extractor.center(batch), batch.clips["clip"]
        donors = find_donors(extractor, batch, self.footage)
        augmentation = make_augmentation(spec)
        rng = np.random.default_rng([self.footage.seed, 0x5, self.batches])
        generator = torch.Generator().manual_seed(int(rng.integers(2**63)))
        center = augmentation.center(clip.sizes.cpu())
        drawn = augmentation.draw(clip.sizes, generator)
        offsets = draw_offsets(len(batch), generator)
        phi = draw_phi(len(batch), clip.frames, generator)
        segments = extractor.segment(batch)
        scene = segments.scene
        with_donor = torch.nonzero(donors.donor >= 0)[:, 0]

        def tempo(name: str) -> _Altered:
            rows = torch.nonzero(find_distinct(batch, name))[:, 0]
            return name, rows, lambda: center_view(batch, spec, name)[rows]

        def recolor() -> Tensor:
            return make_view(clip, replace(center, color=drawn.color), size=size)

        def crop() -> Tensor:
            return make_view(clip, replace(center, affine=drawn.affine), size=size)

        def scale_motion() -> Tensor:
            camera = find_camera(clip, segments.fixed)
            return make_view(clip, center, size=size, phi=phi, camera=camera)

        def overlay() -> Tensor:
            own = anchor[with_donor]
            return torch.lerp(own, scene[donors.donor[with_donor]].expand_as(own), 0.5)

        yield "reversed", None, lambda: anchor.flip(2)
        yield "shuffled", None, lambda: shuffle_frames(extractor, batch, self.footage)
        yield "frozen", None, lambda: extractor.freeze(batch)
        if "slow" in batch.clips:
            yield tempo("slow")
        else:
            yield "slow", None, lambda: anchor[:, :, repeat_middle(spec.frames)]
        yield tempo("fast")
        _, rows, make = tempo("shifted")
        yield "shift", rows, make
        yield "flow", None, scale_motion
        yield "warp", None, lambda: make_view(clip, center, size=size, warp_offsets=offsets)
        yield "colour", None, recolor
        yield "crop", None, crop
        yield "background", donors.swapped, lambda: swap_backgrounds(extractor, batch, donors)
        yield "overlay", with_donor, overlay

    def _count(self, cosines: list[dict[str, float]], moving: Tensor) -> None:
        reasons = {
            "fast": "video too short",
            "slow": "video too short",
            "shift": "video too short",
            "background": "nothing can be cut out, or no other scene",
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
        frames = self.extractor.spec.frames
        if frames < 3:
            return f"the model sees {frames} frames at a time: an order needs at least 3"
        if not self.files:
            return "nothing moves in any video"
        return find_shortage(self.files, "in which something moves")

    def _distances(self, files: NDArray[np.int64]) -> dict[str, Any]:
        """Side, mean distance and rank of every alteration that enough files show."""
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
        """The share of clips of other files that are nearer than the altered one, as distances."""
        anchors = torch.stack(self.anchors).double().numpy()
        ranks = np.full(distances.shape, np.nan)
        for start in range(0, len(files), _CHUNK):
            part = slice(start, start + _CHUNK)
            far = 1 - anchors[part] @ anchors.T
            foreign = files[part, None] != files
            for i, (row, of_others) in enumerate(zip(far, foreign, strict=True), start):
                gap = distances[i][:, None] - row[of_others]
                nearer = np.where(np.abs(gap) <= decoupling.TIE, 0.5, gap > 0).mean(axis=1)
                ranks[i] = np.where(np.isnan(distances[i]), np.nan, nearer)
        return ranks

    def _table(self, files: NDArray[np.int64]) -> dict[str, float]:
        """The share of files in which the motion side moved further, by "reversed>warp" etc."""
        wins = decoupling.compare_pairs(files, self.cosines, SCENE, MOTION)
        names = [f"{motion}>{scene}" for scene in SCENE for motion in MOTION]
        return {
            name: float(np.nanmean(column))
            for name, column in zip(names, wins.T, strict=True)
            if not np.isnan(column).all()
        }


def _label(name: str) -> str:
    """The name of an alteration in the report: those in results are British."""
    return name.replace("colour", "color")


def _ranks_of(results: Results, side: str) -> dict[str, dict[int, Score]]:
    """The ranks of all alterations of a side, by alteration and place of the model."""
    ranks: dict[str, dict[int, Score]] = {}
    for place, _, one in results:
        for name, entry in one.details.get("altered", {}).items():
            if entry["side"] == side:
                low, high = entry["ci95"]
                rank = Score(float(entry["rank"]), (float(low), float(high)), int(entry["n"]))
                ranks.setdefault(name, {})[place] = rank
    return ranks


def repeat_middle(frames: int) -> list[int]:
    """Frame indices for half the tempo where no frames lie between two frames of the clip: the
    middle half of the clip, each frame twice.

    >>> repeat_middle(8)
    [2, 2, 3, 3, 4, 4, 5, 5]
    """
    return [frames // 4 + k // 2 for k in range(frames)]
