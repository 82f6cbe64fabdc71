"""The measure "reliance": what a classifier gains from seeing the motion (DSM paper, Figure 1).

    static clips   one random frame of each window, repeated --> a classifier --+
                                                                                +--> normal clips
    normal clips   the windows as they are --------------------> a classifier --+

    gain of a class   (accuracy with normal - accuracy with static) / accuracy with static

Where static clips teach a classifier as much as normal ones do, the label can be had from the scene
and is. The paper's number is the share of classes that gain less than 5 %: 24 % on HMDB51, with
networks trained from nothing. Here the encoder stays as it is and logistic regression reads its
features [ours]: the number is about this encoder on these labels. Every video is tested once, by a
classifier that was trained on other files, its class among them; the strength is chosen on a fifth
of the training videos of the same kind, so that the static one is never shown a moving clip.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unscene.audit.footage import Footage
from unscene.audit.measures.base import Measured, Watcher, against, too_few
from unscene.data.loading import Batch
from unscene.evaluate.probing import STRENGTHS, choose_validation, classify_by_regression
from unscene.results.statistics import Score, bootstrap, score

LEAST = 0.05  # a class that gains less relies on the scene
_FOLDS = 4

_Table = NDArray[np.float64]


class Reliance:
    """Normal against static clips; see the head of this file.

    Args:
        watcher: the encoder.
        footage: what is audited; the measure applies if it has labels.
    """

    name = "reliance"

    def __init__(self, watcher: Watcher, footage: Footage) -> None:
        self.watcher, self.footage = watcher, footage
        count = len(footage.videos)
        self.sums: dict[str, Tensor] = {}
        self.counts = torch.zeros(count, dtype=torch.long)
        self.forwards = 0

    def see(self, batch: Batch) -> None:
        """Encode the windows as they are, and one frame of each, repeated."""
        if self.footage.label is None:
            return
        before = self.watcher.forwards
        clip = self.watcher.centre(batch)
        rng = np.random.default_rng([self.footage.seed, 0x1, *batch.index.tolist()])
        frames = torch.from_numpy(rng.integers(clip.shape[2], size=len(batch))).to(clip.device)
        still = clip[torch.arange(len(batch)), :, frames][:, :, None]
        found = {
            "normal": self.watcher.anchors(batch),
            "static": self.watcher.once(batch, "static", lambda: still.expand_as(clip)),
        }
        index = batch.index.cpu()
        for kind, features in found.items():
            if kind not in self.sums:
                self.sums[kind] = torch.zeros(len(self.counts), features.shape[1])
            self.sums[kind].index_add_(0, index, features)
        self.counts.index_add_(0, index, torch.ones_like(index))
        self.forwards += self.watcher.forwards - before

    def finish(self) -> Measured:
        """Headline "classes_below_5_percent", low for an encoder of motion; the overall "gain";
        "accuracy_normal" and "accuracy_static". Where these tell nothing, `absent` says so."""
        if self.footage.label is None:
            return Measured(self.name, absent="no labels: name their column with --label")
        kept, names = self._labelled()
        files = self.footage.files[kept]
        usable = _usable(names, files)
        absent = _absent(names[usable], files[usable])
        if absent:
            return Measured(self.name, absent=absent, forwards=self.forwards)
        kept, names, files = kept[usable], names[usable], files[usable]
        folds = _folds(names, files, self._paths(), self.footage.seed)
        known = _known(names, folds)
        left_out = {
            "classes with a single file": int((~usable).sum()),
            "no other part has the class": int((~known).sum()),
        }
        absent = _absent(names[known], files[known])
        if absent:
            details = {"left_out": left_out}
            return Measured(self.name, absent=absent, details=details, forwards=self.forwards)
        values = {
            kind: (sums[kept] / self.counts[kept, None]).numpy() for kind, sums in self.sums.items()
        }
        hits = {
            kind: self._hits(values[kind], values["normal"], names, files, folds)[known]
            for kind in ("static", "normal")
        }
        names, files = names[known], files[known]
        below, gain = _intervals(hits["static"], hits["normal"], names, files)
        most = Counter(names.tolist()).most_common(1)[0][1] / len(names)
        accuracies = {
            f"accuracy_{kind}": score(hits[kind], labels=names.tolist(), videos=files)
            for kind in ("normal", "static")
        }
        normal = accuracies["accuracy_normal"]
        weak = (
            f"even normal clips teach no more than {normal.value:.0%}, where always naming the "
            f"commonest class gives {most:.0%}: what classes gain is noise"
        )
        return Measured(
            self.name,
            absent=weak if normal.ci95[0] <= most else "",
            scores={"classes_below_5_percent": below}
            | ({"gain": gain} if gain is not None else {})
            | against(accuracies, dict.fromkeys(accuracies, most)),
            details={
                "classes": {
                    name: _class(hits["static"][names == name], hits["normal"][names == name])
                    for name in sorted(set(names.tolist()))
                },
                "left_out": left_out,
                "folds": int(folds.max()) + 1,
            },
            forwards=self.forwards,
        )

    def _labelled(self) -> tuple[NDArray[np.int64], NDArray[np.str_]]:
        """Places of the videos that were read and have a label, and these."""
        read = torch.nonzero(self.counts)[:, 0].tolist()
        named = {i: label for i in read if (label := self.footage.label_of(i)) is not None}
        return np.array(list(named), dtype=np.int64), np.array(list(named.values()), dtype=np.str_)

    def _paths(self) -> list[str]:
        """A path for every file: the first that leads to it."""
        first = np.unique(self.footage.files, return_index=True)[1]
        return [self.footage.videos[i].path for i in first.tolist()]

    def _hits(
        self,
        known: NDArray[np.float32],
        asked: NDArray[np.float32],
        names: NDArray[np.str_],
        files: NDArray[np.int64],
        folds: NDArray[np.int64],
    ) -> _Table:
        """(N,), 1 where a video is recognised by a classifier that was trained on other files, 0
        too where there is none (`_known`).

        Args:
            known: (N, D), what classifiers are trained on.
            asked: (N, D), what they are asked.
        """
        hits = np.zeros(len(names))
        for fold in range(folds.max() + 1):
            out = folds == fold
            train, own = known[~out], names[~out]
            if len(set(own.tolist())) < 2:
                continue
            held = choose_validation(own, None, self.footage.seed)
            # Segments of a file that is fitted on tell nothing about what works elsewhere.
            held &= ~np.isin(files[~out], files[~out][~held])
            best = 1.0
            if held.any() and len(set(own[~held])) > 1:
                right = [
                    (
                        classify_by_regression(c, train[~held], own[~held], train[held])
                        == own[held]
                    ).mean()
                    for c in STRENGTHS
                ]
                best = STRENGTHS[int(np.argmax(right))]
            hits[out] = classify_by_regression(best, train, own, asked[out]) == names[out]
        return hits


def _usable(names: NDArray[np.str_], files: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which videos are of a class that has two files, to be trained on one and asked the other."""
    counts = Counter(name for name, _ in {*zip(names.tolist(), files.tolist(), strict=True)})
    return np.array([counts[name] > 1 for name in names.tolist()], dtype=bool)


