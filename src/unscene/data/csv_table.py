"""CSV files: rows with their line numbers, and back. A line that is no row is skipped and reported.

A row is one line. So a quote that is not closed costs one row, and not the rows below it too.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unscene.data.catalog import Skipped
from unscene.errors import UnsceneError
from unscene.files import write_atomically


@dataclass(frozen=True)
class CsvTable:
    """The rows of a CSV file.

    Attributes:
        columns: their names, from the first line.
        rows: line number, and the cells by column; cells that are missing are "".
        skipped: lines that cannot be used, and why.
    """

    columns: list[str]
    rows: list[tuple[int, dict[str, str]]]
    skipped: list[Skipped]


def read_csv(path: Path, key: str, columns: str) -> CsvTable:
    """Read a CSV file with a header; spaces around cells are removed, empty lines ignored.

    Args:
        key: a column that the file must have.
        columns: all columns that such a file may have, for the message.

    Raises:
        UnsceneError: the file cannot be read, has no column `key`, or two columns of one name.
    """
    try:
        # Without newline="" all line ends become \n, also a lone \r.
        text = path.read_text(encoding="utf-8-sig", errors="surrogateescape")
    except OSError as error:
        raise UnsceneError(f"{path}: cannot be read as CSV ({error.strerror})") from error
    first, *lines = text.split("\n")
    names = _split(first)
    if isinstance(names, str):
        raise UnsceneError(f"{path}: its first line {names}")
    if key not in names:
        found = ",".join(names) or "nothing"
        raise UnsceneError(f"{path}: its first line must name the columns {columns}; found {found}")
    twice = sorted({name for name in names if name and names.count(name) > 1})
    if twice:
        raise UnsceneError(
            f"{path}: its first line names {', '.join(twice)} more than once; give each column "
            "another name"
        )
    rows: list[tuple[int, dict[str, str]]] = []
    skipped: list[Skipped] = []
    for number, outcome in _read_lines(lines, names):
        if isinstance(outcome, str):
            skipped.append(Skipped(f"{path}:{number}", outcome))
        else:
            rows.append((number, outcome))
    return CsvTable(names, rows, skipped)


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """Write a CSV completely or not at all; file names that are not UTF-8 keep their bytes."""
    with (
        write_atomically(path) as temporary,
        temporary.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file,
    ):
        writer = csv.DictWriter(file, columns, lineterminator="\n", restval="")
        writer.writeheader()
        writer.writerows(rows)


def _read_lines(lines: list[str], names: list[str]) -> Iterator[tuple[int, dict[str, str] | str]]:
    """The number of each line that is not empty, and its cells by column or why it has none."""
    for number, line in enumerate(lines, start=2):
        cells = _split(line) if line.strip() else []
        if isinstance(cells, str):
            yield number, cells
        elif any(cells[len(names) :]):
            yield (
                number,
                f"has more cells than the {len(names)} columns of the first line; "
                'write "..." around a cell that contains a comma',
            )
        elif cells:
            cells += [""] * (len(names) - len(cells))
            yield number, {name: cell for name, cell in zip(names, cells, strict=False) if name}


def _split(line: str) -> list[str] | str:
    """The cells of a line, or why it has none."""
    reader = csv.reader([line, ""], skipinitialspace=True)  # a, "b, c", d
    try:
        cells = next(reader)
    except csv.Error as error:
        return f"cannot be read as CSV ({error})"
    if reader.line_num > 1:  # a quoted cell went on to the next line
        return 'opens a quote (") and does not close it; a row is one line'
    return [cell.strip() for cell in cells]
