"""Tables and plots say what the rows say."""

from __future__ import annotations

import gzip
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from unscene.errors import UnsceneError
from unscene.results.plots import draw_tables
from unscene.results.rows import DESCRIPTORS, Row, write_rows
from unscene.results.tables import (
    collect_rows,
    format_latex,
    format_markdown,
    format_text,
    make_tables,
    rename_lines,
)

EXPERIMENTS = Path(__file__).resolve().parents[2] / "experiments"


def row(method: str, value: float, seed: int = 0, **changes: Any) -> Row:
    fields: dict[str, Any] = {
        "data": "films", "split": "test", "label": "action", "metric": "retrieval_r1",
        "ci95": (value - 0.1, value + 0.1), "n": 50, "seconds": 0.0, "encoder": "r3d18",
    }  # fmt: skip
    return Row(method=method, value=value, seed=seed, **fields | changes)


def shown(rows: list[Row], path: Path, metrics: tuple[str, ...] = ()) -> Any:
    write_rows(path / "rows.jsonl", rows)
    return make_tables(collect_rows([path]), metrics)


def test_one_seed_shows_its_own_interval(tmp_path: Path) -> None:
    (table,) = shown([row("dsm", 0.4)], tmp_path)
    cell = table.lines["dsm"]["retrieval_r1"]
    assert (cell.value, cell.low, cell.high, cell.n, cell.seeds) == pytest.approx(
        (0.4, 0.3, 0.5, 50, 1)
    )


def test_a_table_for_each_setting_and_its_title_distinguishes_them(tmp_path: Path) -> None:
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


def test_encoders_are_distinguished_where_there_are_several(tmp_path: Path) -> None:
    (table,) = shown([row("dsm", 0.4), row("dsm", 0.2, encoder="c3d")], tmp_path)
    assert list(table.lines) == ["dsm, r3d18", "dsm, c3d"]


def test_other_experiments_are_no_seeds(tmp_path: Path) -> None:
    rows = [row("dsm", 0.2 + s / 10, s, steps=steps) for steps in (100, 900) for s in range(3)]
    rows += [row("dsm", 0.3, 1, steps=900), row("moco", 0.1)]
    (table,) = shown(rows, tmp_path)
    write_rows(tmp_path / "copy" / "rows.jsonl", rows)  # as `unscene reproduce` leaves them
    assert make_tables(collect_rows([tmp_path])) == [table]
    seeds = {name: line["retrieval_r1"].seeds for name, line in table.lines.items()}
    assert seeds == {"dsm, steps 100": 3, "dsm, steps 900": 3, "moco": 1}


def test_videos_and_seeds_of_a_line_are_those_of_all_its_cells(tmp_path: Path) -> None:
    rows = [row("dsm", 0.2 + s / 10, s) for s in range(3)]
    rows += [row("dsm", 0.3, metric="probe_top1", n=7), row("moco", 0.3)]
    lines = format_markdown(shown(rows, tmp_path)).splitlines()
    assert [line.split(" | ")[-1] for line in lines[4:]] == ["7 to 50, 1 to 3 |", "50, 1 |"]


def test_markdown_and_text_hold_every_number(tmp_path: Path) -> None:
    found = shown([row("moco", 0.25), row("dsm", 0.5), row("dsm", 0.75, metric="map")], tmp_path)
    for written in (format_markdown(found), format_text(found)):
        for part in ("0.250 [0.150, 0.350]", "0.500 [0.400, 0.600]", "0.750", "films, test"):
            assert part in written
    lines = format_markdown(found).splitlines()
    assert {line.count("|") for line in lines[2:]} == {5}


def test_a_run_with_a_name_is_shown_by_it(tmp_path: Path) -> None:
    rows = [row("dsm", 0.4, seed, name="mine") for seed in range(2)] + [row("dsm", 0.3)]
    (table,) = shown(rows, tmp_path)
    assert {name: len(runs) for name, runs in table.runs.items()} == {"mine": 2, "dsm": 1}


