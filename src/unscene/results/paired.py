"""Two methods on the same test videos: the difference of their shares, video by video.

    video                   1  2  3  4  5  6
    hits of the method      1  1  0  1  -  1
    hits of the reference   1  0  0  1  1  1     - could not be read
    difference              0 +1  0  0     0     its mean, +0.200; files are drawn with replacement

Most videos are easy for both methods, or hard for both. A difference of shares leaves that out, so
its interval is narrower than the two intervals of the shares suggest. An interval without 0 means
that the methods differ.

Sources: Efron and Tibshirani, An Introduction to the Bootstrap (1993), section 8.4 (pairs); Tango,
Statistics in Medicine 17 (1998), for differences that are all equal.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from unscene.errors import UnsceneError
from unscene.results.rows import read_outcomes
from unscene.results.seeds import Cell, ResultRow, average_seeds, drop_repeated, find_seeds
from unscene.results.statistics import Floats, interval
from unscene.results.tables import Table

_NO_OUTCOMES = "rows without outcomes of videos"
_OTHER_VIDEOS = "other test or training videos"


class Difference(Cell):
    """A difference of two shares; it is shown with its sign."""

    def __str__(self) -> str:
        return f"{self.value:+.3f} [{self.low:+.3f}, {self.high:+.3f}]"


def compare_lines(table: Table, against: str) -> tuple[Table | None, dict[str, str]]:
    """Compare each line of a table with one of them, in pairs.

    Two rows are a pair if they have the same fingerprint, that is, the same videos in test and
    gallery (or training set of the probe), and both have outcomes. Seeds are paired with equal
    seeds; a method with one run on these videos is paired with every seed of the other one.

    Args:
        table: as `make_tables` returns it.
        against: the line to compare with: its name, its method, or the id of its run or the
            beginning of one.

    Returns:
        A table of differences, None if there are no pairs. Each has the interval of
        `compare_pairs`. And the lines that could not be compared, with the reason.

    Raises:
        UnsceneError: several lines are meant.
    """
    reference = find_line(table, against)
    if reference is None:
        return None, {}
    lines: dict[str, dict[str, Cell]] = {}
    reasons: dict[str, str] = {}
    for name in table.lines:
        if name == reference:
            continue
        pairs = {
            metric: _find_pairs(table.rows[name], table.rows[reference], metric)
            for metric in table.metrics
        }
        cells: dict[str, Cell] = {
            metric: compare_pairs(found) for metric, found in pairs.items() if found
        }
        if cells:
            lines[name] = cells
        else:
            kept = all(_have_outcomes(table.rows[line]) for line in (name, reference))
            reasons[name] = _OTHER_VIDEOS if kept else _NO_OUTCOMES
    if not lines:
        return None, reasons
    present = tuple(m for m in table.metrics if any(m in cells for cells in lines.values()))
    title = f"{table.title}: difference from {reference}"
    return replace(table, title=title, metrics=present, lines=lines, chance={}), reasons


def compare_pairs(pairs: Sequence[tuple[ResultRow, ResultRow]]) -> Difference:
    """The mean difference over pairs of rows, with a 95 % confidence interval.

    Each pair has the interval of a bootstrap that draws files, with the outcomes of both methods,
    with replacement. Pairs are seeds, and are averaged like those of a single method, by Student's
    t and these intervals (`average_seeds`): three seeds are too few to be drawn with replacement,
    which would make the interval too narrow.

    Args:
        pairs: rows of the method and of the reference, on the same videos, at least one pair.
    """
    found = []
    for number, (row, other) in enumerate(pairs):
        (hits, files), (others, _) = _read(row), _read(other)
        both = ~np.isnan(hits + others)
        difference = (hits - others)[both]
        ends = _interval(difference, files[both])
        one = {"value": float(difference.mean()), "ci95": ends, "n": len(difference)}
        found.append(one | {"seed": number, "fingerprint": row["fingerprint"]})
    return Difference(**vars(average_seeds(found, shares=False)))


def compare_tables(tables: Sequence[Table], against: str) -> tuple[list[Table], dict[str, str]]:
    """Tables of differences from one line; see `compare_lines`. Tables without it are left out.

    Returns:
        The tables. And the lines that could not be compared in any of them, with the reason.

    Raises:
        UnsceneError: no table has the line, a table has several, or nothing could be compared.
    """
    if not any(find_line(table, against) for table in tables):
        names = "; ".join(dict.fromkeys(name for table in tables for name in table.lines))
        raise UnsceneError(f"no line or run is called {against!r}; there are {names}")
    compared = [compare_lines(table, against) for table in tables]
    found = [table for table, _ in compared if table is not None]
    known = {name for table in found for name in table.lines}
    reasons = {k: why for _, some in compared for k, why in some.items() if k not in known}
    if not found:
        why = "; ".join(f"{name}: {reason}" for name, reason in reasons.items())
        raise UnsceneError(
            f"nothing can be compared with {against} in pairs ({why or 'it stands alone'}). "
            "Evaluate both on the same videos with `unscene evaluate --out`"
        )
    return found, reasons


def find_line(table: Table, name: str) -> str | None:
    """The line of a table that has a name, a method, or a run whose id begins so.

    Raises:
        UnsceneError: several lines have the method or run.
    """
    if name in table.lines:
        return name
    found = [
        line
        for line, rows in table.rows.items()
        if any(name == row["method"] or row["run"].startswith(name) for row in rows)
    ]
    if len(found) > 1:
        raise UnsceneError(
            f"{name!r} is several lines of {table.title}: {'; '.join(found)}; name one of them"
        )
    return found[0] if found else None


def _find_pairs(
    rows: Sequence[ResultRow], reference: Sequence[ResultRow], metric: str
) -> list[tuple[ResultRow, ResultRow]]:
    """Rows of one metric on the same videos, each with that of the reference."""
    ours, theirs = (
        drop_repeated([row for row in some if row["metric"] == metric and read_outcomes(row)])
        for some in (rows, reference)
    )
    found = []
    for videos in dict.fromkeys(row["fingerprint"] for row in ours if row.get("fingerprint")):
        same, others = (
            [row for row in some if row.get("fingerprint") == videos] for some in (ours, theirs)
        )
        single = len(same) == 1 or len(others) == 1
        found += [
            (row, other)
            for row in same
            for other in others
            if (single or find_seeds(row) == find_seeds(other)) and _have_same_videos(row, other)
        ]
    return found


def _have_same_videos(row: ResultRow, other: ResultRow) -> bool:
    """Whether outcomes are of equally many videos, of which both could read some."""
    hits, others = _read(row)[0], _read(other)[0]
    return len(hits) == len(others) and bool((~np.isnan(hits + others)).any())


def _have_outcomes(rows: Sequence[ResultRow]) -> bool:
    return any(read_outcomes(row) for row in rows)


def _read(row: ResultRow) -> tuple[Floats, NDArray[np.int64]]:
    """Hits, nan for a video that could not be read, and the number of each video's file."""
    outcomes = read_outcomes(row)
    assert outcomes is not None, "only rows with outcomes are paired"
    hits, files = outcomes
    return np.array([np.nan if hit is None else hit for hit in hits]), np.array(files)


def _interval(differences: Floats, files: NDArray[np.int64]) -> tuple[float, float]:
    """Percentile interval of a mean difference. Differences that are all equal would have one
    without width, however few they are: they have Tango's."""
    first = float(differences[0])
    if (differences != first).any():
        return interval(differences, videos=files, shares=False)
    width = (1 + abs(first)) * interval(np.zeros(len(files)), videos=files)[1]
    return max(-1.0, first - width), min(1.0, first + width)
