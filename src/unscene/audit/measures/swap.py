"""The measure "swap": is a clip with a swapped background nearer to its motion or its background?

    motion donor       what moves is cut out ...       --+
                                                         +--> swapped clip: nearer to which donor?
    background donor   ... and laid over its background -+

    motion_share   how often the feature of the swapped clip is nearer to the motion donor than to
                   the background donor: 1 the motion, 0 the scene, 0.5 neither; a tie counts half
    order          how often it is nearer to the motion donor than to the same clip with shuffled
                   frames, which shows the same things without their motion: 0.5 for an encoder
                   that recognizes the moving thing by appearance only
    nearest        the nearest of all clips: the motion donor, the background donor, or a third one

Verdict: the weaker of the two shares. To watch the motion, a model must beat the background and the
shuffled frames. motion_share is 0.5 by chance. A model that ignores the order of frames has exactly
0.5 in order, however well it recognizes what moves; what an untrained network has depends on its
architecture and on the videos. So motion_share is judged first, and order can only lower the
verdict.

What moves is segmented by change (`views.background_swap`), without a segmentation model. A camera
that moves is followed, and the other background is filmed with its motion. Distances are cosines.
The measure is our own. The closest in the literature are action swaps with person masks, which need
a person in the picture.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import PurePath

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from unscene.audit.extractor import FeatureExtractor
from unscene.audit.footage import Footage
from unscene.audit.measures.base import (
    FEWEST,
    VERDICTS,
    Measure,
    count_files,
    find_shortage,
    list_reasons,
    with_chance,
)
from unscene.audit.report.charts import Results, join_charts, score_chart, stacked_bars
from unscene.audit.report.films import Film, Shown, clip_title, film_row, lay_out_cases, shown_clips
from unscene.audit.report.words import Outcome, ScoreWords, Words, spell_number
from unscene.audit.result import Finding, Measured, Verdict
from unscene.audit.saliency_pictures import film, to_frames
from unscene.audit.shared_views import Donors, find_donors, shuffle_frames, swap_backgrounds
from unscene.data.loading import Batch
from unscene.evaluate.decoupling import TIE
from unscene.results.statistics import Score, share

_CHUNK = 512  # swapped clips that are compared with all clips at once
_EVEN = 0.5  # neither side is ahead
_SHOWN = 4  # swapped clips with pictures
NEAREST = ("motion", "background", "other")


class Swap(Measure):
    """Motion against background.

    Scores: "motion_share", by chance 0.5, and "order" for clips of 3 or more frames. Order has no
    chance: 0.5 means blind to order, and untrained networks may have less or more.

    Pictures, of the first swapped clips of up to four classes: "motion-1.png", "background-1.png"
    and "swapped-1.png", frames side by side.

    Details: "nearest", shares by `NEAREST`; "swapped", number of swapped clips; "left_out";
    "shown", for each picture its video, label, background and whether it "follows" the motion.
    """

    name = "swap"
    order = 1
    judges = True
    words = Words(
        "Does it follow the motion or the background?",
        "What moves in one video was cut out and laid over the background of another. A model that "
        "follows the motion puts the swapped clip nearer to the video that gave the motion. A "
        "model that follows the scene puts it nearer to the video that gave the background.",
        "What moves is segmented by change over time, without a segmentation model. Distances are "
        "cosines of features. The order test compares with the frames of the motion video in "
        "random order: they show the same things without their motion.",
        {
            "motion_share": ScoreWords(
                "Nearer to the motion than to the background",
                "Share of swapped clips that are nearer to the video whose motion they show.",
            ),
            "order": ScoreWords(
                "Nearer to the motion than to its shuffled frames",
                "50 %: it ignores the order of frames, so that it can only recognize the moving "
                "object by appearance.",
            ),
        },
        "motion_share",
        (("follows the motion", "good"), ("undecided", "open"), ("follows the scene", "bad")),
    )

    def __init__(self, extractor: FeatureExtractor, footage: Footage) -> None:
        super().__init__(extractor, footage)
        self.clips: list[Tensor] = []  # features of the unaltered clips
        self.mixed: list[Tensor] = []  # of the swapped clips
        self.shuffled: list[float] = []  # their cosines with the shuffled motion donor
        self.donors: list[tuple[int, int]] = []  # indices in clips: motion donor, background donor
        self.files: list[int] = []  # the file of each clip
        self.reasons: list[str] = []  # why each clip is left out; "" if it was swapped
        self.shown: list[dict[str, object]] = []
        self.pictures: dict[str, bytes] = {}

    def update(self, batch: Batch) -> None:
        extractor, first = self.extractor, len(self.clips)
        donors = find_donors(extractor, batch, self.footage)
        self.reasons += _explain(donors)
        clips = F.normalize(extractor.anchors(batch).double(), dim=1)
        self.clips += list(clips.float())
        self.files += self.footage.file_of(batch).tolist()
        rows = donors.swapped
        if not len(rows):
            return
        mixed = extractor.encode_once(
            batch, "background", lambda: swap_backgrounds(extractor, batch, donors)
        )
        mixed = F.normalize(mixed.double(), dim=1)
        self.mixed += list(mixed)
        if extractor.spec.frames > 2:
            shuffled = extractor.encode_once(
                batch, "shuffled", lambda: shuffle_frames(extractor, batch, self.footage)
            )
            shuffled = F.normalize(shuffled.double(), dim=1)[rows]
            self.shuffled += (mixed * shuffled).sum(dim=1).tolist()
        pairs = zip(rows.tolist(), donors.donor[rows].tolist(), strict=True)
        self.donors += [(first + motion, first + scene) for motion, scene in pairs]
        self._show(batch, donors, clips, mixed)

    def compute(self) -> Measured:
        left_out = Counter(filter(None, self.reasons))
        details: dict[str, object] = {"left_out": dict(sorted(left_out.items()))}
        coverage = count_files(zip(self.files, self.reasons, strict=True))
        absent = self._absent(left_out)
        if absent:
            return Measured(self.name, absent=absent, details=details, coverage=coverage)
        donors = np.array(self.donors)
        files = np.array(self.files)[donors[:, 0]]
        follows, forward, nearest = self._compare(donors)
        details["nearest"] = dict(zip(NEAREST, nearest.mean(axis=0).tolist(), strict=True))
        details |= {"swapped": len(donors), "shown": self.shown}
        scores = {"motion_share": share(follows, files)}
        if self.shuffled:
            scores["order"] = share(_compare(forward, np.array(self.shuffled)), files)
        return Measured(
            self.name,
            with_chance(scores, {"motion_share": _EVEN}),
            details=details,
            pictures=self.pictures,
            coverage=coverage,
        )

    @classmethod
    def sentence(cls, measured: Measured) -> str:
        nearest = measured.details.get("nearest")
        if not nearest:
            return ""
        shares = {name: spell_number(value, "share") for name, value in nearest.items()}
        return (
            f"puts the swapped clip nearest to the motion video in {shares['motion']}, to the "
            f"background video in {shares['background']} and to a third video in "
            f"{shares['other']} of cases."
        )

    @classmethod
    def outcome(cls, measured: Measured) -> Outcome | None:
        if cls.verdict(measured).finding == "appearance":
            return Outcome("follows what moves by appearance", "bad", "order")
        return super().outcome(measured)

    @classmethod
    def charts(cls, results: Results) -> tuple[str, str]:
        names = {"motion": "motion video", "background": "background video", "other": "a third one"}
        nearest = {m: one.details["nearest"] for _, m, one in results if "nearest" in one.details}
        return (
            join_charts(
                score_chart(cls.words, results, "motion_share"),
                score_chart(cls.words, results, "order"),
            )
            + join_charts(stacked_bars("Nearest of all clips", nearest, names))
            + lay_out_cases(
                "Swapped clips: the first of up to four classes, not chosen by any result",
                map(_show_clip, shown_clips(results, "video", "background").values()),
            ),
            "",
        )

    @classmethod
    def verdict(cls, measured: Measured) -> Verdict:
        share, order = measured.scores["motion_share"], measured.scores.get("order")
        weaker = share if order is None or share.value <= order.value else order
        evidence = (
            f"{_text(share)} of the clips that show the motion of one video over the background of "
            "another are nearer to the motion video (chance: 50 %)"
        )
        if order is not None:
            evidence += (
                f", and {_text(order)} are nearer to it than to its frames in random order (a "
                "model that ignores the order: 50 %)"
            )
        if share.ci95[0] > _EVEN:
            finding: Finding = "motion" if order is None or order.ci95[0] > _EVEN else "appearance"
        else:
            finding = "scene" if share.ci95[1] < _EVEN else "open"
        sentence = f"{VERDICTS[finding]}: {evidence}."
        return Verdict(weaker.value, weaker.ci95, weaker.n, cls.name, sentence, finding)

    def _show(self, batch: Batch, donors: Donors, clips: Tensor, mixed: Tensor) -> None:
        """Draw the first swapped clip of each class and its donors; no result chooses them."""
        rows = donors.swapped.tolist()
        labels = [self.footage.label_of(int(batch.index[row])) or "" for row in rows]
        shown = {entry["label"] for entry in self.shown}
        for place, (row, label) in enumerate(zip(rows, labels, strict=True)):
            if len(self.shown) >= _SHOWN or (label and label in shown):
                continue
            shown.add(label)
            donor, number = int(donors.donor[row]), len(self.shown) + 1
            views = self.extractor.center(batch)
            swapped = swap_backgrounds(self.extractor, batch, donors)
            motion, scene = (mixed[place] @ clips[[row, donor]].T).unbind()
            self.shown.append(
                {
                    "number": number,
                    "video": self._path(batch, row),
                    "background": self._path(batch, donor),
                    "label": label,
                    "follows": float(_compare(motion.numpy(), scene.numpy())),
                }
            )
            spec = self.extractor.spec
            self.pictures |= {
                f"motion-{number}.png": film(to_frames(views[row].cpu(), spec)),
                f"background-{number}.png": film(to_frames(views[donor].cpu(), spec)),
                f"swapped-{number}.png": film(to_frames(swapped[place].cpu(), spec)),
            }

    def _path(self, batch: Batch, row: int) -> str:
        return self.footage.videos[int(batch.index[row])].path

    def _absent(self, left_out: Counter[str]) -> str:
        read = set(self.files)
        swapped = {self.files[motion] for motion, _ in self.donors}
        if len(swapped) >= FEWEST or len(read) < FEWEST:
            return find_shortage(read, "in all")
        return (
            f"{find_shortage(swapped, f'of {len(read)} with something to swap')}: something must "
            "move before a camera that is fixed or can be followed, in several scenes "
            f"({list_reasons(left_out)})"
        )

    def _compare(
        self, donors: NDArray[np.int64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Compare the N swapped clips with all clips.

        Returns:
            (N,) whether each is nearer to the motion donor than to the background donor; (N,) its
            cosine with the motion donor; (N, 3) which clip is the nearest, as in `NEAREST`, ties
            divided.
        """
        clips, mixed = torch.stack(self.clips).double(), torch.stack(self.mixed)
        follows, forward = np.empty((2, len(donors)))
        nearest = np.empty((len(donors), len(NEAREST)))
        for start in range(0, len(donors), _CHUNK):
            part = slice(start, start + _CHUNK)
            cosines = (mixed[part] @ clips.T).numpy()
            row = np.arange(len(cosines))
            motion, scene = (cosines[row, donors[part, side]] for side in (0, 1))
            follows[part], forward[part] = _compare(motion, scene), motion
            cosines[row, donors[part, 0]] = cosines[row, donors[part, 1]] = -np.inf
            three = np.stack([motion, scene, cosines.max(axis=1)], axis=1)
            first = three >= three.max(axis=1, keepdims=True) - TIE
            nearest[part] = first / first.sum(axis=1, keepdims=True)
        return follows, forward, nearest


