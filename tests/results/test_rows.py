"""Files of rows: what was written is read again, and a run's configuration is there once."""

from __future__ import annotations

import gzip
import json
import multiprocessing
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from unscene.errors import UnsceneError
from unscene.results.rows import (
    Row,
    append_rows,
    build_rows,
    compute_run_id,
    is_row,
    package_versions,
    read_rows,
    update_rows,
    write_rows,
)
from unscene.results.seeds import average_seeds, group_seeds
from unscene.results.statistics import Score
from unscene.results.tables import collect_rows

HERE = Path(__file__).resolve().parent
OLD = HERE / "rows_of_version_0.1.jsonl"  # with the configuration in every row


def row(metric: str = "retrieval_r1", value: float = 0.5, **changes: Any) -> Row:
    fields: dict[str, Any] = {
        "method": "dsm", "data": "films", "split": "test", "label": "action", "seed": 0, "n": 50,
        "ci95": (value - 0.1, value + 0.1), "seconds": 1.5, "encoder": "r3d18", "steps": 9,
        "config": {"lr": 0.1, "name": "größe"},
    }  # fmt: skip
    return Row(metric=metric, value=value, **fields | changes)


def lines(path: Path) -> list[dict[str, Any]]:
    content = path.read_bytes()
    text = gzip.decompress(content) if path.suffix == ".gz" else content
    return [json.loads(line) for line in text.decode().splitlines()]


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.jsonl.gz"])
def test_the_configuration_of_a_run_is_there_once(name: str, tmp_path: Path) -> None:
    rows = [row(), row("map", 0.2), row(config={"lr": 0.2}), row("map", config={"lr": 0.2})]
    write_rows(tmp_path / name, rows)
    found = lines(tmp_path / name)
    assert ["config" in line for line in found] == [True, False, False, True, False, False]
    assert found[0] == {"run": rows[0].run, "config": {"lr": 0.1, "name": "größe"}}
    assert [line["run"] for line in found[1:3]] == [rows[0].run] * 2
    assert [Row.from_record(record) for record in read_rows(tmp_path / name)] == rows
    before = (tmp_path / name).read_bytes()
    write_rows(tmp_path / name, read_rows(tmp_path / name))
    assert (tmp_path / name).read_bytes() == before


def test_files_may_be_appended_to_and_concatenated(tmp_path: Path) -> None:
    one, two, both = (tmp_path / f"{name}.jsonl" for name in ("one", "two", "both"))
    # The same run, in another folder: same id, other configuration.
    moved = row("map", config=row().config | {"out": "elsewhere"})
    assert moved.run == row().run
    append_rows(one, [row()])
    append_rows(one, [row("map")])
    append_rows(two, [moved])
    append_rows(one, [row("knn_top1")])
    assert sum("config" in line for line in lines(one)) == 1
    both.write_text(one.read_text() + two.read_text() + one.read_text())
    assert read_rows(both) == read_rows(one) + read_rows(two) + read_rows(one)
    append_rows(both, [moved])
    assert read_rows(both)[-1]["config"]["out"] == "elsewhere"
    assert read_rows(both)[0]["config"] == row().config
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_a_row_without_its_configuration_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    write_rows(path, [row()])
    path.write_text(path.read_text().splitlines()[1] + "\n")
    with pytest.raises(
        UnsceneError, match=rf"rows\.jsonl: has no configuration of run {row().run}"
    ):
        read_rows(path)


def append(path: Path, seed: int) -> None:
    for number in range(5):
        append_rows(path, [row(f"metric {number}", seed=seed)])


