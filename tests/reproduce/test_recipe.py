"""Recipes have the papers' settings; mistakes are reported by file, key and value."""

from __future__ import annotations

from pathlib import Path

import pytest
from small_recipe import file_with

from unscene.cli.main import main
from unscene.config import RECIPES
from unscene.errors import UnsceneError
from unscene.methods.registry import resolve
from unscene.reproduce.recipe import Recipe, format_markdown, read_recipe

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted(RECIPES.glob("*.yaml"))


def test_recipes_of_cmd_are_at_the_authors_settings() -> None:
    """methods.md 3.1, 3.4."""
    recipes = [recipe for file in FILES if (recipe := read_recipe(file)).paper == "cmd"]
    assert len(recipes) == 6
    for recipe in recipes:
        own = ("method", "preset", "encoder", "data", "sync_batchnorm")
        given = {k: v for k, v in recipe.pretrain.items() if k not in own}
        settings = resolve("cmd", "paper", given)
        assert recipe.pretrain["sync_batchnorm"] is True
        assert (settings.weight_decay, settings.clip_gradient, settings.temperature) == (
            *(5e-3, 15.0, 0.1),
        )
        assert (settings.nesterov, settings.schedule) == (True, "cosine")
        assert settings.warmup == pytest.approx(5 / 120)
        assert settings.side_norms_zero
        assert settings.lr == pytest.approx(5e-4 * settings.batch_size)
        batch = {"ucf101": 64, "kinetics": 512}[recipe.pretrain["data"]]
        assert (settings.batch_size, settings.epochs, settings.size) == (batch, 120, 112)
        for stage, rate in zip(recipe.evaluate, (1e-4, 2e-4), strict=True):
            assert stage["lr"] == pytest.approx(rate * stage["batch_size"])
            assert (stage["nesterov"], stage["schedule"]) == (True, "cosine")
            assert stage["warmup"] * stage["epochs"] == pytest.approx(10, abs=0.01)
            assert (stage["augmentation"], stage["validation"]) == ("cmd-finetune", 0)


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
        assert settings.epochs == 200
        if recipe.pretrain["method"] != "dsm-triplet":
            assert (settings.temperature, settings.queue) == (1.0, 6536)
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
    missing = [line for line in format_markdown(recipes).splitlines() if line not in docs]
    assert not missing, "docs/recipes.md is not the recipes' own table (recipe.markdown)"


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("table: 1", "table: one", "table 'one': must be the number of a table"),
        ("table: 1", "paper: tdsm\ntable: 1", "paper 'tdsm': is none of dsm, cmd, hdc"),
        ("{ucf101: 50}", "{ucf101: much}", "published {'ucf101': 'much'}: must be a table"),
        ("row: a small one", "", "a recipe is a YAML table with evaluate, published, row, table"),
        ("{data: ucf101, method", "{data: sports1m, method", "'sports1m': is none of ucf101"),
        ("method: moco", "method: mocco", "pretrain: unknown method 'mocco'; did you mean moco?"),
        ("{data: ucf101, method: moco, encoder: r3d-narrow, batch_size: 8}", "yes",
         "pretrain True: must be a table of names and values"),
        ("  - {protocol: finetune, data: ucf101, splits: [1, 3], batch_size: 4}\n"
         "  - {protocol: retrieve, data: ucf101, splits: [2], clips: 1}\n", "",
         "evaluate None: must be a list of stages"),
        ("{protocol: finetune, data: ucf101, splits: [1, 3], batch_size: 4}", "finetune",
         "evaluate: stage 1 'finetune': must be a table"),
        ("finetune, data: ucf101", "finetune, data: ucf", "stage 1: data 'ucf': is none of ucf101"),
        ("protocol: finetune", "protocol: probe", "protocol 'probe': is none of finetune"),
        ("splits: [1, 3], ", "", "stage 1: splits None: must be a list of splits"),
        ("splits: [1, 3]", "splits: 3", "stage 1: splits 3: must be"),
        ("splits: [1, 3]", "splits: [1, 4]", "splits [1, 4]: must be"),
        ("batch_size: 4", "batchsize: 4", "stage 1: unknown setting 'batchsize'"),
        ("clips: 1", "epochs: 3", "stage 2: unknown setting 'epochs'; known: apart, batch"),
        ("clips: 1", "mode: both", "stage 2: mode 'both': is none of video, clip, clip-order"),
        ("protocol: retrieve, data: ucf101, splits: [2], clips: 1",
         "protocol: finetune, data: ucf101, splits: [3]",
         "stage 2 would share the folder ucf101-finetune-3 with stage 1"),
        ("pretrain: {data: ucf101, method: moco, encoder: r3d-narrow, batch_size: 8}\n", "",
         "stage 1: there is no encoder to evaluate, because the recipe has no pretrain"),
    ],
)  # fmt: skip
def test_mistakes_name_file_key_value_and_remedy(
    old: str, new: str, said: str, tmp_path: Path
) -> None:
    with pytest.raises(UnsceneError) as caught:
        read_recipe(file_with(tmp_path, old, new))
    assert str(caught.value).startswith(f"{tmp_path / 'small.yaml'}: ")
    assert said in str(caught.value)


def test_a_recipe_is_a_configuration_of_pretrain(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["pretrain", "/nowhere/at/all", "--config", "table1-dsm-c3d"]) == 1
    assert "/nowhere/at/all: does not exist" in capsys.readouterr().err


def test_markdown_keeps_the_order_of_the_papers_and_tables() -> None:
    some = [
        Recipe("c", "cmd", 1, "C", {}, {}, ()),
        Recipe("b", "dsm", 2, "B", {"r1": 1.0}, {}, ()),
        Recipe("a", "dsm", 1, "A", {"x": 2.0}, {}, ()),
    ]
    lines = format_markdown(some).splitlines()
    assert lines[2:] == [
        "| `a` | DSM, 1 | A | x 2.0 | |",
        "| `b` | DSM, 2 | B | r1 1.0 | |",
        "| `c` | CMD, 1 | C |  | |",
    ]
