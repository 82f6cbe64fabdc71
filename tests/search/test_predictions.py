"""Probabilities of windows -> intervals, and the picture of them."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib import image
from window_worlds import CLASSES, About, File, make_world

from unscene.errors import UnsceneError
from unscene.search.classifier import fit_classifier
from unscene.search.intervals import Interval
from unscene.search.predict import Rules, Track, average_windows, find_intervals, predict_windows
from unscene.search.scoring import score_intervals
from unscene.search.timeline import COLORS, draw_timelines


def track(*columns: list[float], step: float = 1.0) -> Track:
    values = np.array(columns).T
    return Track("/clips/a.mp4", step, np.arange(len(values)) * step, values)


def found(one: Track, rules: Rules) -> list[tuple[str, float, float]]:
    classes = "abc"[: one.probabilities.shape[1]]
    duration = len(one.times) * one.step
    return [(i.label, i.start, i.end) for i in find_intervals(one, classes, rules, duration)]


def test_an_interval_starts_high_and_goes_on_low() -> None:
    values = [0.5, 0.5, 0.9, 0.5, 0.3, 0.5, 0.5, 0.3, 0.3, 0.9]
    assert found(track(values), Rules(0.8, 0.4, 0, 0)) == [("a", 0, 4), ("a", 9, 10)]
    # The stretch from 5 to 7 never reaches the threshold, so it closes no gap either.
    assert found(track(values), Rules(0.8, 0.4, 0, 2)) == [("a", 0, 4), ("a", 9, 10)]


def test_gaps_are_closed_before_short_ones_are_dropped() -> None:
    values = [0.9, 0.1, 0.9, 0.1, 0.1, 0.9, 0.1]
    assert found(track(values), Rules(0.8, 0.4, 0, 0)) == [("a", 0, 1), ("a", 2, 3), ("a", 5, 6)]
    assert found(track(values), Rules(0.8, 0.4, 0, 1)) == [("a", 0, 3), ("a", 5, 6)]
    assert found(track(values), Rules(0.8, 0.4, 2, 1)) == [("a", 0, 3)]
    assert found(track(values, step=0.5), Rules(0.8, 0.4, 2, 0.5)) == []


def test_of_two_classes_the_more_probable_has_the_time() -> None:
    one = [0.6, 0.6, 0.6, 0.6, 0.6, 0.6]
    two = [0.1, 0.1, 0.9, 0.9, 0.1, 0.1]
    rules = Rules(0.5, 0.4, 1, 0)
    assert found(track(one, two), rules) == [("a", 0, 2), ("b", 2, 4), ("a", 4, 6)]
    assert found(track(one, two), Rules(0.5, 0.4, 3, 0)) == [("a", 0, 6)]


@given(st.lists(st.tuples(*[st.floats(0, 1)] * 2), min_size=1, max_size=30), st.floats(0, 4))
def test_intervals_never_overlap_and_hold_the_rules(
    values: list[tuple[float, ...]], gap: float
) -> None:
    one = track(*np.array(values).T.tolist(), step=0.5)
    rules = Rules(0.7, 0.4, 1.0, gap)
    intervals = find_intervals(one, ["a", "b"], rules, len(values) * 0.5)
    for first, second in pairwise(intervals):
        assert first.end <= second.start
    for each in intervals:
        cells = slice(round(each.start / 0.5), round(each.end / 0.5))
        own = one.probabilities[cells, "ab".index(each.label)]
        assert own.max() >= 0.7
        assert each.probability == pytest.approx(own.mean())
        assert each.end - each.start >= 1.0


@pytest.mark.parametrize("duration", [0.5, 7.0, 7.3, 12.25])
def test_the_grid_has_the_mean_of_the_windows_that_cover_it(duration: float) -> None:
    """Against a loop over cells; the last window ends with the video, as in an index."""
    rng = np.random.default_rng(0)
    start = np.arange(0, max(0.0, duration - 2) + 1e-9, 0.75)
    start = np.append(start, max(0.0, duration - 2))
    end, values = start + 2, rng.random((len(start), 3))
    got = average_windows("a", start, end, values, duration, 0.75)
    for time, cell in zip(got.times, got.probabilities, strict=True):
        middle = min(time + 0.375, (max(time, 0) + max(duration, 2)) / 2)
        covers = (start <= middle) & (middle < end)
        assert covers.any()
        np.testing.assert_allclose(cell, values[covers].mean(axis=0))
    assert got.times[-1] < max(duration, 2) <= got.times[-1] + 0.75 + 1e-9


def test_where_no_window_could_be_read_is_nothing() -> None:
    got = average_windows("a", np.array([0.0]), np.array([2.0]), np.array([[0.9]]), 5.0, 1.0)
    assert got.probabilities[:, 0].tolist() == [0.9, 0.9, 0, 0, 0]


def test_intervals_agree_with_what_is_there() -> None:
    world = make_world(1)
    model = fit_classifier(world.windows, world.files, world.labels[::2], About())
    still = np.zeros(len(world.windows), bool)
    still[world.windows.file == 3] = True
    predictions = predict_windows(model, world.windows, world.files, still=still)
    moving = [one for one in world.labels if one.path != world.files[3].path]
    assert score_intervals(predictions, moving).value > 0.6
    assert not [one for one in predictions if one.path == world.files[3].path]
    assert len(predictions.tracks) == len(world.files)
    table = predictions.to_pandas()
    assert list(table.columns) == ["file", "start", "end", "label", "probability"]
    assert len(table) == len(predictions) == len(predictions.records())
    assert predictions.track(world.files[2].path).probabilities.shape[1] == 3
    with pytest.raises(UnsceneError, match="no window of it was read"):
        predictions.track("/clips/none.mp4")
    for file in world.files:  # files without windows change nothing for the others
        alone = world.windows[world.windows.file == world.files.index(file)]
        again = predict_windows(model, alone, world.files)
        assert {one.path for one in again} <= {file.path}


def test_rules_follow_the_model_and_the_flags() -> None:
    world = make_world(0)
    model = fit_classifier(world.windows, world.files, world.pick(3), About())
    rules = Rules.of(model)
    assert (rules.threshold, rules.low) == (model.threshold, model.low)
    assert (rules.least, rules.gap) == (1.0, 1.0)
    assert Rules.of(model, threshold=0.8).low == pytest.approx(0.48)
    for wrong in ({"threshold": 1.5}, {"threshold": 0.0}, {"low": 0.99}, {"least": -1.0}):
        with pytest.raises(UnsceneError, match="must be"):
            Rules.of(model, **wrong)


def test_the_picture_shows_classes_where_they_are(tmp_path: Path) -> None:
    files = [File(f"/clips/{i}.mp4", 60.0) for i in range(3)]
    intervals = [Interval(files[1].path, 15.0, 45.0, "run", 0.9)]
    (path,) = draw_timelines(tmp_path / "timeline.png", files, intervals, CLASSES)
    picture = (image.imread(path)[..., :3] * 255).round().astype(int)
    color = [int(COLORS[1][i : i + 2], 16) for i in (1, 3, 5)]
    rows, columns = np.nonzero((abs(picture - color) <= 2).all(axis=-1))
    bar = rows > 0.35 * len(picture)  # below the legend
    height, width = picture.shape[:2]
    left, right = (np.quantile(columns[bar], q) / width for q in (0.01, 0.99))
    assert 0.25 < (right - left) < 0.5  # half of the axis
    assert rows[bar].max() - rows[bar].min() < height / 6  # one row only: the first, as it has some


def test_pages_are_limited(tmp_path: Path) -> None:
    files = [File(f"/clips/{i} $x_1$.mp4", 60.0 + i) for i in range(90)]
    labels = [Interval(file.path, 1, 2, "run") for file in files[45:]]
    pages = draw_timelines(tmp_path / "t.png", files, [], ["run"], labels)
    assert [page.name for page in pages] == ["t.png", "t-2.png"]  # 45 with labels, 10 are left out
    assert len(draw_timelines(tmp_path / "u.png", files, [], ["run"])) == 1
