"""docs/correlation.png: recall@1 of motion and scene over the share of training videos whose
scene determines the motion."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from sections import HEADINGS

from unscene.files import write_atomically
from unscene.results.tables import Table

# Method -> its name in the plot, and its color.
_SHOWN = {
    "random": ("untrained", "#8a8a8a"),
    "hof+mbh": ("no training: HOF + MBH", "#111111"),
    "moco": ("MoCo", "#b0563b"),
    "hdc": ("HDC", "#c9a227"),
    "cmd": ("CMD", "#2a9d8f"),
    "dsm": ("DSM", "#5a8f3c"),
    "dsm-triplet": ("DSM (Triplet)", "#2f6fb0"),
    "unscene": ("unscene", "#4b2f7f"),
}
_LABELS = {"motion": "motion, in new scenes", "scene": "scene, in training scenes"}


def draw(tables: Sequence[Table], path: Path) -> None:
    """Draw recall@1 with 95 % confidence intervals, one panel per label.

    Args:
        tables: of one label and metric each, with the columns "correlation NUMBER".
        path: ends in .png; an existing file is replaced.
    """
    chosen = {
        label: table
        for label in _LABELS
        for table in tables
        if f"label {label}: {HEADINGS['retrieval_r1']}" in table.title
    }
    figure = Figure(figsize=(9, 4.4), layout="constrained")
    panels = figure.subplots(1, len(chosen), sharex=True, sharey=True)
    for axes, (label, table) in zip(panels, chosen.items(), strict=True):
        _panel(axes, table)
        axes.set_title(f"recall@1 of the {_LABELS[label]}", fontsize=10)
        axes.set_xlabel("share of training videos whose scene determines the motion", fontsize=9)
    names = panels[0].get_legend_handles_labels()
    figure.legend(*names, loc="outside lower center", ncols=4, frameon=False, fontsize=9)
    with write_atomically(path) as temporary:
        figure.savefig(temporary, format="png", dpi=130)


def _panel(axes: Axes, table: Table) -> None:
    where = {column: float(column.split()[-1]) for column in table.metrics}
    for number, (method, (name, color)) in enumerate(_SHOWN.items()):
        cells = table.lines.get(method, {})
        at = [where[column] for column in cells]
        shifted = [
            x + 0.008 * (number - len(_SHOWN) // 2) for x in at
        ]  # so that intervals do not overlap
        values = [cell.value for cell in cells.values()]
        low = [cell.value - cell.low for cell in cells.values()]
        high = [cell.high - cell.value for cell in cells.values()]
        axes.errorbar(
            shifted, values, yerr=[low, high], color=color, label=name, marker="o", ms=4, lw=1.5
        )
    chance = sum(table.chance.values()) / len(table.chance)
    axes.axhline(chance, color="#444444", lw=1, ls=":", label="chance")
    axes.set_xticks(sorted(where.values()))
    axes.set_ylim(0, 1)
    axes.grid(axis="y", alpha=0.3)
    axes.tick_params(labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)
