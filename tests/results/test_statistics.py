"""Intervals cover what they say, and are never certain of what a few videos showed."""

from __future__ import annotations

import numpy as np
import pytest

from unscene.results.statistics import bootstrap, interval, ratio, score, share


def test_bootstrap_is_deterministic_and_covers() -> None:
    hits = (np.random.default_rng(0).random(200) < 0.3).astype(np.float64)
    assert interval(hits) == interval(hits)
    spread = np.random.default_rng(0).random(20)
    assert interval(spread) != interval(spread, seed=1)
    low, high = interval(hits)
    # The normal approximation is good here.
    half = 1.96 * np.sqrt(hits.mean() * (1 - hits.mean()) / 200)
    assert low == pytest.approx(hits.mean() - half, abs=0.015)
    assert high == pytest.approx(hits.mean() + half, abs=0.015)
    covered = 0
    for seed in range(100):
        sample = (np.random.default_rng(seed).random(60) < 0.4).astype(np.float64)
        low, high = interval(sample, resamples=200)
        covered += low <= 0.4 <= high
    assert 86 <= covered <= 100


def test_clips_of_a_video_are_no_independent_evidence() -> None:
    hits = (np.random.default_rng(0).random(40) < 0.5).astype(np.float64)
    copied, videos = np.repeat(hits, 10), np.repeat(np.arange(40), 10)
    alone = interval(hits)
    together = score(copied, videos=videos)
    assert together.ci95 == pytest.approx(alone)
    assert together.n == 400
    assert interval(copied)[0] > alone[0] + 0.05


def test_scores_that_all_agree_have_wilsons_interval_by_video() -> None:
    # z**2 / (n + z**2) from the end is Wilson's interval there.
    hits, misses = score(np.ones(5)), score(np.zeros(5))
    assert hits.ci95 == pytest.approx((5 / (5 + 1.96**2), 1), abs=1e-4)
    assert misses.ci95 == pytest.approx((0, 1.96**2 / (5 + 1.96**2)), abs=1e-4)
    videos = np.repeat(np.arange(5), 4)
    assert score(np.ones(20), videos=videos).ci95 == hits.ci95
    assert share(np.ones(20), videos).ci95 == hits.ci95
    assert interval(np.ones(5), level=0.99)[0] < hits.ci95[0]
    assert hits.value <= hits.ci95[1]


def test_errors_are_no_shares() -> None:
    assert score(np.zeros(5), shares=False).ci95 == (0, 0)
    assert interval(np.full(5, 2.0)) == (2, 2)
    assert interval(np.full(5, 0.5)) == (0.5, 0.5)


def test_a_share_averages_the_clips_of_a_video_first() -> None:
    found = share(np.array([1.0, 1, 1, 0]), np.array([0, 0, 0, 1]))
    assert (found.value, found.n) == (0.5, 2)
    assert found.ci95 == share(np.array([1.0, 0]), np.array([7, 3])).ci95


def test_a_video_is_drawn_with_as_many_clips_as_it_has() -> None:
    """Against a plain loop: a resample is the mean over all clips of the videos drawn."""
    rng = np.random.default_rng(0)
    videos = np.repeat(np.arange(6), [1, 2, 30, 3, 1, 12])
    scores = 0.1 * videos + rng.random(len(videos)) / 2
    drawn = np.random.default_rng(5).integers(6, size=(300, 6))
    means = [np.concatenate([scores[videos == v] for v in some]).mean() for some in drawn]
    found = interval(scores, videos=videos, resamples=300, seed=5, level=0.9)
    low, high = np.quantile(means, [0.05, 0.95])
    assert found == pytest.approx((low, high))


def test_a_statistic_of_sums_is_that_of_every_draw() -> None:
    """Against a plain loop over draws: the mean over columns of a ratio, clusters within strata."""
    rng = np.random.default_rng(1)
    clusters, strata = np.repeat([4, 2, 9, 7], 3), np.repeat(["a", "b"], 6)
    scores = rng.random(12)

    def statistic(sums: np.ndarray, counts: np.ndarray) -> np.ndarray:
        return (sums / counts).mean(axis=1)

    found = bootstrap([scores, np.ones(12)], clusters, statistic, strata=strata, seed=3)
    draws = np.random.default_rng(3)
    each = {
        "a": draws.multinomial(2, [0.5, 0.5], 2000),
        "b": draws.multinomial(2, [0.5, 0.5], 2000),
    }
    means = []
    for k in range(2000):
        own = []
        for name, names in (("a", (2, 4)), ("b", (7, 9))):
            rows = [
                scores[clusters == c]
                for c, n in zip(names, each[name][k], strict=True)
                for _ in range(n)
            ]
            own.append(np.concatenate(rows).mean())
        means.append(np.mean(own))
    assert found == pytest.approx(np.quantile(means, [0.025, 0.975]))


def test_draws_without_a_value_are_left_out() -> None:
    hits, there = np.array([[1.0, 0], [0, 0], [1, 0]]), np.array([[1.0, 0], [1, 0], [1, 0]])
    low, high = bootstrap([hits, there], None, ratio)
    assert (low[0], high[0]) == (0, 1)
    assert np.isnan([low[1], high[1]]).all()
    rare = bootstrap([np.array([1.0, 0]), np.array([1.0, 0])], None, ratio)
    assert rare.tolist() == [1, 1]  # a quarter of the draws has nothing to divide by
