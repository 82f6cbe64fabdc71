"""Labels of moments, read from a file and checked."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from unscene.errors import UnsceneError
from unscene.search.formats import read_intervals
from unscene.search.intervals import Footage, Interval, find_file, name_files
from unscene.search.windows import Windows

_SHOWN = 5  # problems of a file that are listed
_INDEX = "the index"  # where a label stands that is known already
_COVERED = 0.5  # of a window, or of a label
_TIE = 1e-3  # seconds of time shared that do not count: labels are rounded
_AFTER = 0.25  # seconds that a label may reach beyond the file: durations are rounded


@dataclass(frozen=True)
class Label:
    """What a person named: a stretch of a video file and its class.

    Attributes:
        path: absolute path of the file.
        start, end: seconds.
        label: the class.
        id: given by the index; "" for a label that is in none.
    """

    path: str
    start: float
    end: float
    label: str
    id: str = ""


def read_labels(
    path: str | os.PathLike[str], files: Sequence[Footage]
) -> tuple[list[Label], list[str]]:
    """Read a file of labels and check them against the videos.

    Args:
        path: a CSV with the columns file,start,end,label, or a file of Label Studio, ELAN, BORIS or
            WebVTT. Files are named by path, by their names in the index, or by the end of a path
            that no other file has.
        files: the videos.

    Returns:
        The labels, in the order of the file, and notes about what was left out.

    Raises:
        UnsceneError: the file cannot be read, has no labels, or some of them are wrong: it names
            the first five and counts all.
    """
    path = Path(path)

    def rate(name: str) -> float | None:
        position, _ = find_file(name, files)
        return None if position is None else files[position].fps

    found = read_intervals(path, rate)
    labels, problems = check_labels(found.rows, files)
    problems = sorted(found.problems + problems, key=_find_line)
    if problems:
        count = "1 label is" if len(problems) == 1 else f"{len(problems)} labels are"
        raise UnsceneError(
            f"{path}: {count} wrong, and nothing was changed:\n{_list_problems(problems)}"
        )
    if not labels:
        raise UnsceneError(
            f"{path}: has no labels; write a line for each, such as clips/a.mp4,12.5,14,wave"
        )
    return labels, found.notes


def _find_line(problem: str) -> int:
    """The line that a problem names; 0 for files that have no lines."""
    found = re.search(r":(\d+): ", problem)
    return int(found[1]) if found else 0


def check_labels(
    rows: Iterable[tuple[str, Interval]], files: Sequence[Footage]
) -> tuple[list[Label], list[str]]:
    """Find the file of each interval and say what is wrong with it.

    Args:
        rows: where an interval stands, for the message, and the interval.
        files: the videos.

    Returns:
        The labels that are right, each once, and the problems of the others.
    """
    labels: list[Label] = []
    problems: list[str] = []
    places: dict[Label, str] = {}
    for where, one in rows:
        position, reason = find_file(one.path, files)
        if position is None:
            problems.append(f"{where}: file {one.path!r} {reason}")
            continue
        file = files[position]
        if not file.duration:
            problems.append(f"{where}: file {one.path!r} could not be read when it was indexed")
            continue
        if wrong := _explain_times(one, file.duration):
            problems.append(f"{where}: {wrong}")
            continue
        label = Label(file.path, max(0.0, one.start), min(one.end, file.duration), one.label)
        if label not in places:
            places[label] = where
            labels.append(label)
    return labels, problems + find_conflicts(labels, places, name_files(files))


def find_new(known: Iterable[Label], given: Iterable[Label]) -> list[Label]:
    """Find which labels are not known yet, to the millisecond; each once.

    >>> one = Label("a.mp4", 1.0, 2.0, "wave")
    >>> find_new([Label("a.mp4", 1.0, 2.0, "wave", "7")], [one, Label("a.mp4", 1.0, 2.0, "jump")])
    [Label(path='a.mp4', start=1.0, end=2.0, label='jump', id='')]
    """
    have = {_key(one) for one in known}
    new = {_key(one): one for one in given}
    return [one for key, one in new.items() if key not in have]


def find_again(known: Iterable[Label], given: Iterable[Label]) -> list[Label]:
    """Find which known labels are given again, to the millisecond."""
    have = {_key(one) for one in given}
    return [one for one in known if _key(one) in have]


def _key(label: Label) -> tuple[str, int, int, str]:
    return label.path, round(1000 * label.start), round(1000 * label.end), label.label


def check_together(
    known: Sequence[Label], new: Sequence[Label], files: Sequence[Footage], source: str
) -> None:
    """Check that new labels do not contradict those of an index.

    Args:
        known: labels of the index.
        new: labels to add.
        files: the videos.
        source: where the new ones stand, for the message.

    Raises:
        UnsceneError: two overlap and are of different classes.
    """
    places = dict.fromkeys(known, _INDEX) | dict.fromkeys(new, source)
    if problems := find_conflicts([*known, *new], places, name_files(files)):
        raise UnsceneError(
            f"{source}: contradicts labels of the index, and nothing was changed:\n"
            f"{_list_problems(problems)}\nTo use these labels in place of all those of the index, "
            "pass --replace"
        )


def _list_problems(problems: Sequence[str]) -> str:
    """The first problems, a line each, and how many more there are."""
    shown = "\n".join(f"  {problem}" for problem in problems[:_SHOWN])
    more = f"\n  and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
    return shown + more


def _explain_times(one: Interval, duration: float) -> str | None:
    """What is wrong with the times or the name of an interval."""
    if not one.label.strip():
        return "label is empty; name the class, or remove the line"
    if one.end <= one.start:
        return (
            f"end {one.end:g} is not after start {one.start:g}; give the label a length, "
            "such as half a second"
        )
    if one.start < 0 or one.end > duration + _AFTER or one.start >= duration:
        return (
            f"{one.start:g} to {one.end:g} lies outside the file, which lasts {duration:.3f} s; "
            "times are seconds from its start"
        )
    return None


def find_conflicts(
    labels: Sequence[Label], places: Mapping[Label, str], names: Mapping[str, str]
) -> list[str]:
    """Say which labels overlap labels of another class.

    Args:
        labels: any.
        places: where each stands, for the message. Two that stand in the index may overlap.
        names: of the files, by their paths.
    """
    problems = []
    current: dict[str, list[Label]] = {}
    for one in sorted(labels, key=lambda label: (label.path, label.start, label.end)):
        before = [other for other in current.get(one.path, []) if other.end > one.start + 1e-6]
        current[one.path] = [*before, one]
        for other in before:
            both_known = places[one] == places[other] == _INDEX  # the page lets labels overlap
            if other.label != one.label and not both_known:
                problems.append(
                    f"{places[one]}: {one.label!r} {one.start:g} to {one.end:g} of "
                    f"{names.get(one.path, one.path)} overlaps {other.label!r} {other.start:g} to "
                    f"{other.end:g} ({places[other]}); shorten one of them"
                )
    return problems


def count_labels(labels: Iterable[Label]) -> dict[str, int]:
    """Number of labels of each class, the most frequent first.

    >>> count_labels([Label("a", 0, 1, "wave"), Label("a", 2, 3, "jump"), Label("b", 0, 1, "jump")])
    {'jump': 2, 'wave': 1}
    """
    counts = Counter(label.label for label in labels)
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def assign_labels(
    windows: Windows, files: Sequence[Footage], labels: Sequence[Label]
) -> NDArray[np.int64]:
    """Find the label of every window.

    A window has the label that covers at least half of it, or at least half of which lies in it: a
    short label counts in every window that shows most of it. Of several, the one that shares most
    time with the window; if they share the same, the shortest: a correction inside a longer label
    holds where it was made.

    Args:
        windows: N windows.
        files: the videos that `windows.file` numbers.
        labels: of these videos; others are ignored.

    Returns:
        int64 (N,), the position of the label in `labels`, -1 for none.
    """
    found = np.full(len(windows), -1, np.int64)
    shared = np.full(len(windows), -_TIE)
    numbers = {file.path: number for number, file in enumerate(files)}
    rows_of: dict[int, NDArray[np.int64]] = {}
    shortest_first = sorted(enumerate(labels), key=lambda one: one[1].end - one[1].start)
    for position, label in shortest_first:
        number = numbers.get(label.path)
        if number is None:
            continue
        if number not in rows_of:
            rows_of[number] = np.flatnonzero(windows.file == number)
        rows = rows_of[number]
        start, end = windows.start[rows], windows.end[rows]
        overlap = np.minimum(end, label.end) - np.maximum(start, label.start)
        least = _COVERED * np.minimum(end - start, label.end - label.start)
        better = (overlap >= least - 1e-6) & (overlap > shared[rows] + _TIE)
        found[rows[better]] = position
        shared[rows[better]] = overlap[better]
    return found


def find_touching(
    windows: Windows, files: Sequence[Footage], labels: Sequence[Label]
) -> NDArray[np.bool_]:
    """Which windows share some time with a label: bool (N,). What lies half in one is neither."""
    found = np.zeros(len(windows), bool)
    numbers = {file.path: number for number, file in enumerate(files)}
    for label in labels:
        rows = np.flatnonzero(windows.file == numbers.get(label.path, -1))
        found[rows] |= (windows.start[rows] < label.end) & (windows.end[rows] > label.start)
    return found
