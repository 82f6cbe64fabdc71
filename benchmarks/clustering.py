"""Groups of motion: seconds for the windows of an index."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import numpy as np
from harness import Options, Row, turns
from sklearn.cluster import HDBSCAN

from unscene.search.cluster import cluster_windows, reduce_features
from unscene.search.store import IndexedFile
from unscene.search.windows import Windows

KINDS, DIM, PER_FILE = 7, 192, 100


def run(options: Options) -> Iterator[Row]:
    count = options.times(100_000, 5_000)
    windows, files = _make(count)
    still = np.zeros(count, bool)
    reduced = reduce_features(windows.vectors)
    results: dict[str, Any] = {}

    def group() -> None:
        results["ours"] = cluster_windows(windows, still, files)

    def find_dense() -> None:
        results["dense"] = HDBSCAN(min_cluster_size=50, copy=True).fit_predict(reduced)

    # CPU seconds: others may use the machine.
    ours, other = turns(group, find_dense, repetitions=1, warm=0, clock=time.process_time)
    yield Row(
        name="clustering.windows",
        what=f"{count:,} windows: groups, their number, typical and rare moments, agreement",
        ours=ours,
        alternative=other,
        against="HDBSCAN of scikit-learn, groups alone, on the reduced features",
        unit="CPU s",
        ratio=ours / other,
        target="ours <= 60",
        repetitions=1,
        note=(
            f"{len(results['ours'].groups)} groups of {KINDS} planted ones; HDBSCAN leaves "
            f"{np.mean(results['dense'] < 0):.0%} of the windows without a group"
        ),
    )


def _make(count: int) -> tuple[Windows, list[IndexedFile]]:
    """Windows of KINDS kinds with noise, 100 per file, every file with one of three classes."""
    rng = np.random.default_rng(0)
    kinds = rng.standard_normal((KINDS, DIM), np.float32)
    vectors = kinds[np.sort(rng.integers(0, KINDS, (count // PER_FILE, PER_FILE)), axis=1).ravel()]
    vectors = np.abs(vectors + 1.5 * rng.standard_normal(vectors.shape, np.float32))
    file = np.repeat(np.arange(count // PER_FILE), PER_FILE)
    start = np.tile(np.arange(PER_FILE) * 0.8, count // PER_FILE)
    motion = np.full(count, 0.2, np.float32)
    windows = Windows(np.arange(count), file, start, start + 1.6, motion, vectors)
    files = [
        IndexedFile(
            number, f"/{number}.mp4", f"{number}.mp4", "/", 1, 1, "", 82.0, 25.0,
            ((0.0, None, "abc"[number % 3]),),
        )
        for number in range(count // PER_FILE)
    ]  # fmt: skip
    return windows, files
