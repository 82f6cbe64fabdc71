"""How well predicted intervals agree with labels: F1 of the time that they share.

Every instant of a file counts alike, as if frames were counted, whatever the frame rate:

    labels       ..AAAAAAAA....BBBB....
    predictions  ....AAAAAAAA..BBBBB...     A: 6 shared, 2 missed, 2 too many: F1 = 12 / 16

Files are the clusters of the bootstrap: moments of one recording are not independent.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from unscene.errors import UnsceneError
from unscene.results.statistics import Score, bootstrap, ratio
from unscene.search.intervals import Named


def score_intervals(
    predicted: Iterable[Named],
    labels: Iterable[Named],
    *,
    classes: Sequence[str] | None = None,
    seed: int = 0,
) -> Score:
    """Compute the frame-level F1 of predictions, the mean over classes.

    Args:
        predicted, labels: intervals. Files are told by their paths; all files count that either
            has. Labels must be complete for these files: what has none is no class's.
        classes: those that are averaged; None: those of the labels.
        seed: of the bootstrap.

    Returns:
        The mean of the F1 of the classes over all files, its bootstrap interval over files, n files
        and the F1 of each class. A class of neither side in a resample is left out of its mean.

    Raises:
        UnsceneError: there are no labels.

    >>> from unscene.search.intervals import Interval
    >>> score = score_intervals([Interval("a", 4, 12, "A")], [Interval("a", 2, 10, "A")])
    >>> score.value, score.n
    (0.75, 1)
    """
    predicted, labels = list(predicted), list(labels)
    if not labels:
        raise UnsceneError("no labels to score predictions against")
    names = sorted({one.label for one in labels}) if classes is None else list(classes)
    paths = sorted({one.path for one in (*predicted, *labels)})
    shared, both = np.zeros((len(paths), len(names))), np.zeros((len(paths), len(names)))
    numbers = {path: number for number, path in enumerate(paths)}
    for k, name in enumerate(names):
        ours = _merge(one for one in predicted if one.label == name)
        theirs = _merge(one for one in labels if one.label == name)
        for path in ours.keys() | theirs.keys():
            mine, true = ours.get(path, []), theirs.get(path, [])
            shared[numbers[path], k] = _overlap(mine, true)
            both[numbers[path], k] = sum(b - a for a, b in (*mine, *true))
    ends = bootstrap([shared, both], None, mean_f1, seed=seed)
    each = ratio(2 * shared.sum(0), both.sum(0))
    return Score(
        float(np.nan_to_num(np.nanmean(each))),
        (float(ends[0]), float(ends[1])),
        len(paths),
        {name: float(value) for name, value in zip(names, each, strict=True)},
    )


def mean_f1(shared: NDArray[np.float64], both: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean F1 (R,) over K classes.

    Args:
        shared: (R, K), what is both true and predicted.
        both: (R, K), what is true plus what is predicted.

    Returns:
        The mean over the classes that occur; nan where none does.
    """
    each = ratio(2 * shared, both)
    known = ~np.isnan(each)
    return ratio(np.where(known, each, 0).sum(axis=1), known.sum(axis=1).astype(np.float64))


def _merge(intervals: Iterable[Named]) -> dict[str, list[tuple[float, float]]]:
    """The stretches of each file that intervals cover, in order, none overlapping another."""
    merged: dict[str, list[tuple[float, float]]] = {}
    for one in sorted(intervals, key=lambda one: one.start):
        stretches = merged.setdefault(one.path, [])
        if stretches and one.start <= stretches[-1][1]:
            stretches[-1] = stretches[-1][0], max(stretches[-1][1], one.end)
        else:
            stretches.append((one.start, one.end))
    return merged


def _overlap(first: Sequence[tuple[float, float]], second: Sequence[tuple[float, float]]) -> float:
    """Seconds that two ordered lists of stretches share."""
    total, i, j = 0.0, 0, 0
    while i < len(first) and j < len(second):
        total += max(0.0, min(first[i][1], second[j][1]) - max(first[i][0], second[j][0]))
        if first[i][1] < second[j][1]:
            i += 1
        else:
            j += 1
    return total
