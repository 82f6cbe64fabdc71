"""Class probabilities of the test videos -> scores, and the files that show them.

In the confusion matrix, row i, column j counts the videos of class i that were predicted as class
j. In the picture each row is divided by its sum, so that classes of few and of many videos look
alike. Rows without videos are gray, cells without videos white.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unscene.data.catalog import Skipped
from unscene.evaluate.chance import guess_classes, says_something
from unscene.evaluate.features import Features
from unscene.evaluate.finetuning.data import FinetuneData
from unscene.files import write_atomically, write_text
from unscene.html.fonts import make_printable
from unscene.results.rows import Row, write_rows
from unscene.results.statistics import Score, score
from unscene.train.callbacks import write_summary

_INK, _FAINT, _EMPTY = "#1b1f24", "#5d6670", "#e9e7e2"
_NUMBERED = 20  # with at most so many classes, every cell shows its share
_NAMED = 120  # with at most so many classes, every class is named; else every second, third ...


def score_accuracy(
    found: Features, names: Sequence[str], label: str, trained: Sequence[str]
) -> dict[str, Score]:
    """Top-1 accuracy and, for ten classes or more, top-5 accuracy.

    Args:
        found: probabilities (N, K) of N test videos.
        names: the K classes. A video of any other class counts as wrong.
        label: column of the classes.
        trained: classes of the training videos, from which chance is computed.

    Returns:
        "finetune_top1" and "finetune_top5", each in 0..1. Chance is that of always guessing the
        most frequent classes of the training videos.
    """
    true_names, files = found.labels(label), found.files().numpy()
    number = {name: i for i, name in enumerate(names)}
    true = np.array([number.get(name, -1) for name in true_names])
    order = found.values.argsort(dim=1, descending=True, stable=True).numpy()
    hits: NDArray[np.bool_] = order == true[:, None]
    scores = {}
    for k in (k for k in (1, 5) if says_something(k, len(names))):
        right = np.asarray(hits[:, :k].any(axis=1), np.float64)
        one = score(right, labels=true_names, videos=files)
        chance = guess_classes(trained, true_names, k)
        scores[f"finetune_top{k}"] = replace(one, chance=chance)
    return scores


def write_results(
    out: Path,
    data: FinetuneData,
    found: Features,
    rows: list[Row],
    facts: dict[str, Any],
    failed: Sequence[Skipped] = (),
) -> None:
    """Write confusion.csv and .png, per_class.json, summary.json and results.jsonl.

    Args:
        out: folder of the run.
        data: the videos of the run.
        found: probabilities of the test videos.
        rows: their scores.
        facts: about the training, for the summary.
        failed: videos that could not be read during training.
    """
    first = rows[0]
    predicted = [data.names[i] for i in found.values.argmax(dim=1).tolist()]
    confusion = count_confusion(found.labels(first.label), predicted, data.names)
    write_confusion(out / "confusion.csv", confusion)
    heading = f"{first.method}, {first.encoder}: {first.split}"
    draw_confusion(out / "confusion.png", confusion, heading)
    table = {name: {"top1": top1, "n": n} for name, (top1, n) in confusion.classes().items()}
    write_text(out / "per_class.json", json.dumps(table, indent=2, ensure_ascii=False) + "\n")
    unread = {
        "skipped_train": data.train.skipped,
        "skipped_test": data.test.skipped + found.skipped,
        "failed": failed,
    }
    skipped = {
        name: [{"path": s.path, "reason": s.reason} for s in which]
        for name, which in unread.items()
    }
    write_summary(out / "summary.json", facts | {"notes": data.notes} | skipped)
    write_rows(out / "results.jsonl", rows)


@dataclass(frozen=True)
class Confusion:
    """A confusion matrix.

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
        """Number of videos."""
        return int(self.counts.sum())

    @property
    def accuracy(self) -> float:
        """Top-1 accuracy over all videos, 0..1."""
        return float(np.trace(self.counts) / max(1, self.n))

    def shares(self) -> NDArray[np.float64]:
        """Counts (K, K) divided by the sums of their rows; NaN in the rows of classes without
        videos."""
        sums = self.counts.sum(axis=1, keepdims=True)
        return np.where(sums > 0, self.counts / np.maximum(sums, 1), np.nan)

    def classes(self) -> dict[str, tuple[float, int]]:
        """(top-1 accuracy, number of videos) of every class that has test videos."""
        return {
            name: (float(row[i] / row.sum()), int(row.sum()))
            for i, (name, row) in enumerate(zip(self.names, self.counts, strict=True))
            if row.sum()
        }


def count_confusion(
    true: Sequence[str], predicted: Sequence[str], names: Sequence[str]
) -> Confusion:
    """Count how often each class was predicted as each other.

    Args:
        true, predicted: N classes each.
        names: the classes the model knows, in order. Other classes in `true` come after them,
            sorted; their columns stay empty.

    >>> count_confusion(["run", "run", "jump"], ["run", "jump", "jump"], ["run", "jump"]).counts
    array([[1, 1],
           [0, 1]])
    """
    # Imported here: scikit-learn takes longer to import than everything else in this module.
    from sklearn.metrics import confusion_matrix

    every = [*names, *sorted(set(true) - set(names))]
    return Confusion(tuple(every), confusion_matrix(true, predicted, labels=every))


