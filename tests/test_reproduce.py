"""Every recipe runs: two steps of each stage, tiny, on footage in the official layouts."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from unscene.cli import main
from unscene.encoders import VideoEncoder, create_encoder, registry
from unscene.errors import UnsceneError
from unscene.evaluate.rows import read_rows
from unscene.methods.presets import resolve
from unscene.reproduce import Recipe, markdown, read_recipe, reproduce
from unscene.video.scenes import MovingScenes, generate

ROOT = Path(__file__).resolve().parents[1]
FILES = sorted((ROOT / "recipes").glob("*.yaml"))
CLASSES = ("PushUps", "YoYo")
KINETICS = "label,youtube_id,time_start,time_end,split\n"


@pytest.fixture(scope="module")
def roots(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The three datasets as people have them, eight tiny videos each."""
    root = tmp_path_factory.mktemp("sets")
    spec = MovingScenes(
        train_videos=8, seen_videos=0, unseen_videos=0, size=32, frames=10,
        object_size=(8.0, 10.0), speed=(1.0, 2.0),
    )  # fmt: skip
    generate(root / "footage", spec)
    videos = sorted((root / "footage" / "train").glob("*.mp4"))

    lists = root / "ucf101" / "ucfTrainTestlist"
    lists.mkdir(parents=True)
    (lists / "classInd.txt").write_text("1 PushUps\n2 YoYo\n")
    names = [f"{CLASSES[i % 2]}/v_{CLASSES[i % 2]}_g0{i}_c01.avi" for i in range(8)]
    for name, video in zip(names, videos, strict=True):
        file = root / "ucf101" / "UCF-101" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(video, file.with_suffix(".mp4"))
    for split in (1, 2, 3):
        train = [f"{name} {1 + i % 2}" for i, name in enumerate(names[:6])]
        (lists / f"trainlist0{split}.txt").write_text("\n".join(train))
        (lists / f"testlist0{split}.txt").write_text("\n".join(names[6:]))

    lists = root / "hmdb51" / "testTrainMulti_7030_splits"
    lists.mkdir(parents=True)
    for number, action in enumerate(("clap", "wave")):
        folder = root / "hmdb51" / action
        folder.mkdir()
        own = [f"take_{i}_{action}.avi" for i in range(4)]
        for name, video in zip(own, videos[number::2], strict=True):
            shutil.copy(video, folder / name)
        for split in (1, 2, 3):
            marks = [f"{name} {1 if i < 3 else 2} " for i, name in enumerate(own)]
            (lists / f"{action}_test_split{split}.txt").write_text("\n".join(marks))

    folder = root / "kinetics" / "train" / "push_up"
    folder.mkdir(parents=True)
    lines = [f"push up,id{i:09d},{i},{i + 10},train" for i in range(8)]
    (root / "kinetics" / "train.csv").write_text(KINETICS + "\n".join(lines))
    for i, video in enumerate(videos):
        shutil.copy(video, folder / f"id{i:09d}_{i:06d}_{i + 10:06d}.mp4")
    yield {name: str(root / name) for name in ("ucf101", "hmdb51", "kinetics")}
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
    assert [record["value"] for record in read_rows(tmp_path / "results.jsonl")] == [
        row.value for row in rows
    ]
    if recipe.pretrain:
        summary = json.loads((tmp_path / "pretrain" / "summary.json").read_text())
        assert (summary["steps"], summary["finished"]) == (2, True)


def test_recipes_of_cmd_are_at_the_authors_settings() -> None:
    """methods.md 3.1, 3.4."""
    recipes = [recipe for file in FILES if (recipe := read_recipe(file)).paper == "cmd"]
    assert len(recipes) == 6
    for recipe in recipes:
        own = ("method", "preset", "encoder", "data")
        given = {k: v for k, v in recipe.pretrain.items() if k not in own}
        settings = resolve("cmd", "paper", given)
        assert settings.lr == pytest.approx(5e-4 * settings.batch_size)
        batch = {"ucf101": 64, "kinetics": 512}[recipe.pretrain["data"]]
        assert (settings.batch_size, settings.epochs, settings.size) == (batch, 120, 112)
        for stage, rate in zip(recipe.evaluate, (1e-4, 2e-4), strict=True):
            assert stage["lr"] == pytest.approx(rate * stage["batch_size"])


