"""What a test and its training set, or gallery, have in common: classes, and perhaps videos."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Sequence

from unscene.data.catalog import Catalog, Video
from unscene.errors import UnsceneError


def find_overlap(
    train: Catalog, test: Catalog, label: str, used: Sequence[Video] | None = None
) -> list[str]:
    """What people should know of it, a line each.

    Args:
        used: the part of `train` that is used; None: all.

    Raises:
        UnsceneError: they have no class in common.
    """
    names = sorted({video.value(label) for video in train.videos})
    tested = Counter(video.value(label) for video in test.videos)
    if not tested.keys() & set(names):
        raise UnsceneError(
            f"{test.source}: none of its classes ({_some(sorted(tested))}) is one of those in "
            f"{train.source} ({_some(names)}); is {label!r} the right column in both?"
        )
    return _unknown(tested, names) + _shared(train.videos if used is None else used, test)


def _unknown(tested: Counter[str], names: list[str]) -> list[str]:
    missing = sorted(tested.keys() - set(names))
    count = sum(tested[name] for name in missing)
    if not missing:
        return []
    return [
        f"{count} videos of the test count as missed: their classes are not in the training set "
        f"({_some(missing)})"
    ]


def _shared(videos: Sequence[Video], test: Catalog) -> list[str]:
    """Files are compared, not their names, and times, not the numbers of segments."""
    known: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for video in videos:
        known[video.file].append(_times(video))
    same = beside = 0
    for video in test.videos:
        start, end = _times(video)
        there = known.get(video.file, [])
        if any(start < until and since < end for since, until in there):
            same += 1
        elif there:
            beside += 1
    notes = (
        (same, "videos of the test are used in training too"),
        (beside, "videos of the test are other segments of files that are used in training"),
    )
    return [f"{count} {what}: the result flatters" for count, what in notes if count]


def _times(video: Video) -> tuple[float, float]:
    return video.start, math.inf if video.end is None else video.end


def _some(names: list[str], shown: int = 5) -> str:
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return ", ".join(names[:shown]) + more
