"""Clips made to catch a model that looks at things instead of motion (DSM paper, Figure 6).

`still_paste` makes them: "static", "paste" and "noise". Three questions are put to each model.

Is it drawn to a thing that stands still? "paste" is the AUC of its saliency on the pasted thing:
the probability that a pixel of the thing has more saliency than another pixel that does not move.
0.5: it is looked at like any other place. "paste_before" is the same for the clip without the
thing, "drawn" their distance: what the thing itself draws. "paste_share" is the share of all
saliency on the thing, by chance "paste_area", its share of the picture.

Does it stay on what moves? "paste_on_motion" and "noise_on_motion" are the AUC of `saliency`, with
the thing or the noise over the clip.

How far does the feature move? "static_moved", "paste_moved" and "noise_moved" are the mean of
1 - cosine to the feature of the clip as it is, divided by the mean of 1 - cosine between the clip
and the other video: 0 if the alteration makes no difference, 1 if it makes as much as showing
another video. A model of motion moves far for static and little for paste and noise.
"static_response" is the energy of the map of the static clip, over that of the clip as it is: 1 for
a model that is blind to time.
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
from unscene.audit.measures.moving import Moving, moving
from unscene.audit.measures.saliency_map import auc, energy, frozen, maps_of, share, upsample
from unscene.audit.measures.saliency_picture import brightened, film, overlay
from unscene.audit.measures.still_paste import cut_out, paste
from unscene.audit.measures.where import GRID
from unscene.data.loading import Batch
from unscene.encoders.foreign import NoMapsError
from unscene.results.statistics import Score, bootstrap, ratio, score, sum_by_cluster

ALTERED = ("static", "paste", "noise")
_SHOWN = 2  # windows with pictures
_OF_MAPS = (
    *("drawn", "paste", "paste_before", "paste_share", "paste_area"),
    *("paste_on_motion", "noise_on_motion", "static_response"),
)


class Adversarial:
    """Measures what stills do to a model: `Measured` of name "adversarial".

    Scores as in the head of this file, "drawn" first, each with an interval over files; those of
    saliency are missing for a model without maps, and `absent` says so. Chance: 0 for "drawn", 0.5
    for "paste", the area for "paste_share".

    Pictures, of the first windows of up to two classes: "static-1-clip.png", frames side by side,
    and "static-1-film.png", with the saliency in the light that the unaltered clip's would have;
    likewise for paste and noise.

    Details: "left_out" reason -> windows, "shown", "altered" windows.

    Args:
        watcher: the model.
        footage: where the batches come from.
    """

    name = "adversarial"

    def __init__(self, watcher: Watcher, footage: Footage) -> None:
        self.watcher, self.footage = watcher, footage
        self.absent = ""
        self.left_out: Counter[str] = Counter()
        self.moved: list[list[float]] = []  # 1 - cosine: static, paste, noise, the other video
        self.of_maps: list[list[float]] = []
        self.files: list[int] = []  # which each altered window is of
        self.shown: list[dict[str, object]] = []
        self.pictures: dict[str, bytes] = {}
        self.forwards = 0

    def see(self, batch: Batch) -> None:
        before = self.watcher.forwards
        pairs = self._pairs(batch) if len(batch) else []
        if not pairs:
            return
        view, moves = self.watcher.centre(batch), moving(self.watcher, batch)
        rows = torch.tensor([host for host, _ in pairs])
        pasted, noisy, places = [], [], []
        for host, donor in pairs:
            frame, thing = _thing(view, moves, donor)
            clip, place = paste(view[host], moves.mask[host], frame, thing)
            pasted.append(clip)
            places.append(place)
            noisy.append(torch.lerp(view[host], frame[:, None].expand_as(view[host]), 0.5))
        clips = {
            "static": frozen(self.watcher, batch)[rows],
            "paste": torch.stack(pasted),
            "noise": torch.stack(noisy),
        }
        self._features(batch, pairs, clips)
        if not self.absent:
            try:
                self._maps(batch, rows, clips, torch.stack(places).cpu())
            except NoMapsError as error:
                self.absent = f"no saliency: {error}"
        self.forwards += self.watcher.forwards - before

    def _pairs(self, batch: Batch) -> list[tuple[int, int]]:
        """Windows in which something moves, each with the next in the batch, of another file, that
        has a thing to lend."""
        view, moves = self.watcher.centre(batch), moving(self.watcher, batch)
        files = self.footage.file_of(batch)
        lenders = [
            bool(moves.usable[i] and moves.fixed[i]) and cut_out(view[i], moves.mask[i]) is not None
            for i in range(len(batch))
        ]
        pairs = []
        for host in range(len(batch)):
            if moves.why[host]:
                self.left_out[moves.why[host]] += 1
                continue
            others = ((host + step) % len(batch) for step in range(1, len(batch)))
            lender = next((i for i in others if lenders[i] and files[i] != files[host]), None)
            if lender is None:
                self.left_out["no other video has a thing to lend"] += 1
            else:
                pairs.append((host, lender))
        return pairs

    def _features(
        self, batch: Batch, pairs: list[tuple[int, int]], clips: dict[str, Tensor]
    ) -> None:
        anchors = F.normalize(self.watcher.anchors(batch).double(), dim=1)
        hosts, donors = torch.tensor(pairs).T
        still = self.watcher.once(batch, "frozen", lambda: frozen(self.watcher, batch))[hosts]
        others = [still, *(self.watcher.features(clips[name]) for name in ("paste", "noise"))]
        others.append(self.watcher.anchors(batch)[donors])
        away = [
            1 - (F.normalize(other.double(), dim=1) * anchors[hosts]).sum(dim=1) for other in others
        ]
        self.moved += torch.stack(away, dim=1).tolist()
        self.files += self.footage.file_of(batch)[hosts.numpy()].tolist()

    def _maps(self, batch: Batch, rows: Tensor, clips: dict[str, Tensor], places: Tensor) -> None:
        watcher = self.watcher
        maps = {
            "clip": maps_of(watcher, batch, "anchor", lambda: watcher.centre(batch))[rows],
            "static": maps_of(watcher, batch, "frozen", lambda: frozen(watcher, batch))[rows],
            "paste": watcher.maps(clips["paste"]),
            "noise": watcher.maps(clips["noise"]),
        }
        looked = {name: energy(found) for name, found in maps.items()}
        mask = moving(watcher, batch).mask[rows].cpu()
        frames, side = mask.shape[1], min(GRID, mask.shape[-1])
        mask, places = (
            F.interpolate(x, size=(side, side), mode="area") for x in (mask, places[:, None])
        )
        for k in range(len(rows)):
            up = {n: upsample(x[k : k + 1], (frames, side, side))[0] for n, x in looked.items()}
            thing, calm = places[k].expand(frames, -1, -1), 1 - mask[k]
            pasted, bare = (auc(up[name], thing, calm) for name in ("paste", "clip"))
            whole = float(looked["clip"][k].mean())
            self.of_maps.append(
                [
                    pasted - bare,
                    pasted,
                    bare,
                    share(up["paste"], thing),
                    float(thing.mean()),
                    auc(up["paste"], mask[k] * (1 - thing), 1 - thing),
                    auc(up["noise"], mask[k]),
                    float(looked["static"][k].mean()) / whole if whole > 0 else float("nan"),
                ]
            )
            video = int(batch.index[rows[k]])
            self._show(video, {n: c[k].cpu() for n, c in clips.items()}, looked, k)

    def _show(
        self, video: int, clips: dict[str, Tensor], looked: dict[str, Tensor], k: int
    ) -> None:
        label = self.footage.label_of(video) or ""
        if len(self.shown) >= _SHOWN or (label and label in {e["label"] for e in self.shown}):
            return
        number, spec = len(self.shown) + 1, self.watcher.spec
        path = self.footage.videos[video].path
        self.shown.append({"number": number, "video": path, "label": label})
        for name, clip in clips.items():
            frames = brightened(clip, spec)
            heat = upsample(looked[name][k : k + 1], clip.shape[1:])[0]
            full = upsample(looked["clip"][k : k + 1], clip.shape[1:]).max().clamp(min=1e-12)
            lit: NDArray[np.float32] = (heat / full).numpy()
            self.pictures[f"{name}-{number}-clip.png"] = film(frames)
            self.pictures[f"{name}-{number}-film.png"] = film(overlay(frames, lit))

    def finish(self) -> Measured:
        details = {
            "left_out": dict(sorted(self.left_out.items())),
            "altered": len(self.files),
            "shown": self.shown,
        }
        absent = too_few(self.files, "in which a clip could be altered")
        if not self.files:
            absent = f"no clip could be altered ({counted(self.left_out) or 'none was read'})"
        if absent:
            return Measured(self.name, absent=absent, details=details, forwards=self.forwards)
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
            scores=against(scores, chance),
            absent=self.absent,
            details=details,
            pictures=self.pictures,
            forwards=self.forwards,
        )


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


def _thing(view: Tensor, moves: Moving, donor: int) -> tuple[Tensor, Tensor]:
    found = cut_out(view[donor], moves.mask[donor])
    assert found is not None  # `_pairs` chose it for having one
    return found
