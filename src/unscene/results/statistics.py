"""Scores with confidence intervals from a cluster bootstrap over video files.

    scores, one a clip  ->  sums per file  ->  files drawn with replacement, 2000 times
                        ->  the statistic of each draw  ->  its 2.5 % and 97.5 % percentiles

Clips of one file are not independent, so a file is always drawn with all its clips. `bootstrap` is
the only code of the package that resamples.

Sources: Davison and Hinkley, Bootstrap Methods and their Application (1997), sections 3.8 (cluster)
and 5.3 (percentiles); Wilson, JASA 22 (1927).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import NormalDist
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_DRAWN = 1 << 20  # clusters drawn at once, in all resamples together: bounds the memory


@dataclass(frozen=True)
class Score:
    """A measured mean.

    Attributes:
        value: the mean.
        ci95: its 95 % bootstrap interval.
        n: number of videos or clips that were averaged.
        classes: the mean of each class, where there are classes.
        chance: the value of random guessing, where it is known.
        outcomes: of the videos, as `rows.Row` has them; empty where they are not kept.
    """

    value: float
    ci95: tuple[float, float]
    n: int
    classes: dict[str, float] = field(default_factory=dict)
    chance: float | None = None
    outcomes: dict[str, Any] = field(default_factory=dict)


def score(
    scores: Floats,
    *,
    labels: Sequence[str] | None = None,
    videos: NDArray[np.int64] | None = None,
    shares: bool = True,
) -> Score:
    """The mean of some scores, with the interval that `interval` gives.

    Args:
        scores: (N,), one score per video or clip (say 1 for a hit, 0 for a miss), N at least 1.
        labels: N classes, for the means per class.
        videos: (N,), which video each score belongs to; None: each its own.
        shares: scores lie in 0..1, as for `interval`.

    >>> score(np.array([1.0, 0.0, 1.0, 1.0]), labels=["a", "a", "b", "b"]).classes
    {'a': 0.5, 'b': 1.0}
    """
    classes = {}
    if labels is not None:
        named = np.asarray(labels)
        classes = {str(name): float(scores[named == name].mean()) for name in np.unique(named)}
    found = interval(scores, videos=videos, shares=shares)
    return Score(float(scores.mean()), found, len(scores), classes)


def share(wins: Floats, videos: NDArray[np.int64]) -> Score:
    """A share with Wilson's interval.

    Unlike a bootstrap interval it keeps a width where all agree: 20 wins out of 20 do not prove
    100 %.

    Args:
        wins: (N,) in 0..1, one half for a tie, N at least 1.
        videos: (N,), which video each belongs to. The wins of a video are averaged first and count
            as one: many clips of one video are no more evidence than one. As values between 0 and 1
            vary less than 0 and 1 do, the interval is rather too wide than too narrow.

    Returns:
        The mean over videos; n counts videos.

    Source: Wilson (1927).
    """
    _, owner = np.unique(videos, return_inverse=True)
    means = np.bincount(owner, wins) / np.bincount(owner)
    p = float(means.mean())
    return Score(p, _wilson(p, len(means), 0.95), len(means))


def interval(
    scores: Floats,
    *,
    videos: NDArray[np.int64] | None = None,
    shares: bool = True,
    resamples: int = 2000,
    seed: int = 0,
    level: float = 0.95,
) -> tuple[float, float]:
    """Percentile interval of a mean, from a cluster bootstrap over videos.

    Scores that are all 0 or all 1 would give an interval without width, however few they are: they
    have Wilson's interval, as in `share`.

    Args:
        scores: (N,), N at least 1.
        videos: (N,), as for `score`.
        shares: scores lie in 0..1. False for others, such as errors in pixels: never Wilson's.
        resamples, seed, level: as for `bootstrap`.
    """
    if shares and scores[0] in (0, 1) and (scores == scores[0]).all():
        files = len(scores) if videos is None else len(np.unique(videos))
        return _wilson(float(scores[0]), files, level)
    low, high = bootstrap(
        [scores, np.ones(len(scores))],
        videos,
        lambda sums, counts: sums / counts,
        resamples=resamples,
        seed=seed,
        level=level,
        draw="indices",
    )
    return float(low), float(high)


def bootstrap(
    tables: Sequence[Floats],
    clusters: NDArray[np.int64] | None,
    statistic: Callable[..., Floats],
    *,
    strata: NDArray[np.generic] | None = None,
    resamples: int = 2000,
    seed: int = 0,
    level: float = 0.95,
    draw: Literal["counts", "indices"] = "counts",
) -> Floats:
    """Percentile interval of a statistic of sums, by drawing clusters with replacement.

    Every draw takes as many clusters as there are, each with all its rows, and sums the tables over
    them.

    Args:
        tables: each (N,) or (N, K): what is summed.
        clusters: (N,), which cluster each row belongs to; None: each its own.
        statistic: from the sums of each table, (R,) or (R, K), to (R,) or (R, C): the value, or C
            values, of every draw; nan where a draw has none. Nan is left out of the percentiles.
        strata: (N,), clusters are drawn within each stratum. The sums are then (R, S) or (R, S, K),
            strata in sorted order.
        resamples: number of draws R.
        seed: of the draws.
        level: share of the draws inside the interval.
        draw: how the random numbers are used: one multinomial count per cluster, or one index per
            place. Both are the same distribution; each caller keeps its own so that intervals in
            saved results can be computed again.

    Returns:
        Lower and upper end: (2,) or (2, C); nan where no draw has a value.

    >>> heads = np.array([1.0, 0, 1, 1, 0, 1, 0, 0, 1, 1])
    >>> ends = bootstrap([heads, np.ones(10)], None, lambda sums, counts: sums / counts)
    >>> ends.round(1).tolist()
    [0.3, 0.9]
    """
    clusters = np.arange(len(tables[0])) if clusters is None else clusters
    rng = np.random.default_rng(seed)
    if strata is None:
        sums = _resample(tables, clusters, rng, resamples, draw)
    else:
        each = []
        for name in np.unique(strata):
            rows = strata == name
            within = [table[rows] for table in tables]
            each.append(_resample(within, clusters[rows], rng, resamples, draw))
        sums = [np.stack(parts, axis=1) for parts in zip(*each, strict=True)]
    tail = (1 - level) / 2
    return _percentiles(statistic(*sums), [tail, 1 - tail])


def ratio(above: Floats, below: Floats) -> Floats:
    """above / below, nan where below is 0."""
    found = np.full(above.shape, np.nan)
    np.divide(above, below, out=found, where=below > 0)
    return found


def sum_by_cluster(table: Floats, clusters: NDArray[np.int64]) -> Floats:
    """Sums of the rows of each cluster: (N,) or (N, K) -> (clusters, ...), in sorted order.

    >>> sum_by_cluster(np.array([1.0, 2.0, 4.0]), np.array([7, 3, 7])).tolist()
    [2.0, 5.0]
    """
    names, owner = np.unique(clusters, return_inverse=True)
    sums = np.zeros((len(names), *table.shape[1:]))
    np.add.at(sums, owner, table)
    return sums


def _resample(
    tables: Sequence[Floats],
    clusters: NDArray[np.int64],
    rng: np.random.Generator,
    resamples: int,
    draw: Literal["counts", "indices"],
) -> list[Floats]:
    """The sums of each table over the clusters of every draw."""
    sums = [sum_by_cluster(table, clusters) for table in tables]
    count = len(sums[0])
    parts: list[list[Floats]] = []
    together = max(1, _DRAWN // count)
    for start in range(0, resamples, together):
        size = min(together, resamples - start)
        if draw == "counts":
            times = rng.multinomial(count, np.full(count, 1 / count), size).astype(np.float64)
            parts.append([times @ table for table in sums])
        else:
            places = rng.integers(count, size=(size, count))
            parts.append([table[places].sum(axis=1) for table in sums])
    return [np.concatenate(part) for part in zip(*parts, strict=True)]


def _percentiles(values: Floats, at: Sequence[float]) -> Floats:
    """Percentiles of each column, nan left out: (R,) -> (2,), (R, C) -> (2, C)."""
    columns = values.reshape(len(values), -1)
    found = np.full((len(at), columns.shape[1]), np.nan)
    for k, column in enumerate(columns.T):
        known = column[~np.isnan(column)]
        if len(known):
            found[:, k] = np.quantile(known, at)
    return found.reshape(len(at), *values.shape[1:])


def _wilson(p: float, n: int, level: float) -> tuple[float, float]:
    """Wilson's interval of a share p of n."""
    z = NormalDist().inv_cdf((1 + level) / 2)
    middle = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * (p * (1 - p) / n + z * z / (4 * n * n)) ** 0.5
    # Rounding must not leave the share itself outside.
    return max(0.0, min(p, middle - half)), min(1.0, max(p, middle + half))