def test_recipes_are_at_the_papers_settings() -> None:
    """methods.md 1.1, 1.3, 1.5: what a recipe leaves open must be the paper's number."""
    for file in FILES:
        recipe = read_recipe(file)
        if recipe.paper != "dsm":
            continue
        assert all(stage["preset"] == "paper" for stage in recipe.evaluate if "preset" in stage)
        if not recipe.pretrain:
            continue
        own = ("method", "preset", "encoder", "data")
        settings = resolve(
            recipe.pretrain["method"],
            recipe.pretrain["preset"],
            {k: v for k, v in recipe.pretrain.items() if k not in own},
        )
        assert recipe.pretrain["preset"] == "paper"
        assert settings.size == (112 if recipe.pretrain["encoder"] == "c3d" else 224)
        assert (settings.temperature, settings.queue, settings.epochs) == (1.0, 6536, 200)
        if recipe.pretrain["method"] != "moco":
            far = (4, 30) if recipe.pretrain["data"] == "kinetics" else (2, 20)
            assert settings.shift_range == far


def test_every_row_of_the_papers_tables_has_a_recipe_and_a_line_in_the_docs() -> None:
    recipes = [read_recipe(file) for file in FILES]
    of_dsm = [recipe for recipe in recipes if recipe.paper == "dsm"]
    assert [sum(r.table == table for r in of_dsm) for table in (1, 2, 3, 4)] == [9, 2, 2, 6]
    # Of another row's pre-training one half is a copy: the ablation's ends stand in Table 1 too.
    by_name = {r.name: r for r in recipes}
    assert by_name["table4-all"].published == by_name["table1-dsm-i3d"].published
    assert by_name["table4-moco"].published == by_name["table1-moco-i3d"].published
    docs = (ROOT / "docs" / "recipes.md").read_text()
    missing = [line for line in markdown(recipes).splitlines() if line not in docs]
    assert not missing, "docs/recipes.md is not the recipes' own table (reproduce.markdown)"


def test_called_again_it_does_nothing_twice(
    roots: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = ["reproduce", str(ROOT / "recipes" / "table2-dsm-c3d.yaml"), "--dry_run"]
    line += ["--ucf101", roots["ucf101"], "--out", str(tmp_path / "run")]
    assert main(line) == 0
    first = capsys.readouterr().out
    assert "finished after 2 of 2 steps" in first
    assert "Published, %: {'r1': 16.8" in first
    assert main(line) == 0
    again = capsys.readouterr().out
    assert "already finished" in again
    assert again.splitlines()[-3:] == first.splitlines()[-3:]


def test_mistakes(tmp_path: Path) -> None:
    recipe = read_recipe(ROOT / "recipes" / "table1-dsm-i3d.yaml")
    with pytest.raises(UnsceneError, match="--kinetics FOLDER, --hmdb51 FOLDER"):
        reproduce(recipe, {"ucf101": "somewhere"}, tmp_path)
    bad = tmp_path / "bad.yaml"
    bad.write_text("row: 3\n")
    with pytest.raises(UnsceneError, match=r"bad\.yaml: a recipe is a YAML table with"):
        read_recipe(bad)
    bad.write_text("{table: 1, row: x, published: {}, evaluate: [{data: sports1m}]}")
    with pytest.raises(UnsceneError, match="'sports1m' is none of ucf101"):
        read_recipe(bad)


def test_a_recipe_is_a_configuration_of_pretrain(capsys: pytest.CaptureFixture[str]) -> None:
    recipe = str(ROOT / "recipes" / "table1-dsm-c3d.yaml")
    assert main(["pretrain", "/nowhere/at/all", "--config", recipe]) == 1
    assert "/nowhere/at/all: does not exist" in capsys.readouterr().err


def test_markdown_keeps_the_order_of_the_papers_and_tables() -> None:
    some = [
        Recipe("c", "cmd", 1, "C", {}, {}, ()),
        Recipe("b", "dsm", 2, "B", {"r1": 1.0}, {}, ()),
        Recipe("a", "dsm", 1, "A", {"x": 2.0}, {}, ()),
    ]
    lines = markdown(some).splitlines()
    assert lines[2:] == [
        "| `recipes/a.yaml` | DSM, 1 | A | x 2.0 | |",
        "| `recipes/b.yaml` | DSM, 2 | B | r1 1.0 | |",
        "| `recipes/c.yaml` | CMD, 1 | C |  | |",
    ]