def test_runs_are_called_by_other_names(tmp_path: Path) -> None:
    rows = [row("dsm", 0.2, steps=100), row("dsm", 0.3, steps=900), row("moco", 0.1)]
    rows += [row("moco", 0.2, seed=1), row("moco", 0.3, split="train")]
    found = shown(rows, tmp_path)

    def called(**names: str) -> list[list[str]]:
        return [list(table.lines) for table in rename_lines(found, names)]

    assert called() == [["dsm, steps 100", "dsm, steps 900", "moco"], ["moco"]]
    assert called(moco="MoCo v2")[1] == ["MoCo v2"]
    assert called(dsm="DSM")[0] == ["DSM, steps 100", "DSM, steps 900", "moco"]
    assert called(**{"dsm, steps 900": "DSM"})[0] == ["dsm, steps 100", "DSM", "moco"]
    short = rows[1].run[:6]
    assert called(**{short: "DSM", "moco": "MoCo"})[0] == ["dsm, steps 100", "DSM", "MoCo"]
    assert called(**{rows[3].run: "MoCo"})[0][2] == "MoCo"  # one of its two seeds
    (first, _) = rename_lines(found, {"dsm, steps 900": "DSM"})
    assert first.lines["DSM"] == found[0].lines["dsm, steps 900"]
    assert first.runs["DSM"] == (rows[1].run,)
    with pytest.raises(
        UnsceneError, match=rf"no line or run is called 'hdc'; .*moco \({short[:0]}"
    ):
        called(hdc="HDC")
    with pytest.raises(UnsceneError, match="beginning of several runs"):
        called(**{"": "x"})
    with pytest.raises(UnsceneError, match="two lines would be called 'moco'"):
        called(**{"dsm, steps 100": "moco"})


def test_untrained_encoders_are_known_by_any_name(tmp_path: Path) -> None:
    (table,) = shown([row("random", 0.1), row("dsm", 0.4)], tmp_path)
    assert table.baselines == {"random"}
    (table,) = rename_lines([table], {"random": "untrained"})
    assert table.baselines == {"untrained"}


def test_latex_holds_every_number_and_no_character_of_its_own(tmp_path: Path) -> None:
    rows = [
        row("a_b & c%", 0.25, data="films#1 {x} ~y ^z \\"),
        row("[x]", 0.5, data="films#1 {x} ~y ^z \\"),
    ]
    text = format_latex(shown(rows, tmp_path))
    lines = text.splitlines()
    assert lines[0] == r"% \usepackage{booktabs}"
    assert lines[1] == r"\begin{tabular}{lrr}"
    assert lines[-1] == r"\end{tabular}"
    assert r"a\_b \& c\% & 0.250 {\scriptsize[0.150, 0.350]} & 50, 1 \\" in lines
    assert r"{[x]} & 0.500 {\scriptsize[0.400, 0.600]} & 50, 1 \\" in lines
    title = r"films\#1 \{x\} \textasciitilde{}y \textasciicircum{}z \textbackslash{}"
    assert rf"\multicolumn{{3}}{{l}}{{{title}, test, label action}} \\" in lines
    for line in lines[2:-1]:
        assert line.endswith(r" \\") or line in (r"\toprule", r"\midrule", r"\bottomrule")
    assert text.count("{") - text.count(r"\{") == text.count("}") - text.count(r"\}")


def test_chance_stands_above_the_methods(tmp_path: Path) -> None:
    rows = [row("dsm", 0.4, chance=0.125), row("dsm", 0.5, seed=1, chance=0.135)]
    found = shown([*rows, row("dsm", 0.5, metric="map")], tmp_path)
    assert "| chance | 0.130 |  |  |" in format_markdown(found).splitlines()
    assert format_text(found).splitlines()[2].split() == ["chance", "0.130"]
    draw_tables(found, tmp_path / "plot.png")


def test_the_plot_is_a_picture_of_all_tables(tmp_path: Path) -> None:
    found = shown([row("moco", 0.25), row("dsm", 0.5, split="other")], tmp_path)
    draw_tables(found, tmp_path / "plot.png")
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(UnsceneError, match=r"ends in \.png"):
        draw_tables(found, tmp_path / "plot.pdf")


def test_what_holds_no_rows(tmp_path: Path) -> None:
    other = tmp_path / "log.jsonl"
    other.write_text('{"step": 3}\n')
    with pytest.raises(UnsceneError, match=r"log\.jsonl: holds no rows"):
        collect_rows([other])
    with pytest.raises(UnsceneError, match="no rows of results in any"):
        collect_rows([tmp_path])
    with pytest.raises(UnsceneError, match="does not exist"):
        collect_rows([tmp_path / "gone"])
    write_rows(tmp_path / "deep" / "rows.jsonl", [row("dsm", 0.5)])
    assert len(collect_rows([tmp_path])) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"value": None}, {"value": "0.5"}, {"value": True}, {"ci95": None}, {"ci95": [0.1]},
        {"ci95": [0.1, 0.2, 0.3]}, {"ci95": [0.1, None]}, {"n": "many"}, {"seed": None},
        {"test": None}, {"config": None}, {"config": {"pretrained": 3}},
        {"config": {"began": []}}, {"versions": []},
        {"metric": None}, {"data": ["films"]}, {"chance": "some"},
    ],
)  # fmt: skip
def test_a_line_of_another_kind_is_no_row(change: dict[str, Any], tmp_path: Path) -> None:
    odd = json.dumps(asdict(row("dsm", 0.4)) | change)
    (tmp_path / "odd.jsonl").write_text(odd + "\n")
    with pytest.raises(UnsceneError, match="holds no rows of results"):
        collect_rows([tmp_path / "odd.jsonl"])
    (table,) = shown([row("dsm", 0.4)], tmp_path)  # beside it
    assert table.lines["dsm"]["retrieval_r1"].seeds == 1


