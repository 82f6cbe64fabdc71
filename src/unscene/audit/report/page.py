"""The report of an audit: one HTML file that opens offline, for readers who know no paper.

    verdict       one number per model, between scene and motion, with its interval
    at a glance   the answer of every measure for every model
    measures      what each means, its charts, how it is computed, and all its numbers
    facts         models, data, configuration

Every sentence follows from the numbers; a measure that does not apply says why. The HTML is in
templates/report.html, the texts of a measure are in its own file.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any

from unscene import __version__
from unscene.audit.measures.base import Measure
from unscene.audit.registry import known_measures
from unscene.audit.report.charts import (
    SHARES,
    Line,
    Results,
    color,
    dot_chart,
    table,
    without_twins,
)
from unscene.audit.report.films import show_everything
from unscene.audit.report.words import ScoreWords, Tone, Words, capitalize, spell_number
from unscene.audit.result import Audit, Finding, ModelAudit, Section
from unscene.html.document import document, make_environment
from unscene.html.pictures import PAUSE

_TONES: dict[Finding, Tone] = {
    "motion": "good", "appearance": "bad", "scene": "bad", "open": "open", "none": "open"
}  # fmt: skip
_TRAINED = {
    True: "yes, by unscene",
    False: "no: its weights are random",
    None: "unknown: the model comes from outside, and weights do not tell whether they are trained",
}
_MARKS: dict[Tone, str] = {"good": "●", "open": "◐", "bad": "○"}  # tell tones without color too

Kinds = Mapping[str, type[Measure]]


def render(
    audit: Audit,
    heading: Section | None = None,
    extra: Sequence[Section] = (),
    kinds: Kinds | None = None,
) -> str:
    """The report as HTML.

    Args:
        heading: an introduction above the audit; None: the page begins with the verdicts.
        extra: further sections, before those of the measures.
        kinds: the classes of the measures by name; None: those of the package. Results of unknown
            measures are shown without words.
    """
    kinds = known_measures() if kinds is None else kinds
    names = dict.fromkeys(one.name for model in audit.models for one in model.measures)
    headline = _headline(audit.models)
    tones = {_TONES[model.verdict.finding] for model in audit.models}
    body = (
        make_environment("unscene.audit.report")
        .get_template("report.html")
        .render(
            heading=heading,
            extra=extra,
            headline=headline,
            coverage=_coverage(audit.models),
            tone=tones.pop() if len(tones) == 1 else "open",
            verdict_chart=_verdict_chart(audit, kinds),
            models=[_model(place, model) for place, model in enumerate(audit.models)],
            measures=[_measure(name, audit.models, kinds.get(name)) for name in names],
            disagreements=_disagreements(audit.models, kinds),
            data=_data_facts(audit),
            twins=any(model.untrained_twin for model in audit.models),
            skipped=audit.data.get("skipped", ()),
            configuration=_configuration_facts(audit),
        )
    )
    style = files("unscene.audit.report").joinpath("style.css").read_text(encoding="utf-8")
    title = heading.title if heading else f"unscene audit: {headline}"
    return document(title, _with_pause(body), style=style)


def _with_pause(body: str) -> str:
    """Put one switch for all clips below the title of the first section that has some."""
    first = body.find('class="film"')
    if first < 0:
        return body
    ends = [found.end() for found in re.finditer(r"</h[12]>\n", body[:first])]
    return f"{body[: ends[-1]]}{PAUSE}\n{body[ends[-1] :]}" if ends else body


def _headline(models: Sequence[ModelAudit]) -> str:
    if not models:
        return "No model was audited."
    known = [model for model in models if model.verdict.value is not None]
    good = [model.name for model in known if _TONES[model.verdict.finding] == "good"]
    if len(models) == 1:
        return _headline_of_one(models[0])
    if not known:
        return f"No verdict on any of {len(models)} models."
    if not good:
        return f"None of {len(models)} models is shown to watch the motion."
    if len(good) == len(models):
        return f"{'Both' if len(models) == 2 else f'All {len(models)}'} models watch the motion."
    listed = good[0] if len(good) == 1 else f"{', '.join(good[:-1])} and {good[-1]}"
    return f"Of {len(models)} models, {listed} watch{'es' * (len(good) == 1)} the motion."


def _headline_of_one(model: ModelAudit) -> str:
    """The verdict without its numbers: "It watches the motion: 98 % of ..." says it already."""
    name, found = model.name, model.verdict
    if found.value is None:
        return f"No verdict on {name}."
    said, colon, _ = found.sentence.partition(": ")
    if not colon:
        return f"{name}: {found.value * 100:.0f} % motion."
    if said.startswith("It "):
        return f"{name} {said[3:]}."
    return f"{name}: {said[0].lower()}{said[1:]}."


def _coverage(models: Sequence[ModelAudit]) -> str:
    """How many videos the verdicts rest on, once if it is the same for all models."""
    covered = {
        model.name: model.verdict.coverage.text()
        for model in models
        if model.verdict.coverage is not None
    }
    if len(covered) == len(models) and len(set(covered.values())) == 1:
        return f"Evaluated on {next(iter(covered.values()))}."
    return " ".join(f"{name}: {text}." for name, text in covered.items())


def _disagreements(models: Sequence[ModelAudit], kinds: Kinds) -> list[dict[str, str]]:
    """What to make of measures of one model of which some speak for the motion, others do not."""
    found = []
    for place, model in enumerate(models):
        titles: dict[Tone, list[str]] = {"good": [], "bad": [], "open": []}
        for one in model.measures:
            kind = kinds.get(one.name)
            outcome = kind.outcome(one) if kind is not None and one.scores else None
            if kind is not None and outcome is not None:
                titles[outcome.tone].append(f"“{kind.words.title}”")
        if titles["good"] and titles["bad"] and model.verdict.measure in kinds:
            rests_on = kinds[model.verdict.measure].words.title
            text = (
                f"measures differ, since they test different things. {' '.join(titles['good'])} "
                f"for the motion; {' '.join(titles['bad'])} for the scene or for appearance. The "
                f"verdict rests on “{rests_on}” alone."
            )
            found.append(_statement(place, model.name, text))
    return found


def _with_twins(models: Sequence[ModelAudit]) -> list[tuple[int, ModelAudit]]:
    """Models by index, each with its untrained twin, if it has one; see `charts.color`."""
    found = []
    for place, model in enumerate(models):
        found.append((place, model))
        if model.untrained_twin is not None:
            found.append((~place, model.untrained_twin))
    return found


def _verdict_chart(audit: Audit, kinds: Kinds) -> str:
    shown = []
    for place, model in _with_twins(audit.models):
        one = model.verdict.score
        if one is not None:
            shown.append(Line(model.name, ScoreWords("").text(one), one, place))
    chances = {_chance_of(model, kinds) for model in audit.models}
    return dot_chart(
        "From the scene to the motion",
        "0 %: only the scene counts. 100 %: only the motion counts.",
        shown,
        SHARES,
        chance=chances.pop() if len(chances) == 1 else None,
    )


def _chance_of(model: ModelAudit, kinds: Kinds) -> float | None:
    """The chance of the headline that a verdict rests on."""
    measured = model.measured(model.verdict.measure)
    kind = kinds.get(model.verdict.measure)
    if measured is None or kind is None or kind.words.headline not in measured.scores:
        return None
    return measured.scores[kind.words.headline].chance


def _model(place: int, model: ModelAudit) -> dict[str, Any]:
    return {
        "name": model.name,
        "color": color(place),
        "sentence": model.verdict.sentence,
        "facts": _model_facts(model),
    }


def _measure(name: str, models: Sequence[ModelAudit], kind: type[Measure] | None) -> dict[str, Any]:
    """What the section of a measure shows, and its row at a glance."""
    words = Words(capitalize(name)) if kind is None else kind.words
    results = [
        (place, model.name, found)
        for place, model in _with_twins(models)
        if (found := model.measured(name)) is not None
    ]
    scored = [entry for entry in results if entry[2].scores]
    charts, more = ("", "")
    if scored:
        charts, more = (show_everything(words, scored), "") if kind is None else kind.charts(scored)
    own = without_twins(results)
    said = [] if kind is None else [(p, m, kind.sentence(one)) for p, m, one in own if one.scores]
    missing = [
        (p, model, f"{'with limits' if one.scores else 'this does not apply'}: {reason}.")
        for p, model, one in own
        if (reason := one.absent.removeprefix(f"{model}: ").rstrip("."))
    ]
    return {
        "name": name,
        "words": words,
        "cells": [_cell(p, model, name, words, kind) for p, model in enumerate(models)],
        "sentences": [_statement(*one) for one in said if one[2]],
        "absences": [_statement(*one) for one in missing],
        "charts": charts,
        "more": more,
        "table": _score_table(words, results),
        "left_out": _left_out(results),
    }


def _statement(place: int, model: str, text: str) -> dict[str, str]:
    return {"color": color(place), "model": model, "text": text}


def _cell(
    place: int, model: ModelAudit, measure: str, words: Words, kind: type[Measure] | None
) -> dict[str, Any]:
    """The answer of a measure for one model, at a glance."""
    found = model.measured(measure)
    cell = {"color": color(place), "model": model.name, "text": "", "tone": "", "limited": False}
    cell["twin"] = ""
    if found is None or not found.scores:
        return cell
    outcome = None if kind is None else kind.outcome(found)
    first = words.headline if words.headline in found.scores else next(iter(found.scores))
    name = first if outcome is None else outcome.score
    cell |= {"text": words.text(found, name), "limited": bool(found.absent)}
    twin = None if model.untrained_twin is None else model.untrained_twin.measured(measure)
    if twin is not None and name in twin.scores:
        cell["twin"] = words.text(twin, name)
    if outcome is None:
        return cell | {"answer": words.of(name, found.scores[name]).name}
    return cell | {"answer": f"{_MARKS[outcome.tone]} {outcome.text}", "tone": outcome.tone}


def _score_table(words: Words, results: Results) -> str:
    """Every score of a measure, one column per model; "" without scores."""
    having = [entry for entry in results if entry[2].scores]
    rows = []
    for name in dict.fromkeys(name for _, _, one in having for name in one.scores):
        found = [one.scores[name] for _, _, one in having if name in one.scores]
        spoken, chance = words.of(name, found[0]), found[0].chance
        counts = sorted({one.n for one in found})
        cells = [
            "" if chance is None else spell_number(chance, spoken.kind),
            *(spoken.text(one.scores[name]) if name in one.scores else "–" for _, _, one in having),
            f"{counts[0]}–{counts[-1]}" if len(counts) > 1 else f"{counts[0]}",
        ]
        rows.append((spoken.name, spoken.note, cells))
    models = [(color(place), model) for place, model, _ in having]
    return table([("", "score"), ("", "chance"), *models, ("", "n")], rows, kind="numbers")


def _left_out(results: Results) -> list[str]:
    """Why clips or videos were left out, once where it is the same for all models."""
    by_reason: dict[tuple[str, int], list[str]] = {}
    for _, model, one in results:
        for reason, count in one.details.get("left_out", {}).items():
            if count:
                by_reason.setdefault((reason, count), []).append(model)
    return [
        f"{reason}: {count}" + ("" if len(models) == len(results) else f", for {', '.join(models)}")
        for (reason, count), models in by_reason.items()
    ]


def _model_facts(model: ModelAudit) -> dict[str, str]:
    """What a model is and what it was shown, by heading."""
    spec, twin = model.spec, model.untrained_twin
    return {
        "what it is": model.note,
        "trained": _TRAINED[model.trained],
        "input": f"{spec.frames} frames, stride {spec.stride}, {spec.size} px",
        "feature": f"{spec.dim} dimensions",
        "clips encoded": str(model.forwards),
        "seconds": f"{model.seconds:.0f}",
        "untrained twin": f"none: {model.no_twin or 'not measured'}"
        if twin is None
        else f"{twin.note}; {twin.seconds:.0f} seconds",
    }


def _data_facts(audit: Audit) -> dict[str, str]:
    """What data was audited, by heading."""
    return _facts({k: v for k, v in audit.data.items() if k != "skipped"})


def _configuration_facts(audit: Audit) -> dict[str, str]:
    """The configuration, by heading."""
    return _facts({**audit.configuration, "unscene": __version__})


def _facts(facts: Mapping[str, Any]) -> dict[str, str]:
    return {str(key).replace("_", " "): _plain(value) for key, value in facts.items()}


def _plain(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, (list, tuple)):
        return ", ".join(map(_plain, value))
    return f"{value:.4g}" if isinstance(value, float) else str(value)
