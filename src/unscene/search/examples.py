"""The windows that a classifier learns from: those of labels, and the footage at large.

The footage at large is a sample of all windows, those of labels included. Each kind of window
weighs the same, and so does each label of a kind, however many windows it has.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from unscene.errors import UnsceneError
from unscene.search.intervals import Footage
from unscene.search.label_model import soft_max
from unscene.search.labels import Label, assign_labels, find_touching
from unscene.search.windows import Windows

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

BACKGROUND = ("background", "other", "none")  # names of counterexamples
_SAMPLE = 2000  # windows that stand for the footage at large
_MOMENTS = 20_000  # windows from which mean and deviation are computed
_STRENGTH = 20.0  # C times the number of features; see experiments/LOG.md
_NEVER = -1e9  # logit of a class without examples


@dataclass(frozen=True, eq=False)
class Examples:
    """Windows to learn from, features standardized.

    Attributes:
        values: (M, D).
        target: (M,), number of the class; K for "none of the classes".
        moment: (M,), position of the label in `labels`; -1 for a window without label.
        file: (M,), number of the file.
        sample: (M,), stands for the footage at large: neither example nor counterexample.
        classes: K names.
        labels: of moments.
        mean, scale: (D,), which standardized the features.
    """

    values: Floats
    target: Integers
    moment: Integers
    file: Integers
    sample: NDArray[np.bool_]
    classes: tuple[str, ...]
    labels: tuple[Label, ...]
    mean: NDArray[np.float32]
    scale: NDArray[np.float32]

    def __getitem__(self, rows: NDArray[np.bool_]) -> Examples:
        return replace(
            self,
            values=self.values[rows],
            target=self.target[rows],
            moment=self.moment[rows],
            file=self.file[rows],
            sample=self.sample[rows],
        )

    @property
    def against(self) -> NDArray[np.bool_]:
        """Which windows are counterexamples: (M,)."""
        return (self.target == len(self.classes)) & ~self.sample

    def weigh(self) -> Floats:
        """Weights (M,) of the windows: a label weighs 1, however many windows it has; all classes
        weigh the same, and so do the counterexamples and the footage at large."""
        weights = np.zeros(len(self.target))
        kinds = np.where(self.sample, len(self.classes) + 1, self.target)
        named = self.moment[self.target < len(self.classes)]
        total = max(1, len(np.unique(named))) / max(1, len(self.classes))
        for kind in np.unique(kinds):
            own = np.flatnonzero(kinds == kind)
            _, owner, count = np.unique(self.moment[own], return_inverse=True, return_counts=True)
            each = np.where(self.moment[own] < 0, 1.0, 1 / count[owner])
            weights[own] = each / each.sum() * total
        return weights


def collect_examples(
    windows: Windows,
    files: Sequence[Footage],
    labels: Sequence[Label],
    *,
    still: NDArray[np.bool_],
    complete: bool,
    seed: int,
) -> tuple[Examples, bool]:
    """Find the windows of labels and a sample of the others; the arguments are those of
    `classifier.fit_classifier`.

    Returns:
        The windows, and whether they are only ones in which something moves.
    """
    moment = assign_labels(windows, files, labels)
    labeled = moment >= 0
    classes = _find_classes(labels, {labels[i].label for i in moment[labeled].tolist()})
    moving = not still[labeled].any()
    usable = ~still if moving else np.ones(len(windows), bool)
    rng = np.random.default_rng(seed)
    named = np.flatnonzero(labeled)
    whole = np.unique(windows.file[labeled]) if complete else np.array([], np.int64)
    others = usable & ~np.isin(windows.file, whole)
    free = usable & ~labeled & ~find_touching(windows, files, labels)
    against, sample = (_draw(rows, rng) for rows in (free & ~others, others))
    if (
        len(classes) == 1
        and not free.any()
        and {labels[i].label for i in moment[named]} == {*classes}
    ):
        raise UnsceneError(
            f"all footage is labeled {classes[0]!r}, so there is nothing to tell it from; index "
            "more footage, or label what it is not as 'background'"
        )
    rows = np.concatenate([named, against, sample])
    sampled = np.arange(len(rows)) >= len(named) + len(against)
    reference = np.flatnonzero(usable)
    if len(reference) > _MOMENTS:
        reference = np.sort(rng.choice(reference, _MOMENTS, replace=False))
    mean, scale = _standardize(windows.vectors[reference])
    number = {name: k for k, name in enumerate(classes)}
    target = [number.get(labels[i].label, len(classes)) for i in moment[named].tolist()]
    unnamed = np.full(len(against) + len(sample), len(classes))
    return Examples(
        ((windows.vectors[rows] - mean) / scale).astype(np.float64),
        np.concatenate([np.array(target, np.int64), unnamed]),
        np.where(sampled, -1, moment[rows]),
        windows.file[rows],
        sampled,
        classes,
        tuple(labels),
        mean,
        scale,
    ), moving


def _find_classes(labels: Sequence[Label], seen: set[str]) -> tuple[str, ...]:
    """The classes to learn. Raises UnsceneError if there is none, or one that no window shows.

    Args:
        labels: all of them.
        seen: classes of the labels of windows.
    """
    classes = tuple(sorted({one.label for one in labels} - set(BACKGROUND)))
    if not classes:
        raise UnsceneError(
            "there is no label of a class to learn"
            + (", only of the background" if labels else "")
            + "; label some moments, such as clips/a.mp4,12.5,14,wave"
        )
    if missing := sorted(set(classes) - seen):
        raise UnsceneError(
            f"{missing[0]}: no window of the index lies in a label of this class; label a longer "
            "stretch of it, or make the index again with a shorter hop (`unscene index --hop`)"
        )
    return classes


def _draw(rows: NDArray[np.bool_], rng: np.random.Generator) -> Integers:
    """Positions of some of the rows, in order."""
    every = np.flatnonzero(rows)
    return np.sort(rng.choice(every, min(_SAMPLE, len(every)), replace=False))


def _standardize(
    vectors: NDArray[np.float32],
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Mean and deviation (D,); a feature that never changes has the deviation 1."""
    mean, scale = vectors.mean(axis=0), vectors.std(axis=0)
    return mean, np.where(scale > 1e-6 * (1 + np.abs(mean)), scale, 1).astype(np.float32)


def fit_weights(examples: Examples) -> tuple[Floats, Floats]:
    """Fit the regression.

    Args:
        examples: of at least two kinds.

    Returns:
        Weights (K + 1, D) and bias (K + 1,). A kind without examples is never predicted.
    """
    # Imported here: scikit-learn takes longer to import than everything else in this module.
    from sklearn.linear_model import LogisticRegression

    count = len(examples.classes) + 1
    weight = np.zeros((count, examples.values.shape[1]))
    bias = np.full(count, _NEVER)
    known = np.unique(examples.target)
    if len(known) == 1:
        bias[known] = 0.0
        return weight, bias
    strength = _STRENGTH / examples.values.shape[1]
    model = LogisticRegression(C=strength, max_iter=2000, tol=1e-4)
    model.fit(examples.values, examples.target, sample_weight=examples.weigh())
    if len(known) == 2:  # scikit-learn has one row then, for the second kind
        weight[known[1]], bias[known] = model.coef_[0], [0.0, model.intercept_[0]]
    else:
        weight[known], bias[known] = model.coef_, model.intercept_
    return weight, bias


def predict_weights(values: Floats, weight: Floats, bias: Floats) -> Floats:
    """Probabilities (N, K + 1) of standardized features (N, D)."""
    return soft_max(values @ weight.T + bias)
