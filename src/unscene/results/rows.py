"""A number is data: results as JSON lines, from which every table and plot is drawn."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cache
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any

from unscene.encoders import EncoderSpec
from unscene.errors import UnsceneError
from unscene.files import write_text
from unscene.results.statistics import Score


@cache
def versions() -> dict[str, str]:
    """Of what a number depends on; "source" changes with every line of this package."""
    found = {name: version(name) for name in ("unscene", "torch", "av", "lightning")}
    digest, package = sha256(), Path(__file__).resolve().parents[1]
    for path in sorted(package.rglob("*.py")):
        digest.update(path.relative_to(package).as_posix().encode() + path.read_bytes())
    return found | {"source": digest.hexdigest()[:12]}


@dataclass(frozen=True)
class Row:
    """One result.

    Attributes:
        method: "random", "moco", "dsm", "dsm-triplet" ...
        data: where the videos came from, and `fingerprint` which they were.
        split: part of the data the number is about.
        label: label column.
        metric: "retrieval_r1", "probe_top1" ...
        value: the number, and ci95 its 95 % interval.
        n: videos (or clips) scored.
        seed: of the encoder; of a fine-tuning, its own.
        seconds: that training the encoder took (0 for none).
        encoder: architecture.
        views: windows a video at test time.
        steps: that the encoder was trained.
        config: resolved configuration of the encoder's training, see `settings_of`.
        test: resolved settings of the protocol, and what it chose.
        classes: the same number for each class.
        chance: what guessing gives; recall's is that of a gallery in random order, in which a query
            may not see its own scene, say. None where it is not known.
        versions: of unscene and what it stands on, see `versions`.
    """

    method: str
    data: str
    split: str
    label: str
    metric: str
    value: float
    ci95: tuple[float, float]
    n: int
    seed: int
    seconds: float
    encoder: str = ""
    fingerprint: str = ""
    views: int = 1
    steps: int = 0
    config: dict[str, Any] = field(default_factory=dict)
    test: dict[str, Any] = field(default_factory=dict)
    classes: dict[str, float] = field(default_factory=dict)
    chance: float | None = None
    versions: dict[str, str] = field(default_factory=versions)


def rows_of(
    spec: EncoderSpec,
    scores: Mapping[str, Score],
    *,
    data: str,
    split: str,
    label: str,
    fingerprint: str,
    views: int,
    seed: int | None = None,
    test: Mapping[str, Any] | None = None,
) -> list[Row]:
    """Scores by metric as rows; method, seed, steps and settings are those of the encoder.

    `seed` is for encoders without a history: the seed their weights were drawn with.
    """
    history = spec.trained_on
    return [
        Row(
            method=str(history.get("method", "random")),
            data=data,
            split=split,
            label=label,
            metric=metric,
            value=found.value,
            ci95=found.ci95,
            n=found.n,
            seed=int(history.get("seed", seed or 0)),
            seconds=float(history.get("seconds", 0.0)),
            encoder=spec.name,
            fingerprint=fingerprint,
            views=views,
            steps=int(history.get("steps", 0)),
            config=settings_of(history),
            test={"frames": spec.frames, "stride": spec.stride, "size": spec.size, **(test or {})},
            classes=found.classes,
            chance=found.chance,
        )
        for metric, found in scores.items()
    ]


def settings_of(history: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a training, from `spec.trained_on`; under "began" the method, steps, seed and
    settings of the encoder that it went on from, if it did."""
    settings = dict(history.get("settings", {}))
    if before := history.get("began"):
        own = {name: before[name] for name in ("method", "steps", "seed") if name in before}
        settings["began"] = own | settings_of(before)
    return settings


def write_rows(path: Path, rows: Iterable[Row]) -> None:
    """Write a .jsonl file whole or not at all; `path` is replaced."""
    write_text(path, "".join(json.dumps(asdict(row), ensure_ascii=False) + "\n" for row in rows))


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The rows of a .jsonl file."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
        return [json.loads(line) for line in lines if line.strip()]
    except (OSError, ValueError) as error:
        raise UnsceneError(f"{path}: cannot be read as rows of JSON ({error})") from error


def pick(rows: Sequence[dict[str, Any]], **wanted: object) -> list[dict[str, Any]]:
    """The rows whose fields have the wanted values."""
    return [row for row in rows if all(row.get(k) == v for k, v in wanted.items())]
