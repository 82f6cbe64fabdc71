"""The measure "reliance": static bias, what a classifier gains from seeing the motion.

    static clips   one random frame of each clip, repeated --> a classifier --+
                                                                              +-> test: normal clips
    normal clips   the clips as they are --------------------> a classifier --+

    gain of a class = (accuracy with normal - accuracy with static) / accuracy with static

If static clips train a classifier as well as normal ones, the label can be read from the scene. The
headline is the share of classes that gain less than 5 %.

Source: DSM paper, Figure 1 (24 % of the classes of HMDB51).
Deviation: the paper trains whole networks from scratch. Here the encoder is frozen and logistic
regression reads its features, so that the number is about this encoder on these labels. Every video
is tested once, by a classifier trained on other files that include its class. The strength of the
regularization is chosen on a fifth of the training videos, of the same kind: the static classifier
never sees a moving clip in training.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unscene.audit.extractor import FeatureExtractor
from unscene.audit.footage import Footage
from unscene.audit.measures.base import Measure, find_shortage, with_chance
from unscene.audit.report.charts import (
    Results,
    color,
    join_charts,
    scatter,
    score_chart,
    table,
    without_twins,
)
from unscene.audit.report.words import ScoreWords, Words, spell_number
from unscene.audit.result import Measured
from unscene.data.loading import Batch
from unscene.evaluate.probing import STRENGTHS, choose_validation, classify_by_regression
from unscene.results.statistics import Score, bootstrap, score

LEAST = 0.05  # gain of a class; below it, the class relies on the scene
_FOLDS = 4

_Table = NDArray[np.float64]


class Reliance(Measure):
    """Normal against static clips.

    Scores: "classes_below_5_percent", low for an encoder of motion; "gain" of all classes together;
    "accuracy_normal" and "accuracy_static". If they are not meaningful, `absent` says why.

    Details: "classes", accuracies and gain per class; "folds"; "left_out".
    """

    name = "reliance"
    order = 3
    words = Words(
        "Which classes can be recognized from a single frame?",
        "A classifier on the features of the model was trained once with static clips (one frame, "
        "repeated) and once with moving clips. Classes that hardly gain from moving clips are "
        "recognized by their scene, not by their motion.",
        "Logistic regression on frozen features; every video is tested once, as a moving clip, by "
        "a classifier trained on other files. DSM paper, Figure 1, where whole networks are "
        "trained from scratch.",
        {
            "classes_below_5_percent": ScoreWords(
                "Classes that gain less than 5 % from motion",
                "Low for a model of motion.",
            ),
            "gain": ScoreWords(
                "Relative gain from motion",
                "Accuracy with moving clips over accuracy with static clips, minus one.",
                "change",
            ),
            "accuracy_normal": ScoreWords("Accuracy, trained with moving clips"),
            "accuracy_static": ScoreWords("Accuracy, trained with static clips"),
        },
    )

    def __init__(self, extractor: FeatureExtractor, footage: Footage) -> None:
        super().__init__(extractor, footage)
        self.sums: dict[str, Tensor] = {}  # of the features of each video's clips, by kind
        self.counts = torch.zeros(len(footage.videos), dtype=torch.long)

    def update(self, batch: Batch) -> None:
        if self.footage.label is None:
            return
        clip = self.extractor.center(batch)
        rng = np.random.default_rng([self.footage.seed, 0x1, *batch.index.tolist()])
        frames = torch.from_numpy(rng.integers(clip.shape[2], size=len(batch))).to(clip.device)
        still = clip[torch.arange(len(batch)), :, frames][:, :, None]
        found = {
            "normal": self.extractor.anchors(batch),
            "static": self.extractor.encode_once(batch, "static", lambda: still.expand_as(clip)),
        }
        index = batch.index.cpu()
        for kind, features in found.items():
            if kind not in self.sums:
                self.sums[kind] = torch.zeros(len(self.counts), features.shape[1])
            self.sums[kind].index_add_(0, index, features)
        self.counts.index_add_(0, index, torch.ones_like(index))

    def compute(self) -> Measured:
        if self.footage.label is None:
            return Measured(self.name, absent="no labels: name their column with --label")
        kept, names = self._labeled()
        files = self.footage.files[kept]
        usable = _usable(names, files)
        absent = _absent(names[usable], files[usable])
        if absent:
            return Measured(self.name, absent=absent)
        kept, names, files = kept[usable], names[usable], files[usable]
        folds = _folds(names, files, self._paths(), self.footage.seed)
        known = _known(names, folds)
        left_out = {
            "classes with a single file": int((~usable).sum()),
            "no other part has the class": int((~known).sum()),
        }
        absent = _absent(names[known], files[known])
        if absent:
            return Measured(self.name, absent=absent, details={"left_out": left_out})
        values = {
            kind: (sums[kept] / self.counts[kept, None]).numpy() for kind, sums in self.sums.items()
        }
        hits = {
            kind: self._test(values[kind], values["normal"], names, files, folds)[known]
            for kind in ("static", "normal")
        }
        details = {"left_out": left_out, "folds": int(folds.max()) + 1}
        return self._score(hits, names[known], files[known], details)

    def _score(
        self,
        hits: dict[str, _Table],
        names: NDArray[np.str_],
        files: NDArray[np.int64],
        details: dict[str, Any],
    ) -> Measured:
        """The result, from the hits of both classifiers on the videos that can be recognized."""
        below, gain = _intervals(hits["static"], hits["normal"], names, files)
        most = Counter(names.tolist()).most_common(1)[0][1] / len(names)
        accuracies = {
            f"accuracy_{kind}": score(hits[kind], labels=names.tolist(), videos=files)
            for kind in ("normal", "static")
        }
        normal = accuracies["accuracy_normal"]
        weak = (
            "a classifier trained with moving clips is right in "
            f"{spell_number(normal.value, 'share')}, which is not clearly more than always "
            f"predicting the most frequent class ({spell_number(most, 'share')}): what classes "
            "gain is noise"
        )
        return Measured(
            self.name,
            absent=weak if normal.ci95[0] <= most else "",
            scores={"classes_below_5_percent": below}
            | ({"gain": gain} if gain is not None else {})
            | with_chance(accuracies, dict.fromkeys(accuracies, most)),
            details={
                "classes": {
                    name: _class(hits["static"][names == name], hits["normal"][names == name])
                    for name in sorted(set(names.tolist()))
                },
                **details,
            },
        )

    @classmethod
    def sentence(cls, measured: Measured) -> str:
        below = measured.scores["classes_below_5_percent"]
        text = (
            f"gains less than 5 % from motion in {round(below.value * below.n)} of {below.n} "
            f"classes ({cls.words.text(measured, 'classes_below_5_percent')})"
        )
        if {"accuracy_normal", "accuracy_static"} <= set(measured.scores):
            normal, static = (
                spell_number(measured.scores[f"accuracy_{kind}"].value, "share")
                for kind in ("normal", "static")
            )
            text += (
                f". The classifier recognizes {normal} of the videos if trained with moving clips, "
                f"and {static} if trained with static ones"
            )
        return text + "."

    @classmethod
    def charts(cls, results: Results) -> tuple[str, str]:
        more = ("gain", "accuracy_normal", "accuracy_static")
        return (
            join_charts(score_chart(cls.words, results, "classes_below_5_percent"))
            + _plot_classes(without_twins(results)),
            join_charts(*(score_chart(cls.words, results, name) for name in more))
            + _tabulate_classes(without_twins(results)),
        )

    def _labeled(self) -> tuple[NDArray[np.int64], NDArray[np.str_]]:
        """Indices of the videos that were read and have a label, and the labels."""
        read = torch.nonzero(self.counts)[:, 0].tolist()
        named = {i: label for i in read if (label := self.footage.label_of(i)) is not None}
        return np.array(list(named), dtype=np.int64), np.array(list(named.values()), dtype=np.str_)

    def _paths(self) -> list[str]:
        """A path for every file: the first that leads to it."""
        first = np.unique(self.footage.files, return_index=True)[1]
        return [self.footage.videos[i].path for i in first.tolist()]

    def _test(
        self,
        train: NDArray[np.float32],
        test: NDArray[np.float32],
        names: NDArray[np.str_],
        files: NDArray[np.int64],
        folds: NDArray[np.int64],
    ) -> _Table:
        """(N,), 1 where a classifier trained on other files recognizes a video; 0 where it does
        not, or where there is none (`_known`).

        Args:
            train: (N, D), features to train with.
            test: (N, D), features of the same videos to test with.
        """
        hits = np.zeros(len(names))
        for fold in range(folds.max() + 1):
            out = folds == fold
            known, own = train[~out], names[~out]
            if len(set(own.tolist())) < 2:
                continue
            held = choose_validation(own, None, self.footage.seed)
            # Segments of a file that is trained on do not show how well a strength generalizes.
            held &= ~np.isin(files[~out], files[~out][~held])
            best = 1.0
            if held.any() and len(set(own[~held])) > 1:
                right = [
                    (
                        classify_by_regression(c, known[~held], own[~held], known[held])
                        == own[held]
                    ).mean()
                    for c in STRENGTHS
                ]
                best = STRENGTHS[int(np.argmax(right))]
            hits[out] = classify_by_regression(best, known, own, test[out]) == names[out]
        return hits


def _usable(names: NDArray[np.str_], files: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which videos belong to a class of two or more files: one to train, one to test."""
    counts = Counter(name for name, _ in {*zip(names.tolist(), files.tolist(), strict=True)})
    return np.array([counts[name] > 1 for name in names.tolist()], dtype=bool)