def _explain(donors: Donors) -> list[str]:
    """Why the background of each clip cannot be swapped; "" if it can."""
    reasons = np.select(
        [
            ~donors.moving.numpy(),
            ~donors.known.numpy(),
            ~donors.cut.numpy(),
            donors.donor.numpy() < 0,
        ],
        [
            "nothing moves",
            "the camera cannot be followed",
            "only the camera moves",
            "no other scene",
        ],
        default="",
    )
    found: list[str] = reasons.tolist()
    return found


def _show_clip(shown: Sequence[Shown]) -> str:
    """The donors, the swapped clip, and which donor each model puts it nearer to."""
    _, first, entry = shown[0]
    sides = {1.0: "nearer to the motion", 0.0: "nearer to the background", 0.5: "as near to both"}
    said = "; ".join(f"{model}: {sides[own['follows']]}" for model, _, own in shown)
    number, background = entry["number"], PurePath(entry["background"]).name
    films = [
        Film(f"motion-{number}.png", first, "the motion", "the clip that gives the motion"),
        Film(f"background-{number}.png", first, "the background", f"the background, {background}"),
        Film(f"swapped-{number}.png", first, "swapped", "the motion over the other background"),
    ]
    return film_row(f"{clip_title(entry)} over {background}", films, said)


def _text(found: Score) -> str:
    return ScoreWords("").text(found)


def _compare(ours: NDArray[np.float64], theirs: NDArray[np.float64]) -> NDArray[np.float64]:
    """1 where ours is larger, 0 where theirs is, 0.5 where they differ by rounding only."""
    gap = ours - theirs
    return np.where(np.abs(gap) <= TIE, 0.5, (gap > 0).astype(np.float64))
