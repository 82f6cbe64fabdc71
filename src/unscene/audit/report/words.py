"""The texts of a measure in the report, and how a score is put in words.

Each measure has one `Words`. It says which question the measure asks, what the answer means and how
it was computed, and it turns scores into phrases by where their confidence intervals lie.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from unscene.audit.result import Measured
from unscene.results.statistics import Score

Tone = Literal["good", "open", "bad"]
Kind = Literal["share", "change", "number", "signed", "ratio"]


@dataclass(frozen=True)
class ScoreWords:
    """A score in words.

    Attributes:
        name: short, for charts and tables.
        note: what it means.
        kind: "share" 0..1 and "change" around 0, both shown in percent; "number" 0..1; "signed"
            around 0; "ratio" from 0.
        least: a difference from chance that is too small to matter, however certain it is.
    """

    name: str
    note: str = ""
    kind: Kind = "share"
    least: float = 0.0

    def text(self, found: Score) -> str:
        """A score with its interval: 62 % [58, 67], +0.12 [+0.08, +0.16]."""
        low, high = (spell_number(end, self.kind).removesuffix(" %") for end in found.ci95)
        return f"{spell_number(found.value, self.kind)} [{low}, {high}]"


@dataclass(frozen=True)
class Outcome:
    """The answer of a measure.

    Attributes:
        text: in a few words.
        tone: "good" speaks for the motion, "bad" for the scene or for appearance, "open" for
            neither.
        score: name of the score that shows it.
    """

    text: str
    tone: Tone
    score: str


@dataclass(frozen=True)
class Words:
    """A measure in words.

    Attributes:
        title: the question it asks.
        meaning: what its answer means, for someone who has not read the paper.
        how: how it was computed.
        scores: by name.
        headline: the score that speaks most plainly for motion or scene, or "".
        outcomes: the answer if the headline is above chance, at chance, and below, each with its
            tone.
        even: replaces chance for scores that have none: the value where neither side is ahead.
    """

    title: str
    meaning: str = ""
    how: str = ""
    scores: dict[str, ScoreWords] = field(default_factory=dict)
    headline: str = ""
    outcomes: tuple[tuple[str, Tone], ...] = ()
    even: float = 0.0

    def of(self, name: str, found: Score) -> ScoreWords:
        """The words of a score. Those of an unlisted score are guessed from its name and value."""
        if name in self.scores:
            return self.scores[name]
        ends = (found.value, *found.ci95)
        kind: Kind = "signed" if min(ends) < 0 else "number" if max(ends) <= 1 else "ratio"
        return ScoreWords(capitalize(name), kind=kind)

    def text(self, measured: Measured, name: str) -> str:
        """A score with its interval, as text."""
        found = measured.scores[name]
        return self.of(name, found).text(found)

    def side(self, measured: Measured, name: str) -> int:
        """Compare a score with chance: 1 above, -1 below, 0 if the interval contains chance or the
        difference is too small to matter."""
        found = measured.scores[name]
        chance, (low, high) = self._chance(found), found.ci95
        if abs(found.value - chance) < self.of(name, found).least:
            return 0
        return int(low > chance) - int(high < chance)

    def is_settled(self, measured: Measured, name: str) -> bool:
        """Whether a score is at chance and its interval excludes any difference that matters."""
        found = measured.scores[name]
        room = 2 * self.of(name, found).least
        near = all(abs(end - self._chance(found)) < room for end in found.ci95)
        return near and self.side(measured, name) == 0

    def phrase(self, measured: Measured, name: str, above: str, level: str, below: str) -> str:
        """Choose a phrase by where the interval of a score lies, and add the score."""
        said = {1: above, 0: level, -1: below}[self.side(measured, name)]
        return f"{said} ({self.text(measured, name)})"

    def outcome(self, measured: Measured) -> Outcome | None:
        """The answer in a few words; None without a headline."""
        if self.headline not in measured.scores or not self.outcomes:
            return None
        return Outcome(*self.outcomes[1 - self.side(measured, self.headline)], self.headline)

    def _chance(self, found: Score) -> float:
        return self.even if found.chance is None else found.chance


def capitalize(name: str) -> str:
    """Turn the name of a score or measure into text.

    >>> capitalize("paste_moved")
    'Paste moved'
    """
    text = name.replace("_", " ").strip() or "unnamed"
    return text[0].upper() + text[1:]


def spell_number(value: float, kind: Kind) -> str:
    """A value as text.

    >>> [spell_number(0.624, kind) for kind in ("share", "change", "number", "signed")]
    ['62 %', '+62 %', '0.62', '+0.62']
    """
    if kind == "share":
        return f"{value * 100:.0f} %"
    text = f"{value * 100:+.0f} %" if kind == "change" else f"{value:+.2f}"
    if kind in ("number", "ratio") or not any(digit in text for digit in "123456789"):
        text = text.lstrip("+")  # a value that rounds to 0 has no sign
        text = text if any(digit in text for digit in "123456789") else text.lstrip("-")
    return text.replace("-", "−")
