"""What can be read out of frozen features: logistic regression and the nearest neighbours.

The strength of the regularisation and the number of neighbours are chosen on a part of the training
set, never on the test; the chosen ones are then fitted on all of it. The regression standardises
features with the mean and deviation of what it is fitted on. Neighbours are those of `retrieve`: by
the cosine of features as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unscene.errors import UnsceneError
from unscene.evaluate.features import Features
from unscene.results.statistics import Score, score

STRENGTHS = (1e-3, 1e-2, 1e-1, 1.0, 10.0)  # C of the regression, the inverse of the penalty
NEIGHBORS = (1, 5, 10, 20, 50)
_VALIDATION = 0.2

_Predict = Callable[[Any, NDArray[np.float32], NDArray[np.str_], NDArray[np.float32]], Any]


@dataclass(frozen=True)
class Probed:
    """Scores by metric ("probe_top1", "knn_top1") and what was chosen for each."""

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
    """Fit on one set, score on another.

    Args:
        train, test: their labels; classes unknown to the training set count as missed.
        label: column of the classes.
        group: a column; videos of one group are either all fitted or all validated ("scene": what
            is chosen must work in other scenes). None: a fifth of each class validates, or a
            fifth of the files where some are there in several segments.
        seed: of the choice of the validation part.

    Raises:
        UnsceneError: fewer than two classes to tell apart, no such column, or a feature that is
            not finite.
    """
    for side in (train, test):
        side.check()
    names = np.asarray(train.labels(label))
    if len(set(names)) < 2:
        raise UnsceneError("a probe needs at least two classes in its training set")
    held = choose_validation(names, train.labels(group) if group else _segmented(train), seed)
    known, asked = train.values.numpy(), test.values.numpy()
    wanted = test.labels(label)
    scores, chosen = {}, {}
    for metric, predict, choices, default in (
        ("probe_top1", classify_by_regression, STRENGTHS, 1.0),
        ("knn_top1", _classify_by_neighbors, NEIGHBORS, 1),
    ):
        best: float = default
        if held.any():
            accuracy = [
                (predict(c, known[~held], names[~held], known[held]) == names[held]).mean()
                for c in choices
            ]
            best = choices[int(np.argmax(accuracy))]
        hits = (predict(best, known, names, asked) == np.asarray(wanted)).astype(np.float64)
        scores[metric] = score(hits, labels=wanted, videos=test.files().numpy())
        chosen[metric] = best
    return Probed(scores, chosen)


def classify_by_regression(
    strength: float,
    known: NDArray[np.float32],
    names: NDArray[np.str_],
    asked: NDArray[np.float32],
) -> Any:
    """Names (M,) that logistic regression gives to features (M, D).

    Args:
        strength: C, the inverse of the penalty.
        known: (N, D), standardised before it is fitted, and asked alike.
        names: (N,), at least two different ones.
    """
    # Here, not above: scikit-learn takes longer to import than the rest of this room.
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    model = make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=5000))
    return model.fit(known, names).predict(asked)


def _classify_by_neighbors(
    count: float,
    known: NDArray[np.float32],
    names: NDArray[np.str_],
    asked: NDArray[np.float32],
) -> Any:
    from sklearn.neighbors import KNeighborsClassifier

    model = KNeighborsClassifier(min(int(count), len(known)), metric="cosine")
    return model.fit(known, names).predict(asked)


def _segmented(train: Features) -> Sequence[str] | None:
    """The files, if some hold several rows: a segment must not choose for its own file."""
    files = [str(number) for number in train.files().tolist()]
    return files if len(set(files)) < len(files) else None


def choose_validation(
    names: NDArray[np.str_], groups: Sequence[str] | None, seed: int
) -> NDArray[np.bool_]:
    """Which training videos choose: bool (N,), a fifth of each class, or of the groups if there are
    any. None of them where nothing can be spared."""
    rng = np.random.default_rng(seed)
    held = np.zeros(len(names), dtype=bool)
    if groups is not None:
        each = np.asarray(groups)
        order = rng.permutation(np.unique(each))
        held = np.isin(each, order[: max(1, round(_VALIDATION * len(order)))])
        # What is left must still have two classes to fit.
        return held if len(set(names[~held])) > 1 else np.zeros(len(names), dtype=bool)
    for name in np.unique(names):
        own = rng.permutation(np.flatnonzero(names == name))
        held[own[: min(len(own) - 1, max(1, round(_VALIDATION * len(own))))]] = True
    return held
