"""CSV: file,start,end,label and, for predictions, probability. `unscene label` reads it.

file,start,end,label
day1/a.mp4,12.5,14,wave
day1/a.mp4,1:05,1:07.5,jump
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from unscene.data.csv_table import read_csv, write_csv
from unscene.errors import UnsceneError
from unscene.search.formats.rows import Found, Rate, round_time
from unscene.search.intervals import (
    Footage,
    Interval,
    Named,
    name_files,
    parse_time,
    probability_of,
)

SUFFIX = ".csv"
SEPARATE = False
_COLUMNS = ("file", "start", "end", "label")


def write(intervals: Sequence[Named], path: Path, files: Sequence[Footage]) -> None:
    """Write a table."""
    names = name_files(files)
    predicted = any(probability_of(one) is not None for one in intervals)
    rows = []
    for one in intervals:
        row: dict[str, object] = {
            "file": names[one.path],
            "start": round_time(one.start),
            "end": round_time(one.end),
            "label": one.label,
        }
        probability = probability_of(one)
        rows.append(row | ({} if probability is None else {"probability": round(probability, 4)}))
    write_csv(path, [*_COLUMNS, *(["probability"] if predicted else [])], rows)


def read(path: Path, rate: Rate) -> Found:
    """Read a table; further columns are ignored.

    Raises:
        UnsceneError: it cannot be read, or a column is missing.
    """
    table = read_csv(path, "file", ",".join(_COLUMNS))
    if missing := [name for name in _COLUMNS if name not in table.columns]:
        raise UnsceneError(
            f"{path}: its first line must name the columns {','.join(_COLUMNS)}; "
            f"{', '.join(missing)} is missing"
        )
    found = Found(problems=[f"{one.path}: {one.reason}" for one in table.skipped])
    for number, cells in table.rows:
        where = f"{path}:{number}"
        times = {}
        for name in ("start", "end"):
            try:
                times[name] = parse_time(cells[name])
            except ValueError:
                found.problems.append(
                    f"{where}: {name} {cells[name]!r} is not a time; write seconds, such as 12.5, "
                    "or 1:05.5"
                )
        if len(times) == 2:
            text = cells.get("probability", "")
            known = float(text) if re.fullmatch(r"[01]?\.?\d+(e-\d+)?", text) else None
            found.rows.append(
                (where, Interval(cells["file"], **times, label=cells["label"], probability=known))
            )
    return found
