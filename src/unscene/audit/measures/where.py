"""Where a model looks, and whether that is where something moves (DSM paper, Figure 5).

    saliency   the last feature map, one number a place: (B, D, T', H', W') -> (B, T', H', W')
               energy     mean over channels, as in the paper
               Grad-CAM   the part of the map that speaks for a score (Selvaraju et al. 2017)
    upsampled over the frames, and compared pixel by pixel with what moves (`moving`)

Two numbers say how well the two agree. The AUC is the probability that a pixel that moves has more
saliency than one that does not: 0.5 by chance, whatever the shape of the map. The share is that of
all saliency that lies on moving pixels; by chance it is the share of the pixels that move.

Things that move often stand out in a still picture too. "frozen" is therefore the same model's AUC
when all it sees is the middle frame, repeated: what looks alone would earn. "gain" is what motion
adds to that.

Three more yardsticks, in the same AUC: "ceiling" is the best a map of this resolution could do,
namely what moves itself, averaged over the map's cells; "centre" is a blob in the middle of the
picture, as most people film what they mean; "elsewhere" is the model's own saliency against what
moves in another video, which is all it gets for looking where things usually move.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from unscene.audit.footage import Footage
from unscene.audit.measures.base import FEWEST, Measured, Watcher, against, counted, too_few
from unscene.audit.measures.moving import moving
from unscene.audit.measures.saliency_map import (
    MapScore,
    auc,
    class_cam,
    energy,
    frozen,
    grad_cam,
    maps_of,
    share,
    upsample,
)
from unscene.audit.measures.saliency_picture import brightened, film, filmstrip, overlay
from unscene.data.loading import Batch
from unscene.encoders.foreign import NoMapsError
from unscene.results.statistics import score

GRID = 56  # px; saliency is coarse, and a finer mask would only take longer to sort
_CENTRE = 0.5  # standard deviation of the blob in the middle, in half frames
_SHOWN = 4  # windows with pictures
_SCORES = ("auc", "gain", "share", "area", "frozen", "ceiling", "centre", "elsewhere", "class")


class Saliency:
    """Measures where a model looks: `Measured` of name "where".

    Scores, each the mean over windows with an interval over files: "auc" (chance 0.5), "gain" (its
    distance from "frozen", -1..1, by chance 0), "share" (chance: the mean of "area", the share of
    the pixels that move), and the yardsticks "frozen", "ceiling", "centre" and "elsewhere". For
    models with logits, "class" is the AUC of Grad-CAM for the class that the clip is taken for
    (chance 0.5). Windows in which nothing moves, or everything does, are left out,
    and so are scores of fewer than `FEWEST` files.

    Pictures, of the first windows of up to four classes: "video-1.png", "moves-1.png", "film-1.png"
    (frames side by side: as they are, with what moves, with saliency) and "strip-1.png" (all three,
    one above the other).

    Details: "map" [T', H', W'] and "saliency", how it was made; "left_out" reason -> windows;
    "shown", for each picture its video, label and AUC.

    Args:
        watcher: the model.
        footage: where the batches come from.
        explained: None for the map's energy; else what Grad-CAM explains.
    """

    name = "where"

    def __init__(
        self, watcher: Watcher, footage: Footage, *, explained: MapScore | None = None
    ) -> None:
        self.watcher, self.footage, self.explained = watcher, footage, explained
        self.absent = ""
        self.map_size: list[int] = []
        self.kinds: set[str] = set()
        self.left_out: dict[str, int] = {}
        self.rows: list[list[float]] = []
        self.files: list[int] = []  # which each row is of
        self.shown: list[dict[str, object]] = []
        self.pictures: dict[str, bytes] = {}
        self.forwards = 0
        self.last: tuple[int, Tensor] | None = None  # a file, and what moves in it

    def see(self, batch: Batch) -> None:
        if self.absent or not len(batch):
            return
        before = self.watcher.forwards
        moves = moving(self.watcher, batch)
        for reason in filter(None, moves.why):
            self.left_out[reason] = self.left_out.get(reason, 0) + 1
        chosen = moves.usable.nonzero()[:, 0].tolist()
        if not chosen:
            return
        try:
            maps = maps_of(self.watcher, batch, "anchor", lambda: self.watcher.centre(batch))
            still = maps_of(self.watcher, batch, "frozen", lambda: frozen(self.watcher, batch))
        except NoMapsError as error:
            self.absent = str(error)
            return
        finally:
            self.forwards += self.watcher.forwards - before
        self.map_size = list(maps.shape[2:])
        self.kinds.add(_kind(maps, self.explained))
        looked, unmoved = self._saliency(maps), self._saliency(still)
        named = class_cam(self.watcher.encoder, self.watcher.centre(batch)[chosen])
        self.forwards += 0 if named is None else len(chosen)
        self.watcher.forwards += 0 if named is None else len(chosen)
        view, mask = self.watcher.centre(batch), moves.mask.cpu()
        for place, k in enumerate(chosen):
            video, one = int(batch.index[k]), slice(k, k + 1)
            speaks = None if named is None else named[place : place + 1]
            self._score(video, view[k].cpu(), looked[one], unmoved[one], speaks, mask[k])

    def _saliency(self, maps: Tensor) -> Tensor:
        return energy(maps) if self.explained is None else grad_cam(maps, self.explained)

    def _score(
        self,
        video: int,
        view: Tensor,
        looked: Tensor,
        unmoved: Tensor,
        named: Tensor | None,
        mask: Tensor,
    ) -> None:
        frames, side = mask.shape[0], min(GRID, mask.shape[-1])
        small = F.interpolate(mask[None], size=(side, side), mode="area")[0]
        saliency = upsample(looked, (frames, side, side))[0]
        _, *size = looked.shape
        still = small[frames // 2]
        cells = F.adaptive_avg_pool3d(small[None], (size[0], size[1], size[2]))
        best = upsample(cells, (frames, side, side))[0]
        file = int(self.footage.files[video])
        other = self.last[1] if self.last is not None and self.last[0] != file else None
        agreed = auc(saliency, small)
        alone = auc(upsample(unmoved, (frames, side, side))[0], still.expand_as(small))
        found = [
            agreed,
            agreed - alone,
            share(saliency, small),
            float(small.mean()),
            alone,
            auc(best, small),
            auc(_blob(side).expand_as(small), small),
            float("nan") if other is None else auc(saliency, other),
            float("nan") if named is None else auc(upsample(named, (frames, side, side))[0], small),
        ]
        self.rows.append(found)
        self.files.append(file)
        self.last = (file, small)
        self._show(video, view, looked, mask, found[0])

    def _show(self, video: int, view: Tensor, looked: Tensor, mask: Tensor, found: float) -> None:
        """Keep pictures of a window, if it is the first of its class; no model chooses."""
        label = self.footage.label_of(video) or ""
        seen = {entry["label"] for entry in self.shown}
        if len(self.shown) >= _SHOWN or (label and label in seen):
            return
        number, spec = len(self.shown) + 1, self.watcher.spec
        frames = brightened(view, spec)
        saliency: NDArray[np.float32] = upsample(looked, view.shape[1:])[0].numpy()
        top = float(saliency.max())
        heat = overlay(frames, saliency / top if top > 0 else saliency)
        moves = overlay(frames, mask.numpy(), color=(70, 190, 255))
        path = self.footage.videos[video].path
        self.shown.append({"number": number, "video": path, "label": label, "auc": found})
        self.pictures |= {
            f"video-{number}.png": film(frames),
            f"moves-{number}.png": film(moves),
            f"film-{number}.png": film(heat),
            f"strip-{number}.png": filmstrip([frames, moves, heat]),
        }

    def finish(self) -> Measured:
        details = {"left_out": dict(sorted(self.left_out.items()))}
        absent = self.absent or too_few(self.files, "in which it can be told what moves")
        if not self.absent and not self.rows:
            absent = f"no window can be scored ({counted(self.left_out) or 'none was read'})"
        if absent:
            return Measured(self.name, absent=absent, details=details, forwards=self.forwards)
        rows, files = np.array(self.rows), np.array(self.files)
        scores = {}
        for name, column in zip(_SCORES, rows.T, strict=True):
            there = ~np.isnan(column)
            if len(np.unique(files[there])) >= FEWEST:
                scores[name] = score(column[there], videos=files[there], shares=False)
        chance = {"auc": 0.5, "gain": 0.0, "share": scores["area"].value, "class": 0.5}
        return Measured(
            self.name,
            scores=against(scores, chance),
            details=details
            | {
                "map": self.map_size,
                "saliency": sorted(self.kinds),
                "windows": len(rows),
                "shown": self.shown,
            },
            pictures=self.pictures,
            forwards=self.forwards,
        )


def _blob(side: int) -> Tensor:
    axis = torch.linspace(-1, 1, side)
    distance = axis[:, None].square() + axis[None].square()
    return torch.exp(-distance / (2 * _CENTRE**2))


def _kind(maps: Tensor, explained: MapScore | None) -> str:
    if explained is not None:
        return "Grad-CAM"
    return "mean over channels" if bool((maps >= 0).all()) else "distance from the clip's mean"
