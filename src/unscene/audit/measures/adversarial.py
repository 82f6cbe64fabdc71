"""The measure "adversarial": can static distractors mislead the model?

    static    the middle frame, repeated: the scene and the objects without motion
    paste     an object from another video, standing still in the clip (`cut_out`, `paste`)
    noise     half the clip and half the middle frame of another video: a still pattern everywhere

Is it drawn to the object? "paste" is the AUC of saliency on the pasted object: the probability that
a pixel of the object has more saliency than another pixel that does not move; 0.5: as any other
place. "paste_before" is the same for the clip without the object, and "drawn" their difference:
what the object itself attracts. "paste_share" is the share of all saliency on the object, by chance
"paste_area", its share of the picture.

Does it stay on what moves? "paste_on_motion" and "noise_on_motion" are the AUC of the measure
"where", with the object or the noise in the clip.

How far does the feature move? "static_moved", "paste_moved" and "noise_moved" are the mean of
1 - cosine to the feature of the clip, divided by the mean of 1 - cosine between the clip and the
other video: 0 if the alteration makes no difference, 1 if it makes as much as showing another
video. A model of motion moves far for static, and little for paste and noise. "static_response" is
the energy of the map of the static clip over that of the clip: 1 for a model blind to time.

Source: DSM paper, Figure 6, which shows pictures. Deviations: the scores are our own. The paper
pastes a person from any frame. Here the object is segmented by its motion, as the audit uses no
segmentation model, and is pasted where the clip moves least, so that saliency on it is not caused
by motion behind it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from unscene.audit.extractor import FeatureExtractor
from unscene.audit.footage import Footage
from unscene.audit.measures.base import FEWEST, Measure, find_shortage, list_reasons, with_chance
from unscene.audit.measures.where import GRID
from unscene.audit.moving import Moving, find_moving
from unscene.audit.report.charts import (
    Results,
    grouped_dots,
    join_charts,
    scale_for,
    score_chart,
)
from unscene.audit.report.films import (
    HEAT_SCALE,
    Film,
    Shown,
    clip_title,
    film_row,
    shown_clips,
)
from unscene.audit.report.words import Outcome, ScoreWords, Words, spell_number
from unscene.audit.result import Measured
from unscene.audit.saliency import auc, energy, share, upsample
from unscene.audit.saliency_pictures import film, overlay, to_frames
from unscene.data.loading import Batch
from unscene.encoders.foreign import NoMapsError
from unscene.results.statistics import Score, bootstrap, ratio, score, sum_by_cluster

ALTERED = ("static", "paste", "noise")
SMALLEST, LARGEST = 0.003, 0.25  # share of the picture that an object to paste may cover
_NEAR = 0.001  # penalty on distance: of places that move equally little, prefer the nearest
_SHOWN = 2  # clips with pictures
_OF_MAPS = (
    *("drawn", "paste", "paste_before", "paste_share", "paste_area"),
    *("paste_on_motion", "noise_on_motion", "static_response"),
)


class Adversarial(Measure):
    """What static distractors do to a model.

    Scores: see the module docstring, "drawn" first. Those of saliency are missing for a model
    without maps, and `absent` says so. Chance: 0 for "drawn", 0.5 for "paste", the area of the
    object for "paste_share".

    Pictures, of the first clips of up to two classes: "static-1-clip.png", frames side by side, and
    "static-1-film.png", with saliency on the scale of the unaltered clip; likewise for paste and
    noise.

    Details: "altered", number of clips; "left_out"; "shown".
    """

    name = "adversarial"
    order = 6
    words = Words(
        "Can a static distractor mislead it?",
        "Three clips are made to mislead the model: one is frozen, one has an object from another "
        "video standing still in it, and one has a frame of another video laid over it as noise. A "
        "model that watches the motion is not drawn to the static object, and its feature moves "
        "further when the clip is frozen than when the object is pasted.",
        "The object is what moves in another video, cut out at its middle frame and pasted where "
        "the clip itself moves least (DSM paper, Figure 6). Drawn is how much more the model looks "
        "at the object than it looked at the same place before. How far the feature moves is its "
        "cosine distance over the mean distance to another video: 1 is as far as showing another "
        "video.",
        {
            "drawn": ScoreWords(
                "Drawn to the static object",
                "0: not at all. 0.5: before anything else.",
                "signed",
                0.05,
            ),
            "paste": ScoreWords("Looks at the static object", "By chance 0.5.", "number"),
            "paste_before": ScoreWords("Looked at that place before", kind="number"),
            "paste_share": ScoreWords(
                "Saliency on the static object", "By chance, its share of the area."
            ),
            "paste_area": ScoreWords("Area of the static object"),
            "paste_on_motion": ScoreWords("Looks at what moves, with the object", kind="number"),
            "noise_on_motion": ScoreWords("Looks at what moves, with noise", kind="number"),
            "static_response": ScoreWords(
                "Strength of the map when frozen",
                "Over that of the moving clip: 1 if it is blind to time.",
                "ratio",
            ),
            "static_moved": ScoreWords("Moved by freezing", "High for a model of motion.", "ratio"),
            "paste_moved": ScoreWords(
                "Moved by the static object", "Low for a model of motion.", "ratio"
            ),
            "noise_moved": ScoreWords("Moved by noise", "Low for a model of motion.", "ratio"),
        },
        "drawn",
    )

    def __init__(self, extractor: FeatureExtractor, footage: Footage) -> None:
        super().__init__(extractor, footage)
        self.absent = ""
        self.left_out: Counter[str] = Counter()
        self.moved: list[list[float]] = []  # 1 - cosine: static, paste, noise, the other video
        self.of_maps: list[list[float]] = []
        self.files: list[int] = []  # the file of each altered clip
        self.shown: list[dict[str, object]] = []
        self.pictures: dict[str, bytes] = {}

    def update(self, batch: Batch) -> None:
        pairs = self._pairs(batch)
        if not pairs:
            return
        view, moves = self.extractor.center(batch), find_moving(self.extractor, batch)
        rows = torch.tensor([host for host, _ in pairs])
        pasted, noisy, places = [], [], []
        for host, donor in pairs:
            frame, thing = _cut_out(view, moves, donor)
            clip, place = paste(view[host], moves.mask[host], frame, thing)
            pasted.append(clip)
            places.append(place)
            noisy.append(torch.lerp(view[host], frame[:, None].expand_as(view[host]), 0.5))
        clips = {
            "static": self.extractor.freeze(batch)[rows],
            "paste": torch.stack(pasted),
            "noise": torch.stack(noisy),
        }
        self._features(batch, pairs, clips)
        if not self.absent:
            try:
                self._maps(batch, rows, clips, torch.stack(places).cpu())
            except NoMapsError as error:
                self.absent = f"no saliency: {error}"

    def _pairs(self, batch: Batch) -> list[tuple[int, int]]:
        """Clips in which something moves, each with its donor: the next clip of another file that
        has an object to paste."""
        view, moves = self.extractor.center(batch), find_moving(self.extractor, batch)
        files = self.footage.file_of(batch)
        donors = [
            bool(moves.usable[i] and moves.fixed[i]) and cut_out(view[i], moves.mask[i]) is not None
            for i in range(len(batch))
        ]
        pairs = []
        for host in range(len(batch)):
            if moves.why[host]:
                self.left_out[moves.why[host]] += 1
                continue
            others = ((host + step) % len(batch) for step in range(1, len(batch)))
            donor = next((i for i in others if donors[i] and files[i] != files[host]), None)
            if donor is None:
                self.left_out["no other video has an object to paste"] += 1
            else:
                pairs.append((host, donor))
        return pairs

    def _features(
        self, batch: Batch, pairs: list[tuple[int, int]], clips: dict[str, Tensor]
    ) -> None:
        extractor = self.extractor
        anchors = F.normalize(extractor.anchors(batch).double(), dim=1)
        hosts, donors = torch.tensor(pairs).T
        still = extractor.encode_once(batch, "frozen", lambda: extractor.freeze(batch))[hosts]
        others = [still, *(extractor.features(clips[name]) for name in ("paste", "noise"))]
        others.append(extractor.anchors(batch)[donors])
        away = [
            1 - (F.normalize(other.double(), dim=1) * anchors[hosts]).sum(dim=1) for other in others
        ]
        self.moved += torch.stack(away, dim=1).tolist()
        self.files += self.footage.file_of(batch)[hosts.numpy()].tolist()

    def _maps(self, batch: Batch, rows: Tensor, clips: dict[str, Tensor], places: Tensor) -> None:
        extractor = self.extractor
        maps = {
            "clip": extractor.maps_once(batch, "anchor", lambda: extractor.center(batch))[rows],
            "static": extractor.maps_once(batch, "frozen", lambda: extractor.freeze(batch))[rows],
            "paste": extractor.maps(clips["paste"]),
            "noise": extractor.maps(clips["noise"]),
        }
        saliency = {name: energy(found) for name, found in maps.items()}
        mask = find_moving(extractor, batch).mask[rows].cpu()
        frames, side = mask.shape[1], min(GRID, mask.shape[-1])
        mask, places = (
            F.interpolate(x, size=(side, side), mode="area") for x in (mask, places[:, None])
        )
        for k in range(len(rows)):
            up = {n: upsample(x[k : k + 1], (frames, side, side))[0] for n, x in saliency.items()}
            thing, calm = places[k].expand(frames, -1, -1), 1 - mask[k]
            pasted, bare = (auc(up[name], thing, calm) for name in ("paste", "clip"))
            whole = float(saliency["clip"][k].mean())
            self.of_maps.append(
                [
                    pasted - bare,
                    pasted,
                    bare,
                    share(up["paste"], thing),
                    float(thing.mean()),
                    auc(up["paste"], mask[k] * (1 - thing), 1 - thing),
                    auc(up["noise"], mask[k]),
                    float(saliency["static"][k].mean()) / whole if whole > 0 else float("nan"),
                ]
            )
            video = int(batch.index[rows[k]])
            self._show(video, {n: c[k].cpu() for n, c in clips.items()}, saliency, k)

    def _show(
        self, video: int, clips: dict[str, Tensor], saliency: dict[str, Tensor], k: int
    ) -> None:
        label = self.footage.label_of(video) or ""
        if len(self.shown) >= _SHOWN or (label and label in {e["label"] for e in self.shown}):
            return
        number, spec = len(self.shown) + 1, self.extractor.spec
        path = self.footage.videos[video].path
        self.shown.append({"number": number, "video": path, "label": label})
        for name, clip in clips.items():
            frames = to_frames(clip, spec)
            heat = upsample(saliency[name][k : k + 1], clip.shape[1:])[0]
            full = upsample(saliency["clip"][k : k + 1], clip.shape[1:]).max().clamp(min=1e-12)
            lit: NDArray[np.float32] = (heat / full).numpy()
            self.pictures[f"{name}-{number}-clip.png"] = film(frames)
            self.pictures[f"{name}-{number}-film.png"] = film(overlay(frames, lit))

    def compute(self) -> Measured:
        details = {
            "left_out": dict(sorted(self.left_out.items())),
            "altered": len(self.files),
            "shown": self.shown,
        }
        absent = find_shortage(self.files, "in which a clip could be altered")
        if not self.files:
            absent = f"no clip could be altered ({list_reasons(self.left_out) or 'none was read'})"
        if absent:
            return Measured(self.name, absent=absent, details=details)
        files, moved = np.array(self.files), np.array(self.moved)
        scores: dict[str, Score] = {}
        if self.of_maps and not self.absent:
            for name, column in zip(_OF_MAPS, np.array(self.of_maps).T, strict=True):
                there = ~np.isnan(column)
                if len(np.unique(files[there])) >= FEWEST:
                    scores[name] = score(column[there], videos=files[there], shares=False)
        for k, name in enumerate(ALTERED):
            found = ratio_of_means(moved[:, k], moved[:, -1], files)
            if found is not None:
                scores[f"{name}_moved"] = found
        chance = {"paste": 0.5, "drawn": 0.0}
        if "paste_area" in scores:
            chance["paste_share"] = scores["paste_area"].value
        return Measured(
            self.name,
            with_chance(scores, chance),
            absent=self.absent,
            details=details,
            pictures=self.pictures,
        )

    @classmethod
    def sentence(cls, measured: Measured) -> str:
        parts = []
        if "drawn" in measured.scores:
            drawn = "drawn to a static object"
            level = f"is {'not' if _is_not_drawn(measured) else 'not clearly'} {drawn}"
            parts.append(
                cls.words.phrase(measured, "drawn", f"is {drawn}", level, f"is not {drawn}")
            )
        if {"static_moved", "paste_moved"} <= set(measured.scores):
            static, still = (
                spell_number(measured.scores[f"{kind}_moved"].value, "ratio")
                for kind in ("static", "paste")
            )
            parts.append(
                f"freezing the clip moves its feature {static} times as far as showing another "
                f"video does, a static object {still} times as far"
            )
        return "; ".join(parts) + "."

    @classmethod
    def outcome(cls, measured: Measured) -> Outcome | None:
        """Not being drawn speaks for the motion only where freezing the clip counts for more."""
        if "drawn" not in measured.scores:
            return None
        if cls.words.side(measured, "drawn") > 0:
            return Outcome("drawn to static objects", "bad", "drawn")
        if not _is_not_drawn(measured):
            return Outcome("not clearly drawn to static objects", "open", "drawn")
        freezing, pasting = (measured.scores.get(f"{kind}_moved") for kind in ("static", "paste"))
        if freezing is None or pasting is None or freezing.ci95[0] <= pasting.ci95[1]:
            return Outcome("not drawn to static objects", "open", "drawn")
        return Outcome("not drawn to static objects, notices freezing", "good", "drawn")

    @classmethod
    def charts(cls, results: Results) -> tuple[str, str]:
        kinds = {"static_moved": "Frozen", "paste_moved": "A static object", "noise_moved": "Noise"}
        rows = [
            (text, {place: one.scores[name] for place, _, one in results if name in one.scores})
            for name, text in kinds.items()
        ]
        rows = [(text, values) for text, values in rows if values]
        moved = grouped_dots(
            "How far it moves the feature",
            "1 is as far as showing another video. A model of motion moves far when the clip "
            "freezes, and little for static objects and noise.",
            rows,
            {place: model for place, model, _ in results},
            scale_for([end for _, values in rows for one in values.values() for end in one.ci95]),
        )
        first, *rest = [*map(_show_clip, shown_clips(results).values()), ""]
        more = ("static_response", "paste_on_motion", "noise_on_motion", "paste_share")
        return (
            join_charts(score_chart(cls.words, results, "drawn"), moved)
            + first
            + (HEAT_SCALE if first else ""),
            join_charts(*(score_chart(cls.words, results, name) for name in more)) + "".join(rest),
        )


def _show_clip(shown: Sequence[Shown]) -> str:
    """The three altered clips, each as it is and with where each model looks."""
    _, first, entry = shown[0]
    kinds = {"static": "frozen", "paste": "with a static object", "noise": "with a frame as noise"}
    rows = []
    for kind, text in kinds.items():
        clip = Film(f"{kind}-{entry['number']}-clip.png", first, "the clip", f"the clip {text}")
        films = [
            Film(
                f"{kind}-{own['number']}-film.png",
                measured,
                model,
                f"where {model} looks in the clip {text}",
            )
            for model, measured, own in shown
        ]
        rows.append(film_row(f"{clip_title(entry)}, {text}", [clip, *films]))
    return "".join(rows)


def _is_not_drawn(measured: Measured) -> bool:
    """Whether the interval leaves no room for being drawn to the object."""
    words = Adversarial.words
    return words.side(measured, "drawn") < 0 or words.is_settled(measured, "drawn")


def ratio_of_means(
    above: NDArray[np.float64], below: NDArray[np.float64], files: NDArray[np.int64]
) -> Score | None:
    """The ratio of two means, with a bootstrap interval over files.

    Args:
        above, below: (N,), at least 0, of the same windows.
        files: (N,), whose windows they are.

    Returns:
        None if the mean below is 0, up to rounding: features that never move have no scale.
    """
    if below.sum() <= 1e-9 * len(below):
        return None
    low, high = bootstrap([above, below], files, ratio)
    # Summed file by file, as every draw is.
    top, bottom = (sum_by_cluster(table, files).sum() for table in (above, below))
    return Score(float(top / bottom), (float(low), float(high)), len(above))


def _cut_out(view: Tensor, moves: Moving, donor: int) -> tuple[Tensor, Tensor]:
    found = cut_out(view[donor], moves.mask[donor])
    assert found is not None  # `_pairs` chose it for having one
    return found


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
