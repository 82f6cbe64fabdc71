"""`unscene reproduce`: one row of a paper's table."""

from __future__ import annotations

from typing import get_type_hints

from jsonargparse import ArgumentParser, Namespace

from unscene.cli.help import add_flag
from unscene.config import describe
from unscene.files import expand_home
from unscene.train.config import RunConfig

HELP = "one row of a paper's table, from the data to the numbers"
_OPTIONS = (
    *("workers", "threads", "devices", "accelerator", "precision", "sync_batchnorm"),
    "short_side",
)
# Where a recipe's trainings are not all that they are about.
_HERE = {
    "devices": 'number of devices, or "auto"; they share the paper\'s batch, which must divide by '
    "their number. What was begun needs as many as it began with. A retrieval takes one",
    "accelerator": 'what computes, retrievals too; "auto" is a GPU where there is one',
    "precision": 'of the trainings; "auto" is bf16 on a GPU and fp32 on a CPU',
}


def flags(parser: ArgumentParser) -> None:
    parser.add_argument("recipe", type=str, help="a file of recipes/")
    for name in ("ucf101", "hmdb51", "kinetics"):
        parser.add_argument(f"--{name}", type=str | None, help="folder of its videos and lists")
    parser.add_argument("--out", type=str | None, help="folder (default: runs/NAME)")
    parser.add_argument(
        "--dry_run", action="store_true", help="two steps on tiny clips: does everything run?"
    )
    texts, hints = describe(RunConfig) | _HERE, get_type_hints(RunConfig)
    for name in _OPTIONS:
        add_flag(parser, name, hints[name], texts[name])


def run(values: Namespace) -> None:
    from unscene.reproduce.recipe import DATASETS, read_recipe

    recipe = read_recipe(
        expand_home(values.recipe)
    )  # before torch is there: a mistake shows at once
    from unscene.reproduce.run import means, reproduce

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
    if not rows:  # not the first process: that one speaks
        return
    print(f"\n{recipe.row}. Published, %: {recipe.published}")
    for row in rows:
        print(_line(row.split, row.metric, row.value, row.ci95))
    for mean in means(rows):
        data = f"{mean.data}, mean of {mean.splits}"
        print(_line(data, mean.metric, mean.value, mean.ci95))
    print(f"numbers: {out} (results.jsonl of each stage; `unscene results {out}` draws tables)")


def _line(data: str, metric: str, value: float, ci95: tuple[float, float]) -> str:
    return f"{data:<20}{metric:<16}{value:.3f}  [{ci95[0]:.3f}, {ci95[1]:.3f}]"
