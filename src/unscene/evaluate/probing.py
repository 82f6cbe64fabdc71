"""Probes of frozen features: logistic regression and nearest neighbors, by scikit-learn.

The strength of the regularization and the number of neighbors are chosen on a part of the training
set, never on the test set; the probe is then fitted on the whole training set. The regression
standardizes features with the mean and deviation of what it is fitted on. Neighbors are those of
`retrieve`: by cosine similarity of the features as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unscene.data.catalog import Video
from unscene.errors import UnsceneError
from unscene.evaluate.chance import guess_classes
from unscene.evaluate.features import Features
from unscene.results.statistics import Score, score

STRENGTHS = (1e-3, 1e-2, 1e-1, 1.0, 10.0)  # C, the inverse of the penalty
NEIGHBORS = (1, 5, 10, 20, 50)
_VALIDATION = 0.2


@dataclass(frozen=True)
class Probed:
    """Scores by metric ("probe_top1", "knn_top1"), and for each the C or number of neighbors.

    The chance of both is that of always guessing the most frequent class of the training set. Both
    have the outcome of every test video.
    """

    scores: dict[str, Score]
    chosen: dict[str, float]


def probe(
    train: Features,
    test: Features,
    label: str = "label",
    *,
    group: str | None = None,
    seed: int = 0,
) -> Probed:
    """Fit both probes on one set and compute their top-1 accuracy on another.

    Args:
        train: features (N, D) to fit.
        test: features (M, D). A video whose class is not in the training set counts as wrong.
        label: column of the classes.
        group: a column; the validation set holds whole groups of it ("scene": the chosen strength
            must work in other scenes). None: it holds a fifth of each class, or a fifth of the
            files where files have several segments.
        seed: of the validation split.

    Raises:
        UnsceneError: fewer than two classes in the training set, no such column, or a feature that
            is not finite.

    >>> import torch
    >>> from unscene.data.catalog import Video
    >>> videos = tuple(Video(f"{i}.mp4", ["run", "jump"][i % 2]) for i in range(20))
    >>> values = torch.eye(2)[[i % 2 for i in range(20)]] + torch.arange(20)[:, None] / 100
    >>> features = Features(values, videos, torch.arange(20))
    >>> probe(features, features).scores["probe_top1"].value
    1.0
    """
    for side in (train, test):
        side.check()
    check_classes(train.videos, label)
    names = np.asarray(train.labels(label))
    validation = choose_validation(names, train.labels(group) if group else _segmented(train), seed)
    fitted, tested = train.values.numpy(), test.values.numpy()
    true = test.labels(label)
    chance = guess_classes(names.tolist(), true)
    scores, chosen = {}, {}
    for metric, predict, choices, default in (
        ("probe_top1", classify_by_regression, STRENGTHS, 1.0),
        ("knn_top1", _classify_by_neighbors, NEIGHBORS, 1),
    ):
        best: float = default
        if validation.any():
            rest = ~validation
            accuracy = [
                (
                    predict(choice, fitted[rest], names[rest], fitted[validation])
                    == names[validation]
                ).mean()
                for choice in choices
            ]
            best = choices[int(np.argmax(accuracy))]
        hits = (predict(best, fitted, names, tested) == np.asarray(true)).astype(np.float64)
        found = score(hits, labels=true, videos=test.files().numpy())
        scores[metric] = replace(found, chance=chance, outcomes=test.keep_outcomes(hits))
        chosen[metric] = best
    return Probed(scores, chosen)


def check_classes(train: Sequence[Video], label: str) -> None:
    """Raise UnsceneError if the training videos have fewer than two classes."""
    names = {video.value(label) for video in train}
    if len(names) < 2:
        raise UnsceneError(
            f"all training videos are {', '.join(names)!r} in column {label!r}; a probe needs at "
            "least two classes"
        )


def classify_by_regression(
    strength: float,
    train: NDArray[np.float32],
    names: NDArray[np.str_],
    test: NDArray[np.float32],
) -> Any:
    """Predict the classes of features by logistic regression.

    Args:
        strength: C, the inverse of the penalty.
        train: features (N, D), standardized before the fit.
        names: classes (N,), at least two different ones.
        test: features (M, D), standardized in the same way.

    Returns:
        Classes (M,).
    """
    # Imported here: scikit-learn takes longer to import than everything else in this module.
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    model = make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=5000))
    return model.fit(train, names).predict(test)


def _classify_by_neighbors(
    count: float,
    train: NDArray[np.float32],
    names: NDArray[np.str_],
    test: NDArray[np.float32],
) -> Any:
    from sklearn.neighbors import KNeighborsClassifier

    model = KNeighborsClassifier(min(int(count), len(train)), metric="cosine")
    return model.fit(train, names).predict(test)


def _segmented(train: Features) -> Sequence[str] | None:
    """The files, if some have several rows: segments of one file must not be on both sides."""
    files = [str(number) for number in train.files().tolist()]
    return files if len(set(files)) < len(files) else None


def choose_validation(
    names: NDArray[np.str_], groups: Sequence[str] | None, seed: int
) -> NDArray[np.bool_]:
    """Choose the validation set that selects a probe's strength.

    Args:
        names: classes (N,).
        groups: N groups, of which whole ones are held out; None: a fifth of each class.
        seed: of the choice.

    Returns:
        bool (N,), True for validation. All False where no video can be held out: a class needs
        two videos, and two classes must be left to fit.
    """
    rng = np.random.default_rng(seed)
    held = np.zeros(len(names), dtype=bool)
    if groups is not None:
        each = np.asarray(groups)
        order = rng.permutation(np.unique(each))
        held = np.isin(each, order[: max(1, round(_VALIDATION * len(order)))])
        return held if len(set(names[~held])) > 1 else np.zeros(len(names), dtype=bool)
    for name in np.unique(names):
        own = rng.permutation(np.flatnonzero(names == name))
        held[own[: min(len(own) - 1, max(1, round(_VALIDATION * len(own))))]] = True
    return held
