"""A picture of predictions: a row for each video, time from left to right, a color for each class.

Below the predictions of a video, as a thin line, what was labeled in it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from unscene.files import write_atomically
from unscene.html.fonts import make_printable
from unscene.search.intervals import Footage, Named, name_files

# Told apart by people who do not see all colors alike: Okabe and Ito (2008), then Tol's muted.
COLORS = (
    *("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#f0e442"),
    *("#332288", "#882255", "#117733", "#88ccee", "#ddcc77", "#44aa99", "#aa4499"),
)
_INK, _FAINT, _EMPTY = "#1b1f24", "#5d6670", "#e9e7e2"
_ROWS = 40  # videos per page
_PAGES = 10
_WIDTH = 11.0  # inches
_ROW = 0.27


def draw_timelines(
    path: Path,
    files: Sequence[Footage],
    intervals: Sequence[Named],
    classes: Sequence[str],
    labels: Sequence[Named] = (),
) -> list[Path]:
    """Write timeline.png, and further pages where there are many videos.

    Videos with intervals come first. Others fill the rest of the last page; those left are counted.

    Args:
        path: .png; the pages after the first have -2, -3 ... before the suffix.
        files: the videos.
        intervals: predictions; their colors are by the order of `classes`.
        classes: of predictions and labels.
        labels: what was labeled.

    Returns:
        The pages.
    """
    names = name_files(files)
    colors = {name: COLORS[k % len(COLORS)] for k, name in enumerate(classes)}
    found = {one.path for one in (*intervals, *labels)}
    ordered = [file for file in files if file.path in found]
    count = min(_PAGES, max(1, -(-len(ordered) // _ROWS)))
    ordered += [file for file in files if file.path not in found]
    left = len(ordered) - count * _ROWS
    pages = []
    for number in range(count):
        page = path if not number else path.with_stem(f"{path.stem}-{number + 1}")
        shown = ordered[number * _ROWS : (number + 1) * _ROWS]
        note = f"{left} more videos are not shown" if left > 0 and number == count - 1 else ""
        _draw_page(page, shown, names, intervals, labels, colors, note)
        pages.append(page)
    return pages


def _draw_page(
    path: Path,
    files: Sequence[Footage],
    names: Mapping[str, str],
    intervals: Sequence[Named],
    labels: Sequence[Named],
    colors: Mapping[str, str],
    note: str,
) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    printed = [make_printable(names[file.path], 34) for file in files]
    margin = 0.3 + 0.075 * max(map(len, printed))
    columns = int(np.clip((_WIDTH - margin) / 1.6, 1, max(1, len(colors))))
    top = 0.2 + 0.2 * min(2, -(-len(colors) // columns))
    height = top + _ROW * len(files) + 0.55
    figure = Figure(figsize=(_WIDTH, height), dpi=130, facecolor="white")
    FigureCanvasAgg(figure)
    axes = figure.add_axes(
        (
            margin / _WIDTH,
            0.5 / height,
            (_WIDTH - margin - 0.3) / _WIDTH,
            _ROW * len(files) / height,
        )
    )
    unit, title = _choose_unit(max(file.duration for file in files))
    rows = {file.path: row for row, file in enumerate(files)}
    for row, file in enumerate(files):
        axes.barh(row, file.duration / unit, height=0.62, color=_EMPTY, linewidth=0)
    _draw_bars(axes, rows, intervals, colors, unit, offset=0.0, height=0.62)
    _draw_bars(axes, rows, labels, colors, unit, offset=0.42, height=0.14)
    axes.set_ylim(len(files) - 0.45, -0.55)
    axes.set_xlim(0, max(file.duration for file in files) / unit)
    axes.set_yticks(range(len(files)), printed, fontsize=8, color=_INK, parse_math=False)
    axes.tick_params(axis="y", length=0)
    axes.tick_params(axis="x", labelsize=8, colors=_FAINT)
    axes.set_xlabel(title, fontsize=8, color=_FAINT)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(_FAINT)
    _draw_legend(
        figure, columns, margin, colors, note, labeled=any(one.path in rows for one in labels)
    )
    with write_atomically(path) as temporary:
        figure.savefig(temporary, dpi=130, format="png")


def _choose_unit(longest: float) -> tuple[float, str]:
    """Seconds of a unit of the axis, and its title."""
    for unit, name in ((3600.0, "hours"), (60.0, "minutes")):
        if longest >= 2 * unit:
            return unit, name
    return 1.0, "seconds"


def _draw_bars(
    axes: Any,
    rows: Mapping[str, int],
    intervals: Sequence[Named],
    colors: Mapping[str, str],
    unit: float,
    *,
    offset: float,
    height: float,
) -> None:
    shown = [one for one in intervals if one.path in rows]
    if shown:
        axes.barh(
            [rows[one.path] + offset for one in shown],
            [(one.end - one.start) / unit for one in shown],
            left=[one.start / unit for one in shown],
            height=height,
            color=[colors.get(one.label, _FAINT) for one in shown],
            linewidth=0,
        )


def _draw_legend(
    figure: Any,
    columns: int,
    margin: float,
    colors: Mapping[str, str],
    note: str,
    *,
    labeled: bool,
) -> None:
    from matplotlib.patches import Patch

    known = [Patch(color=color, label=make_printable(name, 24)) for name, color in colors.items()]
    height = figure.get_size_inches()[1]
    shown = known[: 2 * columns]
    legend = figure.legend(
        handles=shown,
        loc="upper left",
        bbox_to_anchor=(margin / _WIDTH - 0.01, 1 - 0.06 / height),
        ncols=columns,
        frameon=False,
        fontsize=8,
        handlelength=1.1,
        handleheight=0.9,
        columnspacing=1.4,
    )
    for text in legend.get_texts():
        text.set_parse_math(False)
    texts = ["thin lines: labels"] * labeled + [note] * bool(note)
    if len(known) > len(shown):
        texts.append(f"{len(known) - len(shown)} classes without a place here")
    figure.text(
        0.99, 0.06 / height, "; ".join(texts), ha="right", va="bottom", size=8, color=_FAINT
    )
