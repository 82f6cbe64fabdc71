"""docs/results.md and its pictures, drawn from the rows of the experiments.

python experiments/write_results.py
"""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from pathlib import Path
from textwrap import fill
from typing import Any

from correlation_plot import draw
from sections import BIASED, CORRELATIONS, SECTIONS, WITHOUT_LABELS, Section

from unscene.files import write_text
from unscene.results.plots import draw_tables
from unscene.results.seeds import Cell
from unscene.results.tables import Table, collect_rows, format_markdown, make_tables

HERE = Path(__file__).resolve().parent
ROWS, DOCS = HERE / "rows", HERE.parent / "docs"

INTRO = """# Results

Drawn from the rows in `experiments/rows/` by `experiments/write_results.py`; nothing here is typed.
Cells are means over seeds with 95 % intervals. One seed has the bootstrap interval over its test
videos; two seeds have one that covers both of theirs. Three or more have Student's t over seeds and
the mean of their bootstrap intervals, added in quadrature, wherever seeds were asked about the same
videos (real footage), or rows do not say that they were not (codec's vectors): what these videos
leave open, further seeds do not close. On moving scenes each seed has videos of its own; there
Student's t holds both, and is only kept from being narrower than the mean of the bootstrap
intervals divided by the root of the number of seeds. All encoders are r3d-narrow on two CPU cores,
trained for the same number of steps, without labels where nothing else is said. What was tried and
did not work is in [experiments/LOG.md](../experiments/LOG.md).
"""


def page() -> tuple[str, dict[str, list[Table]]]:
    """The page, and the tables of each section by its heading."""
    parts, found = [INTRO], {}
    for section in SECTIONS:
        drawn = _tables(section)
        if drawn:
            found[section.heading] = drawn
            words = fill(section.text, 100, break_on_hyphens=False)
            parts.append(f"## {section.heading}\n\n{words}\n")
            parts.append(format_markdown(drawn))
            if section.picture:
                parts.append(f"![{section.heading}]({section.picture})\n")
    return "\n".join(parts), found


def _tables(section: Section) -> list[Table]:
    paths = [ROWS / name for name in section.files if (ROWS / name).exists()]
    rows = [row for row in collect_rows(paths) if section.about(row)] if paths else []
    if section.across:
        return _across(section, rows)
    return _chosen(make_tables(rows, section.metrics), section) if rows else []


def _across(section: Section, rows: list[dict[str, Any]]) -> list[Table]:
    """A table for each test and metric; its columns are the values of a setting."""
    by_value: dict[Any, list[dict[str, Any]]] = {}
    for row in rows:
        by_value.setdefault(row["test"][section.across], []).append(row)
    found: dict[tuple[str, str], Table] = {}
    order = section.where.get(section.across)
    for value in order if isinstance(order, tuple) else sorted(by_value):
        if value not in by_value:
            continue
        for table, metric in product(
            make_tables(by_value[value], section.metrics), section.metrics
        ):
            if metric not in table.metrics:
                continue
            column = value if isinstance(value, str) else f"{section.across} {value:g}"
            key = table.title, metric
            title = f"{table.title}, {metric}"
            one = found.setdefault(key, Table(title, (), {}, {}))
            lines = {name: one.lines.get(name, {}) for name in (*one.lines, *table.lines)}
            for name, cells in table.lines.items():
                if metric in cells:
                    lines[name] = lines[name] | {column: cells[metric]}
            guessed = {column: table.chance[metric]} if metric in table.chance else {}
            found[key] = Table(title, (*one.metrics, column), lines, one.chance | guessed)
    return _chosen(list(found.values()), section)


def _chosen(found: list[Table], section: Section) -> list[Table]:
    """Only the lines of the section's methods, in their order; a method has more than one where
    settings tell them apart."""
    if not section.methods:
        return found

    def lines(table: Table) -> dict[str, dict[str, Cell]]:
        named = {name: name.partition(", ")[0] for name in table.lines}
        return {n: table.lines[n] for m in section.methods for n in named if named[n] == m}

    chosen = [replace(table, lines=lines(table)) for table in found]
    return [table for table in chosen if table.lines]


if __name__ == "__main__":
    text, drawn = page()
    write_text(DOCS / "results.md", text)
    draw_tables([*drawn[BIASED][:2], *drawn[WITHOUT_LABELS][:1]], DOCS / "results.png")
    draw(drawn[CORRELATIONS], DOCS / "correlation.png")
