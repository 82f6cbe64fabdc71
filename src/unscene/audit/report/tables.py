"""Tables of an audit: every number of a measure, and what was audited."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from unscene import __version__
from unscene.audit.measures.base import Measured
from unscene.audit.report.charts import color
from unscene.audit.report.words import measured, number, score_words
from unscene.audit.result import Audit, ModelAudit
from unscene.html.document import paragraph, prose, section


def numbers(asked: Sequence[tuple[int, str, Measured]]) -> str:
    """Every score of a measure, model by model, and what was left out."""
    having = [(k, model, one) for k, model, one in asked if one.scores]
    rows = []
    for name in dict.fromkeys(name for _, _, one in having for name in one.scores):
        with_it = [one for _, _, one in having if name in one.scores]
        words = score_words(with_it[0].name, name, with_it[0].scores[name])
        chance = with_it[0].scores[name].chance
        counts = sorted({one.scores[name].n for one in with_it})
        cells = [
            "" if chance is None else number(chance, words.kind),
            *(
                measured(one.scores[name], words.kind) if name in one.scores else "–"
                for _, _, one in having
            ),
            f"{counts[0]}–{counts[-1]}" if len(counts) > 1 else f"{counts[0]}",
        ]
        note = f'<br><span class="absent">{prose(words.note)}</span>' if words.note else ""
        rows.append(
            f'<tr><th scope="row">{escape(words.name)}{note}</th>'
            + "".join(f"<td>{prose(cell)}</td>" for cell in cells)
            + "</tr>"
        )
    models = "".join(
        f'<th scope="col" class="{color(k)}"><span class="named">{escape(model)}</span></th>'
        for k, model, _ in having
    )
    table = (
        '<div class="scroll" tabindex="0"><table class="numbers"><thead><tr><th scope="col">score'
        f'</th><th scope="col">chance</th>{models}<th scope="col">n</th></tr></thead><tbody>'
        f"{''.join(rows)}</tbody></table></div>"
        if rows
        else ""
    )
    return table + _left_out(asked)


def _left_out(asked: Sequence[tuple[int, str, Measured]]) -> str:
    """Why windows or videos were left out, once where it is the same for all models."""
    by_reason: dict[tuple[str, int], list[str]] = {}
    for _, model, one in asked:
        for reason, count in one.details.get("left_out", {}).items():
            if count:
                by_reason.setdefault((reason, count), []).append(model)
    items = []
    for (reason, count), models in by_reason.items():
        whose = "" if len(models) == len(asked) else f", for {', '.join(models)}"
        items.append(f"<li>{prose(f'{reason}: {count}{whose}')}</li>")
    return f"<h3>Left out</h3><ul>{''.join(items)}</ul>" if items else ""


def about(audit: Audit) -> str:
    """The section on models, data and configuration."""
    models = "".join(
        f'<h3 class="{color(k)}"><span class="named">{escape(model.name)}</span></h3>'
        + _facts(_model_facts(model))
        for k, model in enumerate(audit.models)
    )
    data = dict(audit.data)
    skipped: Sequence[Mapping[str, Any]] = data.pop("skipped", ())
    listed = "".join(
        f"<li>{escape(str(entry['path']))}: {escape(str(entry['reason']))}</li>"
        for entry in skipped[:20]
    )
    more = f"<li>and {len(skipped) - 20} more</li>" if len(skipped) > 20 else ""
    left = (
        f"<details><summary>{len(skipped)} files could not be used</summary><ul>{listed}{more}</ul>"
        "</details>"
        if skipped
        else ""
    )
    return section(
        "Models, data, configuration",
        models,
        f"<h3>Data</h3>{_facts(data)}{left}",
        f"<h3>Configuration</h3>{_facts(dict(audit.configuration) | {'unscene': __version__})}",
        paragraph("Every number stands in `audit.json` beside this file."),
    )


def _model_facts(model: ModelAudit) -> dict[str, Any]:
    spec = model.spec
    return {
        "what it is": model.note,
        "trained": "yes" if model.trained else "no: its weights are random",
        "sees": f"{spec.frames} frames, every {spec.stride}. of the video, {spec.size} px",
        "feature": f"{spec.dim} numbers",
        "clips shown to it": model.forwards,
        "seconds": round(model.seconds),
    }


def _facts(facts: Mapping[str, Any]) -> str:
    items = "".join(
        f"<div><dt>{escape(str(key).replace('_', ' '))}</dt><dd>{escape(_plain(value))}</dd></div>"
        for key, value in facts.items()
    )
    return f'<dl class="facts">{items}</dl>'


def _plain(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, (list, tuple)):
        return ", ".join(map(_plain, value))
    return f"{value:.4g}" if isinstance(value, float) else str(value)
