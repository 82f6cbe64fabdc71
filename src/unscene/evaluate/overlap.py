"""What a test and its training set, or gallery, have in common: classes, and perhaps videos."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from unscene.errors import UnsceneError
from unscene.video.catalog import Catalog, Video


def overlap(
    train: Catalog, test: Catalog, label: str, learnt: Sequence[Video] | None = None
) -> list[str]:
    """What people should know of it, a line each.

    Args:
        learnt: the part of `train` that is used; None: all.

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
    return _unknown(tested, names) + _shared(train.videos if learnt is None else learnt, test)


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
    known = {(video.path, video.start, video.end) for video in videos}
    count = sum((video.path, video.start, video.end) in known for video in test.videos)
    if not count:
        return []
    return [f"{count} videos of the test are used in training too: the result flatters"]


def _some(names: list[str], shown: int = 5) -> str:
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return ", ".join(names[:shown]) + more
