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

    Returns:
        The classifier.

    Raises:
        UnsceneError: there is no label of a class, or nothing to tell it from.

    >>> from unscene.search.predict_videos import VideoFile
    >>> from unscene.search.store import About
    >>> files = [VideoFile(f"/clips/{name}.mp4", f"{name}.mp4", 10.0, 25.0) for name in "ab"]
    >>> start = np.tile(np.arange(10.0), 2)  # windows of 1 s; the first feature is high in 4 of 10
    >>> vectors = np.column_stack([start < 4, start % 3]).astype(np.float32)
    >>> windows = Windows(
    ...     np.arange(20), np.repeat([0, 1], 10), start, start + 1, np.ones(20, np.float32), vectors
    ... )
    >>> labels = [Label(file.path, 0.0, 2.0, "wave") for file in files]
    >>> model = fit_classifier(windows, files, labels, About("mine", "f1", 1.0, 1.0, 2, 0.02))
    >>> model.classes, model.threshold
    (('wave',), 0.5)
    >>> (model.probabilities(vectors)[:10, 0] > 0.5).tolist() == (start[:10] < 4).tolist()
    True
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
