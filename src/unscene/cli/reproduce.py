"""`unscene reproduce`: run the recipe of one row of a paper's table."""

from __future__ import annotations

from typing import get_type_hints

from jsonargparse import ArgumentParser, Namespace

from unscene.cli.help import add_flag
from unscene.config import describe, find_config
from unscene.errors import UnsceneError
from unscene.files import expand_home
from unscene.train.config import RunConfig

HELP = "reproduce one row of a paper's table: pre-train, then evaluate"
_OPTIONS = (
    *("workers", "threads", "devices", "accelerator", "precision", "sync_batchnorm"),
    "short_side",
)
# Texts of flags that also affect retrieval, or only training.
_HERE = {
    "devices": 'number of devices, or "auto"; they share the paper\'s batch, which must be '
    "divisible by their number. A resumed run needs as many as before. Retrieval takes one",
    "accelerator": 'device for training and retrieval; "auto" is a GPU if there is one',
    "precision": 'of the training; "auto" is bf16 on a GPU and fp32 on a CPU',
}


def flags(parser: ArgumentParser) -> None:
    parser.usage = "%(prog)s RECIPE [flags]"
    parser.add_argument(
        "recipe", nargs="?", type=str | None, help="name of a recipe, or the path of a file"
    )
    parser.add_argument("--list", action="store_true", help="show the names of the recipes")
    parser.add_argument("--show", action="store_true", help="print the file of RECIPE")
    for name in ("ucf101", "hmdb51", "kinetics"):
        text = f"folder of {name}, with its videos and official lists"
        parser.add_argument(f"--{name}", type=str | None, help=text)
    parser.add_argument("--out", type=str | None, help="folder of the run (default: runs/NAME)")
    parser.add_argument(
        "--dry_run",
        action="store_true",
        help="check that everything runs: two steps on tiny clips",
    )
    texts, hints = describe(RunConfig) | _HERE, get_type_hints(RunConfig)
    for name in _OPTIONS:
        add_flag(parser, name, hints[name], texts[name])


def run(values: Namespace) -> None:
    from unscene.reproduce.recipe import DATASETS, list_recipes, read_recipe

    if values.list:
        for name, line in list_recipes().items():
            print(f"{name:<26}{line}")
        return
    if values.recipe is None:
        raise UnsceneError("name a RECIPE: `unscene reproduce --list` shows them")
    file = find_config(values.recipe)
    recipe = read_recipe(file)  # before torch is imported, so that a mistake shows at once
    if values.show:
        print(file.read_text(encoding="utf-8"), end="")
        return
    from unscene.reproduce.run import average_splits, reproduce

    ending = "-dry" if values.dry_run else ""
    given = values.as_dict()
    out = expand_home(values.out or f"runs/{recipe.name}{ending}")
    rows = reproduce(
        recipe,
        {name: given[name] for name in DATASETS},
        out,
        options={name: given[name] for name in _OPTIONS},
        dry=values.dry_run,
    )
    if not rows:  # only the first process has them
        return
    print(f"\n{recipe.row}. Published, %: {recipe.published}")
    for row in rows:
        print(_line(row.split, row.metric, row.value, row.ci95))
    for mean in average_splits(rows):
        data = f"{mean.data}, mean of {mean.splits}"
        print(_line(data, mean.metric, mean.value, mean.ci95))
    print(f"rows: {out} (results.jsonl of each stage; `unscene results {out}` makes tables)")


def _line(data: str, metric: str, value: float, ci95: tuple[float, float]) -> str:
    return f"{data:<20}{metric:<16}{value:.3f}  [{ci95[0]:.3f}, {ci95[1]:.3f}]"