def test_several_processes_may_append(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    path = tmp_path / "rows.jsonl.gz"
    workers = [context.Process(target=append, args=(path, seed)) for seed in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
        assert worker.exitcode == 0
    assert len({(r["metric"], r["seed"]) for r in read_rows(path)}) == len(read_rows(path)) == 20


def test_what_is_no_file_of_rows_is_not_appended_to(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_text('{"step": 3}\n')
    for add in (append_rows, update_rows):
        with pytest.raises(UnsceneError, match="holds no rows of results, and is not overwritten"):
            add(path, [row()])
    assert path.read_text() == '{"step": 3}\n'
    assert read_rows(path) == [{"step": 3}]
    path.write_bytes(b"\x1f\x8bno gzip")
    for broken in (path, path.rename(tmp_path / "log.jsonl.gz")):
        with pytest.raises(UnsceneError, match="cannot be read as rows"):
            read_rows(broken if broken.exists() else tmp_path / "log.jsonl.gz")


def test_a_measurement_made_again_replaces_the_earlier_one(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    update_rows(path, [row(value=0.1), row("map", 0.2)])
    update_rows(path, [row(value=0.3, seconds=7.0)])
    assert [(r["metric"], r["value"]) for r in read_rows(path)] == [
        ("map", 0.2), ("retrieval_r1", 0.3),
    ]  # fmt: skip
    update_rows(path, [row(value=0.4, seed=1), row(value=0.5, trained_on="a")])
    assert [r["value"] for r in read_rows(path)] == [0.2, 0.4, 0.5]  # not known: taken as the same
    # Trained with the same settings on other videos: another run.
    update_rows(path, [row(value=0.6, trained_on="b")])
    assert [r["value"] for r in read_rows(path)] == [0.2, 0.4, 0.5, 0.6]
    update_rows(path, [row(value=0.7, trained_on="a")])
    assert [r["value"] for r in read_rows(path)] == [0.2, 0.4, 0.6, 0.7]


# -- the id of a run -------------------------------------------------------------------------------


def test_the_id_is_of_the_run_and_not_of_what_was_measured() -> None:
    one = row()
    assert len(one.run) == 10
    same = (
        {"metric": "map", "value": 0.1, "n": 3, "test": {"size": 3}, "fingerprint": "x"},
        {"name": "mine", "seconds": 8.0, "versions": {}},
        {"config": one.config | {"out": "a", "workers": 3, "data": "b", "devices": 2}},
    )
    assert {replace(one, **changes).run for changes in same} == {one.run}
    other = (
        {"seed": 1}, {"steps": 8}, {"method": "moco"}, {"encoder": "c3d"}, {"trained_on": "x"},
        {"config": one.config | {"lr": 0.2}}, {"config": one.config | {"pretrained": {"seed": 1}}},
        {"config": one.config | {"pretrained": {"seed": 2}}},
    )  # fmt: skip
    assert len({replace(one, **changes).run for changes in other} | {one.run}) == len(other) + 1


def test_the_id_is_the_same_before_and_after_a_file(tmp_path: Path) -> None:
    one = row(config={"stages": (1, 2), "encoder_options": {"width": 8}})
    write_rows(tmp_path / "rows.jsonl", [one])
    (record,) = read_rows(tmp_path / "rows.jsonl")
    assert record["run"] == one.run == compute_run_id(record) == Row.from_record(record).run


def test_a_setting_with_an_earlier_name_is_the_same_setting() -> None:
    old, new = ({"momentum": 0.9, name: 0.5} for name in ("foretell", "prediction_weight"))
    assert row(config=old).run == row(config=new).run
    assert row(config={"pretrained": old}).run == row(config={"pretrained": new}).run
    rows = [asdict(row(config=c, seed=seed)) for seed, c in enumerate((old, new))]
    assert {name: len(found) for name, found in group_seeds(rows).items()} == {"": 2}


def test_rows_say_what_an_encoder_was_trained_on() -> None:
    class Encoder:
        name, frames, stride, size = "r3d18", 16, 4, 112
        trained_on: dict[str, Any]

    encoder = Encoder()
    encoder.trained_on = {}
    about = {"data": "d", "split": "s", "label": "l", "fingerprint": "f", "views": 1}
    scores = {"map": Score(0.5, (0.4, 0.6), 9)}
    (untrained,) = build_rows(encoder, scores, seed=3, **about)  # type: ignore[arg-type]
    assert (untrained.method, untrained.seed, untrained.trained_on) == ("random", 3, "")
    first = {"method": "moco", "steps": 5, "seed": 1, "data": "one", "settings": {"lr": 0.2}}
    encoder.trained_on = first | {"data": "two", "began": first, "seed": 2}
    (trained,) = build_rows(encoder, scores, name="mine", **about)  # type: ignore[arg-type]
    assert (trained.trained_on, trained.seed, trained.name) == ("two+one", 2, "mine")
    began = {"method": "moco", "steps": 5, "seed": 1, "lr": 0.2}
    assert trained.config == {"lr": 0.2, "began": began}


# -- rows of earlier versions ----------------------------------------------------------------------


def test_rows_of_earlier_versions_are_read_as_they_are() -> None:
    old = lines(OLD)
    assert all("run" not in record and "config" in record for record in old)
    read = read_rows(OLD)
    assert [{k: v for k, v in record.items() if k != "run"} for record in read] == old
    assert [record["run"] for record in read] == [compute_run_id(record) for record in old]
    assert len({record["run"] for record in read}) == len(old) - 1  # two of an untrained encoder
    assert all(map(is_row, read))
    for record in read:
        assert asdict(Row.from_record(record))["config"] == record["config"]
    assert collect_rows([OLD]) == read


def test_rows_of_earlier_versions_and_new_ones_share_a_file(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(OLD.read_text())
    append_rows(path, [row()])
    read = read_rows(path)
    assert read[:-1] == read_rows(OLD)
    assert Row.from_record(read[-1]) == row()
    # What an earlier version measured is replaced if it is measured again.
    again = replace(
        Row.from_record(read[1]), value=0.9, versions=package_versions(), trained_on="x"
    )
    update_rows(path, [again])
    assert [r["value"] for r in read_rows(path)] == [
        *(r["value"] for r in read[:1] + read[2:]), 0.9,
    ]  # fmt: skip


def test_seeds_of_earlier_versions_are_seeds() -> None:
    triplets = [r for r in read_rows(OLD) if r["method"] == "dsm-triplet" and r["n"] == 800]
    assert {name: len(found) for name, found in group_seeds(triplets).items()} == {"": 3}
    assert average_seeds(triplets).seeds == 3


def test_a_compressed_file_is_found_in_a_folder(tmp_path: Path) -> None:
    write_rows(tmp_path / "a" / "rows.jsonl.gz", [row()])
    write_rows(tmp_path / "b.jsonl", [row("map")])
    assert sorted(r["metric"] for r in collect_rows([tmp_path])) == ["map", "retrieval_r1"]
