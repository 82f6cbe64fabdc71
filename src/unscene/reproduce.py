"""A recipe: one row of a paper's table, from the data to the numbers, in one call.

    OUT/pretrain/               the pre-training (see train.pretrain), unless the row has none
    OUT/ucf101-finetune-1/ ...  one folder for every split that is fine-tuned
    OUT/results.jsonl           every number, one row each

Called again it goes on where it was stopped, and does nothing twice. A recipe is a YAML file:

    paper: dsm                  or cmd, hdc; dsm if left out
    table: 1                    of the paper
    row: DSM, C3D, pre-trained on UCF101
    published: {ucf101: 70.3, hmdb51: 40.5}           percent
    pretrain: {data: ucf101, method: dsm, ...}        as `unscene pretrain --config` takes it
    evaluate:
      - {protocol: finetune, data: ucf101, splits: [1, 2, 3], preset: paper, ...}
      - {protocol: retrieve, data: hmdb51, splits: [1], mode: clip}
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unscene.errors import UnsceneError
from unscene.evaluate.rows import Row, write_rows
from unscene.train.config import read_table

DATASETS = ("ucf101", "hmdb51", "kinetics")
_TABLE = {"table", "row", "published", "evaluate"}
_DRY_PRETRAIN = {"max_steps": 2, "batch_size": 2, "queue": 8, "workers": 0, "motion_frames": 2}
_DRY_FINETUNE = {"max_steps": 2, "batch_size": 2, "clips": 1, "workers": 0, "min_steps": 0}


@dataclass(frozen=True)
class Recipe:
    """What a recipe's file says; see the head of this module."""

    name: str
    paper: str
    table: int
    row: str
    published: dict[str, float]
    pretrain: dict[str, Any]
    evaluate: tuple[dict[str, Any], ...]

    @property
    def needs(self) -> list[str]:
        """The datasets it reads."""
        stages = [self.pretrain] if self.pretrain else []
        return list(dict.fromkeys(stage["data"] for stage in [*stages, *self.evaluate]))


def read_recipe(path: str | Path) -> Recipe:
    """Read a recipe's file.

    Raises:
        UnsceneError: it cannot be read, or lacks a part.
    """
    path = Path(path)
    content = read_table(path)
    if not set(content) >= _TABLE:
        raise UnsceneError(f"{path}: a recipe is a YAML table with {', '.join(sorted(_TABLE))}")
    pretrain = content.get("pretrain") or {}
    for stage in ([pretrain] if pretrain else []) + list(content["evaluate"]):
        if stage.get("data") not in DATASETS:
            raise UnsceneError(
                f"{path}: data {stage.get('data')!r} is none of {', '.join(DATASETS)}"
            )
    return Recipe(
        path.stem,
        str(content.get("paper", "dsm")),
        int(content["table"]),
        str(content["row"]),
        dict(content["published"]),
        pretrain,
        tuple(content["evaluate"]),
    )


def reproduce(
    recipe: Recipe,
    roots: Mapping[str, str],
    out: Path,
    *,
    options: Mapping[str, Any] | None = None,
    dry: bool = False,
) -> list[Row]:
    """Run a recipe.

    Args:
        recipe: what to run.
        roots: by dataset, the folder of its videos and lists (see `video.official`).
        out: folder of the run.
        options: devices, workers, precision ... of the trainings; they change the speed only.
        dry: two steps of each training on tiny clips: does everything run? The numbers mean
            nothing.

    Raises:
        UnsceneError: a dataset that the recipe needs has no folder, or what the stages raise.
    """
    missing = [name for name in recipe.needs if not roots.get(name)]
    if missing:
        flags = ", ".join(f"--{name} FOLDER" for name in missing)
        raise UnsceneError(f"{recipe.name} needs {' and '.join(missing)}: give {flags}")
    given = {key: value for key, value in (options or {}).items() if value is not None}
    _pretrain(recipe, roots, out, given, dry)
    rows: list[Row] = []
    for stage in recipe.evaluate:
        for split in stage["splits"]:
            rows += _evaluate(dict(stage), split, roots, out, given, recipe, dry)
            write_rows(out / "results.jsonl", rows)
    return rows


def _pretrain(
    recipe: Recipe, roots: Mapping[str, str], out: Path, given: dict[str, Any], dry: bool
) -> None:
    from unscene.train.config import build
    from unscene.train.pretrain import pretrain_once

    if not recipe.pretrain:
        return
    folder = out / "pretrain"
    settings = dict(recipe.pretrain)
    settings["data"] = _part(settings["data"], 1, "train", roots)
    if dry:
        settings |= _DRY_PRETRAIN | _smallest(settings["encoder"])
    outcome = pretrain_once(build(settings | given | {"out": str(folder)}))
    print(outcome.account if outcome else f"{folder}: already finished")


def _evaluate(
    stage: dict[str, Any],
    split: int,
    roots: Mapping[str, str],
    out: Path,
    given: dict[str, Any],
    recipe: Recipe,
    dry: bool,
) -> list[Row]:
    from unscene.evaluate.finetune import finetune
    from unscene.evaluate.finetune_config import build
    from unscene.evaluate.run import evaluate
    from unscene.train.callbacks import CHECKPOINT

    protocol, name = stage.pop("protocol"), stage.pop("data")
    stage.pop("splits")
    train, test = (_part(name, split, part, roots) for part in ("train", "test"))
    if protocol == "retrieve":
        workers = 0 if dry else given.get("workers", 2)
        return evaluate(protocol, test, out / "pretrain", train=train, workers=workers, **stage)
    folder = out / f"{name}-{protocol}-{split}"
    encoder = stage.pop("encoder", str(out / "pretrain"))
    if dry:
        stage |= _DRY_FINETUNE | _smallest(recipe.pretrain.get("encoder", encoder))
    config = build(
        stage | given | {"data": test, "train": train, "encoder": encoder, "out": str(folder)}
    )
    return finetune(config, resume=(folder / CHECKPOINT).exists())


def _part(name: str, split: int, part: str, roots: Mapping[str, str]) -> str:
    """A part of a dataset as DATA."""
    if name == "kinetics":
        return f"kinetics-{'train' if part == 'train' else 'val'}:{roots[name]}"
    return f"{name}-{split}-{part}:{roots[name]}"


def _smallest(encoder: str) -> dict[str, int]:
    """The smallest clip an encoder takes, of a few frames at least."""
    from unscene.encoders import create_encoder

    t, h, w = create_encoder(encoder).minimum
    return {"frames": max(t, 4), "size": max(h, w, 32), "stride": 1}


def markdown(recipes: Sequence[Recipe]) -> str:
    """The recipes as a table, the published numbers beside a column for measured ones."""
    lines = [
        "| recipe | paper, table | row | published, % | measured, % |",
        "|---|---|---|---|---|",
    ]
    order = {"dsm": 0, "cmd": 1, "hdc": 2}
    for recipe in sorted(recipes, key=lambda r: (order[r.paper], r.table, r.name)):
        published = ", ".join(f"{name} {value}" for name, value in recipe.published.items())
        source = f"{recipe.paper.upper()}, {recipe.table}"
        lines.append(f"| `recipes/{recipe.name}.yaml` | {source} | {recipe.row} | {published} | |")
    return "\n".join(lines) + "\n"
