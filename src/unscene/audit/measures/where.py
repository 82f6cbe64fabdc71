"""The measure "where": does the model look at what moves?

    saliency   the last feature map, one number per place: (B, D, T', H', W') -> (B, T', H', W')
               energy     mean over channels, as in the paper
               Grad-CAM   the part of the map that contributes to a score
    upsampled to the frames, and compared pixel by pixel with what moves (`moving`)

    auc     probability that a moving pixel has more saliency than another one: 0.5 by chance,
            whatever the shape of the map
    share   of all saliency, what lies on moving pixels: by chance the share of moving pixels

Things that move often stand out in a still picture too. "frozen" is therefore the AUC of the same
model when it sees only the middle frame, repeated: what appearance alone earns. "gain" is the
difference: what seeing the motion adds.

Three references, as AUC: "ceiling" is the best value at the resolution of the map, that of the
moving pixels averaged over its cells. "centre" is a blob in the center of the picture, where most
people film what they mean. "elsewhere" compares the saliency with what moves in another video: what
a model earns by looking where things usually move.

Sources: DSM paper, Figure 5 (energy maps, without numbers); Selvaraju et al., Grad-CAM, ICCV 2017.
Deviation: the scores are our own.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from unscene.audit.extractor import FeatureExtractor
from unscene.audit.footage import Footage
from unscene.audit.measures.base import FEWEST, Measure, find_shortage, list_reasons, with_chance
from unscene.audit.moving import find_moving
from unscene.audit.report.charts import Results, join_charts, score_chart
from unscene.audit.report.films import (
    HEAT_SCALE,
    Film,
    Shown,
    clip_title,
    film_row,
    picture_strips,
    shown_clips,
)
from unscene.audit.report.words import Outcome, ScoreWords, Words
from unscene.audit.result import Measured
from unscene.audit.saliency import MapScore, auc, class_cam, energy, grad_cam, share, upsample
from unscene.audit.saliency_pictures import film, filmstrip, overlay, to_frames
from unscene.data.loading import Batch
from unscene.encoders.foreign import NoMapsError
from unscene.results.statistics import score

GRID = 56  # px; saliency is coarse, a finer mask would only take longer to sort
_BLOB = 0.5  # standard deviation of the blob in the center, in half frames
_SHOWN = 4  # clips with pictures
_SCORES = ("auc", "gain", "share", "area", "frozen", "ceiling", "centre", "elsewhere", "class")


class Saliency(Measure):
    """Where a model looks.

    Scores, means over clips: "auc" (chance 0.5), "gain" (chance 0), "share" (chance: the mean of
    "area", the share of moving pixels), and the references "frozen", "ceiling", "centre" and
    "elsewhere". For models with logits, "class" is the AUC of Grad-CAM for the predicted class
    (chance 0.5). Clips in which nothing moves, or the camera does, are left out, and so are scores
    of fewer than `FEWEST` files.

    Pictures, of the first clips of up to four classes: "video-1.png", "moves-1.png", "film-1.png"
    (frames side by side: plain, with what moves, with saliency) and "strip-1.png" (all three below
    each other).

    Details: "map" [T', H', W'] and "saliency", how it was made; "windows", number of clips;
    "left_out"; "shown", for each picture its video, label and AUC.

    Args:
        extractor: the model.
        footage: the videos.
        explained: None for the energy of the map; else the score that Grad-CAM explains.
    """

    name = "where"
    order = 4
    words = Words(
        "Where does it look?",
        "The strength of the model's last feature map, place by place, is compared with what "
        "really moves. At 0.5 the model looks at moving and still pixels alike, at 1 only at what "
        "moves. Things that move often stand out in a still picture too, so what counts is how "
        "much better the moving clip does than its middle frame alone.",
        "The last feature map is averaged over channels and stretched over the frames (DSM paper, "
        "Figure 5). The number is the probability that a moving pixel has more saliency than a "
        "still one (area under the ROC curve). What moves is what differs from the clip's own "
        "static background or, if the camera moves, from the camera's motion.",
        {
            "auc": ScoreWords("Looks at what moves", "A probability, 0.5 by chance.", "number"),
            "gain": ScoreWords(
                "Gain from seeing the motion",
                "Looks at what moves, minus the same for its middle frame alone.",
                "signed",
                0.05,
            ),
            "share": ScoreWords(
                "Saliency on moving pixels", "By chance, the share of moving pixels."
            ),
            "area": ScoreWords("Pixels that move"),
            "frozen": ScoreWords(
                "With the middle frame alone", "What appearance alone earns.", "number"
            ),
            "ceiling": ScoreWords(
                "Best value at this resolution",
                "What moves itself, as coarse as the map.",
                "number",
            ),
            "centre": ScoreWords("A blob in the center", kind="number"),
            "elsewhere": ScoreWords(
                "Against the motion of another video",
                "What looking where things usually move earns.",
                "number",
            ),
            "class": ScoreWords(
                "Grad-CAM of the predicted class",
                "Whether what contributes to the predicted class moves.",
                "number",
            ),
        },
        "gain",
    )

    def __init__(
        self,
        extractor: FeatureExtractor,
        footage: Footage,
        *,
        explained: MapScore | None = None,
    ) -> None:
        super().__init__(extractor, footage)
        self.explained = explained
        self.absent = ""
        self.map_size: list[int] = []
        self.kinds: set[str] = set()
        self.left_out: dict[str, int] = {}
        self.rows: list[list[float]] = []
        self.files: list[int] = []  # the file of each row
        self.shown: list[dict[str, object]] = []
        self.pictures: dict[str, bytes] = {}
        self.last: tuple[int, Tensor] | None = None  # a file, and what moves in it

    def update(self, batch: Batch) -> None:
        if self.absent or not len(batch):
            return
        extractor = self.extractor
        moves = find_moving(extractor, batch)
        for reason in filter(None, moves.why):
            self.left_out[reason] = self.left_out.get(reason, 0) + 1
        chosen = moves.usable.nonzero()[:, 0].tolist()
        if not chosen:
            return
        try:
            maps = extractor.maps_once(batch, "anchor", lambda: extractor.center(batch))
            still = extractor.maps_once(batch, "frozen", lambda: extractor.freeze(batch))
        except NoMapsError as error:
            self.absent = str(error)
            return
        self.map_size = list(maps.shape[2:])
        self.kinds.add(_kind(maps, self.explained))
        saliency, frozen = self._saliency(maps), self._saliency(still)
        view, mask = extractor.center(batch), moves.mask.cpu()
        cams = class_cam(extractor.encoder, view[chosen])
        extractor.forwards += 0 if cams is None else len(chosen)
        for place, k in enumerate(chosen):
            video, one = int(batch.index[k]), slice(k, k + 1)
            cam = None if cams is None else cams[place : place + 1]
            self._score(video, view[k].cpu(), saliency[one], frozen[one], cam, mask[k])

    def _saliency(self, maps: Tensor) -> Tensor:
        return energy(maps) if self.explained is None else grad_cam(maps, self.explained)

    def _score(
        self,
        video: int,
        view: Tensor,
        saliency: Tensor,
        frozen: Tensor,
        cam: Tensor | None,
        mask: Tensor,
    ) -> None:
        """Add the scores of a clip; its saliency, frozen saliency and class map are (1, ...)."""
        frames, side = mask.shape[0], min(GRID, mask.shape[-1])
        size = (frames, side, side)
        small = F.interpolate(mask[None], size=(side, side), mode="area")[0]
        whole = upsample(saliency, size)[0]
        _, t, h, w = saliency.shape
        cells = F.adaptive_avg_pool3d(small[None], (t, h, w))
        file = int(self.footage.files[video])
        other = self.last[1] if self.last is not None and self.last[0] != file else None
        agreed = auc(whole, small)
        alone = auc(upsample(frozen, size)[0], small[frames // 2].expand_as(small))
        self.rows.append(
            [
                agreed,
                agreed - alone,
                share(whole, small),
                float(small.mean()),
                alone,
                auc(upsample(cells, size)[0], small),
                auc(_blob(side).expand_as(small), small),
                float("nan") if other is None else auc(whole, other),
                float("nan") if cam is None else auc(upsample(cam, size)[0], small),
            ]
        )
        self.files.append(file)
        self.last = (file, small)
        self._show(video, view, saliency, mask, agreed)

    def _show(self, video: int, view: Tensor, saliency: Tensor, mask: Tensor, found: float) -> None:
        """Draw pictures of a clip if it is the first of its class; no result chooses them."""
        label = self.footage.label_of(video) or ""
        if len(self.shown) >= _SHOWN or (label and label in {e["label"] for e in self.shown}):
            return
        number = len(self.shown) + 1
        frames = to_frames(view, self.extractor.spec)
        heat: NDArray[np.float32] = upsample(saliency, view.shape[1:])[0].numpy()
        top = float(heat.max())
        lit = overlay(frames, heat / top if top > 0 else heat)
        moves = overlay(frames, mask.numpy(), color=(70, 190, 255))
        path = self.footage.videos[video].path
        self.shown.append({"number": number, "video": path, "label": label, "auc": found})
        self.pictures |= {
            f"video-{number}.png": film(frames),
            f"moves-{number}.png": film(moves),
            f"film-{number}.png": film(lit),
            f"strip-{number}.png": filmstrip([frames, moves, lit]),
        }

    def compute(self) -> Measured:
        details: dict[str, object] = {"left_out": dict(sorted(self.left_out.items()))}
        absent = self.absent or find_shortage(self.files, "in which it is known what moves")
        if not self.absent and not self.rows:
            absent = f"no clip can be scored ({list_reasons(self.left_out) or 'none was read'})"
        if absent:
            return Measured(self.name, absent=absent, details=details)
        rows, files = np.array(self.rows), np.array(self.files)
        scores = {}
        for name, column in zip(_SCORES, rows.T, strict=True):
            known = ~np.isnan(column)
            if len(np.unique(files[known])) >= FEWEST:
                scores[name] = score(column[known], videos=files[known], shares=False)
        chance = {"auc": 0.5, "gain": 0.0, "share": scores["area"].value, "class": 0.5}
        details |= {
            "map": self.map_size,
            "saliency": sorted(self.kinds),
            "windows": len(rows),
            "shown": self.shown,
        }
        return Measured(
            self.name, with_chance(scores, chance), details=details, pictures=self.pictures
        )

    @classmethod
    def sentence(cls, measured: Measured) -> str:
        text = cls.words.phrase(
            measured,
            "auc",
            "looks at what moves more than by chance",
            "looks at moving and still pixels alike",
            "looks at still pixels rather than at moving ones",
        )
        if "gain" in measured.scores:
            text += "; " + cls.words.phrase(
                measured,
                "gain",
                "seeing the motion adds to that",
                "seeing the motion adds hardly anything to its middle frame alone",
                "its middle frame alone does better: it looks at appearance",
            )
        return text + "."

    @classmethod
    def outcome(cls, measured: Measured) -> Outcome | None:
        """Both scores count: whoever does not look at what moves is not attracted by motion."""
        if "gain" not in measured.scores:
            return None
        looks, gains = (cls.words.side(measured, name) for name in ("auc", "gain"))
        if looks < 0:
            return Outcome("looks at what stands still", "bad", "auc")
        if looks == 0:
            return Outcome("looks at moving and still pixels alike", "open", "auc")
        if gains > 0:
            return Outcome("motion attracts it", "good", "gain")
        return Outcome("appearance alone attracts it", "bad" if gains < 0 else "open", "gain")

    @classmethod
    def charts(cls, results: Results) -> tuple[str, str]:
        shown = [_show_clip(clips) for clips in shown_clips(results).values()]
        legend = "its middle frame alone"
        return (
            join_charts(
                score_chart(cls.words, results, "auc", hollow="frozen", legend=legend),
                score_chart(cls.words, results, "gain"),
                score_chart(cls.words, results, "class"),
            )
            + _best_possible(results)
            + "".join(shown)
            + (HEAT_SCALE if shown else ""),
            picture_strips(
                [
                    (one.pictures[f"strip-{entry['number']}.png"], f"filmstrip of {text}", text)
                    for _, model, one in results
                    for entry in one.details.get("shown", ())
                    if f"strip-{entry['number']}.png" in one.pictures
                    for text in [f"{clip_title(entry)}: frames, what moves, where {model} looks"]
                ]
            ),
        )


def _show_clip(shown: Sequence[Shown]) -> str:
    """A clip as it is, what moves in it, and where each model looks."""
    _, first, entry = shown[0]
    films = [
        Film(f"video-{entry['number']}.png", first, "the clip", "the clip"),
        Film(f"moves-{entry['number']}.png", first, "what moves", "what moves, highlighted"),
    ]
    for model, measured, own in shown:
        films.append(
            Film(
                f"film-{own['number']}.png",
                measured,
                f"{model}: {own['auc']:.2f}",
                f"where {model} looks; looks at what moves: {own['auc']:.2f}",
            )
        )
    return film_row(clip_title(entry), films)


def _best_possible(results: Results) -> str:
    ceilings = {one.scores["ceiling"].value for _, _, one in results if "ceiling" in one.scores}
    if not ceilings:
        return ""
    ends = " to ".join(f"{value:.2f}" for value in sorted({min(ceilings), max(ceilings)}))
    return f'<p class="note">The best value at the resolution of the maps is {ends}.</p>'


def _blob(side: int) -> Tensor:
    axis = torch.linspace(-1, 1, side)
    distance = axis[:, None].square() + axis[None].square()
    return torch.exp(-distance / (2 * _BLOB**2))


def _kind(maps: Tensor, explained: MapScore | None) -> str:
    if explained is not None:
        return "Grad-CAM"
    return "mean over channels" if bool((maps >= 0).all()) else "distance from the clip's mean"
