"""`unscene results`: tables and plots drawn from rows, never typed.

One table for each (data, split, label, settings of the test), one column a metric, one line a
method; a method whose rows differ in more than the seed has a line for each setting, named by what
differs (`seeds.lines`). Seeds become their mean, with an interval that `seeds.cell` explains.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unscene.errors import UnsceneError
from unscene.files import write_atomically
from unscene.results.rows import read_rows
from unscene.results.seeds import BEFORE, Cell, cell, lines

_NEEDED = ("method", "data", "split", "label", "metric", "value", "ci95", "n", "seed")
_IN_TITLE = ("frames", "stride", "size")  # shown only where tables differ in them
# What a protocol found, not what it was set to: it differs from seed to seed.
_OF_THE_RUN = (
    *("chosen", "gallery", "left_out", "steps", "chosen_step", "validation_top1", "seconds"),
    *("classes", "training_videos", "validation_videos"),
)


@dataclass(frozen=True)
class Table:
    """Attributes:
    title: what the numbers are about.
    metrics: the columns.
    lines: by method (and what tells it from others of its name), its cells by metric.
    chance: what guessing gives, by metric, where rows say it; the mean over the table's rows.
    """

    title: str
    metrics: tuple[str, ...]
    lines: dict[str, dict[str, Cell]]
    chance: dict[str, float]

    def shown(self) -> list[list[str]]:
        """The lines as words: chance, if it is known, then the methods; last, n and seeds."""
        guessed = [f"{self.chance[m]:.3f}" if m in self.chance else "" for m in self.metrics]
        return [["chance", *guessed, ""]] * bool(self.chance) + [
            [method, *(str(cells[m]) if m in cells else "" for m in self.metrics), _counted(cells)]
            for method, cells in self.lines.items()
        ]


def collect(paths: Iterable[str | Path]) -> list[dict[str, Any]]:
    """All rows of .jsonl files and of those in folders (and the folders below).

    Files whose lines are no rows of results (a training's own records, say) are left out.

    Raises:
        UnsceneError: a path does not exist, a named file holds no rows, or nothing was found.
    """
    rows: list[dict[str, Any]] = []
    places = [Path(path) for path in paths]
    for path in places:
        if not path.exists():
            raise UnsceneError(f"{path}: does not exist; give folders or .jsonl files of results")
        files = sorted(path.rglob("*.jsonl")) if path.is_dir() else [path]
        for file in files:
            found = [row for row in read_rows(file) if _is_row(row)]
            if not found and not path.is_dir():
                raise UnsceneError(f"{file}: holds no rows of results ({', '.join(_NEEDED)})")
            rows += found
    if not rows:
        where = ", ".join(map(str, places))
        raise UnsceneError(f"{where}: no rows of results in any .jsonl file there")
    return rows


def tables(rows: Sequence[dict[str, Any]], metrics: Sequence[str] = ()) -> list[Table]:
    """The rows as tables.

    Args:
        rows: as `collect` gives them.
        metrics: the columns; none: all that there are.

    Raises:
        UnsceneError: a metric is in none of the rows; says which are.
    """
    known = list(dict.fromkeys(row["metric"] for row in rows))
    missing = [metric for metric in metrics if metric not in known]
    if missing:
        raise UnsceneError(
            f"no row has the metric {', '.join(missing)}; there are {', '.join(known)}"
        )
    chosen = list(dict.fromkeys(metrics)) or known
    groups: dict[tuple[str, ...], list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        if row["metric"] in chosen:
            groups[row["data"], row["split"], row["label"], _setting(row)].append(row)
    told = _telling([dict(json.loads(key[3])) for key in groups])
    return [_table(key, group, chosen, told) for key, group in groups.items()]


def markdown(found: Sequence[Table]) -> str:
    """Tables as Markdown."""
    parts = []
    for table in found:
        lines = [f"**{table.title}**", "", f"| method | {' | '.join(table.metrics)} | n, seeds |"]
        lines.append("|---" * (len(table.metrics) + 2) + "|")
        lines += [f"| {' | '.join(line)} |" for line in table.shown()]
        parts.append("\n".join(lines))
    return "\n\n".join(parts) + "\n"


def text(found: Sequence[Table]) -> str:
    """Tables for a terminal."""
    parts = []
    for table in found:
        grid = [["", *table.metrics, "n, seeds"], *table.shown()]
        widths = [max(map(len, column)) for column in zip(*grid, strict=True)]
        body = ["  ".join(t.ljust(w) for t, w in zip(line, widths, strict=True)) for line in grid]
        parts.append("\n".join([table.title, *(line.rstrip() for line in body)]))
    return "\n\n".join(parts) + "\n"


def check_plot(path: Path) -> None:
    """Raise UnsceneError now where `plot` would for the name."""
    if path.suffix.lower() != ".png":
        raise UnsceneError(f"{path}: plots are PNG; give a name that ends in .png")


def plot(found: Sequence[Table], path: Path) -> None:
    """Dots with intervals and a dotted line at chance, a row of panels for each table; `path` is a
    .png, replaced whole.

    Raises:
        UnsceneError: another ending, or the file cannot be written.
    """
    check_plot(path)
    from matplotlib.figure import Figure

    across = max(len(table.metrics) for table in found)
    heights = [0.32 * len(table.lines) + 0.9 for table in found]
    figure = Figure(figsize=(2.4 + 3 * across, sum(heights) + 0.2), layout="constrained")
    rows = figure.subfigures(len(found), 1, height_ratios=heights, squeeze=False)[:, 0]
    for table, part in zip(found, rows, strict=True):
        part.suptitle(table.title, x=0.01, ha="left", fontsize=9, fontweight="bold")
        panels = part.subplots(1, across, sharey=True, squeeze=False)[0]
        names = list(table.lines)[::-1]
        for axes, metric in zip(panels, table.metrics, strict=False):
            for at, name in enumerate(names):
                if metric in table.lines[name]:
                    cell = table.lines[name][metric]
                    axes.hlines(at, cell.low, cell.high, color="#8aa4c8", lw=3)
                    axes.plot(cell.value, at, "o", color="#1f3f77", ms=5)
            if metric in table.chance:
                axes.axvline(table.chance[metric], color="#b0563b", lw=1, ls=":")
            axes.set_title(metric, fontsize=8)
            axes.set_yticks(range(len(names)), names, fontsize=8)
            axes.tick_params(axis="x", labelsize=8)
            axes.set_ylim(-0.6, len(names) - 0.4)
            axes.grid(axis="x", alpha=0.3)
            axes.spines[["top", "right"]].set_visible(False)
        for axes in panels[len(table.metrics) :]:
            axes.set_visible(False)
    try:
        with write_atomically(path) as temporary:
            figure.savefig(temporary, format="png", dpi=130)
    except OSError as error:
        raise UnsceneError(f"{path}: cannot be written ({error.strerror})") from error


def _table(
    key: tuple[str, ...], rows: list[dict[str, Any]], metrics: list[str], told: list[str]
) -> Table:
    data, split, label, setting = key
    values = dict(json.loads(setting))
    shown = [f"{name} {values[name]}" for name in told if values.get(name) not in (None, "")]
    column = [] if label in ("label", "none") else [f"label {label}"]  # else there is none to name
    title = ", ".join([str(data), str(split), *column, *shown])
    several = len({row.get("encoder", "") for row in rows}) > 1
    by_method: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        name = f"{row['method']}, {row.get('encoder', '')}" if several else row["method"]
        by_method[name].append(row)
    made = {
        ", ".join(filter(None, (name, apart))): {
            metric: cell(of)
            for metric in metrics
            if (of := [row for row in found if row["metric"] == metric])
        }
        for name, own in by_method.items()
        for apart, found in lines(own).items()
    }
    present = tuple(m for m in metrics if any(m in line for line in made.values()))
    guessed = {
        metric: sum(known) / len(known)
        for metric in present
        if (known := [row["chance"] for row in rows if _guessed(row, metric)])
    }
    return Table(title, present, made, guessed)


def _guessed(row: dict[str, Any], metric: str) -> bool:
    return row["metric"] == metric and row.get("chance") is not None


def _counted(cells: dict[str, Cell]) -> str:
    """ "96, 3"; what the cells of a line do not share is a range."""
    videos = [n for cell in cells.values() for n in (cell.n, cell.most)]
    return ", ".join(map(_range, (videos, [cell.seeds for cell in cells.values()])))


def _range(numbers: list[int]) -> str:
    low, high = min(numbers), max(numbers)
    return f"{low}" if low == high else f"{low} to {high}"


def _setting(row: dict[str, Any]) -> str:
    test = {k: v for k, v in row.get("test", {}).items() if k not in _OF_THE_RUN}
    return json.dumps(sorted((test | {"views": row.get("views", 1)}).items()))


def _telling(settings: list[dict[str, Any]]) -> list[str]:
    """The settings that a title needs: all that the tables do not share, in a steady order."""
    names = list(dict.fromkeys(name for setting in settings for name in setting))
    differing = [n for n in names if len({json.dumps(s.get(n)) for s in settings}) > 1]
    return sorted(differing, key=lambda name: (name in _IN_TITLE, name))


def _is_row(row: Any) -> bool:
    """Whether a line of JSON is a row: it has what is needed, and all is of its kind."""
    if not isinstance(row, dict) or not all(name in row for name in _NEEDED):
        return False
    words = (row[name] for name in ("method", "data", "split", "label", "metric"))
    ends = row["ci95"]
    numbers = (row["value"], *(ends if isinstance(ends, list) else ()), row["n"], row["seed"])
    tables = [row.get(name, {}) for name in ("test", "config", "versions")]
    return (
        all(isinstance(word, str) for word in words)
        and isinstance(ends, list)
        and len(ends) == 2
        and all(map(_number, numbers))
        and all(isinstance(table, dict) for table in tables)
        and all(isinstance(row.get("config", {}).get(name, {}), dict) for name in BEFORE)
        and (row.get("chance") is None or _number(row["chance"]))
    )


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
