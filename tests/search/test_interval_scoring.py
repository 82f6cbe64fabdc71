"""F1 of predicted intervals against frames counted one by one by scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import f1_score

from unscene.errors import UnsceneError
from unscene.search.intervals import Interval
from unscene.search.scoring import score_intervals

CLASSES = ["jump", "wave"]


def draw(rng: np.random.Generator, file: int) -> list[Interval]:
    """Intervals on a grid of tenths of seconds; those of one class may overlap."""
    starts = rng.integers(0, 80, 4)
    return [
        Interval(f"{file}.mp4", int(start) / 10, (int(start) + int(length)) / 10, str(name))
        for start, length, name in zip(
            starts, rng.integers(1, 20, 4), rng.choice(CLASSES, 4), strict=True
        )
    ]


def frames(intervals: list[Interval], files: int) -> np.ndarray:
    shown = np.zeros((files, 100, len(CLASSES)), int)
    for one in intervals:
        span = slice(round(one.start * 10), round(one.end * 10))
        shown[int(one.path.partition(".")[0]), span, CLASSES.index(one.label)] = 1
    return shown.reshape(-1, len(CLASSES))


@pytest.mark.parametrize("seed", range(5))
def test_it_is_the_f1_of_frames(seed: int) -> None:
    rng = np.random.default_rng(seed)
    predicted = [one for file in range(6) for one in draw(rng, file)]
    labels = [one for file in range(6) for one in draw(rng, file)]
    found = score_intervals(predicted, labels)
    each = f1_score(frames(labels, 6), frames(predicted, 6), average=None)
    assert found.classes == pytest.approx(dict(zip(CLASSES, each, strict=True)))
    assert found.value == pytest.approx(each.mean())
    assert found.n == 6
    assert found.ci95[0] <= found.value <= found.ci95[1]
    assert found.ci95[1] - found.ci95[0] > 0.02


def test_ends_of_the_scale() -> None:
    labels = [Interval(f"{i}.mp4", 1, 2, "wave") for i in range(3)]
    assert score_intervals(labels, labels).value == 1.0
    assert score_intervals([], labels).value == 0.0
    assert score_intervals([], labels).n == 3
    # A class that nobody labeled is no class, unless it is asked for.
    extra = [*labels, Interval("0.mp4", 5, 6, "jump")]
    assert score_intervals(extra, labels).value == 1.0
    assert score_intervals(extra, labels, classes=CLASSES).value == 0.5
    with pytest.raises(UnsceneError, match="no labels"):
        score_intervals(labels, [])