def _absent(names: NDArray[np.str_], files: NDArray[np.int64]) -> str:
    """Why a classifier of what can be used would tell nothing, "" if it would."""
    classes = len(set(names.tolist()))
    if classes < 2:
        return (
            f"too few labelled videos: {classes} classes have two files or more; "
            "a classifier needs two such classes"
        )
    return too_few(files.tolist(), "of classes that have two or more")


def _folds(
    names: NDArray[np.str_], files: NDArray[np.int64], paths: Sequence[str], seed: int
) -> NDArray[np.int64]:
    """Which part each video is tested in, (N,); a file is in one part, a class in as many as can
    be.

    Args:
        paths: of every file.
    """
    rng = np.random.default_rng([seed, 0xF0])
    labels: dict[int, set[str]] = {}
    for name, file in zip(names.tolist(), files.tolist(), strict=True):
        labels.setdefault(file, set()).add(name)
    totals = Counter(name for own in labels.values() for name in own)
    count = max(2, min(_FOLDS, *totals.values()))
    # Files of several classes are the hardest to place, and come first.
    order = sorted(
        rng.permutation(sorted(labels, key=lambda file: paths[file])).tolist(),
        key=lambda file: (len(labels[file]) == 1, min(labels[file])),
    )
    held: Counter[tuple[str, int]] = Counter()
    part: dict[int, int] = {}
    for place, file in enumerate(order):
        # The next part in turn, unless another holds a smaller share of the file's classes.
        turns = [(place + step) % count for step in range(count)]
        own = sorted(labels[file])  # as sums of floats hang on their order
        part[file] = min(turns, key=lambda f: sum(held[name, f] / totals[name] for name in own))
        held.update((name, part[file]) for name in own)
    return np.array([part[file] for file in files.tolist()])


def _known(names: NDArray[np.str_], folds: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which videos have their class, and another, in the parts that they are not in: no other
    classifier could name them, or could name anything else."""
    known = np.zeros(len(names), dtype=bool)
    for fold in np.unique(folds):
        own = set(names[folds != fold].tolist())
        if len(own) > 1:
            known |= (folds == fold) & np.isin(names, list(own))
    return known


def _class(static: _Table, normal: _Table) -> dict[str, float | int | None]:
    return {
        "static": float(static.mean()),
        "normal": float(normal.mean()),
        "gain": _gain(float(static.mean()), float(normal.mean())),
        "n": len(static),
    }


def _gain(static: float, normal: float) -> float | None:
    """Relative gain; None where it has no number, from nothing to something."""
    if static == 0:
        return None if normal > 0 else 0.0
    return (normal - static) / static


def _intervals(
    static: _Table, normal: _Table, names: NDArray[np.str_], files: NDArray[np.int64]
) -> tuple[Score, Score | None]:
    """The share of classes below `LEAST`, and the overall gain (None if static clips teach nothing
    at all); their intervals draw files within each class, with all their videos of it."""

    def statistic(statics: _Table, normals: _Table, counts: _Table) -> _Table:
        some, more = statics.sum(axis=1), normals.sum(axis=1)
        gains = np.where(more > 0, np.nan, 0.0)  # as in _gain
        np.divide(more - some, some, out=gains, where=some > 0)
        return np.stack([_below(statics / counts, normals / counts), gains], axis=1)

    tables = [static, normal, np.ones(len(names))]
    ends = bootstrap(tables, files, statistic, strata=names).T.tolist()
    below, gains = ((low, high) for low, high in ends)
    classes = [names == name for name in np.unique(names)]
    means = [np.array([hits[own].mean() for own in classes]) for hits in (static, normal)]
    share = Score(float(_below(*means)), below, len(classes))
    overall = _gain(float(static.mean()), float(normal.mean()))
    if overall is None:
        return share, None
    return share, Score(overall, gains, len(names))


def _below(static: _Table, normal: _Table) -> _Table:
    """Share of classes that gain less than `LEAST`, along the last axis; a gain from 0 is one."""
    # Accuracies are fractions of small numbers: a gain of exactly 5 % must not hang on rounding.
    less = normal < static * (1 + LEAST) - 1e-12
    return np.where(static == 0, normal == 0, less).mean(axis=-1)
