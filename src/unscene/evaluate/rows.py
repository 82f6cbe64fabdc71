"""A number is data: results as JSON lines, from which every table and plot is drawn."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from unscene import __version__
from unscene.errors import UnsceneError
from unscene.files import write_text


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
        n: videos scored.
        seed: of the encoder.
        seconds: that training the encoder took (0 for none).
        encoder: architecture.
        views: windows a video at test time.
        steps: that the encoder was trained.
        config: resolved configuration of the encoder's training.
        versions: of unscene.
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
    versions: dict[str, str] = field(default_factory=lambda: {"unscene": __version__})


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
