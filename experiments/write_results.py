"""Write docs/results.md and its pictures from the rows of the experiments.

python experiments/write_results.py
"""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from textwrap import fill
from typing import Any

from correlation_plot import draw
from sections import BIASED, CORRELATIONS, HEADINGS, SECTIONS, WITHOUT_LABELS, Section
from sections_of_motion import SECTIONS_OF_MOTION
from trained import HERE, ROWS

from unscene.files import write_text
from unscene.results.paired import compare_tables
from unscene.results.plots import draw_tables
from unscene.results.rows import is_descriptor
from unscene.results.tables import Table, collect_rows, format_markdown, make_tables

DOCS = HERE.parent / "docs"

INTRO = """# Results

This page is generated from the rows in `experiments/rows/` by `experiments/write_results.py`. No
number is typed. What was tried, and what did not work, is in the lab notebook,
[experiments/LOG.md](../experiments/LOG.md).

Unless the text says otherwise, encoders are r3d-narrow, trained on two CPU cores for the same
number of steps, without labels. `random` is the untrained encoder; it is in every table for which
it was evaluated.

**How to read the title of a table.** It names the footage, the split and the label. "Moving scenes"
is generated footage (`unscene scenes`); its split `seen` holds new videos in the training scenes,
`unseen` videos in new scenes. ARID and table tennis are real footage.

**How to read a cell.** 0.802 [0.734, 0.871] is the mean over seeds with its 95 % confidence
interval; the last column has the number of test videos and of seeds.

- One seed: the interval is from a cluster bootstrap over video files.
- Two seeds: it covers the intervals of both.
- Three or more seeds on the same test videos (real footage, and motion vectors): Student's t over
  the seeds and the mean of their bootstrap intervals, added in quadrature. More seeds do not reduce
  the uncertainty from the choice of test videos.
- Three or more seeds with test videos of their own (generated footage): Student's t over the seeds
  already contains the choice of videos. The interval is at least as wide as the mean bootstrap
  interval divided by the square root of the number of seeds.

**Methods in italics need no training**: histograms of optical flow (`hof`, `mbh`, `hof+mbh`), how
much moves where (`energy`), and mean colors (`color`), defined in
[methods.md, section 5](methods.md#5-descriptors-that-need-no-training). They take clips of their
own: 16 frames at stride 2, 80 pixels (`color`: 2 frames at stride 8, 32 pixels).

- They have no weights, so they have no seeds. On real footage there is one run, and its interval is
  from the cluster bootstrap over files. On generated footage the seeds are those of the footage.
- Retrieval is by cosine on raw features in every table but those of the section on standardized
  features. That section has no trained encoders, because their weights were not kept.
- Trained encoders and descriptors are not compared in pairs: rows of these encoders do not hold the
  outcome of each video. Compare their intervals, which is the weaker test. Descriptors are compared
  with each other in pairs, in a section of their own.
"""
BELOW = """In italics: no training, and no seeds but those of generated footage. With one run, the
interval is from the cluster bootstrap over files.
"""


def make_page() -> tuple[str, dict[str, list[Table]]]:
    """The page, and the tables of each section by its heading."""
    parts, found = [INTRO], {}
    for section in (*SECTIONS, *SECTIONS_OF_MOTION):
        drawn = _make_tables(section)
        if drawn:
            found[section.heading] = drawn
            words = fill(section.text, 100, break_on_hyphens=False)
            parts.append(f"## {section.heading}\n\n{words}\n")
            parts.append(format_markdown(drawn, HEADINGS))
            if any(table.descriptors for table in drawn):
                parts.append(BELOW)
            if section.picture:
                parts.append(f"![{section.heading}]({section.picture})\n")
    return "\n".join(parts), found


