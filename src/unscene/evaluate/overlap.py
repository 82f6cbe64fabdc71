"""What a test set shares with its training set or gallery: classes, and perhaps videos."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Sequence

from unscene.data.catalog import Catalog, Video
from unscene.errors import UnsceneError


def find_overlap(
    train: Catalog, test: Catalog, label: str, used: Sequence[Video] | None = None
) -> list[str]:
    """Describe what a test set shares with its training set or gallery, one sentence per finding.

    Args:
        train: training set or gallery.
        test: test videos.
        label: column of the classes.
        used: the videos of `train` that are used; None: all.

    Returns:
        How many test videos have classes that are not in `train`, are in `train` too, or are other
        segments of files in `train`. Empty if there are none of these.

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
        f"{count} test videos count as wrong: their classes are not in the training set "
        f"({_some(missing)})"
    ]


def _shared(videos: Sequence[Video], test: Catalog) -> list[str]:
    """Compares files, not their names, and the times of segments, not their numbers."""
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
        (same, "test videos are also in the training set"),
        (beside, "test videos are other segments of files in the training set"),
    )
    return [f"{count} {what}: the score is too high" for count, what in notes if count]


def _times(video: Video) -> tuple[float, float]:
    return video.start, math.inf if video.end is None else video.end


def _some(names: list[str], shown: int = 5) -> str:
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return ", ".join(names[:shown]) + more
