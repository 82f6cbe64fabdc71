"""Few labels: which videos keep theirs, and which of those choose the epoch.

Every class has an order of its own, drawn from the seed and the name of the class, and gives its
first k videos. So subsets of one seed are nested (5 labels a class hold the 1 label a class), and a
class that comes or goes changes nothing for the others.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

from unscene.errors import UnsceneError

_KEEP, _HOLD = 1, 2  # purposes, so that the two orders have nothing to do with each other


def subset(labels: Sequence[str], amount: int | float | None, seed: int) -> list[int]:
    """Class-balanced choice of labelled videos.

    Args:
        labels: N classes, one a video.
        amount: a float in (0, 1] is a share of each class (rounded, at least one video), an int a
            number of videos for each class (all, where a class has fewer), None everything.
        seed: of the choice.

    Returns:
        Places of the chosen videos in `labels`, rising.

    Raises:
        UnsceneError: a share outside of (0, 1] or a number below 1.
    """
    if amount is None:
        return list(range(len(labels)))
    if isinstance(amount, float) and not 0 < amount <= 1:
        raise UnsceneError(f"labels {amount}: a share must lie in 0..1, above 0")
    if not isinstance(amount, float) and amount < 1:
        raise UnsceneError(f"labels {amount}: a number for each class must be at least 1")
    chosen = []
    for name, places in _by_class(labels).items():
        share = isinstance(amount, float)
        count = max(1, int(amount * len(places) + 0.5)) if share else int(amount)
        chosen += _shuffled(places, name, seed, _KEEP)[:count]
    return sorted(chosen)


def holdout(labels: Sequence[str], share: float, seed: int) -> tuple[list[int], list[int]]:
    """Videos to train on, and videos to choose the epoch by.

    Each class spares the share, rounded down: a class too small for it spares none, for a label is
    worth more in training. If fewer than half of the classes can spare a video, none does: an epoch
    should not be chosen by a few classes. Clips cut from one recording may fall on both sides; the
    choice then flatters the epoch, but no test video is in it.

    Args:
        labels: N classes, one a video.
        share: in [0, 1).
        seed: of the choice.

    Returns:
        Places in `labels`, rising: (train, validation); together they are all N.
    """
    classes = _by_class(labels)
    held = [
        place
        for name, places in classes.items()
        # The small number: 0.1 * 10 must not be 0.999...
        for place in _shuffled(places, name, seed, _HOLD)[: int(share * len(places) + 1e-9)]
    ]
    if len({labels[place] for place in held}) * 2 < len(classes):
        held = []
    apart = set(held)
    return [place for place in range(len(labels)) if place not in apart], sorted(held)


def _by_class(labels: Sequence[str]) -> dict[str, list[int]]:
    places: dict[str, list[int]] = {}
    for place, name in enumerate(labels):
        places.setdefault(name, []).append(place)
    return places


def _shuffled(places: list[int], name: str, seed: int, purpose: int) -> list[int]:
    digest = hashlib.sha256(name.encode("utf-8", "surrogateescape")).digest()
    rng = np.random.default_rng([seed, purpose, int.from_bytes(digest[:8], "big")])
    return [places[i] for i in rng.permutation(len(places))]
