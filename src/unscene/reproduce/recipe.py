"""Recipe files: a row of a paper's table, and how to reproduce it. Imports no torch.

Those of the package lie in `unscene/recipes/` and have names; a path names any other.

    paper: dsm                  or cmd, hdc; dsm is the default
    table: 1                    of the paper
    row: DSM, C3D, pre-trained on UCF101
    published: {ucf101: 70.3, hmdb51: 40.5}           percent
    pretrain: {data: ucf101, method: dsm, ...}        as for `unscene pretrain --config`
    evaluate:
      - {protocol: finetune, data: ucf101, splits: [1, 2, 3], preset: paper, ...}
      - {protocol: retrieve, data: hmdb51, splits: [1], mode: clip}

Every batch_size is the paper's: that of all devices together, in pre-training and fine-tuning.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unscene.config import RECIPES, read_table
from unscene.errors import UnsceneError, find_nearest
from unscene.evaluate.finetuning import config as finetune_config
from unscene.train import config as pretrain_config

DATASETS = ("ucf101", "hmdb51", "kinetics")
PAPERS = ("dsm", "cmd", "hdc")
PROTOCOLS = ("finetune", "retrieve")
_TABLE = {"table", "row", "published", "evaluate"}
_STAGE = {"protocol", "data", "splits"}  # in stages of every protocol
_RETRIEVE = {"mode", "clips", "stride", "label", "apart", "batch_size"}  # settings of retrieval
_MODES = ("video", "clip", "clip-order")
_SPLITS = (1, 2, 3)


@dataclass(frozen=True)
class Recipe:
    """The content of a recipe file; see the head of this module.

    Attributes:
        name: of the file, without its suffix.
        paper: "dsm", "cmd" or "hdc".
        table: number of the table in the paper.
        row: what the table calls the row.
        published: the paper's top-1 accuracy or recall@1 in percent, by dataset.
        pretrain: settings of the pre-training; empty for a row without any.
        evaluate: the stages, each with its protocol, data, splits and settings.
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
        """Names of the datasets that it reads."""
        stages = [self.pretrain] if self.pretrain else []
        return list(dict.fromkeys(stage["data"] for stage in [*stages, *self.evaluate]))


def name_folder(stage: dict[str, Any], split: int) -> str:
    """Name the folder for one split of a stage.

    >>> name_folder({"data": "hmdb51", "protocol": "retrieve", "mode": "clip"}, 1)
    'hmdb51-retrieve-clip-1'
    """
    mode = [stage.get("mode", "video")] if stage["protocol"] == "retrieve" else []
    return "-".join([stage["data"], stage["protocol"], *mode, str(split)])


def list_recipes() -> dict[str, str]:
    """The names of the package's recipes, each with what it reproduces in one line.

    >>> list_recipes()["table1-dsm-c3d"]
    'DSM, table 1: DSM, C3D, pre-trained on UCF101 (ucf101 70.3, hmdb51 40.5)'
    """
    contents = {path.stem: read_table(path) for path in RECIPES.glob("*.yaml")}
    lines = {}
    for name in sorted(contents, key=lambda n: _position(contents[n].get("paper", "dsm"), n)):
        content = contents[name]
        paper, published = content.get("paper", "dsm").upper(), _numbers(content["published"])
        ending = f" ({published})" if published else ""
        lines[name] = f"{paper}, table {content['table']}: {content['row']}{ending}"
    return lines


def read_recipe(path: Path) -> Recipe:
    """Read and check a recipe file; `config.find_config` finds one by its name.

    Raises:
        UnsceneError: the file cannot be read, a part is missing, or a value cannot be right; names
            the file, the key and the value.
    """
    if not path.is_file():
        raise UnsceneError(_describe_missing(path))
    content = read_table(path)
    if not set(content) >= _TABLE:
        what = f"a recipe is a YAML table with {', '.join(sorted(_TABLE))}"
        alone = f"; `unscene pretrain --config {path.stem}` runs its pre-training"
        raise UnsceneError(f"{path}: {what}{alone if 'pretrain' in content else ''}")
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
            folder = name_folder(stage, split)
            first = taken.setdefault(folder, number)
            if first != number:
                raise UnsceneError(
                    f"{path}: {where} would share the folder {folder} with stage {first}; make it "
                    "a recipe of its own"
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


def _describe_missing(path: Path) -> str:
    close = find_nearest(path.stem, (one.stem for one in RECIPES.glob("*.yaml")))
    hint = f"did you mean {close}? " if close else ""
    return (
        f"{path}: no such recipe; {hint}`unscene reproduce --list` shows the names, and the path "
        "of a file names one of your own"
    )


@dataclass(frozen=True)
class _Checks:
    """Checks of values; each raises UnsceneError with the file, the key and the value."""

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
        """Check that the settings make a configuration."""
        try:
            build(given)
        except UnsceneError as error:
            raise UnsceneError(f"{self.path}: {key}: {error}") from error

    def stage(self, key: str, stage: Any, *, pretrained: bool) -> None:
        """Check a stage of `evaluate`."""
        self.table(key, stage)
        self.one_of(f"{key}: data", stage.get("data"), DATASETS)
        self.one_of(f"{key}: protocol", stage.get("protocol"), PROTOCOLS)
        remedy = "must be a list of splits, such as [1, 2, 3]"
        self.that(f"{key}: splits", stage.get("splits"), _splits, remedy)
        given = {name: value for name, value in stage.items() if name not in _STAGE}
        if not pretrained and not (stage["protocol"] == "finetune" and "encoder" in given):
            raise UnsceneError(
                f"{self.path}: {key}: there is no encoder to evaluate, because the recipe has "
                "no pretrain; add it, or fine-tune a new encoder (encoder: c3d)"
            )
        if stage["protocol"] == "finetune":
            required = {"data": "test", "train": "train", "encoder": "pretrain"}
            self.settings(key, finetune_config.build, required | given)
        elif unknown := sorted(set(given) - _RETRIEVE):
            known = ", ".join(sorted(_RETRIEVE))
            raise UnsceneError(
                f"{self.path}: {key}: unknown setting {unknown[0]!r}; known: {known}"
            )
        else:
            self.one_of(f"{key}: mode", given.get("mode", "video"), _MODES)


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _percent(value: Any) -> bool:
    if not isinstance(value, dict):
        return False
    return all(isinstance(v, int | float) and not isinstance(v, bool) for v in value.values())


def _splits(value: Any) -> bool:
    known = isinstance(value, list) and all(v in _SPLITS for v in value)
    return known and bool(value) and len(set(value)) == len(value)


def format_markdown(recipes: Sequence[Recipe]) -> str:
    """Format recipes as a Markdown table, with an empty column for measured numbers."""
    lines = [
        "| recipe | paper, table | row | published, % | measured, % |",
        "|---|---|---|---|---|",
    ]
    for recipe in sorted(recipes, key=lambda r: (*_position(r.paper, r.name), r.table)):
        source = f"{recipe.paper.upper()}, {recipe.table}"
        published = _numbers(recipe.published)
        lines.append(f"| `{recipe.name}` | {source} | {recipe.row} | {published} | |")
    return "\n".join(lines) + "\n"


def _position(paper: str, name: str) -> tuple[int, str]:
    """Sorts recipes by paper; names begin with the table."""
    return PAPERS.index(paper), name


def _numbers(published: dict[str, float]) -> str:
    return ", ".join(f"{name} {value}" for name, value in published.items())
