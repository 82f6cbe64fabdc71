"""What experiments share: encoders, each trained once for a seed and found again; flags; rows."""

from __future__ import annotations

import argparse
import json
import os
import shutil
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import torch
from cost import seconds_a_step

from unscene.encoders import VideoEncoder, create_encoder, load_encoder
from unscene.evaluate.finetune import finetune
from unscene.evaluate.finetune_config import FinetuneConfig
from unscene.evaluate.finetune_config import build as finetuning
from unscene.evaluate.rows import Row, read_rows
from unscene.methods.presets import resolve
from unscene.train.config import build
from unscene.train.pretrain import pretrain
from unscene.video.catalog import Catalog

HERE = Path(__file__).resolve().parent
DATA = Path(os.environ.get("UNSCENE_DATA", HERE.parent.parent / "shared" / "data"))
_OFF = {"warp": False, "flow_scaling": False, "shift": False}
_NARROW = {"side_encoders": "narrow", "predictor_dim": 128, "predictor_hidden": 256}
_BARE = {"other_scene": 0.0, "foretell": 0.0, "stages": 1}
_NCE = {"motion_loss": "nce", "predictor": "transformer"}
_VALUES = {"tasks": "motion", "motion_loss": "l2", "predictor": "linear", "predictor_dim": 128}
# Name in the rows -> method and what is changed: the rows of the DSM paper's Table 4, the other two
# systems with their halves, and the parts of unscene.
METHODS: dict[str, tuple[str, dict[str, Any]]] = {
    "random": ("", {}),
    "moco": ("moco", {}),
    "dsm": ("dsm", {}),
    "dsm-triplet": ("dsm-triplet", {}),
    "moco+warp": ("dsm", _OFF | {"warp": True}),
    "moco+disturb": ("dsm", {"warp": False}),
    "moco+warp+flow": ("dsm", {"shift": False}),
    "moco+warp+shift": ("dsm", {"flow_scaling": False}),
    "hdc": ("hdc", {}),
    "hdc-spatial": ("hdc", {"contrasts": "spatial"}),
    "hdc-temporal": ("hdc", {"contrasts": "temporal"}),
    "cmd": ("cmd", _NARROW | {"dim": 128}),
    "cmd-context": ("cmd", _NARROW | {"dim": 128, "tasks": "context"}),
    "cmd-motion": ("cmd", _NARROW | {"dim": 128, "tasks": "motion"}),
    "cmd-motion-l2": ("cmd", _VALUES),
    "cmd-motion-l2+residual": ("cmd", _VALUES | {"motion_from": "vectors+residual"}),
    "triplet+codec": ("dsm-triplet", {"flow": "codec"}),
    "triplet+scene": ("unscene", _BARE | {"other_scene": 0.5}),
    "triplet+stages": ("unscene", _BARE | {"stages": 2}),
    "triplet+future": ("unscene", _BARE | _NARROW | {"foretell": 1.0}),
    "triplet+future-nce": ("unscene", _BARE | _NARROW | _NCE | {"foretell": 1.0}),
    "unscene": ("unscene", _NARROW),
    "unscene-flat": ("unscene", _NARROW | {"stages": 1}),
    "unscene-nce": ("unscene", _NARROW | _NCE),
    "moco-time": ("moco", {}),
    "triplet-time": ("dsm-triplet", {}),
    "cmd-motion-l2-time": ("cmd", _VALUES),
}
# As many steps as fit into the time that the other method takes.
_AS_LONG_AS = {"moco-time": "dsm", "triplet-time": "unscene-nce", "cmd-motion-l2-time": "unscene"}


@dataclass(frozen=True)
class Training:
    """What all methods of an experiment share.

    Attributes:
        work: folder of the runs.
        name: of the data and settings, in the names of the runs.
        settings: as `train.config.build` takes them.
    """

    work: Path
    name: str
    settings: dict[str, Any]

    def encoder(self, method: str, videos: Catalog, seed: int) -> VideoEncoder:
        """The encoder that a method trains on the videos; from its folder if it did already."""
        if method == "random":
            torch.manual_seed(seed)
            encoder = create_encoder(self.settings["encoder"])
            clip = {name: self.settings[name] for name in ("frames", "stride", "size")}
            encoder.spec = replace(encoder.spec, **clip)
            return encoder
        run = self._folder(method, seed)
        if (run / "summary.json").exists():
            return load_encoder(run)
        shutil.rmtree(run, ignore_errors=True)  # cut off half way
        name, changes = METHODS[method]
        given = self.settings | changes
        given |= {"data": videos.source, "out": str(run), "method": name, "seed": seed}
        if method in _AS_LONG_AS:
            other, others = METHODS[_AS_LONG_AS[method]]
            run_of = {name: given[name] for name in ("data", "out", "seed")}
            rival = self.settings | others | run_of | {"method": other}
            ratio = seconds_a_step(rival, videos.videos) / seconds_a_step(given, videos.videos)
            given["max_steps"] = round(given["max_steps"] * ratio)
        if not pretrain(build(given), catalog=videos, report=lambda *_: None).finished:
            shutil.rmtree(run)
            raise KeyboardInterrupt
        return load_encoder(run)

    def supervised(self, videos: Catalog, test: Catalog, label: str, seed: int) -> VideoEncoder:
        """The encoder that learns the labels of the videos, everything trained from nothing."""
        run = self._folder("supervised", seed)
        if not (run / "summary.json").exists():
            shutil.rmtree(run, ignore_errors=True)
            names = {field.name for field in fields(FinetuneConfig)}
            shared = {name: value for name, value in self.settings.items() if name in names}
            given = {"batch_size": resolve("dsm", "default").batch_size, "validation": 0} | shared
            given |= {"data": test.source, "train": videos.source, "label": label}
            config = finetuning(given | {"out": str(run), "seed": seed})
            finetune(config, train=videos, test=test, report=lambda *_: None)
        return load_encoder(run)

    def _folder(self, method: str, seed: int) -> Path:
        return self.work / f"{method}-{self.name}-{seed}"


def known(path: Path, *names: str) -> set[tuple[Any, ...]]:
    """What a file of rows holds already: (method, seed, further settings of the test)."""
    rows = read_rows(path) if path.exists() else []
    return {(r["method"], r["seed"], *(r["test"].get(name) for name in names)) for r in rows}


def append(path: Path, rows: list[Row], method: str | None = None) -> None:
    """Add rows to a file, under the name of their method in the experiment if it has one."""
    named = rows if method is None else [replace(row, method=method) for row in rows]
    with path.open("a", encoding="utf-8") as file:
        file.writelines(json.dumps(asdict(row)) + "\n" for row in named)


def flags(name: str, text: str | None, *, methods: Iterable[str]) -> argparse.ArgumentParser:
    """The flags that experiments share; `text` begins with what the experiment is."""
    parser = argparse.ArgumentParser(description=(text or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--methods", nargs="+", choices=list(methods), default=list(methods))
    parser.add_argument("--steps", type=int)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--changes", default="{}", help="settings of all methods, as JSON")
    parser.add_argument("--note", default="", help="names the changes in the rows")
    parser.add_argument("--work", type=Path, default=Path("runs", name))
    parser.add_argument("--out", type=Path, default=HERE / f"{name}.jsonl")
    return parser


def footage_here() -> bool:
    """Whether there is real footage; says so if there is none."""
    if not DATA.is_dir():
        print(f"{DATA}: no real footage here (UNSCENE_DATA names its place); nothing to do")
    return DATA.is_dir()
