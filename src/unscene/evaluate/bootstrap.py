"""Confidence intervals by the bootstrap over videos."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def interval(
    scores: NDArray[np.float64], *, resamples: int = 2000, seed: int = 0, level: float = 0.95
) -> tuple[float, float]:
    """Percentile interval of a mean.

    Args:
        scores: (N,), one score a video (1 for a hit, 0 for a miss, say), N at least 1.
        resamples: how many times N videos are drawn with replacement.
        seed: of the drawing.
        level: share of the means inside the interval.
    """
    rng = np.random.default_rng(seed)
    means = np.array(
        [scores[rng.integers(len(scores), size=len(scores))].mean() for _ in range(resamples)]
    )
    tail = (1 - level) / 2
    low, high = np.quantile(means, [tail, 1 - tail])
    return float(low), float(high)
