"""What an audit found, and audit.json, the file that holds it.

{"format": 2, "unscene": "0.1.0", "data": {...}, "configuration": {...},
 "models": [{"name", "trained", "note", "spec", "verdict": {"value", "ci95", "n", "measure",
             "sentence", "finding"}, "measures": [Measured without its pictures]}]}
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from unscene import __version__
from unscene.audit.measures.base import Measured
from unscene.encoders import EncoderSpec
from unscene.files import write_text

FORMAT = 2

Finding = Literal["motion", "looks", "scene", "open", "none"]


@dataclass(frozen=True)
class Verdict:
    """Motion or scene, in one number.

    Attributes:
        value: 0 (the scene) to 1 (the motion), None if no measure that could tell applies.
        ci95: its 95 % interval.
        n: files it is about.
        measure: name of the measure it is from, "" if there is none.
        sentence: what it means, in words.
        finding: the same in a word: what the model watches, if the intervals tell ("open" if they
            do not), "none" without a value. "looks" is what moves, but not its motion.
    """

    value: float | None
    ci95: tuple[float, float] | None
    n: int
    measure: str
    sentence: str
    finding: Finding


@dataclass(frozen=True)
class ModelAudit:
    """One model's part of an audit.

    Attributes:
        name: how the report calls it.
        note: where it comes from, and whether it was trained at all.
        spec: of the encoder.
        trained: whether it has weights that somebody trained, as far as is known.
        verdict: the number that `--fail-below` looks at.
        measures: what each measure found, in the order of the report.
        forwards: clips that were encoded for all of them.
        seconds: that its audit took.
    """

    name: str
    note: str
    spec: EncoderSpec
    verdict: Verdict
    measures: list[Measured]
    trained: bool = True
    forwards: int = 0
    seconds: float = 0.0


@dataclass(frozen=True)
class Section:
    """A part of report.html that the caller of `audit` writes.

    Attributes:
        title: plain text; it is escaped.
        html: what stands below it, used as it is: escape your own text (`html.document.prose`).
    """

    title: str
    html: str


@dataclass(frozen=True)
class Audit:
    """Several models on the same videos.

    Attributes:
        data: "source", "videos" (used), "skipped" (list of {"path", "reason"}), "fingerprint",
            "label" (column or None), "classes" (count).
        configuration: "clips", "seed", "batch_size" and whatever else decides the numbers.
        models: in the order they were asked for.
    """

    data: Mapping[str, Any]
    configuration: Mapping[str, Any] = field(default_factory=dict)
    models: list[ModelAudit] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """JSON types only, without pictures."""
        content = asdict(self)
        for model in content["models"]:
            for measured in model["measures"]:
                del measured["pictures"]
        record = {"format": FORMAT, "unscene": __version__, **content}
        found: dict[str, Any] = json.loads(json.dumps(record, allow_nan=False))
        return found


def write_json(path: Path, audit: Audit) -> None:
    """Write audit.json whole or not at all."""
    write_text(path, json.dumps(audit.to_json(), indent=2, ensure_ascii=False) + "\n")
