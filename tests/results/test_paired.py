"""Differences of two methods on the same videos, where the truth is known."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from unscene.cli.main import main
from unscene.errors import UnsceneError
from unscene.results.paired import compare_lines, compare_pairs, compare_tables
from unscene.results.rows import DESCRIPTORS, Row, read_outcomes, write_outcomes, write_rows
from unscene.results.statistics import score
from unscene.results.tables import Table, collect_rows, make_tables

R1 = "retrieval_r1"
BASE = np.arange(100) % 2.0  # every other video is found


def row(method: str, hits: Any, seed: int = 0, **changes: Any) -> Row:
    """A row of these hits, as `unscene evaluate` writes it; nan could not be read."""
    hits = np.asarray(hits, dtype=float)
    read = hits[~np.isnan(hits)]
    files = changes.pop("files", range(len(hits)))
    found = score(read)
    fields: dict[str, Any] = {
        "data": "films", "split": "test", "label": "action", "metric": R1, "value": found.value,
        "ci95": found.ci95, "n": found.n, "seconds": 0.0, "fingerprint": "f+g",
        "encoder": method if method in DESCRIPTORS else "r3d18",
        "outcomes": write_outcomes([None if np.isnan(h) else h for h in hits], files),
    }  # fmt: skip
    return Row(method=method, seed=seed, **fields | changes)


def tables(path: Path, *rows: Row) -> list[Table]:
    write_rows(path / "rows.jsonl.gz", rows)
    return make_tables(collect_rows([path]))


def differences(path: Path, *rows: Row, against: str = "hof+mbh") -> Any:
    (table,) = tables(path, *rows)
    found, reasons = compare_lines(table, against)
    return (found.lines if found else {}), reasons


def more(count: int) -> Any:
    """The base, and so many videos besides."""
    hits = BASE.copy()
    hits[np.flatnonzero(hits == 0)[:count]] = 1
    return hits


def test_a_few_hits_more_are_seen_in_pairs_only(tmp_path: Path) -> None:
    ours, base = row("motion", more(6)), row("hof+mbh", BASE)
    assert ours.ci95[0] < base.ci95[1]  # the two intervals overlap widely
    lines, _ = differences(tmp_path, base, ours)
    cell = lines["motion"][R1]
    assert (cell.value, cell.n, cell.seeds) == (pytest.approx(0.06), 100, 1)
    assert 0 < cell.low < 0.06 < cell.high < 0.12
    # The other way round it is the same with the other sign.
    swapped = differences(tmp_path, base, ours, against="motion")[0]["hof+mbh"][R1]
    assert (swapped.value, swapped.low, swapped.high) == pytest.approx(
        (-cell.value, -cell.high, -cell.low)
    )
    assert str(cell).startswith("+0.060 [+0.0")
    # As many hits, but of other videos: nothing is shown.
    mirrored = differences(tmp_path, base, row("motion", more(6)[::-1]))[0]["motion"][R1]
    assert mirrored.value == pytest.approx(0.06)
    assert mirrored.low < 0 < mirrored.high


def test_the_interval_holds_the_truth_nineteen_times_of_twenty() -> None:
    rng = np.random.default_rng(0)
    held = 0
    for _ in range(200):
        base = rng.random(120) < 0.5
        better = base ^ (rng.random(120) < np.where(base, 0.1, 0.3))  # true difference: 0.1
        cell = compare_pairs([(vars(row("dsm", better)), vars(row("hof+mbh", base)))])
        held += cell.low <= 0.1 <= cell.high
    assert 182 <= held <= 198


def test_segments_of_one_file_are_drawn_together(tmp_path: Path) -> None:
    apart = differences(tmp_path, row("hof+mbh", BASE), row("dsm", more(10)))[0]["dsm"][R1]
    files = [number // 20 for number in range(100)]  # all ten in the first file
    rows = (row("hof+mbh", BASE, files=files), row("dsm", more(10), files=files))
    together = differences(tmp_path, *rows)[0]["dsm"][R1]
    assert together.value == apart.value
    assert together.low == 0 < apart.low  # that one file may not be drawn


def test_a_video_that_one_of_them_could_not_read_is_left_out(tmp_path: Path) -> None:
    hits = more(10)
    hits[:4] = np.nan
    assert read_outcomes(vars(row("dsm", hits)))[0][:5] == [None] * 4 + [1]  # type: ignore[index]
    cell = differences(tmp_path, row("hof+mbh", BASE), row("dsm", hits))[0]["dsm"][R1]
    assert cell.n == 96
    assert cell.value == pytest.approx(8 / 96)  # two of the ten are gone


def test_methods_that_agree_on_all_videos_are_not_proven_equal(tmp_path: Path) -> None:
    few = differences(tmp_path, row("hof+mbh", BASE[:10]), row("hof", BASE[:10]))[0]["hof"][R1]
    many = differences(tmp_path, row("hof+mbh", BASE), row("hof", BASE))[0]["hof"][R1]
    assert few.value == many.value == 0
    assert (many.low, many.high) == pytest.approx((-0.037, 0.037), abs=1e-3)  # z^2 / (n + z^2)
    assert few.high == pytest.approx(0.278, abs=1e-3)
    best = differences(tmp_path, row("hof+mbh", 0 * BASE), row("hof", 0 * BASE + 1))[0]["hof"][R1]
    assert (best.value, best.high) == (1, 1)
    assert best.low == pytest.approx(0.926, abs=1e-3)  # (n - z^2) / (n + z^2)


def test_only_the_same_test_and_training_videos_are_pairs(tmp_path: Path) -> None:
    base = row("hof+mbh", BASE)
    for fingerprint in ("h+g", "f+h", ""):
        lines, reasons = differences(tmp_path, base, row("dsm", BASE, fingerprint=fingerprint))
        assert (lines, reasons) == ({}, {"dsm": "other test or training videos"})
    shorter = row("dsm", BASE[:50])
    assert differences(tmp_path, base, shorter)[0] == {}
    unread = row("dsm", BASE).outcomes | {"hits": "-" * 100}
    assert differences(tmp_path, base, replace(shorter, outcomes=unread))[0] == {}


@pytest.mark.parametrize("outcomes", [None, {}, {"hits": 1}, {"hits": "12"}, {"hits": ""}])
def test_rows_without_outcomes_are_read_and_not_compared(outcomes: Any, tmp_path: Path) -> None:
    old = vars(row("dsm", BASE)) | {"outcomes": outcomes}
    if outcomes is None:  # as earlier versions wrote it
        del old["outcomes"]
    write_rows(tmp_path / "rows.jsonl", [old, row("hof+mbh", BASE), row("hof", BASE)])
    (table,) = make_tables(collect_rows([tmp_path]))
    assert list(table.lines) == ["hof+mbh", "hof", "dsm"]
    found, reasons = compare_lines(table, "hof+mbh")
    assert found
    assert (list(found.lines), reasons) == (["hof"], {"dsm": "rows without outcomes of videos"})


def test_seeds_are_compared_with_the_one_run_of_a_descriptor(tmp_path: Path) -> None:
    seeds = [row("dsm", more(count), seed) for seed, count in enumerate((4, 10, 16))]
    lines, _ = differences(tmp_path, row("hof+mbh", BASE), *seeds, seeds[0])
    cell = lines["dsm"][R1]
    assert (cell.value, cell.seeds) == (pytest.approx(0.1), 3)
    # Student's t over .04, .1 and .16 alone is .149 wide: more than three hits, or 0, would show.
    assert cell.low < 0.1 - 0.149
    # With one seed, ten videos more would be above 0.
    assert differences(tmp_path, row("hof+mbh", BASE), seeds[1])[0]["dsm"][R1].low > 0


def test_seeds_that_share_all_luck_keep_the_interval_of_one(tmp_path: Path) -> None:
    """Differences that are all positive are no shares: their interval is not cut at 0."""
    seeds = [row("dsm", more(count), seed) for seed, count in enumerate((8, 14, 40))]
    cell = differences(tmp_path, row("hof+mbh", BASE), *seeds)[0]["dsm"][R1]
    assert cell.low < 0


def test_seeds_of_two_trained_methods_are_paired_with_equal_seeds(tmp_path: Path) -> None:
    base = [row("moco", np.roll(BASE, seed), seed) for seed in range(3)]
    ours = [row("dsm", np.roll(more(6), seed), seed) for seed in range(3)]
    cell = differences(tmp_path, *base, *ours, against="moco")[0]["dsm"][R1]
    assert (cell.value, cell.seeds) == (pytest.approx(0.06), 3)
    assert 0 < cell.low < cell.high < 0.13


def test_footage_of_each_seed_is_paired_with_itself(tmp_path: Path) -> None:
    prints = [f"{seed}+{seed}" for seed in range(3)]
    base = [row("hof+mbh", BASE, s, fingerprint=f) for s, f in enumerate(prints)]
    ours = [row("dsm", more(6 + s), s, fingerprint=f) for s, f in enumerate(prints)]
    cell = differences(tmp_path, *base, *ours)[0]["dsm"][R1]
    assert (cell.value, cell.seeds) == (pytest.approx(0.07), 3)
    assert 0.03 < cell.low < cell.high < 0.11  # narrower than one seed's


def test_the_line_to_compare_with_is_named_once(tmp_path: Path) -> None:
    rows = [row("hof+mbh", BASE), row("dsm", more(5)), row("dsm", more(9), steps=100)]
    found = tables(tmp_path, *rows)
    with pytest.raises(UnsceneError, match="no line or run is called 'moco'; there are hof"):
        compare_tables(found, "moco")
    with pytest.raises(UnsceneError, match=r"'dsm' is several lines of films, test.*name one"):
        compare_tables(found, "dsm")
    for name in ("dsm, steps 100", rows[2].run[:6]):
        (one,), _ = compare_tables(found, name)
        assert one.title == "films, test, label action: difference from dsm, steps 100"
        assert one.lines["dsm, steps 0"][R1].value == pytest.approx(-0.04)
    with pytest.raises(
        UnsceneError, match=r"nothing can be compared with hof in pairs \(it stands alone"
    ):
        compare_tables(tables(tmp_path, row("hof", BASE)), "hof")


def test_the_command_shows_differences(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old = replace(row("moco", BASE), outcomes={})
    write_rows(tmp_path / "rows.jsonl", [row("hof+mbh", BASE), row("dsm", more(6)), old])
    line = ["results", str(tmp_path), "--against", "hof+mbh"]
    assert main([*line, "--markdown", str(tmp_path / "table.md")]) == 0
    printed = capsys.readouterr().out
    assert "+0.060 [+0.0" in printed
    assert "not compared with hof+mbh: moco (rows without outcomes of videos)" in printed
    assert "difference from hof+mbh" in (tmp_path / "table.md").read_text()
    assert main([*line[:-1], "hog"]) == 1
    assert "no line or run is called 'hog'" in capsys.readouterr().err
