"""Plots of a few and of many rows stay readable: pages of a bounded size, nothing overlaps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from unscene.errors import UnsceneError
from unscene.results import plots
from unscene.results.plots import draw_tables
from unscene.results.seeds import Cell
from unscene.results.tables import Table


def table(title: str, lines: int, metrics: int = 1, name: str = "method {}") -> Table:
    rng = np.random.default_rng(lines)
    columns = tuple(f"metric_{number}" for number in range(metrics))
    names = ["random", *(name.format(number) for number in range(1, lines))]
    cells = {
        name: {
            metric: Cell(value, value - 0.1, value + 0.1, 9, 9, 1)
            for metric, value in zip(columns, rng.random(metrics), strict=True)
        }
        for name in names
    }
    return Table(title, columns, cells, {columns[0]: 0.1}, baselines=frozenset({"random"}))


MANY = {
    "3 lines": [table("films", 3)],
    "12 lines": [table("films", 12, 2)],
    "47 lines": [table("films", 47, 2)],
    "150 lines": [table("films", 150, 3)],
    "47 tables": [table(f"films of number {number}, unseen, motion", 1) for number in range(47)],
    "150 rows in 50 tables": [table(f"films {number}", 3) for number in range(50)],
    "long names": [table("films", 60, 2, "steps {}, " + "warp false, " * 8)],
    "many metrics": [table("films", 4, 30)],
}

_FAST = ("12 lines", "47 lines")
CASES = [
    pytest.param(
        tables, id=name, marks=() if name in ("12 lines", "47 lines") else pytest.mark.slow
    )
    for name, tables in MANY.items()
]


@pytest.mark.parametrize("tables", CASES)
def test_pages_have_a_bounded_size_and_hold_everything(
    tables: list[Table], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = []

    def keep(axes: object, block: plots._Block, metric: str) -> None:
        drawn.append((axes, block, metric))
        draw(axes, block, metric)  # type: ignore[arg-type]

    draw = plots._draw_panel
    monkeypatch.setattr(plots, "_draw_panel", keep)
    files = draw_tables(tables, tmp_path / "plot.png")
    assert [file.name for file in files] == [
        "plot.png", *(f"plot-{number}.png" for number in range(2, len(files) + 1)),
    ]  # fmt: skip
    for file in files:
        with Image.open(file) as picture:
            assert picture.width <= 2000
            assert picture.height <= 1600
    cells = [(b.table.title, name, metric) for _, b, metric in drawn for name in b.labels]
    wanted = [(t.title, name, metric) for t in tables for name in t.lines for metric in t.metrics]
    assert set(cells) == set(wanted)
    # Only untrained encoders are repeated, in each block.
    assert sorted(c for c in cells if c[1] != "random") == sorted(
        w for w in wanted if w[1] != "random"
    )
    assert all("random" in block.labels for _, block, _ in drawn)


@pytest.mark.parametrize("tables", CASES)
def test_texts_do_not_overlap(
    tables: list[Table], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figures: list[Figure] = []
    monkeypatch.setattr(Figure, "savefig", lambda self, *_, **__: figures.append(self))
    monkeypatch.setattr(Path, "replace", lambda *_: None)
    draw_tables(tables, tmp_path / "plot.png")
    for figure in figures:
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        renderer = canvas.get_renderer()  # type: ignore[attr-defined]
        texts = list(figure.texts)
        for axes in figure.axes:
            texts += [axes.title, *axes.get_yticklabels()]
        boxes = [text.get_window_extent(renderer) for text in texts if text.get_text()]
        for number, box in enumerate(boxes):
            assert min(box.x0, box.y0) >= 0, texts[number]
            assert box.x1 <= figure.bbox.x1, texts[number]
            assert box.y1 <= figure.bbox.y1, texts[number]
            for other in boxes[:number]:
                apart = (
                    box.x1 <= other.x0 or other.x1 <= box.x0
                    or box.y1 <= other.y0 or other.y1 <= box.y0
                )  # fmt: skip
                assert apart, (box, other)


def test_headings_and_other_endings(tmp_path: Path) -> None:
    tables = [table("films", 2, 2)]
    files = draw_tables(tables, tmp_path / "a.png", headings={"metric_0": "recall@1"}, width=3)
    assert files == [tmp_path / "a.png"]
    with pytest.raises(UnsceneError, match=r"ends in \.png"):
        draw_tables(tables, tmp_path / "plot.pdf")
