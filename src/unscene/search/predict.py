"""Probabilities of windows that overlap -> intervals of each video with a class.

windows        [ .2 ]  [ .8 ]  [ .9 ]  [ .4 ]
                   [ .5 ]  [ .9 ]  [ .7 ]  [ .1 ]
grid           .2 .35 .65 .85 .9 .8 .55 .25 .1      the mean of the windows over each cell
intervals             [==============]              starts where it reaches the threshold somewhere,
                                                    goes on down to `low`

Intervals of a class with a short gap between them become one. Where two classes claim the same
time, the one with the higher probability has it, and what is left of the other stays if it is still
an interval. Then what is too short is dropped.

Source: Canny, IEEE TPAMI 8 (1986), for thresholding with hysteresis.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unscene.errors import UnsceneError
from unscene.imports import import_pandas
from unscene.search.intervals import Footage, Interval
from unscene.search.label_model import LabelModel
from unscene.search.windows import Windows

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Track:
    """The probabilities of the classes over the time of one video.

    Attributes:
        path: absolute path of the file.
        step: seconds of a cell.
        times: (T,), start of each cell in seconds.
        probabilities: (T, K); 0 where no window could be read.
    """

    path: str
    step: float
    times: Floats
    probabilities: Floats


@dataclass(frozen=True)
class Rules:
    """How intervals are made of probabilities.

    Attributes:
        threshold: an interval reaches this somewhere.
        low: and goes on while the probability is at least this.
        least: shortest interval, in seconds.
        gap: intervals of a class that are at most this many seconds apart become one.

    Raises:
        UnsceneError: a value is out of range.
    """

    threshold: float
    low: float
    least: float
    gap: float

    def __post_init__(self) -> None:
        if not 0 < self.low <= self.threshold <= 1:
            raise UnsceneError(
                f"--threshold {self.threshold:g}, --low {self.low:g}: both must be above 0 and at "
                "most 1, and the low one at most the threshold"
            )
        if not (self.least >= 0 and self.gap >= 0):
            raise UnsceneError(
                f"--least {self.least:g}, --gap {self.gap:g}: must be 0 or more seconds"
            )

    @classmethod
    def of(
        cls,
        model: LabelModel,
        *,
        threshold: float | None = None,
        low: float | None = None,
        least: float | None = None,
        gap: float | None = None,
    ) -> Rules:
        """The rules of a model; None: its own threshold, and half a window for times."""
        own = model.threshold, model.low
        return cls.choose(own, model.length, threshold=threshold, low=low, least=least, gap=gap)

    @classmethod
    def choose(
        cls,
        own: tuple[float, float],
        length: float,
        *,
        threshold: float | None,
        low: float | None,
        least: float | None,
        gap: float | None,
    ) -> Rules:
        """Rules with their own threshold and its low one, and half a window, where None is given.

        Args:
            own: threshold and low; another threshold lowers or raises the low one with it.
            length: of a window, in seconds.
            threshold, low, least, gap: see `Rules`.
        """
        high = own[0] if threshold is None else threshold
        below = own[1] * high / own[0] if low is None else low
        half = length / 2
        return cls(high, below, half if least is None else least, half if gap is None else gap)


@dataclass(frozen=True, eq=False)
class Predictions:
    """What was predicted for some videos.

    Attributes:
        classes: K classes.
        files: the videos, in order; also those in which nothing was found.
        intervals: by file and start.
        tracks: of the videos that have windows, in the order of `files`.
        skipped: videos that could not be read, and why.
    """

    classes: tuple[str, ...]
    files: tuple[Footage, ...]
    intervals: tuple[Interval, ...]
    tracks: tuple[Track, ...]
    skipped: tuple[tuple[str, str], ...] = ()

    def __len__(self) -> int:
        return len(self.intervals)

    def __repr__(self) -> str:
        skipped = f", {len(self.skipped)} skipped" if self.skipped else ""
        return f"Predictions({len(self.intervals)} intervals in {len(self.files)} files{skipped})"

    def __iter__(self) -> Iterator[Interval]:
        return iter(self.intervals)

    def records(self) -> list[dict[str, str | float | None]]:
        """A row for each interval: file, start, end, label, probability."""
        return [interval.record() for interval in self.intervals]

    def to_pandas(self) -> Any:
        """Return a data frame with a row per interval.

        Raises:
            UnsceneError: pandas is not installed.
        """
        pandas = import_pandas()
        columns = list(Interval("", 0, 0, "").record())
        return pandas.DataFrame(self.records(), columns=columns)

    def track(self, path: str | os.PathLike[str]) -> Track:
        """The probabilities of a video over time. Raises UnsceneError if it has none."""
        for one in self.tracks:
            if one.path == os.fspath(path):
                return one
        raise UnsceneError(f"{os.fspath(path)}: no window of it was read, so nothing is predicted")


def predict_windows(
    model: LabelModel,
    windows: Windows,
    files: Sequence[Footage],
    *,
    still: NDArray[np.bool_] | None = None,
    rules: Rules | None = None,
    skipped: Sequence[tuple[str, str]] = (),
) -> Predictions:
    """Predict intervals from the features of windows.

    Args:
        model: learned from labels, on features of the same encoder.
        windows: N windows, ordered by file and start.
        files: the videos that `windows.file` numbers.
        still: (N,), windows in which nothing moves: no class, unless the model knows some.
        rules: None: those of the model.
        skipped: videos that could not be read, and why; passed on.

    Returns:
        Intervals and probabilities over time; `to_pandas()` makes a table of the intervals.
    """
    values = model.probabilities(windows.vectors)
    if still is not None and not model.still:
        values[still] = 0.0
    return make_predictions(
        model.classes, values, windows, files, model.hop, rules or Rules.of(model), skipped
    )


def make_predictions(
    classes: Sequence[str],
    values: Floats,
    windows: Windows,
    files: Sequence[Footage],
    step: float,
    rules: Rules,
    skipped: Sequence[tuple[str, str]] = (),
) -> Predictions:
    """Make intervals of the probabilities (N, K) of windows; see `predict_windows`."""
    tracks, intervals = [], []
    ends = np.searchsorted(windows.file, np.arange(len(files) + 1))
    for number, file in enumerate(files):
        rows = slice(ends[number], ends[number + 1])
        if rows.start == rows.stop:
            continue
        times = windows.start[rows], windows.end[rows]
        track = average_windows(file.path, *times, values[rows], file.duration, step)
        tracks.append(track)
        intervals += find_intervals(track, classes, rules, file.duration)
    return Predictions(
        tuple(classes), tuple(files), tuple(intervals), tuple(tracks), tuple(skipped)
    )


def average_windows(
    path: str,
    start: Floats,
    end: Floats,
    values: Floats,
    duration: float,
    step: float,
) -> Track:
    """Average windows onto a grid of time.

    Args:
        path: of the video.
        start, end: (N,) of its windows, in seconds.
        values: (N, K).
        duration: of the video, in seconds.
        step: of the grid, in seconds. A cell has the windows that cover its middle.

    >>> ends = np.array([2.0, 3.0])
    >>> average_windows("a", ends - 2, ends, np.array([[0.2], [0.6]]), 3.0, 1.0).probabilities
    array([[0.2],
           [0.4],
           [0.6]])
    """
    count = max(1, int(np.ceil(max(duration, float(end.max(initial=0.0))) / step - 1e-6)))
    middles = (np.arange(count) + 0.5) * step
    middles[-1] = min(middles[-1], (duration + (count - 1) * step) / 2)  # a cell cut short
    first, last = np.searchsorted(middles, start), np.searchsorted(middles, end)
    # Sums over cells as running sums of what begins and ends there: long recordings, many windows.
    change = np.zeros((count + 1, values.shape[1] + 1))
    weighted = np.column_stack([values, np.ones(len(values))])
    np.add.at(change, first, weighted)
    np.add.at(change, last, -weighted)
    sums = change.cumsum(axis=0)[:count]
    covered = np.maximum(np.round(sums[:, -1:]), 1)
    found = np.where(sums[:, -1:] > 0.5, sums[:, :-1] / covered, 0.0)
    return Track(path, step, (np.arange(count) * step).astype(np.float64), np.clip(found, 0.0, 1.0))


def find_intervals(
    track: Track, classes: Sequence[str], rules: Rules, duration: float
) -> list[Interval]:
    """Find the intervals of a video; no two overlap.

    Args:
        track: probabilities over time.
        classes: K names.
        rules: thresholds and lengths.
        duration: of the video, in seconds: no interval ends later.

    >>> values = np.array([[0.1], [0.4], [0.9], [0.6], [0.2], [0.5], [0.5]])
    >>> track = Track("a.mp4", 1.0, np.arange(7.0), values)
    >>> [(i.start, i.end) for i in find_intervals(track, ["wave"], Rules(0.8, 0.4, 1, 1), 7.0)]
    [(1.0, 4.0)]
    """
    cells = round(rules.gap / track.step)
    candidates = []
    for k in range(len(classes)):
        values = track.probabilities[:, k]
        runs = [
            run
            for run in find_runs(values >= rules.low)
            if values[slice(*run)].max() >= rules.threshold
        ]
        for first, last in _close_gaps(runs, cells):
            candidates.append((float(values[first:last].mean()), k, first, last))
    taken = np.zeros(len(track.times), bool)
    found = []
    for _, k, first, last in sorted(candidates, reverse=True):
        values = track.probabilities[:, k]
        for low, high in find_runs(~taken[first:last]):
            part = slice(first + low, first + high)
            start, end = (
                float(track.times[part.start]),
                float(track.times[part.stop - 1]) + track.step,
            )
            end = min(end, duration)
            if values[part].max() >= rules.threshold and end - start >= rules.least - 1e-6:
                taken[part] = True
                mean = float(values[part].mean())
                found.append(Interval(track.path, round(start, 6), round(end, 6), classes[k], mean))
    return sorted(found, key=lambda one: one.start)


def find_runs(holds: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """First and one past the last position of each run of True.

    >>> find_runs(np.array([True, False, True, True]))
    [(0, 1), (2, 4)]
    """
    edges = np.diff(np.concatenate([[False], holds, [False]]).astype(np.int8))
    starts, ends = np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)
    return list(zip(starts.tolist(), ends.tolist(), strict=True))


def _close_gaps(runs: Sequence[tuple[int, int]], cells: int) -> list[tuple[int, int]]:
    """Join runs that are at most so many cells apart."""
    closed: list[tuple[int, int]] = []
    for first, last in runs:
        if closed and first - closed[-1][1] <= cells:
            closed[-1] = closed[-1][0], last
        else:
            closed.append((first, last))
    return closed
