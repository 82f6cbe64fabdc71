"""Tables and plots say what the rows say."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from unscene.errors import UnsceneError
from unscene.evaluate.results import collect, markdown, plot, tables, text
from unscene.evaluate.rows import Row, write_rows


def row(method: str, value: float, seed: int = 0, **changes: Any) -> Row:
    fields: dict[str, Any] = {
        "data": "films", "split": "test", "label": "action", "metric": "retrieval_r1",
        "ci95": (value - 0.1, value + 0.1), "n": 50, "seconds": 0.0, "encoder": "r3d18",
    }  # fmt: skip
    return Row(method=method, value=value, seed=seed, **fields | changes)


def shown(rows: list[Row], path: Path, metrics: tuple[str, ...] = ()) -> Any:
    write_rows(path / "rows.jsonl", rows)
    return tables(collect([path]), metrics)


def test_one_seed_shows_its_own_interval(tmp_path: Path) -> None:
    (table,) = shown([row("dsm", 0.4)], tmp_path)
    cell = table.lines["dsm"]["retrieval_r1"]
    assert (cell.value, cell.low, cell.high, cell.n, cell.seeds) == pytest.approx(
        (0.4, 0.3, 0.5, 50, 1)
    )


def test_seeds_become_a_mean_with_students_interval(tmp_path: Path) -> None:
    values = [20.0, 40.0, 90.0]
    (table,) = shown([row("dsm", v, seed) for seed, v in enumerate(values)], tmp_path)
    cell = table.lines["dsm"]["retrieval_r1"]
    low, high = stats.t.interval(0.95, 2, np.mean(values), stats.sem(values))
    assert cell.value == pytest.approx(50)
    assert (cell.low, cell.high) == pytest.approx((low, high), abs=0.2)
    assert cell.seeds == 3
    shares = [row("dsm", v / 100, seed) for seed, v in enumerate(values)]
    (table,) = shown([replace(s, ci95=(0.1, 0.9)) for s in shares], tmp_path)
    cell = table.lines["dsm"]["retrieval_r1"]
    assert (cell.low, cell.high) == (0.0, 1.0)  # Student's t alone would leave 0..1


def test_seeds_that_agree_are_as_unsure_as_their_videos(tmp_path: Path) -> None:
    (table,) = shown([row("dsm", 0.5, seed) for seed in range(4)], tmp_path)
    cell = table.lines["dsm"]["retrieval_r1"]
    assert cell.high - cell.value == pytest.approx(0.1 / 2)


def test_two_seeds_cover_both(tmp_path: Path) -> None:
    (table,) = shown([row("dsm", 0.2), row("dsm", 0.6, 1)], tmp_path)
    cell = table.lines["dsm"]["retrieval_r1"]
    assert (cell.value, cell.low, cell.high) == pytest.approx((0.4, 0.1, 0.7))


def test_a_table_for_each_setting_and_its_title_tells_them_apart(tmp_path: Path) -> None:
    rows = [
        row("moco", 0.3, test={"correlation": 0.5, "gallery": 4}),
        row("moco", 0.2, test={"correlation": 0.9, "gallery": 5}),
        row("dsm", 0.6, test={"correlation": 0.9, "gallery": 6}),
        row("dsm", 0.8, test={"correlation": 0.9}, metric="probe_top1"),
        row("dsm", 0.7, split="train", test={"correlation": 0.9}),
    ]
    found = shown(rows, tmp_path)
    assert [table.title for table in found] == [
        "films, test, label action, correlation 0.5",
        "films, test, label action, correlation 0.9",
        "films, train, label action, correlation 0.9",
    ]
    assert list(found[1].lines) == ["moco", "dsm"]
    assert found[1].metrics == ("retrieval_r1", "probe_top1")
    only = shown(rows, tmp_path, ("probe_top1",))
    assert [table.metrics for table in only] == [("probe_top1",)]
    with pytest.raises(UnsceneError, match="no row has the metric top1; there are retrieval_r1"):
        shown(rows, tmp_path, ("top1",))


def test_encoders_are_told_apart_where_there_are_several(tmp_path: Path) -> None:
    (table,) = shown([row("dsm", 0.4), row("dsm", 0.2, encoder="c3d")], tmp_path)
    assert list(table.lines) == ["dsm, r3d18", "dsm, c3d"]


def test_markdown_and_text_hold_every_number(tmp_path: Path) -> None:
    found = shown([row("moco", 0.25), row("dsm", 0.5), row("dsm", 0.75, metric="map")], tmp_path)
    for written in (markdown(found), text(found)):
        for part in ("0.250 [0.150, 0.350]", "0.500 [0.400, 0.600]", "0.750", "films, test"):
            assert part in written
    lines = markdown(found).splitlines()
    assert {line.count("|") for line in lines[2:]} == {5}


def test_the_plot_is_a_picture_of_all_tables(tmp_path: Path) -> None:
    found = shown([row("moco", 0.25), row("dsm", 0.5, split="other")], tmp_path)
    plot(found, tmp_path / "plot.png")
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(UnsceneError, match=r"ends in \.png"):
        plot(found, tmp_path / "plot.pdf")


def test_what_holds_no_rows(tmp_path: Path) -> None:
    other = tmp_path / "log.jsonl"
    other.write_text('{"step": 3}\n')
    with pytest.raises(UnsceneError, match=r"log\.jsonl: holds no rows"):
        collect([other])
    with pytest.raises(UnsceneError, match="no rows of results in any"):
        collect([tmp_path])
    with pytest.raises(UnsceneError, match="does not exist"):
        collect([tmp_path / "gone"])
    write_rows(tmp_path / "deep" / "rows.jsonl", [row("dsm", 0.5)])
    assert len(collect([tmp_path])) == 1


def test_the_page_in_docs_says_what_the_rows_say(monkeypatch: pytest.MonkeyPatch) -> None:
    root = Path(__file__).resolve().parents[2]
    monkeypatch.syspath_prepend(str(root / "experiments"))
    from write_results import page

    assert page()[0] == (root / "docs" / "results.md").read_text(encoding="utf-8")
