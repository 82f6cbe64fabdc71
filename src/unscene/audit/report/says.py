"""What each measure found out about a model, in a sentence drawn from its numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from unscene.audit.measures.base import Measured
from unscene.audit.report.judged import reference, settled, side
from unscene.audit.report.words import Kind, measured, number, score_words
from unscene.results.statistics import Score


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
    stands = side(found.name, name, found.scores[name], reference(found, name))
    said = {1: above, 0: level, -1: below}[stands]
    return f"{said} ({_text(found, name)})"


def _swap(found: Measured) -> str:
    nearest = found.details.get("nearest")
    if not nearest:
        return ""
    return (
        f"puts the motion's own clip nearest of all in {number(nearest['motion'], 'share')}, the "
        f"background's in {number(nearest['background'], 'share')} and a third one in "
        f"{number(nearest['other'], 'share')} of {found.scores['motion_share'].n} cases."
    )


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
        text += f". Of all alterations, {order[-1]} moves it furthest and {order[0]} least"
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
        text += "; " + _verdict(
            found,
            "gain",
            "seeing it move adds to that",
            "seeing it move adds hardly anything to its middle frame alone",
            "its middle frame alone does better: it looks at how things look",
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
    text += f", over {found.scores['spearman'].n} videos"
    if "gain" in found.scores:
        text += "; " + _verdict(
            found,
            "gain",
            "seeing the motion adds to that",
            "seeing the motion adds nothing certain to stills of the same moments",
            "stills of the same moments do better",
        )
    return text + "."


def _adversarial(found: Measured) -> str:
    parts = []
    if "drawn" in found.scores:
        thing = "drawn to a thing that stands still"
        sure = settled("adversarial", "drawn", found.scores["drawn"], 0.0)
        level = f"is {'not' if sure else 'not clearly'} {thing}"
        parts.append(_verdict(found, "drawn", f"is {thing}", level, f"is not {thing}"))
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