def write_confusion(path: Path, confusion: Confusion) -> None:
    """Write a CSV with a row for each true class and a column for each predicted one."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["true \\ predicted", *confusion.names])
    for name, row in zip(confusion.names, confusion.counts.tolist(), strict=True):
        writer.writerow([name, *row])
    write_text(path, text.getvalue())


def draw_confusion(path: Path, confusion: Confusion, heading: str = "") -> None:
    """Write a confusion matrix as a square PNG; class names are as large as space permits.

    Args:
        path: .png, replaced whole or not at all.
        confusion: any number of classes.
        heading: what was tested; accuracy and number of videos are added below it.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    count = len(confusion.names)
    side = float(np.clip(0.62 * count, 4.2, 14.0))  # inches of the matrix
    font = float(np.clip(side * 72 / count * 0.62, 5.0, 11.0))
    names = [make_printable(name, 28) for name in confusion.names]
    margin = 0.62 * font / 72 * max(map(len, names)) + 0.55
    width, height = margin + side + 1.25, margin + side + 0.95
    figure = Figure(figsize=(width, height), dpi=150, facecolor="white")
    FigureCanvasAgg(figure)
    axes = figure.add_axes((margin / width, margin / height, side / width, side / height))
    bar = figure.add_axes(
        ((margin + side + 0.25) / width, margin / height, 0.16 / width, side / height)
    )
    _draw_cells(figure, axes, bar, confusion)
    _draw_names(axes, names, font)
    if count <= _NUMBERED:
        _draw_numbers(axes, confusion.shares(), font)
    summary = (
        f"top-1 {confusion.accuracy * 100:.1f} %, n = {confusion.n} videos, {count} classes; "
        "rows sum to 100 %"
    )
    left, title = margin / width, make_printable(heading, int(side * 9))
    figure.text(left, 1 - 0.38 / height, title, size=13, weight="bold", parse_math=False)
    figure.text(left, 1 - 0.65 / height, summary, size=10, color=_FAINT)
    with write_atomically(path) as temporary:
        figure.savefig(temporary, dpi=150, format="png")


def _draw_cells(figure: Any, axes: Any, bar: Any, confusion: Confusion) -> None:
    from matplotlib import colormaps
    from matplotlib.colors import ListedColormap

    # Perceptually uniform; starts where a single mistake is distinct from none, which is white.
    colors = ListedColormap(colormaps["magma_r"](np.linspace(0.04, 1, 256)))
    shares = confusion.shares()
    axes.set_facecolor("white")
    for row in np.flatnonzero(confusion.counts.sum(axis=1) == 0):
        axes.axhspan(row - 0.5, row + 0.5, color=_EMPTY, linewidth=0)
    shown = np.ma.masked_where(~(shares > 0), shares)
    image = axes.imshow(shown, cmap=colors, vmin=0, vmax=1, interpolation="nearest", zorder=2)
    scale = figure.colorbar(image, cax=bar)
    scale.set_ticks([0, 0.25, 0.5, 0.75, 1], labels=["0", "25", "50", "75", "100 %"])
    scale.ax.tick_params(labelsize=9, color=_FAINT, labelcolor=_FAINT)
    scale.outline.set_visible(False)


def _draw_names(axes: Any, names: list[str], font: float) -> None:
    ticks = range(0, len(names), -(-len(names) // _NAMED))
    style = {"fontsize": font, "color": _INK, "parse_math": False}
    axes.set_xticks(ticks, [names[i] for i in ticks], rotation=90, **style)
    axes.set_yticks(ticks, [names[i] for i in ticks], **style)
    axes.tick_params(length=2, color=_FAINT, pad=2)
    axes.set_xlabel("predicted class", fontsize=11, color=_FAINT)
    axes.set_ylabel("true class", fontsize=11, color=_FAINT)
    for spine in axes.spines.values():
        spine.set(color=_FAINT, linewidth=0.6)


def _draw_numbers(axes: Any, shares: NDArray[np.float64], font: float) -> None:
    """Write the share into every cell that has one, and draw lines between the cells."""
    lines = np.arange(1, len(shares)) - 0.5
    axes.hlines(lines, -0.5, len(shares) - 0.5, color=_EMPTY, linewidth=0.8, zorder=3)
    axes.vlines(lines, -0.5, len(shares) - 0.5, color=_EMPTY, linewidth=0.8, zorder=3)
    for (i, j), share in np.ndenumerate(shares):
        if share > 0:
            ink = "white" if share > 0.4 else _INK
            style = {"ha": "center", "va": "center", "fontsize": font, "color": ink, "zorder": 4}
            axes.text(j, i, f"{share * 100:.0f}", **style)
