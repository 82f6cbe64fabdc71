"""The charts of each measure, models side by side."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import Any

from unscene.audit.measures.base import Measured
from unscene.audit.report import films as films
from unscene.audit.report.charts import (
    NUMBERS,
    SHARES,
    Line,
    Scale,
    groups,
    lines,
    scale_for,
    stacked,
)
from unscene.audit.report.plots import Curve, curves, scatter
from unscene.audit.report.words import Kind, measured, score_words, spelled
from unscene.results.statistics import Score

Found = Sequence[tuple[int, str, Measured]]  # place and name of each model that has scores
_CURVES = 4  # videos whose curves are shown at once


def charts(name: str, found: Found) -> tuple[str, str]:
    """HTML of a measure's charts, and of those that only its details show."""
    made = _CHARTS.get(name, _unknown)(found)
    return made if isinstance(made, tuple) else (made, "")


def score_chart(found: Found, score: str, *, hollow: str = "", legend: str = "") -> str:
    """One score of every model, on the scale of its kind.

    Args:
        hollow: score that stands beside it as a hollow dot.
        legend: what that is.
    """
    having = [(place, model, one) for place, model, one in found if score in one.scores]
    if not having:
        return ""
    words = score_words(having[0][2].name, score, having[0][2].scores[score])
    shown = []
    for place, model, one in having:
        beside = one.scores.get(hollow)
        shown.append(
            Line(
                model,
                measured(one.scores[score], words.kind),
                one.scores[score],
                place,
                None if beside is None else beside.value,
            )
        )
    ends = [end for line in shown for end in (*line.found.ci95, line.hollow or 0)]
    return lines(
        words.name,
        words.note,
        shown,
        _scale(words.kind, ends),
        chance=having[0][2].scores[score].chance,
        legend=legend if any(line.hollow is not None for line in shown) else "",
    )


def _scale(kind: Kind, ends: Sequence[float]) -> Scale:
    if kind in ("share", "number"):
        return SHARES if kind == "share" else NUMBERS
    return scale_for(ends, signed=kind != "ratio", percent=kind == "change")


def _pair(*parts: str) -> str:
    inside = "".join(parts)
    return f'<div class="pair">{inside}</div>' if inside else ""


def _swap(found: Found) -> str:
    names = {"motion": "the motion's", "background": "the background's", "other": "a third one's"}
    nearest = {m: one.details["nearest"] for _, m, one in found if one.details.get("nearest")}
    last = stacked("Whose clip is the nearest of all", "", nearest, names) if nearest else ""
    return _pair(score_chart(found, "motion_share"), score_chart(found, "order")) + _pair(last)


def _time(found: Found) -> tuple[str, str]:
    sides = {"motion": "The motion was altered", "scene": "The scene was altered"}
    rows: list[tuple[str, Mapping[int, Score]]] = []
    for side, head in sides.items():
        altered: dict[str, dict[int, Score]] = {}
        for place, _, one in found:
            for name, entry in one.details.get("altered", {}).items():
                if entry["side"] == side:
                    low, high = entry["ci95"]
                    rank = Score(float(entry["rank"]), (float(low), float(high)), int(entry["n"]))
                    altered.setdefault(name, {})[place] = rank
        rows += [(head, {}), *((spelled(k), v) for k, v in altered.items())] if altered else []
    ends = [end for _, values in rows for one in values.values() for end in one.ci95]
    chart = groups(
        "How far each alteration moves the feature",
        "Share of other videos that are nearer to the clip than its altered self.",
        rows,
        {place: model for place, model, _ in found},
        scale_for(ends, percent=True),
    )
    extra = _pair(
        score_chart(found, "decoupling_untrained"), score_chart(found, "decoupling_trained")
    )
    return _pair(score_chart(found, "motion")) + _pair(chart if rows else ""), extra


def _reliance(found: Found) -> tuple[str, str]:
    plots = "".join(
        scatter(
            model,
            place,
            {name: (c["static"], c["normal"]) for name, c in one.details["classes"].items()},
        )
        for place, model, one in found
        if one.details.get("classes")
    )
    many = f'<div class="plots">{plots}</div><p class="note">{_READ}</p>' if plots else ""
    extra = _pair(
        *(score_chart(found, name) for name in ("gain", "accuracy_normal", "accuracy_static"))
    )
    return _pair(score_chart(found, "classes_below_5_percent")) + many, extra + _classes(found)


_READ = (
    "Each dot is a class. Above the dashed line moving clips teach more than static ones; on it, "
    "one frame tells as much."
)


