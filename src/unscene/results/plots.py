"""Tables -> pictures that stay readable, however many lines and tables there are.

Each table is drawn as a block: one panel per metric, one line per method. Blocks flow in columns
over pages of a bounded size; a table with too many lines or metrics is split into several blocks.

    page
    +----------------------+ +----------------------+
    | title of a table     | | title of the next    |
    |          m 1    m 2  | |          m 1    m 2  |
    | random   -o-    -o-  | | random   -o-    -o-  |
    | dsm        -o-   -o- | | dsm       -o-   -o-  |
    +----------------------+ +----------------------+
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import accumulate, combinations, pairwise
from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING, TypeVar

from unscene.errors import UnsceneError
from unscene.files import write_atomically
from unscene.html.fonts import make_printable
from unscene.results.tables import Table

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Item = TypeVar("Item")
# All lengths are in inches.
_PAGE_WIDTH, _PAGE_HEIGHT, _DPI = 15.0, 11.0, 130
_MARGIN, _GAP = 0.15, 0.3
_LINE, _PANEL = 0.2, 2.0  # height of a line of text, width of a panel
_TICKS = 0.3  # height of the numbers below a panel
_FONT, _SMALL = 8.0, 7.0  # points
_LABEL = 38  # characters of a method's name in one line of text
_MOST_LINES, _MOST_METRICS = 44, 4  # of a block; lines of text
_LEGEND = "Bars: 95 % confidence intervals.  Dotted lines: chance.  Gray: no training."
_COLORS = {False: ("#8aa4c8", "#1f3f77"), True: ("#c4c4c4", "#6e6e6e")}  # trained, not trained
_CHANCE = "#b0563b"


def check_plot_path(path: Path) -> None:
    """Raise UnsceneError where `draw_tables` would for the name."""
    if path.suffix.lower() != ".png":
        raise UnsceneError(f"{path}: plots are PNG; give a name that ends in .png")


def draw_tables(
    tables: Sequence[Table],
    path: Path,
    *,
    headings: Mapping[str, str] | None = None,
    width: float = _PAGE_WIDTH,
) -> list[Path]:
    """Draw dots with confidence intervals, and a dotted line at chance.

    Args:
        tables: at least one.
        path: ends in .png. Existing files are replaced.
        headings: of panels whose heading is not the metric.
        width: of a page at most, in inches; a single block may be wider.

    Returns:
        The files. More pages than one are called NAME.png, NAME-2.png and so on.

    Raises:
        UnsceneError: another ending, or a file cannot be written.
    """
    check_plot_path(path)
    blocks = [block for table in tables for block in _split_table(table, headings or {})]
    files = []
    for number, columns in enumerate(_lay_out(blocks, width), 1):
        file = path if number == 1 else path.with_stem(f"{path.stem}-{number}")
        figure = _draw_page(columns)
        try:
            with write_atomically(file) as temporary:
                figure.savefig(temporary, format="png", dpi=_DPI)
        except OSError as error:
            raise UnsceneError(f"{file}: cannot be written ({error.strerror})") from error
        files.append(file)
    return files


@dataclass(frozen=True)
class _Block:
    """A part of a table that is drawn in one piece.

    Attributes:
        table: the whole.
        title: lines of text.
        metrics: one panel each, with its heading.
        labels: names of the methods by line of the table, broken into lines of text.
        limits: of the horizontal axes, by metric.
    """

    table: Table
    title: tuple[str, ...]
    metrics: dict[str, str]
    labels: dict[str, tuple[str, ...]]
    limits: dict[str, tuple[float, float]]

    @property
    def label_width(self) -> float:
        return max(_measure(text) for lines in self.labels.values() for text in lines) + 0.15

    @property
    def panel_width(self) -> float:
        return max(_PANEL, *(_measure(heading) + 0.3 for heading in self.metrics.values()))

    @property
    def width(self) -> float:
        return self.label_width + len(self.metrics) * self.panel_width

    @property
    def panel_height(self) -> float:
        return _LINE * (sum(map(len, self.labels.values())) + 0.4)

    @property
    def height(self) -> float:
        return _LINE * (len(self.title) + 1) + self.panel_height + _TICKS


def _split_table(table: Table, headings: Mapping[str, str]) -> Iterator[_Block]:
    """The blocks of a table. Encoders without training are in each of them."""
    limits = {metric: _find_limits(table, metric) for metric in table.metrics}
    labels = {name: tuple(wrap(_printable(name), _LABEL)) or ("",) for name in table.lines}
    names, lines = list(labels), sum(map(len, labels.values()))
    parts = [names]
    if lines > _MOST_LINES:
        repeated = [name for name in names if name in table.without_training][: _MOST_LINES // 4]
        others = [name for name in names if name not in repeated]
        most = max(1, (_MOST_LINES - len(repeated)) * len(names) // lines)
        parts = [repeated + part for part in _divide(others, most)]
    for number, part in enumerate(parts, 1):
        chosen = {name: labels[name] for name in part}
        text = f"{table.title} ({number} of {len(parts)})" if len(parts) > 1 else table.title
        for metrics in _divide(table.metrics, _MOST_METRICS):
            named = {metric: _printable(headings.get(metric, metric)) for metric in metrics}
            block = _Block(table, (), named, chosen, limits)
            yield replace(block, title=_fit(_printable(text), block.width))


def _divide(items: Sequence[Item], most: int) -> list[list[Item]]:
    """Parts of nearly the same length, of at most so many items each."""
    count = -(-len(items) // most)
    ends = [len(items) * part // count for part in range(count + 1)]
    return [list(items[start:stop]) for start, stop in pairwise(ends)]


def _find_limits(table: Table, metric: str) -> tuple[float, float]:
    cells = [line[metric] for line in table.lines.values() if metric in line]
    values = [end for cell in cells for end in (cell.low, cell.high, cell.value)]
    values += [table.chance[metric]] if metric in table.chance else []
    low, high = min(values), max(values)
    space = 0.04 * (high - low) or 0.05
    return low - space, high + space


def _printable(text: str) -> str:
    return make_printable(text, limit=len(text))


@cache
def _measure(text: str, bold: bool = False) -> float:
    """Width of a text."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import TextPath

    font = FontProperties(weight="bold" if bold else "normal")
    extents = TextPath((0, 0), text or " ", size=_FONT, prop=font).get_extents()
    return float(extents.width) / 72


