"""Reproduce one row of a paper's table: a recipe and datasets in, rows of results out.

    OUT/pretrain/                  the pre-training (see train.pretrain), unless the row has none
    OUT/ucf101-finetune-1/ ...     one folder for every stage and split
    OUT/.../results.jsonl          its rows

A second call continues where the first was stopped, and repeats nothing: a stage with a
results.jsonl is finished, and its rows are read from there.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from unscene import files
from unscene.config import CONFIG, check_same, continue_config, read_config
from unscene.device import count_processes
from unscene.errors import UnsceneError
from unscene.evaluate.finetuning import config as finetune_config
from unscene.evaluate.finetuning.config import FinetuneConfig
from unscene.evaluate.finetuning.run import finetune
from unscene.evaluate.retrieval import KS
from unscene.evaluate.run import evaluate
from unscene.reproduce.recipe import Recipe, name_folder
from unscene.results.rows import Row, read_rows
from unscene.train import config as pretrain_config
from unscene.train import engine
from unscene.train.config import RunConfig
from unscene.train.preflight import (
    CHECKPOINT,
    PROCESSES,
    check_folder,
    open_checkpoint,
    open_initial_encoder,
)
from unscene.train.pretrain import pretrain_once

RESULTS = "results.jsonl"
_DRY_PRETRAIN = {"max_steps": 2, "batch_size": 2, "queue": 8, "workers": 0, "motion_frames": 2}
_DRY_FINETUNE = {"max_steps": 2, "batch_size": 2, "clips": 1, "workers": 0, "min_steps": 0}
_DEFAULTS = {"mode": "video", "clips": 10, "label": "label", "apart": None}  # of `evaluate`
_DEVICE = {"auto": "auto", "cpu": "cpu", "gpu": "cuda"}  # for retrieval, by accelerator


@dataclass(frozen=True)
class RecipeRun:
    """A recipe with everything that is needed to run it.

    Attributes:
        recipe: what to run.
        roots: by dataset, the folder of its videos and lists (see `data.official`).
        out: folder of the run.
        options: settings of training that replace defaults, by the names of `train.config`.
        dry: two steps of each training on tiny clips.
    """

    recipe: Recipe
    roots: Mapping[str, str]
    out: Path
    options: Mapping[str, Any]
    dry: bool

    @property
    def pretrained(self) -> Path:
        """Folder of the pre-training."""
        return self.out / "pretrain"

    def part(self, name: str, split: int, part: str) -> str:
        """DATA for the "train" or "test" part of a dataset."""
        if name == "kinetics":
            return f"kinetics-{'train' if part == 'train' else 'val'}:{self.roots[name]}"
        return f"{name}-{split}-{part}:{self.roots[name]}"

    def stages(self, protocol: str) -> Iterator[tuple[dict[str, Any], int, Path]]:
        """Stages of a protocol: (stage, split, folder) for each of their splits."""
        for stage in self.recipe.evaluate:
            if stage["protocol"] == protocol:
                for split in stage["splits"]:
                    yield stage, split, self.out / name_folder(stage, split)


def reproduce(
    recipe: Recipe,
    roots: Mapping[str, str],
    out: Path,
    *,
    options: Mapping[str, Any] | None = None,
    dry: bool = False,
) -> list[Row]:
    """Run a recipe, or continue to.

    Args:
        recipe: what to run.
        roots: by dataset, the folder of its videos and lists (see `data.official`).
        out: folder of the run.
        options: devices, workers, precision ... of training. Batches are the paper's whatever the
            number of devices that share them, and so are steps and learning rates. These change
            results slightly: `precision`, `short_side`, `sync_batchnorm` and, without that, the
            number of devices, each of which normalizes by its own clips. Retrieval takes one device
            of the kind of `accelerator`, in fp32.
        dry: two steps of each training on tiny clips, to check that everything runs. The numbers
            mean nothing.

    Returns:
        The rows of all stages, fine-tuning first; in all processes but the first, none.

    Raises:
        UnsceneError: a dataset of the recipe has no folder, the devices cannot share a batch
            equally, OUT holds rows of other settings or cannot be written, or an error of a stage.
    """
    missing = [name for name in recipe.needs if not roots.get(name)]
    if missing:
        flags = ", ".join(f"--{name} FOLDER" for name in missing)
        raise UnsceneError(f"{recipe.name} needs {' and '.join(missing)}: add {flags}")
    given = {key: value for key, value in (options or {}).items() if value is not None}
    folders = {name: str(files.expand_home(root)) for name, root in roots.items() if root}
    run = RecipeRun(recipe, folders, out, given, dry)
    check_folder(str(out))
    # Check all settings before the first step: a mistake should show at once.
    pretraining = _configure_pretraining(run)
    finetunings = {
        folder: _configure_finetuning(run, stage, split, folder)
        for stage, split, folder in run.stages("finetune")
    }
    if pretraining:
        _pretrain(pretraining)
    rows: list[Row] = []
    for folder, config in finetunings.items():
        if (folder / RESULTS).exists():
            build, flat = finetune_config.build, finetune_config.flat
            continue_config(build, flat, read_config(folder / CONFIG), flat(config))
            rows += _read(folder / RESULTS)
        else:
            rows += finetune(config, resume=(folder / CHECKPOINT).exists())
    # Retrieval runs in one process, after all training, so that no other has to wait for it.
    if not engine.is_first_process():
        return []
    for stage, split, folder in run.stages("retrieve"):
        rows += _retrieve(run, stage, split, folder)
    return rows


@dataclass(frozen=True)
class SplitMean:
    """The mean of a metric over several splits of a dataset.

    Attributes:
        data: name of the dataset.
        metric: as in the rows.
        value: the mean of the splits' values.
        ci95: the means of the ends of their confidence intervals. This is the interval of the mean
            if the splits' errors are fully correlated, and never too narrow: splits share videos.
        splits: number of splits.
    """

    data: str
    metric: str
    value: float
    ci95: tuple[float, float]
    splits: int


def average_splits(rows: Sequence[Row]) -> list[SplitMean]:
    """Average rows over splits, as papers do; only where there is more than one split."""
    groups: dict[tuple[Any, ...], list[Row]] = defaultdict(list)
    for row in rows:
        data = re.sub(r"-[123]-\w+$", "", row.split)
        groups[data, row.metric, row.test["protocol"], row.test.get("mode")].append(row)
    return [
        SplitMean(
            data,
            metric,
            sum(row.value for row in group) / len(group),
            (
                sum(row.ci95[0] for row in group) / len(group),
                sum(row.ci95[1] for row in group) / len(group),
            ),
            len(group),
        )
        for (data, metric, *_), group in groups.items()
        if len(group) > 1
    ]


def _configure_pretraining(run: RecipeRun) -> RunConfig | None:
    if not run.recipe.pretrain:
        return None
    settings = {**run.recipe.pretrain, **run.options, "out": str(run.pretrained)}
    settings["data"] = run.part(settings["data"], 1, "train")
    config = pretrain_config.build(settings)
    batch = _share_batch(config.settings.batch_size, config, f"{run.recipe.name}, pretrain")
    if run.dry:
        settings |= {**_DRY_PRETRAIN, **run.options} | _smallest_clips(config.encoder)
        return pretrain_config.build(settings)
    return replace(config, settings=replace(config.settings, batch_size=batch))


def _configure_finetuning(
    run: RecipeRun, stage: dict[str, Any], split: int, folder: Path
) -> FinetuneConfig:
    settings = {key: stage[key] for key in stage if key not in ("protocol", "splits")}
    train, test = (run.part(stage["data"], split, part) for part in ("train", "test"))
    encoder = stage.get("encoder", str(run.pretrained))
    settings |= run.options
    settings |= {"data": test, "train": train, "encoder": encoder, "out": str(folder)}
    config = finetune_config.build(settings)
    batch = _share_batch(config.batch_size, config, f"{run.recipe.name}, {folder.name}")
    if run.dry:
        name = run.recipe.pretrain.get("encoder", RunConfig.encoder)
        settings |= {**_DRY_FINETUNE, **run.options} | _smallest_clips(stage.get("encoder", name))
        return finetune_config.build(settings)
    return replace(config, batch_size=batch)


def _share_batch(batch: int, config: RunConfig | FinetuneConfig, what: str) -> int:
    """The part of a batch for each device: of those available, or of those the run was started on.

    A run that was started keeps its number of devices, so that its settings compare equal once it
    is finished. If it is not finished, resuming it says how many devices it needs.
    """
    processes = count_processes(config.devices, config.accelerator)
    checkpoint = Path(config.out) / CHECKPOINT
    if checkpoint.exists():
        processes = open_checkpoint(checkpoint).get(PROCESSES, processes)
    if batch % processes:
        fitting = ", ".join(str(n) for n in range(1, processes) if batch % n == 0)
        raise UnsceneError(
            f"{what}: a batch of {batch} cannot be shared equally by {processes} devices, and "
            f"another batch would not be the paper's; give --devices one of {fitting}"
        )
    return batch // processes


def _pretrain(config: RunConfig) -> None:
    outcome = pretrain_once(config)
    if engine.is_first_process():
        print(outcome.account if outcome else f"{config.out}: already finished")


def _retrieve(run: RecipeRun, stage: dict[str, Any], split: int, folder: Path) -> list[Row]:
    settings = {key: stage[key] for key in stage if key not in ("protocol", "data", "splits")}
    train, test = (run.part(stage["data"], split, part) for part in ("train", "test"))
    if (folder / RESULTS).exists():
        rows = _read(folder / RESULTS)
        now = _DEFAULTS | {"data": test, "short_side": run.options.get("short_side", 0)}
        now |= {"stride": rows[0].test["stride"]} | settings  # not given: the encoder's
        check_same(now | _retrieval_settings(rows[0]), now, now)
        return rows
    return evaluate(
        "retrieve",
        test,
        run.pretrained,
        train=train,
        workers=0 if run.dry else run.options.get("workers", RunConfig.workers),
        device=_DEVICE[run.options.get("accelerator", "auto")],
        short_side=run.options.get("short_side", 0),
        ks=KS,  # whatever the number of classes, as the papers
        baseline=False,
        out=folder / RESULTS,
        **settings,
    )


def _retrieval_settings(row: Row) -> dict[str, Any]:
    """The settings of a retrieval that decide its results."""
    settings = {
        "data": row.data,
        "label": row.label,
        "mode": row.test["mode"],
        "apart": row.test["apart"],
        "short_side": row.test.get("short_side", 0),
        "stride": row.test["stride"],
    }
    return settings | ({"clips": row.views} if row.views else {})  # mode "clip" has no number


def _read(path: Path) -> list[Row]:
    return [Row.from_record(row) for row in read_rows(path)]


def _smallest_clips(encoder: str) -> dict[str, int]:
    """The smallest clips that an encoder takes, of at least four frames and 32 pixels."""
    t, h, w = open_initial_encoder(encoder, {}).minimum
    return {"frames": max(t, 4), "size": max(h, w, 32), "stride": 1}
