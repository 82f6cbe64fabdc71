"""A fine-tuning's configuration: one flat record, written as OUT/config.yaml and read back.

This file imports no torch, so that the command line answers at once.

    default        ours, for hundreds of videos rather than tens of thousands: AdamW, warm-up and
                   cosine, and never fewer steps than `min_steps`. Taken over from common practice,
                   not measured against others.
    paper          DSM: 45 epochs, SGD 0.1, times 0.1 every 10 epochs; momentum, weight decay and
                   batch as in its pre-training (methods.md 1.5). The paper names no dropout and no
                   augmentation; those of the authors' code stand in.
    official-code  the authors' ft.sh for HMDB51 and its defaults: SGD 0.001, times 0.3 at six
                   epochs, batches of 4, 64 neighbouring frames of 224 px. It picks the epoch that
                   is best on the TEST list; here a part of the training set picks.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field, fields
from typing import Any, Literal

from unscene.errors import UnsceneError
from unscene.methods.presets import PRESETS, PresetName
from unscene.methods.typed import typed
from unscene.train.config import Precision, continued


@dataclass(frozen=True)
class FinetuneConfig:
    """Everything that decides what a fine-tuning does.

    Attributes:
        data: the test: folder of class folders, or CSV.
        train: what is learnt from, of the same kinds.
        encoder: folder or file of a saved encoder, or the name of an architecture, which begins
            with random weights; a folder of that name is ./NAME.
        encoder_options: keyword arguments of an architecture (width of r3d-narrow, say).
        out: folder of the run.
        label: column of the classes.
        labels: how many labels are used: a share of each class (0.1), a number for each class (5),
            or all of them (not given, or 1.0).
        validation: share of each class of the used training videos that is not trained on and
            chooses the epoch; 0: the last step is taken. Classes too small to spare a video spare
            none; where most are, the last step is taken too.
        preset: where settings that are not given come from.
        seed: decides the classifier, the choice of videos, windows, views and dropout.
        frames: how many frames a clip has; not given: as many as the encoder was trained on.
        stride: distance of a clip's neighbouring frames, in frames of the video; not given: the
            encoder's.
        size: side of a clip in pixels; not given: the encoder's.
        augmentation: preset of the basic augmentation.
        dropout: probability that a feature is dropped before the classifier.
        optimizer: what makes steps of gradients.
        lr: learning rate at its highest, before `schedule` lowers it.
        momentum: that of SGD; AdamW does not look at it.
        weight_decay: how strongly weights are drawn to zero.
        schedule: "step" multiplies lr by `drop_factor` at `drops`, "cosine" goes to zero,
            "constant" stays.
        drops: epochs after which the "step" schedule lowers lr.
        drop_factor: what lr is multiplied by at each of them.
        warmup: share of all steps in which lr rises from zero.
        epochs: how often every training video is seen.
        min_steps: more epochs, if they would make fewer steps than this.
        max_steps: optimiser steps, whatever the epochs.
        batch_size: clips in a batch (of each device), at the test too.
        clips: windows of a test video, whose class probabilities are averaged.
        short_side: shrink larger frames while reading to this short side; 0: never.
        workers: reading processes per training process.
        threads: processor threads that a training process computes on; 0: as many as torch takes.
        save_every: steps between checkpoints; 0: whenever the validation is scored.
        precision: of the training; "auto" is bf16 on a GPU and fp32 on a CPU. Tests are in fp32.
        devices: number of devices, or "auto".
        accelerator: what computes; "auto" is a GPU where there is one.
        sync_batchnorm: share batch statistics between processes.
    """

    data: str
    train: str
    encoder: str
    encoder_options: dict[str, Any] = field(default_factory=dict)
    out: str = "runs/finetune"
    label: str = "label"
    labels: int | float | None = None
    validation: float = 0.1
    preset: PresetName = "default"
    seed: int = 0
    frames: int | None = None
    stride: int | None = None
    size: int | None = None
    augmentation: Literal["paper", "mild", "modern", "cmd", "none"] = "mild"
    dropout: float = 0.5
    optimizer: Literal["sgd", "adamw"] = "adamw"
    lr: float = 1e-3
    momentum: float = 0.9
    weight_decay: float = 0.01
    schedule: Literal["step", "cosine", "constant"] = "cosine"
    drops: tuple[int, ...] = (10, 20, 30, 40)
    drop_factor: float = 0.1
    warmup: float = 0.1
    epochs: int = 45
    min_steps: int = 300
    max_steps: int | None = None
    batch_size: int = 16
    clips: int = 10
    short_side: int = 0
    workers: int = 2
    threads: int = 0
    save_every: int = 0
    precision: Precision = "auto"
    devices: int | Literal["auto"] = "auto"
    accelerator: Literal["auto", "cpu", "gpu"] = "auto"
    sync_batchnorm: bool = False

    def __post_init__(self) -> None:
        for name in ("data", "train", "encoder"):
            self._require(name, bool(getattr(self, name)), "must be given")
        for name in ("frames", "stride", "size", "max_steps"):
            value = getattr(self, name)
            self._require(name, value is None or value >= 1, "must be at least 1")
        for name in ("epochs", "batch_size", "clips"):
            self._require(name, getattr(self, name) >= 1, "must be at least 1")
        for name in ("lr", "drop_factor"):
            self._require(name, getattr(self, name) > 0, "must be above 0")
        for name in (
            *("momentum", "weight_decay", "min_steps", "short_side", "workers", "threads"),
            *("save_every", "seed"),
        ):
            self._require(name, getattr(self, name) >= 0, "must not be negative")
        for name in ("dropout", "warmup", "validation"):
            self._require(name, 0 <= getattr(self, name) < 1, "must lie in 0..1, below 1")
        if self.labels is not None:
            whole = isinstance(self.labels, int) and self.labels >= 1
            share = isinstance(self.labels, float) and 0 < self.labels <= 1
            remedy = "must be a share of the labels (0.1) or a whole number for each class (5)"
            self._require("labels", whole or share, remedy)

    def _require(self, name: str, holds: bool, remedy: str) -> None:
        if not holds:
            raise UnsceneError(f"{name} {getattr(self, name)!r}: {remedy}")


_SGD: dict[str, Any] = {
    "augmentation": "paper",
    "optimizer": "sgd",
    "schedule": "step",
    "warmup": 0.0,
    "min_steps": 0,
}
_PRESETS: dict[str, dict[str, Any]] = {
    "default": {},
    "paper": _SGD | {"lr": 0.1, "weight_decay": 5e-4, "batch_size": 128},
    "official-code": _SGD
    | {
        "lr": 0.001,
        "weight_decay": 1e-8,
        "drops": (10, 20, 25, 30, 35, 40),
        "drop_factor": 0.3,
        "batch_size": 4,
        "frames": 64,
        "stride": 1,
        "size": 224,
    },
}


def build(given: dict[str, Any]) -> FinetuneConfig:
    """A configuration from names and values; None means not given.

    Raises:
        UnsceneError: an unknown name or preset, a value out of range, or no test, training set or
            encoder.
    """
    given = {key: value for key, value in given.items() if value is not None}
    names = [f.name for f in fields(FinetuneConfig)]
    for key in given:
        if key not in names:
            raise UnsceneError(f"unknown setting {key!r}; known: {', '.join(names)}")
    for name, text in (
        ("data", "no DATA: give the videos of the test"),
        ("train", "fine-tuning needs videos to learn from: give them with --train"),
        ("encoder", "no encoder: give a saved one, or the name of an architecture, with --encoder"),
    ):
        if not given.get(name):
            raise UnsceneError(text)
    labels = _labels(given.pop("labels", None))
    values = typed(FinetuneConfig, given)
    preset = values.get("preset", "default")
    assert preset in PRESETS
    return FinetuneConfig(**(_PRESETS[preset] | values), labels=labels)


def _labels(value: Any) -> int | float | None:
    """A whole number or a share; YAML reads 1e-2 as text."""
    if value is None or (isinstance(value, int | float) and not isinstance(value, bool)):
        return value
    try:
        return int(value) if str(value).strip().isdigit() else float(str(value))
    except ValueError:
        raise UnsceneError(f"labels {value!r}: must be a share (0.1) or a whole number") from None


def flat(config: FinetuneConfig) -> dict[str, Any]:
    """The inverse of `build`, as plain YAML types."""
    values = dataclasses.asdict(config)
    return {k: list(v) if isinstance(v, tuple) else v for k, v in values.items()}


def continue_config(saved: dict[str, Any], given: dict[str, Any]) -> FinetuneConfig:
    """As `train.config.continued`, of a fine-tuning."""
    return continued(build, flat, saved, given)
