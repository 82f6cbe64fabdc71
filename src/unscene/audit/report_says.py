"""What each measure found out about a model, in a sentence drawn from its numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from unscene.audit.measure import Measured
from unscene.audit.report_words import Kind, measured, number, score_words, side
from unscene.evaluate.bootstrap import Score


def says(found: Measured) -> str:
    """A sentence without its subject, the model ("follows ..."); "" for unknown measures."""
    if not found.scores or found.name not in _SAYS:
        return ""
    return _SAYS[found.name](found)


def _text(found: Measured, name: str) -> str:
    return measured(found.scores[name], _kind(found, name))


def _kind(found: Measured, name: str) -> Kind:
    return score_words(found.name, name, found.scores[name]).kind


def _verdict(found: Measured, name: str, above: str, level: str, below: str) -> str:
    """What a score says, by where its interval lies, and the score."""
    said = {1: above, 0: level, -1: below}[side(found.scores[name], found.chance.get(name, 0.0))]
    return f"{said} ({_text(found, name)})"


def _swap(found: Measured) -> str:
    text = _verdict(
        found,
        "motion_share",
        "puts the mixed clips nearer to their motion than to their background",
        "puts the mixed clips as near to their motion as to their background",
        "puts the mixed clips nearer to their background than to their motion",
    )
    if "order" in found.scores:
        text += ", " + _verdict(
            found,
            "order",
            "and tells the motion from its frames in random order",
            "and does not tell the motion from its frames in random order",
            "and takes its frames in random order for nearer than the motion",
        )
    nearest = found.details.get("nearest")
    if nearest:
        text += (
            f". Of all clips, the nearest is the motion's in {nearest['motion'] * 100:.0f} %, the "
            f"background's in {nearest['background'] * 100:.0f} % and a third one's in "
            f"{nearest['other'] * 100:.0f} % of cases"
        )
    return text + "."


def _time(found: Measured) -> str:
    text = _verdict(
        found,
        "motion",
        "moves further with the motion than with the scene",
        "moves as far with the scene as with the motion",
        "moves further with the scene than with the motion",
    )
    altered: dict[str, Any] = found.details.get("altered", {})
    if altered:
        order = sorted(altered, key=lambda name: float(altered[name]["rank"]))
        text += f". The furthest it is moved by: {order[-1]}; the least by: {order[0]}"
    return text + "."


def _reliance(found: Measured) -> str:
    below = found.scores["classes_below_5_percent"]
    text = (
        f"gains less than 5 % from motion in {round(below.value * below.n)} of {below.n} classes "
        f"({_text(found, 'classes_below_5_percent')})"
    )
    if {"accuracy_normal", "accuracy_static"} <= set(found.scores):
        normal, static = (found.scores[f"accuracy_{kind}"] for kind in ("normal", "static"))
        text += (
            f". Its classifier names {number(normal.value, 'share')} of the videos if it was "
            f"taught with moving clips, {number(static.value, 'share')} if with static ones"
        )
        guess = found.chance.get("accuracy_normal")
        if guess is not None and normal.ci95[0] <= guess:
            text += f": hardly more than guessing ({number(guess, 'share')}), so the classes that "
            text += "gain or do not gain tell little here"
    return text + "."


def _where(found: Measured) -> str:
    text = _verdict(
        found,
        "auc",
        "looks at what moves more than chance would",
        "looks at moving and still pixels alike",
        "looks at still pixels rather than at moving ones",
    )
    if "gain" in found.scores:
        text += ", " + _verdict(
            found,
            "gain",
            "and seeing it move has a part in that",
            "but no more than with the middle frame alone",
            "but less than with the middle frame alone: it looks at how things look",
        )
    return text + "."


def _response(found: Measured) -> str:
    text = _verdict(
        found,
        "spearman",
        "responds the more, the more moves",
        "does not clearly respond to how much moves",
        "responds the less, the more moves",
    )
    if "gain" in found.scores:
        text += ", " + _verdict(
            found,
            "gain",
            "more than it responds to stills of the same moments",
            "not clearly more than to stills of the same moments",
            "less than to stills of the same moments",
        )
    return f"{text}, over {found.scores['spearman'].n} videos."


def _adversarial(found: Measured) -> str:
    parts = []
    if "drawn" in found.scores:
        parts.append(
            _verdict(
                found,
                "drawn",
                "is drawn to a thing that stands still",
                "is not drawn to a thing that stands still",
                "is not drawn to a thing that stands still",
            )
        )
    if {"static_moved", "paste_moved"} <= set(found.scores):
        static, paste = (found.scores[f"{kind}_moved"] for kind in ("static", "paste"))
        parts.append(
            f"freezing the clip moves its feature {_times(static)} as far as showing another "
            f"video does, a still thing {_times(paste)} as far"
        )
    return "; ".join(parts) + "."


def _times(found: Score) -> str:
    return f"{number(found.value, 'ratio')} times"


_SAYS: dict[str, Callable[[Measured], str]] = {
    "swap": _swap,
    "time": _time,
    "reliance": _reliance,
    "where": _where,
    "response": _response,
    "adversarial": _adversarial,
}
