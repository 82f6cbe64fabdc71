"""A recipe's file: which row of which table, and what it takes to measure it. Imports no torch.

    paper: dsm                  or cmd, hdc; dsm if left out
    table: 1                    of the paper
    row: DSM, C3D, pre-trained on UCF101
    published: {ucf101: 70.3, hmdb51: 40.5}           percent
    pretrain: {data: ucf101, method: dsm, ...}        as `unscene pretrain --config` takes it
    evaluate:
      - {protocol: finetune, data: ucf101, splits: [1, 2, 3], preset: paper, ...}
      - {protocol: retrieve, data: hmdb51, splits: [1], mode: clip}

Every batch_size is the paper's: of all devices together, in pre-training and fine-tuning.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unscene.config import read_table
from unscene.errors import UnsceneError
from unscene.evaluate.finetuning import config as finetune_config
from unscene.train import config as pretrain_config

DATASETS = ("ucf101", "hmdb51", "kinetics")
PAPERS = ("dsm", "cmd", "hdc")
PROTOCOLS = ("finetune", "retrieve")
_TABLE = {"table", "row", "published", "evaluate"}
_STAGE = {"protocol", "data", "splits"}  # of a stage, whatever the protocol
_RETRIEVE = {"mode", "clips", "label", "apart", "batch_size"}  # what a retrieval can be given
_SPLITS = (1, 2, 3)


@dataclass(frozen=True)
class Recipe:
    """What a recipe's file says; see the head of this module.

    Attributes:
        name: of the file, without its ending.
        pretrain: settings of the pre-training; empty: the row has none.
        evaluate: the stages, each with its protocol, data and splits.
    """

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


def folder(stage: dict[str, Any], split: int) -> str:
    """Name of the folder that a stage's split is measured in."""
    mode = [stage.get("mode", "video")] if stage["protocol"] == "retrieve" else []
    return "-".join([stage["data"], stage["protocol"], *mode, str(split)])


def read_recipe(path: str | Path) -> Recipe:
    """Read a recipe's file.

    Raises:
        UnsceneError: it cannot be read, lacks a part, or a part cannot be what it says; names the
            file, the key and the value.
    """
    path = Path(path)
    if not path.exists():
        raise UnsceneError(_no_recipe(path))
    content = read_table(path)
    if not set(content) >= _TABLE:
        raise UnsceneError(f"{path}: a recipe is a YAML table with {', '.join(sorted(_TABLE))}")
    check = _Checks(path)
    paper = check.one_of("paper", content.get("paper", "dsm"), PAPERS)
    check.that("table", content["table"], _whole, "must be the number of a table, such as 1")
    check.that("published", content["published"], _percent, "must be a table, such as {ucf101: 70}")
    pretrain = check.table("pretrain", content.get("pretrain") or {})
    if pretrain:
        check.one_of("pretrain: data", pretrain.get("data"), DATASETS)
        check.settings("pretrain", pretrain_config.build, pretrain)
    stages = content["evaluate"]
    check.that(
        "evaluate",
        stages,
        lambda value: isinstance(value, list) and value,
        "must be a list of stages, such as - {protocol: finetune, data: ucf101, splits: [1, 2, 3]}",
    )
    taken: dict[str, int] = {}
    for number, stage in enumerate(stages, start=1):
        where = f"evaluate: stage {number}"
        check.stage(where, stage, pretrained=bool(pretrain))
        for split in stage["splits"]:
            first = taken.setdefault(folder(stage, split), number)
            if first != number:
                raise UnsceneError(
                    f"{path}: {where} would share the folder {folder(stage, split)} with stage "
                    f"{first}; make it a recipe of its own"
                )
    return Recipe(
        path.stem,
        paper,
        content["table"],
        str(content["row"]),
        dict(content["published"]),
        pretrain,
        tuple(stages),
    )


def _no_recipe(path: Path) -> str:
    known = {one.stem: str(one) for one in sorted(Path("recipes").glob("*.yaml"))}
    said = f"{path}: no such recipe; give the path of a file, such as recipes/table1-dsm-c3d.yaml"
    if path.stem in known:
        return f"{path}: no such recipe; did you mean {known[path.stem]}?"
    return f"{said}. In recipes/ there are {', '.join(known)}" if known else said


@dataclass(frozen=True)
class _Checks:
    """Each raises UnsceneError naming the file, the key and the value."""

    path: Path

    def that(self, key: str, value: Any, holds: Callable[[Any], Any], remedy: str) -> None:
        if not holds(value):
            raise UnsceneError(f"{self.path}: {key} {value!r}: {remedy}")

    def one_of(self, key: str, value: Any, known: Sequence[str]) -> str:
        self.that(key, value, lambda v: v in known, f"is none of {', '.join(known)}")
        return str(value)

    def table(self, key: str, value: Any) -> dict[str, Any]:
        remedy = "must be a table of names and values, such as {data: ucf101}"
        self.that(key, value, lambda v: isinstance(v, dict), remedy)
        return dict(value)

    def settings(self, key: str, build: Callable[[dict[str, Any]], Any], given: Any) -> None:
        """That a training can be built of what is given."""
        try:
            build(given)
        except UnsceneError as error:
            raise UnsceneError(f"{self.path}: {key}: {error}") from error

    def stage(self, key: str, stage: Any, *, pretrained: bool) -> None:
        """A stage of `evaluate`."""
        self.table(key, stage)
        self.one_of(f"{key}: data", stage.get("data"), DATASETS)
        self.one_of(f"{key}: protocol", stage.get("protocol"), PROTOCOLS)
        remedy = "must be a list of the splits to measure, such as [1, 2, 3]"
        self.that(f"{key}: splits", stage.get("splits"), _splits, remedy)
        given = {name: value for name, value in stage.items() if name not in _STAGE}
        if not pretrained and not (stage["protocol"] == "finetune" and "encoder" in given):
            raise UnsceneError(
                f"{self.path}: {key}: there is nothing to measure, the recipe having no pretrain; "
                "add one, or fine-tune a new encoder (encoder: c3d)"
            )
        if stage["protocol"] == "finetune":
            places = {"data": "test", "train": "train", "encoder": "pretrain"}
            self.settings(key, finetune_config.build, places | given)
        elif unknown := sorted(set(given) - _RETRIEVE):
            known = ", ".join(sorted(_RETRIEVE))
            raise UnsceneError(
                f"{self.path}: {key}: unknown setting {unknown[0]!r}; known: {known}"
            )
        else:
            self.one_of(f"{key}: mode", given.get("mode", "video"), ("video", "clip"))


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _percent(value: Any) -> bool:
    if not isinstance(value, dict):
        return False
    return all(isinstance(v, int | float) and not isinstance(v, bool) for v in value.values())


def _splits(value: Any) -> bool:
    known = isinstance(value, list) and all(v in _SPLITS for v in value)
    return known and bool(value) and len(set(value)) == len(value)


def markdown(recipes: Sequence[Recipe]) -> str:
    """The recipes as a table, the published numbers beside a column for measured ones."""
    lines = [
        "| recipe | paper, table | row | published, % | measured, % |",
        "|---|---|---|---|---|",
    ]
    for recipe in sorted(recipes, key=lambda r: (PAPERS.index(r.paper), r.table, r.name)):
        published = ", ".join(f"{name} {value}" for name, value in recipe.published.items())
        source = f"{recipe.paper.upper()}, {recipe.table}"
        lines.append(f"| `recipes/{recipe.name}.yaml` | {source} | {recipe.row} | {published} | |")
    return "\n".join(lines) + "\n"
