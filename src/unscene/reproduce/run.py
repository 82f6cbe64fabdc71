"""One row of a paper's table, from the data to the numbers, in one call; `recipe` says what it is.

    OUT/pretrain/                  the pre-training (see train.pretrain), unless the row has none
    OUT/ucf101-finetune-1/ ...     one folder for every stage and split
    OUT/.../results.jsonl          its numbers, one row each

Called again it goes on where it was stopped, and does nothing twice: a stage that has its
results.jsonl is finished, and its numbers are read from there.
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
from unscene.evaluate.run import evaluate
from unscene.reproduce.recipe import Recipe, folder
from unscene.results.rows import Row, read_rows
from unscene.train import config as pretrain_config
from unscene.train import engine
from unscene.train.config import RunConfig
from unscene.train.preflight import (
    CHECKPOINT,
    PROCESSES,
    open_checkpoint,
    open_initial_encoder,
)
from unscene.train.pretrain import pretrain_once

RESULTS = "results.jsonl"
_DRY_PRETRAIN = {"max_steps": 2, "batch_size": 2, "queue": 8, "workers": 0, "motion_frames": 2}
_DRY_FINETUNE = {"max_steps": 2, "batch_size": 2, "clips": 1, "workers": 0, "min_steps": 0}
_DEFAULTS = {"mode": "video", "clips": 10, "label": "label", "apart": None}  # of `evaluate`
_DEVICE = {"auto": "auto", "cpu": "cpu", "gpu": "cuda"}  # of a retrieval, by accelerator


@dataclass(frozen=True)
class Run:
    """A recipe with all that it needs to be run.

    Attributes:
        recipe: what to run.
        roots: by dataset, the folder of its videos and lists (see `video.official`).
        out: folder of the run.
        options: of the trainings, by the names of `train.config`; those given only.
        dry: two steps of each training on tiny clips.
    """

    recipe: Recipe
    roots: Mapping[str, str]
    out: Path
    options: Mapping[str, Any]
    dry: bool

    @property
    def pretrained(self) -> Path:
        return self.out / "pretrain"

    def part(self, name: str, split: int, part: str) -> str:
        """A part of a dataset as DATA."""
        if name == "kinetics":
            return f"kinetics-{'train' if part == 'train' else 'val'}:{self.roots[name]}"
        return f"{name}-{split}-{part}:{self.roots[name]}"

    def stages(self, protocol: str) -> Iterator[tuple[dict[str, Any], int, Path]]:
        """The stages of a protocol with each of their splits, and its folder."""
        for stage in self.recipe.evaluate:
            if stage["protocol"] == protocol:
                for split in stage["splits"]:
                    yield stage, split, self.out / folder(stage, split)


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
        options: devices, workers, precision ... of the trainings. Its batches are the paper's
            however many devices share them, so that steps and learning rate are, too. What does
            change numbers a little: `precision`, `short_side`, `sync_batchnorm`, and without that
            the number of devices, each normalising by its own clips. Retrievals take one device,
            of the kind of `accelerator`, in fp32.
        dry: two steps of each training on tiny clips: does everything run? The numbers mean
            nothing.

    Returns:
        The rows of all stages, fine-tunings first; in all processes but the first none.

    Raises:
        UnsceneError: a dataset that the recipe needs has no folder, a batch that the devices cannot
            share alike, OUT holds numbers of other settings, or what the stages raise.
    """
    missing = [name for name in recipe.needs if not roots.get(name)]
    if missing:
        flags = ", ".join(f"--{name} FOLDER" for name in missing)
        raise UnsceneError(f"{recipe.name} needs {' and '.join(missing)}: give {flags}")
    given = {key: value for key, value in (options or {}).items() if value is not None}
    folders = {name: str(files.expand_home(root)) for name, root in roots.items() if root}
    run = Run(recipe, folders, out, given, dry)
    # All settings before the first step: what cannot be trained should show at once.
    pretraining = _pretraining(run)
    tunings = {
        place: _tuning(run, stage, split, place) for stage, split, place in run.stages("finetune")
    }
    if pretraining:
        _pretrain(pretraining)
    rows: list[Row] = []
    for place, config in tunings.items():
        if (place / RESULTS).exists():
            build, flat = finetune_config.build, finetune_config.flat
            continue_config(build, flat, read_config(place / CONFIG), flat(config))
            rows += _rows(place / RESULTS)
        else:
            rows += finetune(config, resume=(place / CHECKPOINT).exists())
    # One process makes a retrieval, when no training is left that others would have to wait for.
    if not engine.is_first_process():
        return []
    for stage, split, place in run.stages("retrieve"):
        rows += _retrieve(run, stage, split, place)
    return rows


