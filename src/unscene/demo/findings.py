"""What the rows of the demo say, in sentences: none claims more than the intervals support.

Rows of several methods in; per method two numbers, a headline and a few sentences out.

    motion    retrieval_r1 of "motion" on videos of new scenes: does the encoder see the motion?
    scene     retrieval_r1 of "scene" on videos of training scenes: how much does it see the scene?

"Clearly" means that two 95 % intervals do not overlap.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from unscene.html.document import percent
from unscene.results.rows import UNTRAINED, Row
from unscene.results.statistics import Score


@dataclass(frozen=True)
class Finding:
    """The two numbers of one method.

    Attributes:
        method: as in the rows.
        title: its name in sentences.
        motion: recall@1 of the motion in new scenes.
        scene: recall@1 of the scene in training scenes.
        steps: training steps.
        seconds: of training.
    """

    method: str
    title: str
    motion: Score
    scene: Score
    steps: int
    seconds: float


def find(rows: Sequence[Row], titles: Mapping[str, str]) -> list[Finding]:
    """The two numbers of every method.

    Args:
        rows: of one seed.
        titles: names of the methods in sentences, by their names in the rows; in this order.

    Raises:
        ValueError: a method has no row, or several, of one of the numbers.
    """
    found = []
    for method, title in titles.items():
        motion = _row(rows, method, "motion", "unseen")
        scene = _row(rows, method, "scene", "seen")
        found.append(
            Finding(method, title, _score(motion), _score(scene), motion.steps, motion.seconds)
        )
    return found


def _row(rows: Sequence[Row], method: str, label: str, split: str) -> Row:
    wanted = (method, "retrieval_r1", label, split)
    matching = [r for r in rows if (r.method, r.metric, r.label, r.split) == wanted]
    if len(matching) != 1:
        raise ValueError(f"{len(matching)} rows of {', '.join(wanted)}; one is needed")
    return matching[0]


def _score(row: Row) -> Score:
    return Score(row.value, row.ci95, row.n, chance=row.chance)


def above(one: Score, other: Score) -> bool:
    """Clearly higher: the intervals do not overlap."""
    return one.ci95[0] > other.ci95[1]


def headline(findings: Sequence[Finding]) -> str:
    """Which method finds the motion in new scenes, in one sentence."""
    untrained = _untrained(findings)
    ranked = sorted(_trained(findings), key=lambda one: -one.motion.value)
    best, *others = ranked
    shares = [f"{one.title} in {_rounded(one.motion)}" for one in ranked]
    if not above(best.motion, untrained.motion):
        return (
            "No method finds the motion in new scenes clearly more often than an untrained "
            f"encoder ({_rounded(untrained.motion)}): {join(shares)}."
        )
    level = [one.title for one in others if not above(best.motion, one.motion)]
    if level:
        return (
            f"{join([best.title, *level])} find the motion in new scenes about equally often, "
            f"without a clear winner: {join(shares)}."
        )
    return (
        f"In new scenes, {best.title} finds the same motion in {_rounded(best.motion)} of "
        f"the searches, {join(shares[1:])}."
    )


def sentences(findings: Sequence[Finding]) -> list[str]:
    """What else the numbers say: against no training, motion against scene, against guessing."""
    untrained, trained = _untrained(findings), _trained(findings)
    reference = f"the untrained encoder ({interval(untrained.motion)})"
    level = [one for one in trained if not _differ(one.motion, untrained.motion)]
    worse = [one for one in trained if above(untrained.motion, one.motion)]
    by_scene = [one for one in findings if above(one.scene, one.motion)]
    by_motion = [one for one in findings if above(one.motion, one.scene)]
    either = [one for one in findings if not _differ(one.motion, one.scene)]
    blind = [one for one in findings if one.scene.chance and one.scene.ci95[0] <= one.scene.chance]
    said = (
        (level, f"{{}} did not clearly beat {reference} at finding the motion."),
        (worse, f"{{}} did clearly worse than {reference} at finding the motion."),
        (by_scene, "{} matched the scene clearly more often than the motion."),
        (by_motion, "{} matched the motion clearly more often than the scene."),
        (either, "For {}, the intervals of motion and scene overlap: neither is clearly ahead."),
        (blind, "{} did not clearly beat guessing at finding the scene."),
    )
    lines = [text.format(join([_spoken(one) for one in who])) for who, text in said if who]
    return [line[0].upper() + line[1:] if line.startswith("the ") else line for line in lines]


def interval(score: Score) -> str:
    """ "78 % [71, 84]" """
    low, high = (f"{end * 100:.0f}" for end in score.ci95)
    return f"{percent(score.value)} [{low}, {high}]"


def _rounded(score: Score) -> str:
    return f"{score.value * 100:.0f} %"


def _differ(one: Score, other: Score) -> bool:
    return above(one, other) or above(other, one)


def _untrained(findings: Sequence[Finding]) -> Finding:
    return next(one for one in findings if one.method == UNTRAINED)


def _trained(findings: Sequence[Finding]) -> list[Finding]:
    return [one for one in findings if one.method != UNTRAINED]


def _spoken(finding: Finding) -> str:
    return "the untrained encoder" if finding.method == UNTRAINED else finding.title


def join(names: Sequence[str]) -> str:
    """ "a, b and c" """
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