@pytest.mark.slow
def test_every_row_of_the_experiments_is_one() -> None:
    files = sorted((EXPERIMENTS / "rows").iterdir())
    assert len(files) >= 11
    for file in files:
        records = [json.loads(line) for line in gzip.decompress(file.read_bytes()).splitlines()]
        expected = sum("metric" in record for record in records)
        assert expected == len(collect_rows([file])), file
        assert all("run" in record for record in records), file


def test_an_unknown_metric_beside_a_known_one_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnsceneError, match=r"the metric top1; there are retrieval_r1$"):
        shown([row("dsm", 0.4)], tmp_path, ("retrieval_r1", "top1"))


@pytest.mark.slow
def test_the_page_in_docs_says_what_the_rows_say(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(EXPERIMENTS))
    from write_results import make_page

    assert make_page()[0] == (EXPERIMENTS.parent / "docs" / "results.md").read_text(
        encoding="utf-8"
    )


@pytest.mark.slow
def test_a_column_for_each_correlation_holds_what_the_table_of_one_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.syspath_prepend(str(EXPERIMENTS))
    from sections import BIASED, CORRELATIONS, HEADINGS
    from write_results import make_page

    found = make_page()[1]
    swept = {table.title: table for table in found[CORRELATIONS]}
    for one in found[BIASED]:
        for metric in one.metrics:
            across = swept[f"{one.title}: {HEADINGS[metric]}"]
            assert across.metrics == tuple(f"correlation {c}" for c in ("0", "0.5", "0.9", "1"))
            both = across.lines.keys() & one.lines.keys()
            assert {"random", "moco", "dsm", "dsm-triplet", "unscene"} <= both
            for name in both:
                assert across.lines[name]["correlation 0.9"] == one.lines[name][metric]


def test_an_encoder_without_training_stands_in_every_table_of_its_test(tmp_path: Path) -> None:
    def of(method: str, value: float, stride: int, seed: int = 0, **changes: Any) -> Row:
        test = {"stride": stride, "size": 36, "note": ""} | changes.pop("test", {})
        return row(method, value, seed, test=test, **changes)

    described = {"encoder": "hof", "test": {"size": 80}}
    rows = [
        *(of("dsm", 0.4, 2), of("random", 0.1, 2), of("dsm", 0.5, 4)),
        *(of("dsm", 0.2, 4, test={"note": "dark"}), of("dsm", 0.3, 4, split="other")),
        of("hof", 0.6, 2, **described),
    ]
    found = shown(rows, tmp_path)
    assert [list(table.lines) for table in found] == [
        ["random", "hof", "dsm"],
        *(["hof", "dsm"], ["dsm"], ["dsm"]),
    ]
    assert [table.title.rpartition("action, ")[2] for table in found[:2]] == [
        "stride 2",
        "stride 4",
    ]
    assert all(table.descriptors == {"hof"} for table in found[:2])
    assert all(table.lines["hof"]["retrieval_r1"].value == 0.6 for table in found[:2])
    text = format_markdown(found)
    assert text.count("| *hof* |") == 2
    assert "*dsm*" not in text
    (renamed, *_) = rename_lines(found, {"hof": "flow"})
    assert (renamed.descriptors, renamed.without_training) == ({"flow"}, {"flow", "random"})
    draw_tables(found, tmp_path / "plot.png")
    # Without trained encoders they are a table of their own, whatever their clips.
    own = [of("hof", 0.6, 2, **described), of("color", 0.1, 8, encoder="color")]
    (table,) = shown(own, tmp_path)
    assert list(table.lines) == ["hof", "color"]


def test_clips_of_one_descriptor_are_not_mistaken_for_seeds(tmp_path: Path) -> None:
    rows = [
        row("hof", 0.6, 0, encoder="hof", test={"frames": 16, "stride": 2}),
        row("hof", 0.4, 1, encoder="hof", test={"frames": 16, "stride": 4}),
    ]
    (table,) = shown(rows, tmp_path)
    assert list(table.lines) == ["hof, frames 16, stride 2", "hof, frames 16, stride 4"]
    # A method of somebody's that is called like a descriptor is none.
    (table,) = shown([row("hof", 0.6)], tmp_path)
    assert not table.descriptors


def test_all_descriptors_are_known() -> None:
    from unscene.encoders.registry import known_descriptors

    assert sorted(DESCRIPTORS) == known_descriptors()