@dataclass(frozen=True)
class Mean:
    """A metric over several splits of a dataset.

    Attributes:
        value: the mean of the splits' values.
        ci95: the means of the ends of their intervals: what their videos leave open, were the
            splits' errors all one error. Never too narrow; the splits share videos.
        splits: how many.
    """

    data: str
    metric: str
    value: float
    ci95: tuple[float, float]
    splits: int


def means(rows: Sequence[Row]) -> list[Mean]:
    """The mean over splits, which is what papers publish, where rows are of more than one."""
    groups: dict[tuple[Any, ...], list[Row]] = defaultdict(list)
    for row in rows:
        data = re.sub(r"-[123]-\w+$", "", row.split)
        groups[data, row.metric, row.test["protocol"], row.test.get("mode")].append(row)
    return [
        Mean(
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


def _pretraining(run: Run) -> RunConfig | None:
    if not run.recipe.pretrain:
        return None
    settings = {**run.recipe.pretrain, **run.options, "out": str(run.pretrained)}
    settings["data"] = run.part(settings["data"], 1, "train")
    config = pretrain_config.build(settings)
    batch = _share(config.settings.batch_size, config, f"{run.recipe.name}, pretrain")
    if run.dry:
        settings |= {**_DRY_PRETRAIN, **run.options} | _smallest(config.encoder)
        return pretrain_config.build(settings)
    return replace(config, settings=replace(config.settings, batch_size=batch))


def _tuning(run: Run, stage: dict[str, Any], split: int, place: Path) -> FinetuneConfig:
    settings = {key: stage[key] for key in stage if key not in ("protocol", "splits")}
    train, test = (run.part(stage["data"], split, part) for part in ("train", "test"))
    encoder = stage.get("encoder", str(run.pretrained))
    settings |= run.options
    settings |= {"data": test, "train": train, "encoder": encoder, "out": str(place)}
    config = finetune_config.build(settings)
    batch = _share(config.batch_size, config, f"{run.recipe.name}, {place.name}")
    if run.dry:
        name = run.recipe.pretrain.get("encoder", RunConfig.encoder)
        settings |= {**_DRY_FINETUNE, **run.options} | _smallest(stage.get("encoder", name))
        return finetune_config.build(settings)
    return replace(config, batch_size=batch)


def _share(batch: int, config: RunConfig | FinetuneConfig, what: str) -> int:
    """Each device's part of a batch: of the devices that there are, or that the run began with.

    A run that was begun keeps its parts, so that it compares equal to itself where it is finished;
    one that is not finished says by itself how many devices it needs.
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


def _retrieve(run: Run, stage: dict[str, Any], split: int, place: Path) -> list[Row]:
    settings = {key: stage[key] for key in stage if key not in ("protocol", "data", "splits")}
    train, test = (run.part(stage["data"], split, part) for part in ("train", "test"))
    if (place / RESULTS).exists():
        rows = _rows(place / RESULTS)
        now = _DEFAULTS | {"data": test, "short_side": run.options.get("short_side", 0)} | settings
        check_same(now | _asked(rows[0]), now, now)
        return rows
    return evaluate(
        "retrieve",
        test,
        run.pretrained,
        train=train,
        workers=0 if run.dry else run.options.get("workers", RunConfig.workers),
        device=_DEVICE[run.options.get("accelerator", "auto")],
        short_side=run.options.get("short_side", 0),
        out=place / RESULTS,
        **settings,
    )


def _asked(row: Row) -> dict[str, Any]:
    """What a retrieval was asked for that decides its numbers."""
    clips = {"clips": row.views} if row.views else {}  # in mode "clip" there are as many as fit
    asked = {"data": row.data, "label": row.label, "mode": row.test["mode"]}
    side = row.test.get("short_side", 0)
    return asked | {"apart": row.test["apart"], "short_side": side} | clips


def _rows(path: Path) -> list[Row]:
    return [Row.from_record(row) for row in read_rows(path)]


def _smallest(encoder: str) -> dict[str, int]:
    """The smallest clip an encoder takes, of a few frames at least."""
    t, h, w = open_initial_encoder(encoder, {}).minimum
    return {"frames": max(t, 4), "size": max(h, w, 32), "stride": 1}
