"""Who is trained on, who chooses the epoch, who is tested: decided before the first step."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from unscene.data.catalog import Catalog, Video, index_labels
from unscene.data.listing import require_columns
from unscene.errors import UnsceneError
from unscene.evaluate.finetuning.config import FinetuneConfig
from unscene.evaluate.finetuning.lowshot import holdout, subset
from unscene.evaluate.overlap import find_overlap


@dataclass(frozen=True)
class FinetuneData:
    """The videos of a fine-tuning.

    Attributes:
        names: the K classes of the training catalog, sorted.
        train: all labelled videos to learn from, as found.
        learn: those that are trained on.
        choose: those that choose the epoch; none: the last step is taken.
        test: the labelled videos of the test.
        notes: sentences for people: what was left out, and what is suspicious.
    """

    names: tuple[str, ...]
    train: Catalog
    learn: tuple[Video, ...]
    choose: tuple[Video, ...]
    test: Catalog
    notes: tuple[str, ...] = ()


def prepare(
    config: FinetuneConfig, train: Catalog | None = None, test: Catalog | None = None
) -> FinetuneData:
    """Open both catalogs (unless they are at hand, checked) and take them apart.

    Raises:
        UnsceneError: no usable video, no such label column, fewer than two classes, or a test
            without any class of the training set.
    """
    train = require_columns(train or config.train, config.label)
    test = require_columns(test or config.data, config.label)
    labels = [video.value(config.label) for video in train.videos]
    names = index_labels(train.videos, config.label)[1]
    if len(names) < 2:
        raise UnsceneError(
            f"{train.source}: all videos are {names[0]!r} in column {config.label!r}; "
            "there is nothing to tell apart in fewer than two classes"
        )
    used = subset(labels, config.labels, config.seed)
    learn, choose = holdout([labels[i] for i in used], config.validation, config.seed)
    videos = [train.videos[i] for i in used]
    return FinetuneData(
        names=tuple(names),
        train=train,
        learn=tuple(videos[i] for i in learn),
        choose=tuple(videos[i] for i in choose),
        test=test,
        notes=(
            _labels(config, labels, used, len(choose)),
            *find_overlap(train, test, config.label, videos),
        ),
    )


def _labels(config: FinetuneConfig, labels: list[str], used: list[int], choose: int) -> str:
    counts = Counter(labels[i] for i in used).values()
    low, high = min(counts), max(counts)
    each = f"{low}" if low == high else f"{low} to {high}"
    if choose:
        choice = f"{choose} of them choose the epoch and are not trained on"
    elif config.validation:
        choice = f"too few to spare {config.validation:g} of each class: the last step is taken"
    else:
        choice = "no validation: the last step is taken"
    return (
        f"{len(used)} of {len(labels)} labels used, {each} in each of {len(set(labels))} classes; "
        f"{choice}"
    )
