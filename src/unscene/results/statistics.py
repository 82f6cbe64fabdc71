"""A number and how far it can be trusted: scores with bootstrap intervals over videos."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

_DRAWN = 1 << 20  # videos drawn at once, in all resamples together


@dataclass(frozen=True)
class Score:
    """A measured mean.

    Attributes:
        value: the mean.
        ci95: its 95 % bootstrap interval.
        n: what was averaged: videos, or clips.
        classes: the mean of each class, where there are classes.
        chance: what somebody who guesses would have, where that can be said.
    """

    value: float
    ci95: tuple[float, float]
    n: int
    classes: dict[str, float] = field(default_factory=dict)
    chance: float | None = None


def score(
    scores: NDArray[np.float64],
    *,
    labels: Sequence[str] | None = None,
    videos: NDArray[np.int64] | None = None,
    shares: bool = True,
) -> Score:
    """The mean of some scores, with the interval that `interval` gives.

    Args:
        scores: (N,), one score a video or clip (1 for a hit, 0 for a miss, say), N at least 1.
        labels: N classes, for the means by class.
        videos: (N,), which video each score belongs to; None: each its own.
        shares: scores lie in 0..1, as for `interval`.
    """
    classes = {}
    if labels is not None:
        named = np.asarray(labels)
        classes = {str(name): float(scores[named == name].mean()) for name in np.unique(named)}
    found = interval(scores, videos=videos, shares=shares)
    return Score(float(scores.mean()), found, len(scores), classes)


def share(wins: NDArray[np.float64], videos: NDArray[np.int64]) -> Score:
    """A share with Wilson's interval (1927), which has a width where all agree: a bootstrap of
    twenty wins out of twenty would be sure of 100 %.

    Args:
        wins: (N,) in 0..1, a half for a tie, N at least 1.
        videos: (N,), which video each belongs to. The wins of a video are averaged first and count
            as one, so that many clips of one video are no more evidence than one; as values between
            0 and 1 vary less than 0 and 1 do, the interval is rather too wide than too narrow.

    Returns:
        The mean over videos; n counts videos.
    """
    _, owner = np.unique(videos, return_inverse=True)
    means = np.bincount(owner, wins) / np.bincount(owner)
    p = float(means.mean())
    return Score(p, _wilson(p, len(means), 0.95), len(means))


def interval(
    scores: NDArray[np.float64],
    *,
    videos: NDArray[np.int64] | None = None,
    shares: bool = True,
    resamples: int = 2000,
    seed: int = 0,
    level: float = 0.95,
) -> tuple[float, float]:
    """Percentile interval of a mean, by drawing videos with replacement.

    Clips of one video are no independent evidence, so that a video is drawn with all its clips.
    Scores that are all 0 or all 1 would leave nothing open, however few: they have Wilson's
    interval, as in `share`.

    Args:
        scores: (N,), N at least 1.
        videos: (N,), as for `score`.
        shares: scores lie in 0..1. False for others, errors in pixels say: no Wilson's interval.
        resamples: how many times as many videos as there are are drawn.
        seed: of the drawing.
        level: share of the means inside the interval.
    """
    rng = np.random.default_rng(seed)
    place = np.arange(len(scores))
    if videos is not None:
        _, place = np.unique(videos, return_inverse=True)
    sums, counts = np.bincount(place, scores), np.bincount(place)
    if shares and scores[0] in (0, 1) and (scores == scores[0]).all():
        return _wilson(float(scores[0]), len(sums), level)
    means = np.empty(resamples)
    together = max(1, _DRAWN // len(sums))
    for start in range(0, resamples, together):
        part = slice(start, min(start + together, resamples))
        drawn = rng.integers(len(sums), size=(part.stop - start, len(sums)))
        means[part] = sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1)
    tail = (1 - level) / 2
    low, high = np.quantile(means, [tail, 1 - tail])
    return float(low), float(high)


def _wilson(p: float, n: int, level: float) -> tuple[float, float]:
    """Interval of a share of n."""
    z = NormalDist().inv_cdf((1 + level) / 2)
    middle = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * (p * (1 - p) / n + z * z / (4 * n * n)) ** 0.5
    # Rounding must not leave the share itself outside.
    return max(0.0, min(p, middle - half)), min(1.0, max(p, middle + half))