def _classes(found: Found) -> str:
    """Every class's accuracy, by model."""
    names = sorted({name for _, _, one in found for name in one.details.get("classes", {})})
    if not names:
        return ""
    head = "".join(f'<th scope="col">{escape(model)}</th>' for _, model, _ in found)
    rows = []
    for name in names:
        cells = []
        for _, _, one in found:
            entry: Mapping[str, Any] | None = one.details.get("classes", {}).get(name)
            text = f"{entry['static'] * 100:.0f} → {entry['normal'] * 100:.0f} %" if entry else "–"
            cells.append(f"<td>{text}</td>")
        rows.append(f'<tr><th scope="row">{escape(name)}</th>{"".join(cells)}</tr>')
    return (
        '<h3>Accuracy by class, taught with static → moving clips</h3><div class="scroll" '
        f'tabindex="0"><table><thead><tr><th scope="col">class</th>{head}</tr></thead><tbody>'
        f"{''.join(rows)}</tbody></table></div>"
    )


def _where(found: Found) -> tuple[str, str]:
    named = [(model, one) for _, model, one in found]
    ceiling = {one.scores["ceiling"].value for _, _, one in found if "ceiling" in one.scores}
    note = ""
    if ceiling:
        best = " to ".join(f"{value:.2f}" for value in sorted({min(ceiling), max(ceiling)}))
        note = f'<p class="note">The best a map this coarse could reach is {best}.</p>'
    chart = score_chart(found, "auc", hollow="frozen", legend="its middle frame alone, held still")
    shown = films.where_films(named)
    heat = _HEAT if shown else ""
    charts_ = _pair(chart, score_chart(found, "gain"), score_chart(found, "class"))
    return charts_ + note + shown + heat, films.strips(named)


_HEAT = '<p class="heat"><span>looks little</span><i></i><span>looks most</span></p>'


def _response(found: Found) -> tuple[str, str]:
    chart = score_chart(found, "spearman", hollow="frozen", legend="the same moments, held still")
    drawn: dict[str, str] = {}
    for video in [c["video"] for _, _, one in found for c in one.details.get("curves", ())]:
        if video not in drawn:
            drawn[video] = _curves(found, video)
    plots = list(drawn.values())
    first, rest = plots[:_CURVES], plots[_CURVES:]
    return (
        _pair(chart, score_chart(found, "gain")) + _plots(first),
        _plots(rest),
    )


def _plots(made: Sequence[str]) -> str:
    return f'<div class="plots wide">{"".join(made)}</div>' if made else ""


def _curves(found: Found, video: str) -> str:
    having = [
        (place, model, curve)
        for place, model, one in found
        for curve in one.details["curves"]
        if curve["video"] == video
    ]
    first = having[0][2]
    # Models with other windows have other times: they are drawn where they can be compared.
    alike = [entry for entry in having if entry[2]["times"] == first["times"]]
    told = [
        Curve(m, p, c["response"], f"{c['spearman']:.2f}".replace("-", "−")) for p, m, c in alike
    ]
    return curves(films.title(video, first), first["times"], first["motion"], told)


def _adversarial(found: Found) -> tuple[str, str]:
    kinds = {"static_moved": "Frozen", "paste_moved": "A still thing", "noise_moved": "Noise"}
    rows = [
        (words, {place: one.scores[name] for place, _, one in found if name in one.scores})
        for name, words in kinds.items()
    ]
    rows = [(words, values) for words, values in rows if values]
    ends = [end for _, values in rows for one in values.values() for end in one.ci95]
    moved = groups(
        "How far it moves the feature",
        "1 is as far as showing another video. A model of motion moves far when the clip freezes, "
        "and little for stills.",
        rows,
        {place: model for place, model, _ in found},
        scale_for(ends),
    )
    named = [(model, one) for _, model, one in found]
    first, *rest = [*films.adversarial_films(named), ""]
    names = ("static_response", "paste_on_motion", "noise_on_motion", "paste_share")
    extra = _pair(*(score_chart(found, name) for name in names))
    chart = _pair(score_chart(found, "drawn"), moved if rows else "")
    return chart + first + (_HEAT if first else ""), extra + "".join(rest)


def _unknown(found: Found) -> str:
    names = dict.fromkeys(name for _, _, one in found for name in one.scores)
    made = _pair(*(score_chart(found, name) for name in names))
    return made + films.others([(model, one) for _, model, one in found])


_CHARTS: dict[str, Callable[[Found], str | tuple[str, str]]] = {
    "swap": _swap,
    "time": _time,
    "reliance": _reliance,
    "where": _where,
    "response": _response,
    "adversarial": _adversarial,
}
