"""The report of an audit: one HTML file that opens offline, for people who have not read the paper.

    verdict     one number a model, between scene and motion, with its interval
    at a glance what every measure says of every model
    measures    each with a picture, what it means, how it was computed, and all its numbers
    about       models, data, configuration

Every sentence is drawn from the numbers; a measure that does not apply says why.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from importlib.resources import files
from pathlib import Path

from unscene.audit.measures.base import Measured
from unscene.audit.report.charts import SHARES, Line, color, lines
from unscene.audit.report.judged import reference, settled, side
from unscene.audit.report.says import says
from unscene.audit.report.sections import charts
from unscene.audit.report.tables import about, numbers
from unscene.audit.report.words import Tone, measured, score_words, words_of
from unscene.audit.result import Audit, Finding, ModelAudit, Section
from unscene.files import write_text
from unscene.html.document import document, paragraph, prose, section
from unscene.html.pictures import PAUSE
from unscene.results.statistics import Score

_EVEN = 0.5  # where a verdict's line begins
# "At a glance" says as much of the marks: looks are no motion.
_TONES: dict[Finding, Tone] = {
    "motion": "good", "looks": "bad", "scene": "bad", "open": "open", "none": "open"
}  # fmt: skip
_MARKS: dict[Tone, str] = {"good": "●", "open": "◐", "bad": "○"}  # seen without colour too


def write_report(
    path: Path, audit: Audit, heading: Section | None = None, extra: Sequence[Section] = ()
) -> None:
    """Write the report whole or not at all; arguments as for `render`."""
    write_text(path, render(audit, heading, extra))


def render(audit: Audit, heading: Section | None = None, extra: Sequence[Section] = ()) -> str:
    """The report as HTML.

    Args:
        heading: an introduction above the audit; None: the page begins with the verdict.
        extra: sections between the two.
    """
    style = files("unscene.audit.report").joinpath("style.css").read_text(encoding="utf-8")
    names = list(dict.fromkeys(one.name for model in audit.models for one in model.measures))
    parts = [section(one.title, one.html) for one in extra]
    parts += [_opening(audit, below=heading is not None), _glance(audit, names)]
    parts += [_measure(name, audit.models) for name in names]
    # One switch for all films, before the first of them.
    first = next((k for k, part in enumerate(parts) if 'class="film"' in part), None)
    if first is not None:
        head, title, rest = parts[first].partition("</h2>\n")
        parts[first] = f"{head}{title}{PAUSE}\n{rest}"
    top = (
        f"<header>\n<h1>{escape(heading.title)}</h1>\n{heading.html}\n</header>" if heading else ""
    )
    body = "\n".join([top, *parts, about(audit)])
    title = heading.title if heading else f"unscene audit: {_headline(audit.models)}"
    return document(title, body, style=style)


def _tone(model: ModelAudit) -> Tone:
    return _TONES[model.verdict.finding]


def _headline(models: Sequence[ModelAudit]) -> str:
    if not models:
        return "No model was audited."
    known = [model for model in models if model.verdict.value is not None]
    good = [model.name for model in known if _tone(model) == "good"]
    if len(models) == 1:
        name, found = models[0].name, models[0].verdict
        if found.value is None:
            return f"No verdict on {name}."
        # "It watches the motion: 98 % of ..." says it already, and what stands between the two.
        said, colon, _ = found.sentence.partition(": ")
        if not colon:
            return f"{name}: {found.value * 100:.0f} % motion."
        return (
            f"{name} {said[3:]}."
            if said.startswith("It ")
            else f"{name}: {said[0].lower()}{said[1:]}."
        )
    if not known:
        return f"No verdict on any of {len(models)} models."
    if not good:
        return f"None of {len(models)} models is shown to watch the motion."
    if len(good) == len(models):
        return f"{'Both' if len(models) == 2 else f'All {len(models)}'} models watch the motion."
    return f"Of {len(models)} models, {_listed(good)} watch{'es' * (len(good) == 1)} the motion."


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _opening(audit: Audit, *, below: bool) -> str:
    """The verdicts: the head of the page or, below another heading, a section."""
    shown, silent = [], []
    for place, model in enumerate(audit.models):
        found = model.verdict
        if found.value is None or found.ci95 is None:
            silent.append(f"<li><b>{escape(model.name)}</b>: {prose(found.sentence)}</li>")
            continue
        one = Score(found.value, found.ci95, found.n)
        text = f"{found.value * 100:.0f} % [{found.ci95[0] * 100:.0f}, {found.ci95[1] * 100:.0f}]"
        shown.append(Line(model.name, text, one, place))
    tones = [_tone(model) for model in audit.models]
    tone = tones[0] if len(set(tones)) == 1 else "open"
    chart = lines(
        "From the scene to the motion",
        "0 %: only the scene counts. 100 %: only the motion counts.",
        shown,
        SHARES,
        # Of "time", which may stand in, half is no chance: the untrained have less.
        chance=_EVEN if all(model.verdict.measure != "time" for model in audit.models) else None,
    )
    told = "".join(
        f'<li class="{color(place)}"><b class="named">{escape(model.name)}</b>: '
        f"{prose(model.verdict.sentence)}</li>"
        for place, model in enumerate(audit.models)
        if model.verdict.value is not None
    )
    if below:
        evidence = f'<ul class="evidence">{told}{"".join(silent)}</ul>'
        return section(_headline(audit.models), chart, evidence)
    return (
        '<header>\n<p class="kicker">unscene audit · does this model watch the motion or the '
        f'scene?</p>\n<h1 class="{tone}">{prose(_headline(audit.models))}</h1>\n{chart}\n'
        f'<ul class="evidence">{told}{"".join(silent)}</ul>\n</header>'
    )


def _glance(audit: Audit, names: Sequence[str]) -> str:
    """What every measure says of every model, as a table."""
    head = "".join(
        f'<th scope="col" class="{color(k)}"><span class="named">{escape(model.name)}</span></th>'
        for k, model in enumerate(audit.models)
    )
    rows = []
    for name in names:
        # Where a row becomes a list, on narrow screens, each cell says whose it is.
        cells = "".join(
            f'<td class="{color(k)}"><span class="named whose">{escape(model.name)}</span>'
            f"<span>{_cell(_of(model, name))}</span></td>"
            for k, model in enumerate(audit.models)
        )
        title = words_of(name).title
        rows.append(
            f'<tr><th scope="row"><a href="#{escape(name)}">{escape(title)}</a></th>{cells}</tr>'
        )
    if not rows:
        return ""
    return section(
        "At a glance",
        f'<div class="scroll" tabindex="0"><table class="glance"><thead><tr><th scope="col">'
        f'<span class="kicker">question</span></th>{head}</tr></thead><tbody>{"".join(rows)}'
        "</tbody></table></div>",
        paragraph(
            "● speaks for the motion, ○ for the scene or for looks, ◐ cannot be told. In brackets, "
            "95 % intervals: where the number would lie with other videos of this kind."
        ),
    )


def _of(model: ModelAudit, name: str) -> Measured | None:
    return next((one for one in model.measures if one.name == name), None)


def _cell(found: Measured | None) -> str:
    if found is None or not found.scores:
        return '<span class="absent">does not apply</span>'
    words = words_of(found.name)
    score = words.telling if words.telling in found.scores else next(iter(found.scores))
    one = found.scores[score]
    known = score_words(found.name, score, one)
    text = prose(measured(one, known.kind))
    if found.absent:
        text += '<br><span class="absent">with limits, see below</span>'
    if score != words.telling or not words.outcomes:
        return f'<span class="what">{prose(known.name)}</span><br>{text}'
    chance = reference(found, score)
    said, tone = words.outcomes[1 - side(found.name, score, one, chance)]
    if words.settled is not None and settled(found.name, score, one, chance):
        said, tone = words.settled
    return f'<span class="what {tone}">{_MARKS[tone]} {escape(said)}</span><br>{text}'


def _measure(name: str, models: Sequence[ModelAudit]) -> str:
    words = words_of(name)
    asked = [(k, model.name, one) for k, model in enumerate(models) if (one := _of(model, name))]
    scored = [entry for entry in asked if entry[2].scores]
    shown, more = charts(name, scored) if scored else ("", "")
    told = [
        f'<li class="{color(k)}"><b class="named">{escape(model)}</b> {prose(text)}</li>'
        for k, model, one in scored
        if (text := says(one))
    ]
    told += [
        f'<li class="{color(k)} absent"><b class="named">{escape(model)}</b>: '
        f"{'part of this' if one.scores else 'this'} does not apply: {prose(one.absent)}</li>"
        for k, model, one in asked
        if one.absent
    ]
    says_ = f'<ul class="says">{"".join(told)}</ul>' if told else ""
    blocks = [
        paragraph(words.meaning) if words.meaning else "",
        says_,
        shown,
        f'<p class="how"><b>How.</b> {prose(words.how)}</p>' if words.how else "",
    ]
    if more:
        blocks.append(f"<details><summary>More of it</summary>{more}</details>")
    table = numbers(asked)
    if table:
        blocks.append(f"<details><summary>All numbers</summary>{table}</details>")
    made = section(words.title, *blocks)
    return made.replace("<section>", f'<section id="{escape(name)}">', 1)
