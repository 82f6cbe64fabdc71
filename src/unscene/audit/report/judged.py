"""Where a score of the audit stands: above chance, below, or too near to it to speak of."""

from __future__ import annotations

from unscene.audit.measures.base import Measured
from unscene.audit.report.words import score_words, words_of
from unscene.results.statistics import Score


def side(measure: str, name: str, found: Score, chance: float) -> int:
    """Where a score stands: 1 above chance, -1 below, 0 if its interval holds chance, or if it is
    too near to chance to speak of."""
    low, high = found.ci95
    if abs(found.value - chance) < score_words(measure, name, found).least:
        return 0
    return int(low > chance) - int(high < chance)


def reference(found: Measured, name: str) -> float:
    """What a score is judged against: its chance, or else where neither side is ahead."""
    chance = found.scores[name].chance
    return words_of(found.name).even if chance is None else chance


def settled(measure: str, name: str, found: Score, chance: float) -> bool:
    """Whether a score is at chance and its interval has no room for anything else to speak of."""
    room = 2 * score_words(measure, name, found).least
    near = all(abs(end - chance) < room for end in found.ci95)
    return near and side(measure, name, found, chance) == 0