def _fit(text: str, width: float) -> tuple[str, ...]:
    """A title, broken into lines of at most this width."""
    characters = max(12, int(len(text) * width / _measure(text, bold=True)))
    return tuple(wrap(text, characters))


def _lay_out(blocks: Sequence[_Block], width: float) -> Iterator[list[list[_Block]]]:
    """Pages of columns of blocks, in reading order, no higher than the blocks need."""
    widest = max(block.width for block in blocks)
    most = max(1, int((width + _GAP) / (widest + _GAP)))
    columns = _flow(blocks, _PAGE_HEIGHT)
    for start in range(0, len(columns), most):
        page = [block for column in columns[start : start + most] for block in column]
        heights = {_height(page[i:j]) for i, j in combinations(range(len(page) + 1), 2)}
        least = next(height for height in sorted(heights) if len(_flow(page, height)) <= most)
        # A little more, so that the last column does not get one block more than the others.
        yield _flow(page, max(least, min(_PAGE_HEIGHT, 1.15 * least)))


def _flow(blocks: Sequence[_Block], height: float) -> list[list[_Block]]:
    """Blocks in columns of at most this height, each with one block at least."""
    columns: list[list[_Block]] = [[]]
    for block in blocks:
        if columns[-1] and _height([*columns[-1], block]) > height + 1e-6:
            columns.append([])
        columns[-1].append(block)
    return columns


def _height(column: Sequence[_Block]) -> float:
    return sum(block.height for block in column) + _GAP * (len(column) - 1)


def _draw_page(columns: Sequence[Sequence[_Block]]) -> Figure:
    from matplotlib.figure import Figure

    # Panels of a column begin at the same places.
    labels = [max(block.label_width for block in column) for column in columns]
    panels = [max(block.panel_width for block in column) for column in columns]
    counts = [max(len(block.metrics) for block in column) for column in columns]
    widths = [x + count * panel for x, count, panel in zip(labels, counts, panels, strict=True)]
    width = max(sum(widths) + _GAP * (len(columns) - 1), _measure(_LEGEND)) + 2 * _MARGIN
    height = max(map(_height, columns)) + 2 * _MARGIN + _LINE
    figure = Figure(figsize=(width, height))
    starts = accumulate((wide + _GAP for wide in widths), initial=_MARGIN)
    for column, x, label, panel in zip(columns, starts, labels, panels, strict=False):
        y = height - _MARGIN
        for block in column:
            _draw_block(figure, block, x, y, label, panel)
            y -= block.height + _GAP
    figure.text(_MARGIN / width, _MARGIN / height, _LEGEND, fontsize=_SMALL, color="#444444")
    return figure


def _draw_block(
    figure: Figure, block: _Block, x: float, y: float, label: float, panel: float
) -> None:
    """Draw a block.

    Args:
        figure: the page.
        block: what is drawn.
        x, y: its upper left corner; y is measured from the bottom of the page.
        label, panel: width of the names and of a panel.
    """
    width, height = figure.get_size_inches()
    title = "\n".join(block.title)
    text = figure.text(x / width, y / height, title, fontsize=_FONT, fontweight="bold", va="top")
    text.set_linespacing(1.3)
    bottom = y - block.height + _TICKS
    for number, metric in enumerate(block.metrics):
        left, wide = x + label + number * panel, panel - 0.2
        at = (left / width, bottom / height, wide / width, block.panel_height / height)
        axes = figure.add_axes(at)
        _draw_panel(axes, block, metric)
        if number:
            axes.set_yticklabels([])


def _draw_panel(axes: Axes, block: _Block, metric: str) -> None:
    sizes = [len(lines) for lines in block.labels.values()]
    ends = list(accumulate(sizes))
    places = [end - size / 2 for end, size in zip(ends, sizes, strict=True)]
    for name, at in zip(block.labels, places, strict=True):
        if cell := block.table.lines[name].get(metric):
            bar, dot = _COLORS[name in block.table.without_training]
            axes.hlines(at, cell.low, cell.high, color=bar, lw=3)
            axes.plot(cell.value, at, "o", color=dot, ms=4.5)
    if metric in block.table.chance:
        axes.axvline(block.table.chance[metric], color=_CHANCE, lw=1, ls=":")
    axes.set_title(block.metrics[metric], fontsize=_FONT, pad=3)
    axes.set_yticks(places, ["\n".join(lines) for lines in block.labels.values()], fontsize=_FONT)
    axes.set_ylim(ends[-1] + 0.2, -0.2)
    axes.set_xlim(*block.limits[metric])
    axes.locator_params(axis="x", nbins=4)
    axes.tick_params(axis="x", labelsize=_SMALL)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x", alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
