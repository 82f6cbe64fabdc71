"""`unscene reproduce`: one row of a paper's table."""

from __future__ import annotations

from pathlib import Path
from typing import get_type_hints

from jsonargparse import ArgumentParser, Namespace

from unscene.train.config import RunConfig, describe

HELP = "one row of a paper's table, from the data to the numbers"
_OPTIONS = ("workers", "devices", "accelerator", "precision", "sync_batchnorm", "short_side")


def flags(parser: ArgumentParser) -> None:
    parser.add_argument("recipe", type=str, help="a file of recipes/")
    for name in ("ucf101", "hmdb51", "kinetics"):
        parser.add_argument(f"--{name}", type=str | None, help="folder of its videos and lists")
    parser.add_argument("--out", type=str | None, help="folder (default: runs/NAME)")
    parser.add_argument(
        "--dry_run", action="store_true", help="two steps on tiny clips: does everything run?"
    )
    texts, hints = describe(RunConfig), get_type_hints(RunConfig)
    for name in _OPTIONS:
        parser.add_argument(f"--{name}", type=hints[name] | None, help=texts[name])


def run(values: Namespace) -> None:
    from unscene.reproduce import DATASETS, read_recipe, reproduce

    recipe = read_recipe(values.recipe)
    ending = "-dry" if values.dry_run else ""
    given = values.as_dict()
    rows = reproduce(
        recipe,
        {name: given[name] for name in DATASETS},
        Path(values.out or f"runs/{recipe.name}{ending}"),
        options={name: given[name] for name in _OPTIONS},
        dry=values.dry_run,
    )
    print(f"\n{recipe.row}. Published, %: {recipe.published}")
    for row in rows:
        low, high = row.ci95
        print(f"{row.split:<20}{row.metric:<16}{row.value:.3f}  [{low:.3f}, {high:.3f}]")