def _absent(names: NDArray[np.str_], files: NDArray[np.int64]) -> str:
    """Explain why the usable videos are too few for a classifier; "" if they are enough."""
    classes = len(set(names.tolist()))
    if classes < 2:
        return (
            f"too few labeled videos: {classes} classes have two files or more; "
            "a classifier needs two such classes"
        )
    return find_shortage(files.tolist(), "of classes that have two or more")


def _folds(
    names: NDArray[np.str_], files: NDArray[np.int64], paths: Sequence[str], seed: int
) -> NDArray[np.int64]:
    """Assign every video to the fold that it is tested in.

    A file is in one fold; the files of a class are spread over as many folds as possible.

    Args:
        paths: of every file.

    Returns:
        (N,), the fold of each video.
    """
    # sklearn's StratifiedGroupKFold has the same aim, but assigns other folds: it would change
    # the accuracies of all results measured so far.
    rng = np.random.default_rng([seed, 0xF0])
    labels: dict[int, set[str]] = {}
    for name, file in zip(names.tolist(), files.tolist(), strict=True):
        labels.setdefault(file, set()).add(name)
    totals = Counter(name for own in labels.values() for name in own)
    count = max(2, min(_FOLDS, *totals.values()))
    # Files of several classes are the hardest to assign, and come first.
    order = sorted(
        rng.permutation(sorted(labels, key=lambda file: paths[file])).tolist(),
        key=lambda file: (len(labels[file]) == 1, min(labels[file])),
    )
    held: Counter[tuple[str, int]] = Counter()
    part: dict[int, int] = {}
    for place, file in enumerate(order):
        # The next fold in turn, unless another one holds a smaller share of the file's classes.
        turns = [(place + step) % count for step in range(count)]
        own = sorted(labels[file])  # sums of floats depend on their order
        part[file] = min(turns, key=lambda f: sum(held[name, f] / totals[name] for name in own))
        held.update((name, part[file]) for name in own)
    return np.array([part[file] for file in files.tolist()])


