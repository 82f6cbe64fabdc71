"""Windows that overlap -> moments: stretches of a video that are alike.

windows     [ .91 ]                     [ .70 ]
               [ .93 ]         [ .88 ]
                  [ .60 ]
moments     [   .93  ]         [ .88 ]  [ .70 ]     .60 overlaps a better moment and is too
                                                    unlike it: it is dropped
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

_ALIKE = 0.9  # of the best similarity of a moment: windows that join it


@dataclass(frozen=True)
class Moment:
    """A stretch of a video.

    Attributes:
        path: absolute.
        start, end: in seconds.
        similarity: cosine of its best window with the query, both less the mean of the index; None
            where there is no query.
        motion: strength of its strongest window, see `motion.strength`.
        label: that somebody gave to its best window.
        windows: ids, the best one first.
    """

    path: str
    start: float
    end: float
    similarity: float | None = None
    motion: float = 0.0
    label: str | None = None
    windows: tuple[int, ...] = ()

    def to_record(self) -> dict[str, Any]:
        """Return what pandas and CSV take: a flat record without the ids of windows.

        >>> Moment("/a.mp4", 1.0, 3.0, 0.9).to_record()["similarity"]
        0.9
        """
        names = ("path", "start", "end", "similarity", "motion", "label")
        return {name: getattr(self, name) for name in names}


@dataclass
class _Growing:
    file: int
    start: float
    end: float
    best: float
    windows: list[int] = field(default_factory=list)


def merge_windows(
    windows: Iterable[tuple[int, int, float, float, float]], k: int, *, merge: bool = True
) -> list[tuple[list[int], float, float]]:
    """Merge windows that overlap into at most k moments.

    Args:
        windows: (row, file, start, end, similarity), the most similar first.
        k: number of moments.
        merge: False: every window is a moment of its own.

    Returns:
        Rows of each moment, the best one first; start; end. The best moment comes first.

    >>> windows = [(0, 0, 1.0, 3.0, 0.9), (1, 0, 2.0, 4.0, 0.88), (2, 0, 3.5, 5.5, 0.5)]
    >>> merge_windows(windows, k=5)
    [([0, 1], 1.0, 4.0)]
    """
    found: list[_Growing] = []
    by_file: dict[int, list[_Growing]] = {}
    for row, file, start, end, similarity in windows:
        overlapping = [one for one in by_file.get(file, []) if start < one.end and end > one.start]
        if not merge or not overlapping:
            if len(found) == k:
                break
            found.append(_Growing(file, start, end, similarity, [row]))
            by_file.setdefault(file, []).append(found[-1])
        elif len(overlapping) == 1:  # what overlaps two moments would join what is apart
            (one,) = overlapping
            if similarity >= one.best - (1 - _ALIKE) * abs(one.best):
                one.start, one.end = min(one.start, start), max(one.end, end)
                one.windows.append(row)
    return [(one.windows, one.start, one.end) for one in found]
