"""Linear probe: what can a logistic regression read out of frozen features?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from unscene.errors import UnsceneError
from unscene.evaluate.bootstrap import interval


@dataclass(frozen=True)
class Probe:
    """Accuracy of a linear probe, its bootstrap interval over test videos and their number."""

    value: float
    ci95: tuple[float, float]
    n: int


def linear_probe(
    train: Tensor, train_labels: Sequence[str], test: Tensor, test_labels: Sequence[str]
) -> Probe:
    """Fit on one set, score on another.

    Features are standardised with the mean and deviation of the training set; the regression is
    L2-regularised with C = 1, never tuned on the test.

    Args:
        train, test: (N, D) and (M, D).
        train_labels, test_labels: classes; those unknown to the training set count as missed.

    Raises:
        UnsceneError: fewer than two classes to tell apart.
    """
    # Here, not above: scikit-learn takes longer to import than the rest of this room.
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    if len(set(train_labels)) < 2:
        raise UnsceneError("a probe needs at least two classes in its training set")
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
    model.fit(train.numpy(), np.asarray(train_labels))
    hits = (model.predict(test.numpy()) == np.asarray(test_labels)).astype(np.float64)
    return Probe(float(hits.mean()), interval(hits), len(hits))