def _make_tables(section: Section) -> list[Table]:
    paths = [ROWS / name for name in section.files if (ROWS / name).exists()]
    rows = collect_rows(paths) if paths else []
    trained = [row for row in rows if not is_descriptor(row)]
    rows = [row for row in trained + _lend(rows, trained) if section.matches(row)]
    if section.across:
        return _make_tables_across(section, rows)
    tables = make_tables(rows, section.metrics) if rows else []
    if section.against:
        tables, _ = compare_tables(tables, section.against)
    return _select_lines(tables, section)


def _lend(rows: list[dict[str, Any]], trained: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows of descriptors on the same footage; on real footage, once for each pre-training that is
    evaluated on it. Without trained encoders, all rows.

    Without training they have no "pretrain", and their note is the footage alone.
    """
    footage = {row["data"] for row in trained or rows}
    settings = sorted({_place(row, "pretrain", "note") for row in trained})
    lent = []
    for row in rows:
        if is_descriptor(row) and row["data"] in footage:
            data, split, _, note = _place(row, "pretrain", "note")
            lent += [
                row | {"test": row["test"] | {"pretrain": pretrain, "note": other}}
                for *place, pretrain, other in settings
                if place == [data, split] and pretrain and other.partition(", ")[0] == note
            ] or [row]
    return lent


def _place(row: dict[str, Any], *names: str) -> tuple[str, ...]:
    return row["data"], row["split"], *(row["test"].get(name, "") for name in names)


def _make_tables_across(section: Section, rows: list[dict[str, Any]]) -> list[Table]:
    """A table for each test and metric. Its columns are the values of a setting."""
    by_value: dict[Any, list[dict[str, Any]]] = {}
    for row in rows:
        if section.across in row["test"]:  # rows of the audit have no correlation
            by_value.setdefault(row["test"][section.across], []).append(row)
    found: dict[tuple[str, str], Table] = {}
    order = section.where.get(section.across)
    for value in order if isinstance(order, tuple) else sorted(by_value):
        if value not in by_value:
            continue
        column = value if isinstance(value, str) else f"{section.across} {value:g}"
        of_value = make_tables(by_value[value], section.metrics)
        for table, metric in product(of_value, section.metrics):
            if metric in table.metrics:
                title = f"{table.title}: {HEADINGS[metric]}"
                one = found.setdefault((table.title, metric), Table(title, (), {}, {}))
                found[table.title, metric] = _add_column(one, column, table, metric)
    return _select_lines(list(found.values()), section)


def _add_column(one: Table, column: str, other: Table, metric: str) -> Table:
    """A table with a further column, which holds a metric of another table."""
    lines = {name: dict(one.lines.get(name, {})) for name in (*one.lines, *other.lines)}
    for name, cells in other.lines.items():
        if metric in cells:
            lines[name][column] = cells[metric]
    chance = {column: other.chance[metric]} if metric in other.chance else {}
    return replace(
        one,
        metrics=(*one.metrics, column),
        lines=lines,
        chance=one.chance | chance,
        baselines=one.baselines | other.baselines,
        descriptors=one.descriptors | other.descriptors,
    )


def _select_lines(tables: list[Table], section: Section) -> list[Table]:
    """Only the lines of the section's methods, in their order, below those without training.

    A method has more than one line where settings differ.
    """
    if not section.methods:
        return tables
    chosen = []
    for table in tables:
        methods = {name: name.partition(", ")[0] for name in table.lines}
        names = [name for method in section.methods for name in methods if methods[name] == method]
        if names:
            others = [n for n in table.lines if n in table.without_training and n not in names]
            lines = {name: table.lines[name] for name in (*others, *names)}
            chosen.append(replace(table, lines=lines))
    return chosen


if __name__ == "__main__":
    text, drawn = make_page()
    write_text(DOCS / "results.md", text)
    chosen = [*drawn[BIASED][:2], *drawn[WITHOUT_LABELS][:1]]
    draw_tables(chosen, DOCS / "results.png", headings=HEADINGS, width=11)
    draw(drawn[CORRELATIONS], DOCS / "correlation.png")
