"""A handful of labels -> a classifier of windows, on frozen features.

Logistic regression between the classes and the *footage at large*: a sample of all windows. It is
no claim that these show none of the classes; all classes occur among them. It says what is
ordinary: a window is given a class if it is more like the examples of the class than like the
footage as a whole, so that moments unlike any label stay without one. As classes and footage weigh
the same, P(class) / P(none) estimates p(window | class) / p(window).

Labels of a class "background", "other" or "none" are counterexamples, and so, if somebody says that
files with labels are labeled completely, are their windows without label.

Sources: King and Zeng, Political Analysis 9 (2001), on sampling cases and controls apart; Phillips
and Dudik, Ecography 31 (2008), on presence against background; Hariharan, Malik and Ramanan, ECCV
2012, on classifiers against the statistics of everything.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from unscene.search.examples import collect_examples, fit_weights
from unscene.search.intervals import Footage
from unscene.search.label_model import LabelModel
from unscene.search.labels import Label, count_labels
from unscene.search.validation import cross_validate
from unscene.search.windows import Windows

LOW = 0.6  # of the threshold: where a moment ends


class About(Protocol):
    """What an index says of its features."""

    @property
    def encoder(self) -> str: ...
    @property
    def fingerprint(self) -> str: ...
    @property
    def length(self) -> float: ...
    @property
    def hop(self) -> float: ...


def fit_classifier(
    windows: Windows,
    files: Sequence[Footage],
    labels: Sequence[Label],
    about: About,
    *,
    still: NDArray[np.bool_] | None = None,
    complete: bool = False,
    seed: int = 0,
) -> LabelModel:
    """Fit a classifier to labels, and validate it by file.

    The threshold is chosen by cross-validation where there are counterexamples and some class has
    labels in two files, see `search.validation`.

    Args:
        windows: N windows of an index.
        files: the videos that `windows.file` numbers.
        labels: of these videos; of a class "background", "other" or "none", counterexamples.
        about: encoder and windows of the index.
        still: (N,), windows in which nothing moves. They count only if labels are of such windows.
        complete: files with labels are labeled completely: their other windows are counterexamples.
        seed: of the sample of the footage and of the folds.

    Raises:
        UnsceneError: there is no label of a class, or nothing to tell it from.
    """
    still = np.zeros(len(windows), bool) if still is None else still
    examples, moving = collect_examples(
        windows, files, labels, still=still, complete=complete, seed=seed
    )
    names = [file.name for file in files]
    threshold, validation = cross_validate(examples, names, seed=seed)
    weight, bias = fit_weights(examples)
    return LabelModel(
        encoder=about.encoder,
        fingerprint=about.fingerprint,
        length=about.length,
        hop=about.hop,
        classes=examples.classes,
        counts=count_labels(labels),
        threshold=threshold,
        low=round(LOW * threshold, 4),
        still=not moving,
        validation=validation,
        mean=examples.mean,
        scale=examples.scale,
        weight=weight.astype(np.float32),
        bias=bias.astype(np.float32),
    )
