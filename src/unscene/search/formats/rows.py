"""What the readers of all formats return, and how they open a file."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from unscene.errors import UnsceneError
from unscene.search.intervals import Interval

Rate = Callable[[str], float | None]


@dataclass
class Found:
    """The intervals of a file.

    Attributes:
        rows: where each stands, for messages ("labels.csv:3"), and the interval. Its path is the
            text in the file.
        problems: what could not be read, as sentences that name the place.
        notes: what was left out on purpose.
    """

    rows: list[tuple[str, Interval]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @classmethod
    def join(cls, parts: Iterable[Found]) -> Found:
        """All of them in one."""
        whole = cls()
        for part in parts:
            whole.rows += part.rows
            whole.problems += part.problems
            whole.notes += part.notes
        return whole

    @property
    def intervals(self) -> list[Interval]:
        return [interval for _, interval in self.rows]


def read_text(path: Path) -> str:
    """The text of a file. Raises UnsceneError if it cannot be read."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise UnsceneError(f"{path}: cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise UnsceneError(f"{path}: is not UTF-8 text ({error}); save it as UTF-8") from error


def read_json(path: Path) -> Any:
    """The content of a JSON file. Raises UnsceneError if there is none."""
    try:
        return json.loads(read_text(path))
    except ValueError as error:
        raise UnsceneError(f"{path}: is not JSON ({error}); export it again") from error


def round_time(seconds: float) -> float:
    """Seconds, to the millisecond."""
    return round(float(seconds), 3)
