"""Every recipe runs: two steps of each stage, tiny, on footage in the official layouts."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from small_recipe import file_with

from official_footage import write_official_sets
from tiny_runs import command
from unscene.cli.main import main
from unscene.config import RECIPES
from unscene.encoders import VideoEncoder, create_encoder, registry
from unscene.errors import UnsceneError
from unscene.reproduce import run as file_of_reproduce
from unscene.reproduce.recipe import read_recipe
from unscene.reproduce.run import average_splits, reproduce
from unscene.results.rows import Row
from unscene.results.tables import collect_rows
from unscene.train.config import RunConfig

pytestmark = pytest.mark.slow

FILES = sorted(RECIPES.glob("*.yaml"))


@pytest.fixture(scope="module")
def roots(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The three datasets as people have them, eight tiny videos each."""
    root = tmp_path_factory.mktemp("sets")
    yield write_official_sets(root)
    shutil.rmtree(root)


def small(name: str, stem: str = "", in_channels: int = 3) -> VideoEncoder:
    encoder = create_encoder("r3d-narrow", width=8, in_channels=in_channels)
    encoder.spec = replace(encoder.spec, name=name, options={})
    return encoder


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_two_steps_of_every_recipe(
    file: Path, roots: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # 60 million weights take longer to save than to train twice; C3D itself runs further below.
    wide = ("c3d", "i3d", "r3d34", "r3d26", "r2plus1d26", "r3d18", "r2plus1d10", "r3d10", "r2d10")
    for name in wide:
        monkeypatch.setitem(registry._ENCODERS, name, partial(small, name))
    recipe = read_recipe(file)
    # One fold of each protocol is enough: the others differ in their list only.
    stages = {(s["protocol"], s["data"]): s | {"splits": s["splits"][-1:]} for s in recipe.evaluate}
    short = replace(recipe, evaluate=tuple(stages.values()))
    rows = reproduce(short, roots, tmp_path, dry=True)
    assert {row.method for row in rows} == {recipe.pretrain.get("method", "random")}
    assert {row.encoder for row in rows} == {file.stem.rsplit("-", 1)[1]} or recipe.table == 4
    for protocol, metric in (("retrieve", "retrieval_r1"), ("finetune", "finetune_top1")):
        wanted = [stage for stage in short.evaluate if stage["protocol"] == protocol]
        assert len([row for row in rows if row.metric == metric]) == len(wanted)
    # Every number is in one file only, for `unscene results`.
    found = sorted((record["split"], record["metric"]) for record in collect_rows([tmp_path]))
    assert found == sorted((row.split, row.metric) for row in rows)
    if recipe.pretrain:
        summary = json.loads((tmp_path / "pretrain" / "summary.json").read_text())
        assert (summary["steps"], summary["finished"]) == (2, True)


def state(out: Path) -> dict[str, tuple[int, bytes]]:
    """Every file of a run: when it was written, and what it holds."""
    files = [path for path in out.rglob("*") if path.is_file()]
    return {str(path): (path.stat().st_mtime_ns, path.read_bytes()) for path in files}


def test_called_again_it_does_nothing_twice(
    roots: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    line = ["reproduce", str(file_with(tmp_path)), "--dry_run", "--ucf101", roots["ucf101"]]
    line += ["--out", str(out), "--accelerator", "cpu"]
    assert main(line) == 0
    first = capsys.readouterr()
    assert "finished after 2 of 2 steps" in first.out
    before = state(out)
    assert main(line) == 0
    again = capsys.readouterr()
    assert "already finished" in again.out
    assert again.out.splitlines()[1:] == first.out[first.out.index("\na small one") :].splitlines()
    assert "Published, %: {'ucf101': 50}" in again.out
    assert again.out.count("finetune_top1") == 3  # two splits and their mean
    assert again.err == ""  # nothing was trained, read or scored
    assert state(out) == before

    # Numbers of other settings are not handed out as those of these.
    for old, new, said in (
        ("clips: 1", "clips: 2", "clips: was 1, now 2"),
        ("batch_size: 4", "batch_size: 4, lr: 0.5", "lr: was 0.001, now 0.5"),
    ):
        with pytest.raises(UnsceneError, match=said):
            reproduce(read_recipe(file_with(tmp_path, old, new)), roots, out, dry=True,
                      options={"accelerator": "cpu"})  # fmt: skip


def test_an_interruption_loses_no_number(
    roots: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe, out = read_recipe(file_with(tmp_path)), tmp_path / "run"
    finetune, folders = file_of_reproduce.finetune, []

    def interrupted(config: Any, **more: Any) -> list[Row]:
        folders.append(Path(config.out).name)
        if len(folders) == 2:
            raise KeyboardInterrupt
        return finetune(config, **more)

    monkeypatch.setattr(file_of_reproduce, "finetune", interrupted)
    with pytest.raises(KeyboardInterrupt):
        reproduce(recipe, roots, out, dry=True)
    kept = collect_rows([out])
    assert [row["split"] for row in kept] == ["ucf101-1-test"]
    rows = reproduce(recipe, roots, out, dry=True)
    assert folders == ["ucf101-finetune-1", "ucf101-finetune-3", "ucf101-finetune-3"]
    assert rows[0].value == kept[0]["value"]
    assert {row.split for row in rows} == {f"ucf101-{n}-test" for n in (1, 2, 3)}


def test_a_batch_is_shared_among_the_devices(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = read_recipe(RECIPES / "cmd-kinetics-c3d.yaml")
    roots = dict.fromkeys(("ucf101", "hmdb51", "kinetics"), "/nowhere")
    given: list[int] = []

    def pretrained(config: RunConfig) -> None:
        given.append(config.settings.batch_size)

    def tuned(config: Any, *, resume: bool) -> list[Row]:
        given.append(config.batch_size)
        return []

    monkeypatch.setattr(file_of_reproduce, "pretrain_once", pretrained)
    monkeypatch.setattr(file_of_reproduce, "finetune", tuned)
    for devices in (1, 2, 8):
        given.clear()
        options = {"devices": devices, "accelerator": "cpu"}
        reproduce(recipe, roots, tmp_path, options=options)
        assert given == [512 // devices] + [8 // devices] * 6
    given.clear()
    with pytest.raises(UnsceneError, match=r"batch of 8 .* by 16 devices.*one of 1, 2, 4, 8"):
        reproduce(recipe, roots, tmp_path, options={"devices": 16, "accelerator": "cpu"}, dry=True)
    assert not given  # before the first training


def test_two_processes_write_and_speak_once(roots: dict[str, str], tmp_path: Path) -> None:
    path = file_with(tmp_path, "splits: [1, 3]", "splits: [1]")
    line = ["reproduce", str(path), "--dry_run", "--ucf101", roots["ucf101"], "--devices", "2"]
    line += ["--accelerator", "cpu", "--out", str(tmp_path / "run")]
    done = command(line)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("Published") == done.stdout.count("finetune_top1") == 1
    found = collect_rows([tmp_path / "run"])
    assert sum(row["metric"] == "retrieval_r1" for row in found) == 1
    # Finished with two, the rows can be read with one.
    one = {"devices": 1, "accelerator": "cpu"}
    assert reproduce(read_recipe(path), roots, tmp_path / "run", options=one, dry=True)
    shutil.rmtree(tmp_path / "run" / "ucf101-retrieve-video-2")
    (tmp_path / "run" / "ucf101-finetune-1" / "results.jsonl").unlink()
    with pytest.raises(UnsceneError, match=r"2 processes .* would be 1: .*Give --devices 2"):
        reproduce(read_recipe(path), roots, tmp_path / "run", options=one, dry=True)


def test_the_mean_over_splits() -> None:
    def row(split: str, value: float, metric: str = "finetune_top1") -> Row:
        return Row("dsm", "d", split, "label", metric, value, (value - 0.1, value + 0.2), 9, 0, 0.0,
                   test={"protocol": "finetune"})  # fmt: skip

    parts = [row("ucf101-1-test", 0.2), row("ucf101-2-test", 0.3), row("ucf101-3-test", 0.7)]
    (mean,) = average_splits([*parts, row("hmdb51-1-test", 0.9)])
    assert (mean.data, mean.metric, mean.splits) == ("ucf101", "finetune_top1", 3)
    assert mean.value == pytest.approx(0.4)
    assert mean.ci95 == pytest.approx((0.3, 0.6))


def test_a_dataset_without_a_folder(tmp_path: Path) -> None:
    recipe = read_recipe(RECIPES / "table1-dsm-i3d.yaml")
    with pytest.raises(UnsceneError, match="--kinetics FOLDER, --hmdb51 FOLDER"):
        reproduce(recipe, {"ucf101": "somewhere"}, tmp_path)
