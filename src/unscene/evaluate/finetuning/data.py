"""Which videos are trained on, which choose the epoch, which are tested: decided before step one.

With few labels, every class has an order of its own, drawn from the seed and the name of the class,
and contributes its first k videos. Subsets of one seed are therefore nested (5 labels per class
contain the 1 label per class), and adding or removing a class changes nothing for the others.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from unscene.data.catalog import Catalog, Video, index_labels
from unscene.data.listing import require_columns
from unscene.errors import UnsceneError
from unscene.evaluate.finetuning.config import FinetuneConfig
from unscene.evaluate.overlap import find_overlap

_LABELS, _VALIDATION = 1, 2  # seeds of two orders that must be independent


@dataclass(frozen=True)
class FinetuneData:
    """The videos of a fine-tuning run.

    Attributes:
        names: the K classes of the training catalog, sorted.
        train: all labeled videos of the training catalog.
        training: those that are trained on.
        validation: those that choose the epoch; empty: the last step is taken.
        test: the labeled videos of the test set.
        label: column of the classes.
        notes: sentences to print: which labels are used, and what the test set shares with them.
    """

    names: tuple[str, ...]
    train: Catalog
    training: tuple[Video, ...]
    validation: tuple[Video, ...]
    test: Catalog
    label: str = "label"
    notes: tuple[str, ...] = ()

    def classes(self) -> list[str]:
        """The class of each video that is trained on."""
        return [video.value(self.label) for video in self.training]


def prepare_data(
    config: FinetuneConfig, train: Catalog | None = None, test: Catalog | None = None
) -> FinetuneData:
    """Open both catalogs (unless passed) and split the training videos.

    Raises:
        UnsceneError: no usable video, no such label column, fewer than two classes, or a test set
            without any class of the training set.
    """
    train = require_columns(train or config.train, config.label)
    test = require_columns(test or config.data, config.label)
    labels = [video.value(config.label) for video in train.videos]
    names = index_labels(train.videos, config.label)[1]
    if len(names) < 2:
        raise UnsceneError(
            f"{train.source}: all videos are {names[0]!r} in column {config.label!r}; "
            "training a classifier needs at least two classes"
        )
    used = select_labels(labels, config.labels, config.seed)
    training, validation = split_validation(
        [labels[i] for i in used], config.validation, config.seed
    )
    videos = [train.videos[i] for i in used]
    return FinetuneData(
        names=tuple(names),
        train=train,
        training=tuple(videos[i] for i in training),
        validation=tuple(videos[i] for i in validation),
        test=test,
        label=config.label,
        notes=(
            _describe_labels(config, labels, used, len(validation)),
            *find_overlap(train, test, config.label, videos),
        ),
    )


def _describe_labels(
    config: FinetuneConfig, labels: list[str], used: list[int], validation: int
) -> str:
    counts = Counter(labels[i] for i in used).values()
    low, high = min(counts), max(counts)
    each = f"{low}" if low == high else f"{low} to {high}"
    if validation:
        choice = f"{validation} of them choose the epoch and are not trained on"
    elif config.validation:
        choice = (
            f"too few to hold out {config.validation:g} of each class for validation: "
            "the last step is taken"
        )
    else:
        choice = "no validation: the last step is taken"
    return (
        f"{len(used)} of {len(labels)} labels used, {each} in each of {len(set(labels))} classes; "
        f"{choice}"
    )


def select_labels(labels: Sequence[str], amount: int | float | None, seed: int) -> list[int]:
    """Select labeled videos, the same share or number from each class.

    Args:
        labels: N classes, one per video.
        amount: a float in (0, 1] is a share of each class (rounded, at least one video), an int a
            number of videos per class (all, where a class has fewer), None all.
        seed: of the selection.

    Returns:
        Ascending indices into `labels`.

    Raises:
        UnsceneError: a share outside (0, 1] or a number below 1.

    >>> select_labels(["run", "jump", "run", "jump", "run"], 1, seed=0)
    [3, 4]
    """
    if amount is None:
        return list(range(len(labels)))
    if isinstance(amount, float) and not 0 < amount <= 1:
        raise UnsceneError(f"labels {amount}: a share must be above 0 and at most 1")
    if not isinstance(amount, float) and amount < 1:
        raise UnsceneError(f"labels {amount}: a number per class must be at least 1")
    selected = []
    for name, members in _by_class(labels).items():
        share = isinstance(amount, float)
        count = max(1, int(amount * len(members) + 0.5)) if share else int(amount)
        selected += _shuffle(members, name, seed, _LABELS)[:count]
    return sorted(selected)


def split_validation(labels: Sequence[str], share: float, seed: int) -> tuple[list[int], list[int]]:
    """Split videos into those to train on and those that choose the epoch.

    Each class holds out the share, rounded down. A class too small for that holds out none: a label
    is worth more in training. If fewer than half of the classes can hold out a video, none does: a
    few classes should not choose the epoch. Clips cut from one recording may fall on both sides;
    the validation score is then too high, but no test video is in it.

    Args:
        labels: N classes, one per video.
        share: in [0, 1).
        seed: of the split.

    Returns:
        Ascending indices into `labels`: (training, validation), together all N.
    """
    classes = _by_class(labels)
    held = [
        index
        for name, members in classes.items()
        # The small number: 0.1 * 10 must not be 0.999...
        for index in _shuffle(members, name, seed, _VALIDATION)[: int(share * len(members) + 1e-9)]
    ]
    if len({labels[index] for index in held}) * 2 < len(classes):
        held = []
    left_out = set(held)
    return [index for index in range(len(labels)) if index not in left_out], sorted(held)


def _by_class(labels: Sequence[str]) -> dict[str, list[int]]:
    members: dict[str, list[int]] = {}
    for index, name in enumerate(labels):
        members.setdefault(name, []).append(index)
    return members


def _shuffle(members: list[int], name: str, seed: int, purpose: int) -> list[int]:
    digest = hashlib.sha256(name.encode("utf-8", "surrogateescape")).digest()
    rng = np.random.default_rng([seed, purpose, int.from_bytes(digest[:8], "big")])
    return [members[i] for i in rng.permutation(len(members))]