def _known(names: NDArray[np.str_], folds: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which videos can be recognized: their class, and another one, are in the other folds."""
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
    """The relative gain; None for a gain from 0, which has no number."""
    if static == 0:
        return None if normal > 0 else 0.0
    return (normal - static) / static


def _intervals(
    static: _Table, normal: _Table, names: NDArray[np.str_], files: NDArray[np.int64]
) -> tuple[Score, Score | None]:
    """The share of classes below `LEAST` and the overall gain, with bootstrap intervals.

    Files are drawn within each class, with all their videos of it. The gain is None if the
    classifier of static clips is never right.
    """

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
    """The share of classes, along the last axis, that gain less than `LEAST`."""
    # Accuracies are fractions of small numbers: rounding must not decide on a gain of exactly 5 %.
    less = normal < static * (1 + LEAST) - 1e-12
    return np.where(static == 0, normal == 0, less).mean(axis=-1)


def _plot_classes(results: Results) -> str:
    """Accuracy with moving against static clips, one dot per class: DSM paper, Figure 1."""
    plots = []
    for place, model, one in results:
        classes = one.details.get("classes", {})
        if not classes:
            continue
        pairs = {name: (row["static"], row["normal"]) for name, row in classes.items()}
        gains = sum(normal > static for static, normal in pairs.values())
        points = {
            f"{name}: static {static * 100:.0f} %, moving {normal * 100:.0f} %": (static, normal)
            for name, (static, normal) in pairs.items()
        }
        label = (
            f"{len(pairs)} classes by accuracy, trained with static clips and with moving clips: "
            f"{gains} gain from motion, see the table"
        )
        axes = ("trained with static clips", "trained with moving clips")
        plots.append(scatter(model, place, points, label, axes))
    if not plots:
        return ""
    return (
        f'<div class="plots">{"".join(plots)}</div><p class="note">Each dot is a class. Above the '
        "dashed line, training with moving clips helps; on it, one frame is enough.</p>"
    )


def _tabulate_classes(results: Results) -> str:
    """The accuracies of every class."""
    rows = []
    for name in sorted({name for _, _, one in results for name in one.details.get("classes", {})}):
        found = [one.details.get("classes", {}).get(name) for _, _, one in results]
        cells = [
            f"{r['static'] * 100:.0f} → {r['normal'] * 100:.0f} %" if r else "–" for r in found
        ]
        rows.append((name, "", cells))
    head = [("", "class"), *((color(place), model) for place, model, _ in results)]
    return table(head, rows, heading="Accuracy by class, trained with static → moving clips")
