"""Rows -> tables, and these as text, Markdown or LaTeX. No number in them is typed.

There is one table for each (data, split, label, settings of the test), with one column per metric
and one line per method. A method whose rows differ in more than the seed has a line for each
setting, named by what differs (`seeds.group_seeds`). Seeds are averaged (`seeds.average_seeds`).

Encoders that need no training (`rows.DESCRIPTORS`) take clips of their own: frames, stride and size
belong to the descriptor as an architecture belongs to a trained encoder. So they stand in every
table that agrees in all else, above the trained ones.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from unscene.errors import UnsceneError
from unscene.results.rows import (
    NEEDED,
    SUFFIXES,
    UNTRAINED,
    is_descriptor,
    is_row,
    read_rows,
)
from unscene.results.seeds import Cell, ResultRow, average_seeds, group_seeds

_CLIP = ("frames", "stride", "size")  # shown in titles only where tables differ in them
# What a protocol found, not what it was set to: it differs from seed to seed.
_OF_THE_RUN = (
    *("chosen", "gallery", "left_out", "steps", "chosen_step", "validation_top1", "seconds"),
    *("classes", "training_videos", "validation_videos"),
)
_COUNTS = "n, seeds"
_Key = tuple[str, str, str, str]  # of a table: data, split, label, settings of the test


@dataclass(frozen=True)
class Table:
    """Numbers of several methods on one test.

    Attributes:
        title: what the numbers are about.
        metrics: the columns.
        lines: cells by metric, by method (and what distinguishes it from others of its name).
        chance: expected values for guessing by metric, the mean over the rows that have one.
        runs: ids of the runs of each line.
        baselines: lines of networks that were not trained.
        descriptors: lines of encoders that need no training.
        rows: what each line was made of.
    """

    title: str
    metrics: tuple[str, ...]
    lines: dict[str, dict[str, Cell]]
    chance: dict[str, float]
    runs: dict[str, tuple[str, ...]] = field(default_factory=dict)
    baselines: frozenset[str] = frozenset()
    descriptors: frozenset[str] = frozenset()
    rows: Mapping[str, Sequence[ResultRow]] = field(default_factory=dict, compare=False, repr=False)

    @property
    def without_training(self) -> frozenset[str]:
        """Lines of all encoders without training."""
        return self.baselines | self.descriptors

    def format_lines(self) -> list[list[str]]:
        """The lines as words: chance, if it is known, then the methods; n and seeds come last."""
        guessed = [f"{self.chance[m]:.3f}" if m in self.chance else "" for m in self.metrics]
        return [["chance", *guessed, ""]] * bool(self.chance) + [
            [method, *(str(cells[m]) if m in cells else "" for m in self.metrics), _counts(cells)]
            for method, cells in self.lines.items()
        ]


def collect_rows(paths: Iterable[str | Path]) -> list[dict[str, Any]]:
    """All rows of .jsonl and .jsonl.gz files, and of those in folders and their subfolders.

    Files in folders whose lines are not rows (a training's own records, say) are left out.

    Raises:
        UnsceneError: a path does not exist, a named file holds no rows, or nothing was found.
    """
    rows: list[dict[str, Any]] = []
    places = [Path(path) for path in paths]
    for path in places:
        if not path.exists():
            raise UnsceneError(f"{path}: does not exist; give folders or .jsonl files of results")
        files = (
            sorted(f for s in SUFFIXES for f in path.rglob(f"*{s}")) if path.is_dir() else [path]
        )
        for file in files:
            found = [row for row in read_rows(file) if is_row(row)]
            if not found and not path.is_dir():
                raise UnsceneError(f"{file}: holds no rows of results ({', '.join(NEEDED)})")
            rows += found
    if not rows:
        where = ", ".join(map(str, places))
        raise UnsceneError(f"{where}: no rows of results in any .jsonl file there")
    return rows


def make_tables(rows: Sequence[dict[str, Any]], metrics: Sequence[str] = ()) -> list[Table]:
    """Turn rows into tables.

    Args:
        rows: as `collect_rows` returns them.
        metrics: the columns; without any, all that there are.

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
    groups = _group_rows([row for row in rows if row["metric"] in chosen])
    named = _find_differing([dict(json.loads(key[3])) for key in groups])
    return [_make_table(key, group, chosen, named) for key, group in groups.items()]


def rename_lines(tables: Sequence[Table], names: Mapping[str, str]) -> list[Table]:
    """Tables whose lines have other names.

    Args:
        tables: as `make_tables` returns them.
        names: new names by old ones: that of a line, its first part (the method), or the id of a
            run or the beginning of one. A line of several seeds is renamed by any of its runs.

    Raises:
        UnsceneError: an old name is in no table or means several runs, or two lines of a table
            would have the same name.
    """
    found = list(tables)
    for old, new in names.items():
        for match in (_match_label, _match_method, _match_run):
            renamed = [_find_names(table, match, old, new) for table in found]
            if any(renamed):
                break
        else:
            lines = {f"{n} ({', '.join(runs)})": 0 for t in found for n, runs in t.runs.items()}
            raise UnsceneError(f"no line or run is called {old!r}; there are {'; '.join(lines)}")
        ids = {run for table in found for runs in table.runs.values() for run in runs}
        meant = sorted(run for run in ids if run.startswith(old))
        if match is _match_run and len(meant) > 1:
            raise UnsceneError(f"{old!r} is the beginning of several runs: {', '.join(meant)}")
        found = [_rename(table, new) for table, new in zip(found, renamed, strict=True)]
    return found


_Match = Callable[[str, Sequence[str], str, str], str]


def _find_names(table: Table, match: _Match, old: str, new: str) -> dict[str, str]:
    """New names of the lines that match."""
    made = {name: match(name, table.runs.get(name, ()), old, new) for name in table.lines}
    return {name: new for name, new in made.items() if new}


def _match_label(label: str, runs: Sequence[str], old: str, new: str) -> str:
    return new if label == old else ""


def _match_method(label: str, runs: Sequence[str], old: str, new: str) -> str:
    return new + label.removeprefix(old) if label.startswith(f"{old}, ") else ""


def _match_run(label: str, runs: Sequence[str], old: str, new: str) -> str:
    return new if any(run.startswith(old) for run in runs) else ""


def _rename(table: Table, names: Mapping[str, str]) -> Table:
    new = {label: names.get(label, label) for label in table.lines}
    if len(set(new.values())) < len(new):
        twice = next(name for name in new.values() if list(new.values()).count(name) > 1)
        raise UnsceneError(f"{table.title}: two lines would be called {twice!r}; give other names")
    return replace(
        table,
        lines={new[label]: cells for label, cells in table.lines.items()},
        runs={new[label]: runs for label, runs in table.runs.items()},
        baselines=frozenset(new[label] for label in table.baselines),
        descriptors=frozenset(new[label] for label in table.descriptors),
        rows={new[label]: rows for label, rows in table.rows.items()},
    )


def format_text(tables: Sequence[Table]) -> str:
    """Tables for a terminal. The last column is the id of the line's run, or of its first one."""
    parts = []
    for table in tables:
        grid = [["", *table.metrics, _COUNTS, "run"]]
        for line in table.format_lines():
            runs = table.runs.get(line[0], ())
            more = f" and {len(runs) - 1} more" if len(runs) > 1 else ""
            grid.append([*line, f"{runs[0]}{more}" if runs else ""])
        widths = [max(map(len, column)) for column in zip(*grid, strict=True)]
        body = ["  ".join(t.ljust(w) for t, w in zip(line, widths, strict=True)) for line in grid]
        parts.append("\n".join([table.title, *(line.rstrip() for line in body)]))
    return "\n\n".join(parts) + "\n"


def format_markdown(tables: Sequence[Table], headings: Mapping[str, str] | None = None) -> str:
    """Tables as Markdown.

    Args:
        tables: as `make_tables` returns them.
        headings: of columns whose heading is not the metric.

    Returns:
        Tables in which encoders that need no training are in italics.
    """
    parts = []
    for table in tables:
        columns = [(headings or {}).get(metric, metric) for metric in table.metrics]
        lines = [f"**{table.title}**", "", f"| method | {' | '.join(columns)} | {_COUNTS} |"]
        lines.append("|---" * (len(table.metrics) + 2) + "|")
        for name, *cells in table.format_lines():
            shown = f"*{name}*" if name in table.descriptors else name
            lines.append(f"| {' | '.join([shown, *cells])} |")
        parts.append("\n".join(lines))
    return "\n\n".join(parts) + "\n"


def format_latex(tables: Sequence[Table]) -> str:
    r"""Tables as LaTeX, one `tabular` each, to be read with \input; they need the package booktabs.

    >>> line = {"top_1": Cell(0.5, 0.4, 0.6, 9, 9, 1)}
    >>> table = Table("films, test", ("top_1",), {"dsm": line}, {})
    >>> print(format_latex([table]), end="")
    % \usepackage{booktabs}
    \begin{tabular}{lrr}
    \toprule
    \multicolumn{3}{l}{films, test} \\
    \midrule
    method & top\_1 & n, seeds \\
    \midrule
    dsm & 0.500 {\scriptsize[0.400, 0.600]} & 9, 1 \\
    \bottomrule
    \end{tabular}
    """
    parts = []
    for table in tables:
        width = len(table.metrics) + 2
        lines = [
            rf"\begin{{tabular}}{{l{'r' * (width - 1)}}}",
            r"\toprule",
            rf"\multicolumn{{{width}}}{{l}}{{{_escape_latex(table.title)}}} \\",
            r"\midrule",
            " & ".join(map(_escape_latex, ("method", *table.metrics, _COUNTS))) + r" \\",
            r"\midrule",
        ]
        for method, *cells, counts in table.format_lines():
            numbers = [re.sub(r" (\[.*\])$", r" {\\scriptsize\1}", cell) for cell in cells]
            # In braces: after \\ a bracket would be read as the distance to the next line.
            name = _escape_latex(method)
            name = f"{{{name}}}" if name.startswith(("[", "*")) else name
            lines.append(" & ".join([name, *numbers, counts]) + r" \\")
        parts.append("\n".join([*lines, r"\bottomrule", r"\end{tabular}"]))
    return "% \\usepackage{booktabs}\n" + "\n\n".join(parts) + "\n"


_LATEX = {
    **{char: f"\\{char}" for char in "&%$#_{}"},
    **{"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"},
    **{"<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", '"': r"\textquotedbl{}"},
}


def _escape_latex(text: str) -> str:
    return "".join(_LATEX.get(char, char) for char in text)


def _make_table(
    key: _Key, rows: list[dict[str, Any]], metrics: list[str], named: list[str]
) -> Table:
    data, split, label, setting = key
    values = dict(json.loads(setting))
    shown = [f"{name} {values[name]}" for name in named if values.get(name) not in (None, "")]
    column = [] if label in ("label", "none") else [f"label {label}"]  # otherwise there is only one
    title = ", ".join([str(data), str(split), *column, *shown])
    by_method = _name_lines(rows)
    groups = {
        ", ".join(filter(None, (name, apart))): found
        for name, own in by_method.items()
        for apart, found in group_seeds(own).items()
    }
    lines = {
        name: {
            metric: average_seeds(of)
            for metric in metrics
            if (of := [row for row in found if row["metric"] == metric])
        }
        for name, found in groups.items()
    }
    present = tuple(m for m in metrics if any(m in line for line in lines.values()))
    chance = {
        metric: sum(known) / len(known)
        for metric in present
        if (known := [row["chance"] for row in rows if _has_chance(row, metric)])
    }
    runs = {name: tuple(dict.fromkeys(r["run"] for r in found)) for name, found in groups.items()}
    untrained = frozenset(n for n, found in groups.items() if found[0]["method"] == UNTRAINED)
    described = frozenset(n for n, found in groups.items() if is_descriptor(found[0]))
    if described:  # a block of its own above the trained encoders
        order = sorted(lines, key=lambda name: (name not in untrained, name not in described))
        lines = {name: lines[name] for name in order}
    return Table(title, present, lines, chance, runs, untrained, described, groups)


def _name_lines(rows: Sequence[ResultRow]) -> dict[str, list[ResultRow]]:
    """Rows by what their line is called, as far as methods, encoders and clips tell."""
    several = len({row.get("encoder", "") for row in rows if not is_descriptor(row)}) > 1
    clips: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        clips[row["method"]].add(_clip(row))
    named: dict[str, list[ResultRow]] = defaultdict(list)
    for row in rows:
        parts = [row.get("name") or row["method"]]
        if is_descriptor(row):
            parts += [_clip(row)] if len(clips[row["method"]]) > 1 else []
        elif several:
            parts.append(row.get("encoder", ""))
        named[", ".join(parts)].append(row)
    return named


def _clip(row: ResultRow) -> str:
    test = row.get("test", {})
    return ", ".join(f"{name} {test[name]}" for name in _CLIP if name in test)


def _group_rows(rows: Sequence[dict[str, Any]]) -> dict[_Key, list[dict[str, Any]]]:
    """Rows by table. A descriptor's are in each table that differs in nothing but the clip."""
    groups: dict[_Key, list[dict[str, Any]]] = defaultdict(list)
    hosts: dict[_Key, list[_Key]] = defaultdict(list)
    for row in rows:
        if not is_descriptor(row):
            key = _table_key(row)
            if key not in groups:
                hosts[_table_key(row, clip=False)].append(key)
            groups[key].append(row)
    for row in rows:
        if is_descriptor(row):
            own = _table_key(row, clip=False)
            for key in hosts.get(own, [own]):
                groups[key].append(row)
    return groups


def _table_key(row: ResultRow, *, clip: bool = True) -> _Key:
    left_out = _OF_THE_RUN if clip else (*_OF_THE_RUN, *_CLIP)
    test = {k: v for k, v in row.get("test", {}).items() if k not in left_out}
    setting = json.dumps(sorted((test | {"views": row.get("views", 1)}).items()))
    return row["data"], row["split"], row["label"], setting


def _has_chance(row: ResultRow, metric: str) -> bool:
    return row["metric"] == metric and row.get("chance") is not None


def _counts(cells: dict[str, Cell]) -> str:
    """ "96, 3"; what the cells of a line do not share is a range."""
    videos = [n for cell in cells.values() for n in (cell.n, cell.most)]
    return ", ".join(map(_format_range, (videos, [cell.seeds for cell in cells.values()])))


def _format_range(numbers: list[int]) -> str:
    low, high = min(numbers), max(numbers)
    return f"{low}" if low == high else f"{low} to {high}"


def _find_differing(settings: list[dict[str, Any]]) -> list[str]:
    """The settings that titles need: all that the tables do not share, in a fixed order."""
    names = list(dict.fromkeys(name for setting in settings for name in setting))
    differing = [n for n in names if len({json.dumps(s.get(n)) for s in settings}) > 1]
    return sorted(differing, key=lambda name: (name in _CLIP, name))
