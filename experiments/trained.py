"""Shared by the experiments: encoders, each trained once per seed and then reused; flags; rows.

An encoder or row that exists must have the requested settings. Otherwise the experiment
ends with a message that lists the differences and the remedy. A setting that is newer than a run
counts as if the run had its default.
"""

from __future__ import annotations

import argparse
import os
import shutil
from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import torch

from unscene.config import CONFIG, FREE, RENAMED, read_config
from unscene.data.catalog import Catalog
from unscene.encoders import VideoEncoder, create_encoder, load_encoder
from unscene.evaluate.finetuning.config import FinetuneConfig
from unscene.evaluate.finetuning.config import build as finetuning
from unscene.evaluate.finetuning.config import flat as flat_finetuning
from unscene.evaluate.finetuning.run import finetune
from unscene.methods.registry import resolve
from unscene.results.rows import Row, append_rows, read_rows
from unscene.train.config import OWN, build, flat
from unscene.train.pretrain import SUMMARY, pretrain

HERE = Path(__file__).resolve().parent
ROWS = HERE / "rows"
DATA = Path(os.environ.get("UNSCENE_DATA", HERE.parent.parent / "shared" / "data"))
_OFF = {"warp": False, "flow_scaling": False, "shift": False}
_NARROW = {"side_encoders": "narrow", "predictor_dim": 128, "predictor_hidden": 256}
_CMD = _NARROW | {"dim": 128}
_BARE = {"other_scene": 0.0, "prediction_weight": 0.0, "stages": 1}
_NCE = {"motion_loss": "nce", "predictor": "transformer"}  # not read where nothing is predicted
_VALUES = {
    **{"tasks": "motion", "motion_loss": "l2", "predictor": "linear", "predictor_dim": 128},
    "scales": "concat",  # as in unscene; CMD adds them
}
# Name in the rows -> method and what is changed: the rows of the DSM paper's Table 4, the other two
# systems with their halves, and the parts of unscene.
METHODS: dict[str, tuple[str, dict[str, Any]]] = {
    "random": ("", {}),
    "moco": ("moco", {}),
    "dsm": ("dsm", {}),
    "dsm-triplet": ("dsm-triplet", {}),
    "dsm-inside": ("dsm", {"shift_loops": False}),
    "dsm-half-warp": ("dsm", {"warp_reach": 0.1}),
    "triplet-inside": ("dsm-triplet", {"shift_loops": False}),
    "triplet-unwarped": ("dsm-triplet", {"warp": False}),
    "moco+warp": ("dsm", _OFF | {"warp": True}),
    "moco+disturb": ("dsm", {"warp": False}),
    "moco+warp+flow": ("dsm", {"shift": False}),
    "moco+warp+shift": ("dsm", {"flow_scaling": False}),
    "hdc": ("hdc", {}),
    "hdc-spatial": ("hdc", {"contrasts": "spatial"}),
    "hdc-temporal": ("hdc", {"contrasts": "temporal"}),
    "hdc-entangled": ("hdc", {"contrasts": "entangled"}),
    "hdc-one-stage": ("hdc", {"stages": 1}),
    "hdc-equal": ("hdc", {"stage_weights": (1.0, 1.0, 1.0)}),
    "hdc-crop-last": ("hdc", {"crop_first": False}),
    "hdc-3d": ("hdc", {"sc_pool": "3d"}),
    "cmd": ("cmd", _CMD),
    "cmd-context": ("cmd", _CMD | {"tasks": "context"}),
    "cmd-motion": ("cmd", _CMD | {"tasks": "motion"}),
    "cmd-l2": ("cmd", _CMD | {"motion_loss": "l2"}),
    "cmd-present": ("cmd", _CMD | {"motion_at": "present"}),
    "cmd-linear": ("cmd", _CMD | {"predictor": "linear"}),
    "cmd-any": ("cmd", _CMD | {"context_from": "any"}),
    "cmd-flow": ("cmd", _CMD | {"motion_from": "flow"}),
    "cmd-difference": ("cmd", _CMD | {"motion_from": "difference"}),
    "cmd-motion-l2": ("cmd", _VALUES),
    "cmd-motion-l2+residual": ("cmd", _VALUES | {"motion_from": "vectors+residual"}),
    "triplet+codec": ("dsm-triplet", {"flow": "codec"}),
    "triplet+scene": ("unscene", _BARE | _NCE | {"other_scene": 0.5}),
    "triplet+stages": ("unscene", _BARE | _NCE | {"stages": 2}),
    "triplet+future": ("unscene", _BARE | _NARROW | {"prediction_weight": 1.0}),
    "triplet+future-nce": ("unscene", _BARE | _NARROW | _NCE | {"prediction_weight": 1.0}),
    "unscene": ("unscene", _NARROW),
    "unscene+flow": ("unscene", _NARROW | {"motion_from": "flow"}),
    "unscene+codec": ("unscene", _NARROW | {"flow": "codec"}),
    "unscene-flat": ("unscene", _NARROW | {"stages": 1}),
    "unscene-nce": ("unscene", _NARROW | _NCE),
    "triplet-camera-in": ("dsm-triplet", {"camera": "in"}),
    "triplet-camera-out": ("dsm-triplet", {"camera": "out"}),
    "unscene-camera-in": ("unscene", _NARROW | {"camera": "in"}),
    "unscene-camera-out": ("unscene", _NARROW | {"camera": "out"}),
    "distill": ("distill", {"teacher": "motion", "teacher_size": 80}),
    "moco-time": ("moco", {}),
    "hdc-time": ("hdc", {}),
    "dsm-time": ("dsm", {}),
    "triplet-time": ("dsm-triplet", {}),
    "cmd-motion-l2-time": ("cmd", _VALUES),
}
# As many times the steps as CPU seconds (costs.py) are those of dsm for moco, of unscene-nce for
# the triplet, and of unscene for the others.
_TIMES = {
    **{"moco-time": 3.0, "hdc-time": 1.8, "dsm-time": 1.4, "triplet-time": 2.5},
    "cmd-motion-l2-time": 4.0,
}


