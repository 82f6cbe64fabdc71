"""Tables of an audit: every number of a measure, and what was audited."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from unscene import __version__
from unscene.audit.report.charts import Results, color, table
from unscene.audit.report.words import Words, spell_number
from unscene.audit.result import Audit, ModelAudit


def score_table(words: Words, results: Results) -> str:
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


def left_out(results: Results) -> list[str]:
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


def model_facts(model: ModelAudit) -> dict[str, str]:
    """What a model is and what it was shown, by heading."""
    spec = model.spec
    return {
        "what it is": model.note,
        "trained": "yes" if model.trained else "no: its weights are random",
        "input": f"{spec.frames} frames, stride {spec.stride}, {spec.size} px",
        "feature": f"{spec.dim} dimensions",
        "clips encoded": str(model.forwards),
        "seconds": f"{model.seconds:.0f}",
    }


def data_facts(audit: Audit) -> dict[str, str]:
    """What data was audited, by heading."""
    return _facts({k: v for k, v in audit.data.items() if k != "skipped"})


def configuration_facts(audit: Audit) -> dict[str, str]:
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
