"""The results of an audit, and audit.json, the file that holds them.

    Measured     one measure of one model: scores, details, pictures
    Coverage     how many of the videos a result rests on
    Verdict      motion or scene, for one model
    ModelAudit   all of one model
    Audit        all models

{"format": 3, "unscene": "0.1.0", "data": {...}, "configuration": {...},
 "models": [{"name", "trained": true, false or null (unknown), "note", "spec",
             "verdict": {"value", "ci95", "n", "measure", "sentence", "finding", "coverage"},
             "measures": [Measured without its pictures],
             "untrained_twin": the same of the untrained twin, or null, "no_twin": why}]}
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from unscene import __version__
from unscene.encoders import EncoderSpec
from unscene.files import write_text
from unscene.results.statistics import Score

FORMAT = 3

Finding = Literal["motion", "appearance", "scene", "open", "none"]


@dataclass(frozen=True)
class Coverage:
    """How many of the videos a result rests on.

    Attributes:
        measured: video files that are part of the result.
        of: video files that were read.
        left_out: the other files, counted by reason.
    """

    measured: int
    of: int
    left_out: Mapping[str, int] = field(default_factory=dict)

    def text(self) -> str:
        """The counts in words.

        >>> Coverage(19, 40, {"the camera moves": 21}).text()
        '19 of 40 videos; the camera moves in 21'
        """
        reasons = ", ".join(f"{reason} in {count}" for reason, count in self.left_out.items())
        return f"{self.measured} of {self.of} videos" + (f"; {reasons}" if reasons else "")


@dataclass(frozen=True)
class Measured:
    """The result of one measure for one model.

    Attributes:
        name: of the measure.
        scores: by name, the headline first; empty if the measure does not apply. The chance of a
            score is the value of a model that knows nothing. A score has none where untrained
            networks are not at chance.
        absent: why the measure, or a part of it, does not apply; "" if all of it does.
        details: JSON types only: curves, classes, counts.
        pictures: PNG files by name, for the report.
        coverage: how many of the videos the scores rest on; None if the measure does not count.
        forwards: clips encoded for this measure. Clips that several measures share are counted for
            the first of them.
    """

    name: str
    scores: Mapping[str, Score] = field(default_factory=dict)
    absent: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)
    pictures: Mapping[str, bytes] = field(default_factory=dict)
    coverage: Coverage | None = None
    forwards: int = 0


@dataclass(frozen=True)
class Verdict:
    """Motion or scene, in one number.

    Attributes:
        value: 0 (the scene) to 1 (the motion); None if no measure that can judge applies.
        ci95: its 95 % confidence interval.
        n: number of files.
        measure: name of the measure it comes from, "" if there is none.
        sentence: the verdict in words.
        finding: what the model watches, in a word. "open": the intervals leave it open.
            "appearance": it recognizes the moving object by appearance, not by its motion. "none":
            no value.
        coverage: how many of the videos it rests on; None if that was not counted.
    """

    value: float | None
    ci95: tuple[float, float] | None
    n: int
    measure: str
    sentence: str
    finding: Finding
    coverage: Coverage | None = None

    @property
    def score(self) -> Score | None:
        """The value with its interval."""
        if self.value is None or self.ci95 is None:
            return None
        return Score(self.value, self.ci95, self.n)


@dataclass(frozen=True)
class ModelAudit:
    """The results of one model.

    Attributes:
        name: its name in the report.
        note: where it comes from, and whether it was trained at all.
        spec: of the encoder.
        verdict: the number that `--fail-below` compares.
        measures: one result per measure, in the order of the report.
        trained: True if unscene trained its weights, False if it has just drawn them, None if
            that is unknown.
        forwards: clips encoded in all.
        seconds: duration of its audit.
        untrained_twin: the same architecture with random weights, on the same clips: what of the
            numbers is due to the architecture and the footage. Without pictures. None if there is
            none.
        no_twin: why there is none.
    """

    name: str
    note: str
    spec: EncoderSpec
    verdict: Verdict
    measures: list[Measured]
    trained: bool | None = None
    forwards: int = 0
    seconds: float = 0.0
    untrained_twin: ModelAudit | None = None
    no_twin: str = ""

    def measured(self, name: str) -> Measured | None:
        """The result of a measure, None if it was not run."""
        return next((one for one in self.measures if one.name == name), None)


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
    """The results of all models, on the same videos.

    Attributes:
        data: "source", "videos" (used), "skipped" (list of {"path", "reason"}), "fingerprint",
            "label" (column or None), "classes" (count).
        configuration: "clips", "seed", "batch_size" and whatever else changes the numbers.
        models: in the order they were passed.
    """

    data: Mapping[str, Any]
    configuration: Mapping[str, Any] = field(default_factory=dict)
    models: list[ModelAudit] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """Return the content of audit.json: JSON types only, without pictures.

        Raises:
            ValueError: a number is not finite.
        """
        content = asdict(self)
        twins = [model["untrained_twin"] for model in content["models"]]
        for model in filter(None, [*content["models"], *twins]):
            for measured in model["measures"]:
                del measured["pictures"]
        record = {"format": FORMAT, "unscene": __version__, **content}
        found: dict[str, Any] = json.loads(json.dumps(record, allow_nan=False))
        return found


def write_json(path: Path, audit: Audit) -> None:
    """Write audit.json whole or not at all."""
    write_text(path, json.dumps(audit.to_json(), indent=2, ensure_ascii=False) + "\n")