@dataclass(frozen=True)
class Training:
    """The training that all methods of an experiment share.

    Attributes:
        work: folder of the runs.
        name: of the data and settings, as a part of the names of the runs.
        settings: for `train.config.build`.
    """

    work: Path
    name: str
    settings: dict[str, Any]

    def encoder(self, method: str, videos: Catalog, seed: int) -> VideoEncoder:
        """Train an encoder with a method, or load it if it is already trained.

        Raises:
            SystemExit: it was trained with other settings.
        """
        if method == "random":
            torch.manual_seed(seed)
            encoder = create_encoder(self.settings["encoder"])
            clip = {name: self.settings[name] for name in ("frames", "stride", "size")}
            encoder.spec = replace(encoder.spec, **clip)
            return encoder
        run, given = self.folder(method, seed), self.given(method, videos.source, seed)
        if _finished(run):
            _end_if(_differing(read_config(run / CONFIG), given), f"{run}: was trained")
        elif not pretrain(build(given), catalog=videos, report=lambda *_: None).finished:
            shutil.rmtree(run)
            raise KeyboardInterrupt
        return load_encoder(run)

    def supervised(self, videos: Catalog, test: Catalog, label: str, seed: int) -> VideoEncoder:
        """Train an encoder with labels from scratch, or load it if it is already trained.

        Raises:
            SystemExit: it was trained with other settings.
        """
        run = self.folder("supervised", seed)
        given = self._labelled(test.source, seed) | {"train": videos.source, "label": label}
        if _finished(run):
            _end_if(_differing(read_config(run / CONFIG), given), f"{run}: was trained")
        else:
            finetune(finetuning(given), train=videos, test=test, report=lambda *_: None)
        return load_encoder(run)

    def done(
        self,
        rows: Iterable[dict[str, Any]],
        method: str,
        seed: int,
        *,
        clips: int | None = None,
        **test: Any,
    ) -> bool:
        """Whether there are rows of a method already.

        What a row does not say (such as the training videos) counts as the same.

        Args:
            rows: of the experiment.
            method, seed: of the encoder.
            clips: clips per video.
            test: further settings of the test that rows must have.

        Raises:
            SystemExit: there are, of an encoder with other settings.
        """
        named = [row for row in rows if (row["method"], row["seed"]) == (method, seed)]
        found = [r for r in named if all(r["test"].get(k) == v for k, v in test.items())]
        differing = [self._compare(row) for row in found]
        for row, names in zip(found, differing, strict=True):
            if clips not in (None, row["views"]):
                names["clips"] = row["views"], clips
        if differing and all(differing):
            _end_if(differing[0], f"{method}, seed {seed}: there are rows")
        return bool(found)

    def _compare(self, row: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
        """Settings in which the encoder of a row differs from the requested one."""
        method, seed, config = row["method"], row["seed"], row["config"]
        if method == "random":
            clip = {name: row["test"][name] for name in ("frames", "size")}
            now = {name: self.settings[name] for name in ("encoder", *clip)}
            return _unequal(clip | {"encoder": row["encoder"]}, now)
        if method not in METHODS:  # trained with labels: its settings are complete
            videos = {name: config[name] for name in ("train", "label")}
            return _differing(config, self._labelled(config["data"], seed) | videos)
        given = self.given(method, "rows do not say", seed)
        known = {"encoder": row["encoder"]} | config.get("pretrained", config)
        known["max_steps"] = row["steps"]
        return _differing({k: v for k, v in given.items() if k in OWN} | known, given)

    def given(self, method: str, data: str, seed: int) -> dict[str, Any]:
        """Settings of the run of a method, for `train.config.build`."""
        name, changes = METHODS[method]
        run = {"data": data, "out": str(self.folder(method, seed)), "method": name, "seed": seed}
        steps = round(self.settings["max_steps"] * _TIMES.get(method, 1))
        return self.settings | changes | run | {"max_steps": steps}

    def _labelled(self, data: str, seed: int) -> dict[str, Any]:
        """Settings of the run with labels, for `finetuning.config.build`, without its videos."""
        names = {field.name for field in fields(FinetuneConfig)}
        shared = {name: value for name, value in self.settings.items() if name in names}
        given = {"batch_size": resolve("dsm", "default").batch_size, "validation": 0} | shared
        return given | {"data": data, "out": str(self.folder("supervised", seed)), "seed": seed}

    def folder(self, method: str, seed: int) -> Path:
        """Folder of the run of a method."""
        return self.work / f"{method}-{self.name}-{seed}"


def _finished(run: Path) -> bool:
    """Whether there is such a run. One that was interrupted is removed."""
    if (run / SUMMARY).exists():
        return True
    shutil.rmtree(run, ignore_errors=True)
    return False


def _differing(saved: dict[str, Any], given: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Settings in which a run differs from the requested one: (before, now) by name.

    Args:
        saved, given: both for pre-training or both for training with labels. Folders may have
            moved, and a queue of length 0 is fitted to the videos.
    """

    def resolved(values: dict[str, Any]) -> dict[str, Any]:
        if "train" in given:
            return flat_finetuning(finetuning(values))
        return flat(build(values))

    now = resolved(given)
    renamed = {RENAMED.get(name, name): value for name, value in saved.items()}
    before = resolved({name: value for name, value in renamed.items() if name in now})
    for name in ("data", "train", "encoder"):
        for values in (before, now):
            values[name] = Path(values.get(name, "")).name
    left_open = {"queue"} if now.get("queue") == 0 else set()
    return _unequal(before, {k: v for k, v in now.items() if k not in FREE | left_open})


def _unequal(before: dict[str, Any], now: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    return {name: (before[name], now[name]) for name in now if before[name] != now[name]}


def _end_if(differing: dict[str, tuple[Any, Any]], what: str) -> None:
    if differing:
        table = "\n".join(f"  {k}: was {was!r}, now {now!r}" for k, (was, now) in differing.items())
        raise SystemExit(
            f"{what} with other settings:\n{table}\n"
            "Use the earlier ones, or name these with --note, which keeps runs and rows apart"
        )


def rows_in(path: Path) -> list[dict[str, Any]]:
    """The rows of a file, or none if it does not exist yet."""
    return read_rows(path) if path.exists() else []


def append(path: Path, rows: list[Row], method: str | None = None) -> list[Row]:
    """Append rows to a file, with the name that their method has in the experiment."""
    named = rows if method is None else [replace(row, method=method) for row in rows]
    append_rows(path, named)
    return named


def append_and_show(path: Path, rows: list[Row], what: str = "", method: str | None = None) -> None:
    """Append rows; the terminal shows recall@1 and the probe, or the verdict, after `what`."""
    for row in append(path, rows, method):
        if row.metric in ("retrieval_r1", "probe_top1", "audit/verdict"):
            kind = "standardized" if row.test.get("standardize") else ""
            print(
                f"{what} {row.method:<20} seed {row.seed} {row.data}, {row.split}, {row.label} "
                f"{row.metric} {row.value:.3f} [{row.ci95[0]:.3f}, {row.ci95[1]:.3f}] {kind}",
                flush=True,
            )


def flags(name: str, text: str | None, *, methods: Iterable[str]) -> argparse.ArgumentParser:
    """The flags that experiments share; the first line of `text` says what the experiment is."""
    parser = argparse.ArgumentParser(description=(text or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--methods", nargs="+", choices=list(methods), default=list(methods))
    parser.add_argument("--steps", type=int)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--changes", default="{}", help="settings of all methods, as JSON")
    parser.add_argument("--note", default="", help="names the changes in the rows")
    parser.add_argument("--work", type=Path, default=Path("runs", name))
    parser.add_argument("--out", type=Path, default=ROWS / f"{name}.jsonl.gz")
    return parser


def footage_here() -> bool:
    """Whether there is real footage. Prints a message if there is none."""
    if not DATA.is_dir():
        print(f"{DATA}: no real footage here (UNSCENE_DATA sets the folder); nothing to do")
    return DATA.is_dir()
