"""What is taken for what: the confusion matrix as numbers and as a picture.

Row i, column j: videos of class i that were taken for class j. In the picture a row is divided by
its sum, so that a row of few videos looks like one of many. Rows without videos are grey, cells
without videos white.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unscene.errors import UnsceneError
from unscene.files import write_atomically, write_text
from unscene.preview.page import printable

_INK, _FAINT, _EMPTY = "#1b1f24", "#5d6670", "#e9e7e2"
_NUMBERED = 20  # classes up to which every cell says its share
_NAMED = 120  # classes up to which every class is named; beyond, every second, third ...


@dataclass(frozen=True)
class Confusion:
    """Counts of a test.

    Attributes:
        names: the K classes.
        counts: int64 (K, K), true class by predicted class.
    """

    names: tuple[str, ...]
    counts: NDArray[np.int64]

    def __post_init__(self) -> None:
        if self.counts.shape != (len(self.names),) * 2:
            raise ValueError(f"{len(self.names)} classes and counts of shape {self.counts.shape}")

    @property
    def n(self) -> int:
        """Videos scored."""
        return int(self.counts.sum())

    @property
    def accuracy(self) -> float:
        """Top-1 over all videos, 0..1."""
        return float(np.trace(self.counts) / max(1, self.n))

    def shares(self) -> NDArray[np.float64]:
        """(K, K), rows that sum to one; NaN in the rows of classes that no video has."""
        sums = self.counts.sum(axis=1, keepdims=True)
        return np.where(sums > 0, self.counts / np.maximum(sums, 1), np.nan)

    def classes(self) -> dict[str, tuple[float, int]]:
        """(top-1, videos) of every class that was tested."""
        return {
            name: (float(row[i] / row.sum()), int(row.sum()))
            for i, (name, row) in enumerate(zip(self.names, self.counts, strict=True))
            if row.sum()
        }


def confusion(true: Sequence[str], predicted: Sequence[str], names: Sequence[str]) -> Confusion:
    """Count pairs.

    Args:
        true, predicted: N classes each.
        names: the classes known to the model, in order. Others that `true` has come after them,
            sorted; their columns stay empty.
    """
    every = [*names, *sorted(set(true) - set(names))]
    number = {name: i for i, name in enumerate(every)}
    counts = np.zeros((len(every), len(every)), dtype=np.int64)
    for is_, taken_for in zip(true, predicted, strict=True):
        counts[number[is_], number[taken_for]] += 1
    return Confusion(tuple(every), counts)


def write_csv(path: Path, found: Confusion) -> None:
    """A table with a row for each true class and a column for each predicted one."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["true \\ predicted", *found.names])
    for name, row in zip(found.names, found.counts.tolist(), strict=True):
        writer.writerow([name, *row])
    write_text(path, text.getvalue())


def read_csv(path: Path) -> Confusion:
    """What `write_csv` wrote."""
    try:
        with path.open(newline="", encoding="utf-8") as file:
            head, *rows = list(csv.reader(file))
        counts = np.array([[int(cell) for cell in row[1:]] for row in rows], dtype=np.int64)
        return Confusion(tuple(head[1:]), counts)
    except (OSError, ValueError) as error:
        raise UnsceneError(f"{path}: cannot be read as a confusion matrix ({error})") from error


def draw(path: Path, found: Confusion, heading: str = "") -> None:
    """Write the picture as PNG: square, with names as large as there is room for.

    Args:
        path: .png, replaced whole or not at all.
        found: any number of classes.
        heading: what was tested; the accuracy and the number of videos are added.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    count = len(found.names)
    side = float(np.clip(0.62 * count, 4.2, 14.0))  # inches of the matrix
    font = float(np.clip(side * 72 / count * 0.62, 5.0, 11.0))
    names = [printable(name, 28) for name in found.names]
    margin = 0.62 * font / 72 * max(map(len, names)) + 0.55
    width, height = margin + side + 1.25, margin + side + 0.95
    figure = Figure(figsize=(width, height), dpi=150, facecolor="white")
    FigureCanvasAgg(figure)
    axes = figure.add_axes((margin / width, margin / height, side / width, side / height))
    bar = figure.add_axes(
        ((margin + side + 0.25) / width, margin / height, 0.16 / width, side / height)
    )
    _matrix(figure, axes, bar, found)
    _words(axes, names, font)
    if count <= _NUMBERED:
        _numbers(axes, found.shares(), font)
    summary = (
        f"top-1 {found.accuracy * 100:.1f} %, n = {found.n} videos, {count} classes; "
        "rows sum to 100 %"
    )
    left, title = margin / width, printable(heading, int(side * 9))
    figure.text(left, 1 - 0.38 / height, title, size=13, weight="bold", parse_math=False)
    figure.text(left, 1 - 0.65 / height, summary, size=10, color=_FAINT)
    with write_atomically(path) as temporary:
        figure.savefig(temporary, dpi=150, format="png")


def _matrix(figure: Any, axes: Any, bar: Any, found: Confusion) -> None:
    from matplotlib import colormaps
    from matplotlib.colors import ListedColormap

    # Perceptually uniform; it begins where a single mistake can be told from none, which is white.
    colors = ListedColormap(colormaps["magma_r"](np.linspace(0.04, 1, 256)))
    shares = found.shares()
    never = np.ma.masked_where(~(shares > 0), shares)
    axes.set_facecolor("white")
    for row in np.flatnonzero(found.counts.sum(axis=1) == 0):
        axes.axhspan(row - 0.5, row + 0.5, color=_EMPTY, linewidth=0)
    image = axes.imshow(never, cmap=colors, vmin=0, vmax=1, interpolation="nearest", zorder=2)
    scale = figure.colorbar(image, cax=bar)
    scale.set_ticks([0, 0.25, 0.5, 0.75, 1], labels=["0", "25", "50", "75", "100 %"])
    scale.ax.tick_params(labelsize=9, color=_FAINT, labelcolor=_FAINT)
    scale.outline.set_visible(False)


def _words(axes: Any, names: list[str], font: float) -> None:
    places = range(0, len(names), -(-len(names) // _NAMED))
    style = {"fontsize": font, "color": _INK, "parse_math": False}
    axes.set_xticks(places, [names[i] for i in places], rotation=90, **style)
    axes.set_yticks(places, [names[i] for i in places], **style)
    axes.tick_params(length=2, color=_FAINT, pad=2)
    axes.set_xlabel("predicted class", fontsize=11, color=_FAINT)
    axes.set_ylabel("true class", fontsize=11, color=_FAINT)
    for spine in axes.spines.values():
        spine.set(color=_FAINT, linewidth=0.6)


def _numbers(axes: Any, shares: NDArray[np.float64], font: float) -> None:
    """The share in every cell that has one, and lines between the cells."""
    lines = np.arange(1, len(shares)) - 0.5
    axes.hlines(lines, -0.5, len(shares) - 0.5, color=_EMPTY, linewidth=0.8, zorder=3)
    axes.vlines(lines, -0.5, len(shares) - 0.5, color=_EMPTY, linewidth=0.8, zorder=3)
    for (i, j), share in np.ndenumerate(shares):
        if share > 0:
            ink = "white" if share > 0.4 else _INK
            style = {"ha": "center", "va": "center", "fontsize": font, "color": ink, "zorder": 4}
            axes.text(j, i, f"{share * 100:.0f}", **style)
