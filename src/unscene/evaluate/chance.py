"""What guessing scores: the yardstick of a metric, from the labels alone.

    retrieval    a gallery in random order
    classifier   always the most frequent classes of the training videos

A metric at K says nothing where guessing is right every other time: `says_something`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np
from torch import Tensor

Groups = tuple[Tensor, Tensor]  # of queries and gallery; rows of the same group are not compared


def says_something(k: int, classes: int) -> bool:
    """Whether a metric at K is worth showing: K is 1, or at most half the number of classes.

    >>> says_something(5, 6), says_something(5, 101), says_something(1, 2)
    (False, True, True)
    """
    return k == 1 or 2 * k <= classes


def guess_classes(train: Sequence[str], test: Sequence[str], k: int = 1) -> float:
    """Compute the top-K accuracy of always guessing the most frequent classes.

    Args:
        train: classes of the training videos. Equally frequent ones are guessed in random order.
        test: classes of the test videos.
        k: number of guesses for a video.

    >>> guess_classes(["run", "run", "jump"], ["run", "jump", "jump", "jump"])
    0.25
    >>> guess_classes(["run", "jump"], ["jump", "jump"])
    0.5
    """
    counts, tested = Counter(train), Counter(test)
    hits, left = 0.0, k
    for times in sorted(set(counts.values()), reverse=True):
        equal = [name for name, count in counts.items() if count == times]
        hits += min(1.0, left / len(equal)) * sum(tested[name] for name in equal)
        left = max(0, left - len(equal))
    return hits / len(test)


def guess_neighbors(classes: Groups, groups: Groups | None, ks: Sequence[int]) -> list[float]:
    """Compute recall at K of a gallery in random order, the mean over queries.

    A query that is not compared with its own scene also has fewer candidates of its own class,
    especially where actions are tied to scenes: chance is then far from 1 / number of classes.

    Args:
        classes: int64 (Q,) and (N,), of queries and gallery.
        groups: int64 (Q,) and (N,); a query is not compared with rows of its own group.
        ks: at most as many as each query has candidates.
    """
    missed = np.zeros(len(ks))
    drawn = np.arange(max(ks))
    for count, all_, same in _count_candidates(classes, groups):
        # scipy.stats.hypergeom has this product too, but is off by 1e-10 in a large gallery.
        left = np.cumprod(np.clip(all_ - same - drawn, 0, None) / np.clip(all_ - drawn, 1, None))
        missed += count * left[[k - 1 for k in ks]]
    return [float(1 - share / len(classes[0])) for share in missed]


def guess_ranking(classes: Groups, groups: Groups | None) -> float:
    """Compute the mean average precision of a gallery in random order.

    The average precision of R hits among N is ((R - 1) / (N - 1)) (1 - H / N) + H / N on average,
    where H = 1 + 1/2 + ... + 1/N. At rank i there is a hit with probability R / N, and then each of
    the i - 1 before it is one with probability (R - 1) / (N - 1).

    Args:
        classes, groups: as for `guess_neighbors`. A query without any hit counts as 0.
    """
    total = 0.0
    for count, all_, same in _count_candidates(classes, groups):
        if same:
            harmonic = (1 / np.arange(1, all_ + 1)).mean()
            total += count * (harmonic + (same - 1) / max(1, all_ - 1) * (1 - harmonic))
    return float(total / len(classes[0]))


def _count_candidates(classes: Groups, groups: Groups | None) -> Iterator[tuple[int, int, int]]:
    """For queries of one kind: how many there are, their candidates, and those of their class."""
    own, others = groups or (
        classes[0].new_zeros(len(classes[0])),
        classes[1].new_ones(len(classes[1])),
    )
    held, numbers = classes[1].tolist(), others.tolist()
    in_class, in_group = Counter(held), Counter(numbers)
    in_both = Counter(zip(held, numbers, strict=True))
    for (name, group), count in Counter(
        zip(classes[0].tolist(), own.tolist(), strict=True)
    ).items():
        yield count, len(held) - in_group[group], in_class[name] - in_both[name, group]
