"""A fine-tuning's configuration: one flat record, written as OUT/config.yaml and read back.

This file imports no torch, so that the command line answers at once.

    default        ours, for hundreds of videos rather than tens of thousands: AdamW, warm-up and
                   cosine, and never fewer steps than `min_steps`. Taken over from common practice,
                   not measured against others.
    paper          DSM: 45 epochs, SGD 0.1, times 0.1 every 10 epochs; momentum, weight decay and
                   batch as in its pre-training (methods.md 1.5). The paper names no dropout and no
                   augmentation; those of the authors' code stand in.
    official-code  the authors' ft.sh for HMDB51 and its defaults: SGD 0.001, times 0.3 at six
                   epochs, batches of 4, 64 neighboring frames of 224 px. It picks the epoch that
                   is best on the TEST list; here a part of the training set picks.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any, Literal

from unscene.config import OptimizerSettings, RunOptions, as_plain, convert_values, require
from unscene.errors import UnsceneError, check_known
from unscene.train.config import locate_places


@dataclass(frozen=True, kw_only=True)
class FinetuneConfig(RunOptions, OptimizerSettings):
    """Labels, clips and classifier of a fine-tuning.

    Attributes:
        data: the test videos: folder of class folders, or CSV.
        train: the training videos, of the same kinds.
        encoder: saved encoder, published checkpoint, or the name of an architecture, which starts
            with random weights; a folder of that name is ./NAME.
        encoder_options: keyword arguments of an architecture (width of r3d-narrow, for example).
        input: what an architecture reads: "rgb", "flow" or "vectors" (the codec's motion vectors).
            An encoder of flow can take it from vectors, and back. Not given: what it reads.
        label: column of the classes.
        labels: number of labels used: a share of each class (0.1), a number for each class (5), or
            all of them (not given, or 1.0).
        validation: share of each class of the used training videos that is not trained on and
            chooses the epoch; 0: the last step is taken. Classes too small to spare a video spare
            none; if most are, the last step is taken too.
        preset: where settings that are not given come from.
        frames: number of frames per clip; not given: as the encoder was trained.
        stride: distance between neighboring frames of a clip, in frames of the video; not given: as
            the encoder was trained.
        size: side of a clip in pixels; not given: as the encoder was trained.
        augmentation: preset of the basic augmentation.
        dropout: probability that a feature is dropped before the classifier.
        drop_factor: what the "step" schedule multiplies lr by at `drops`.
        min_steps: train for more epochs if they would make fewer steps than this.
        clips: clips per test video, whose class probabilities are averaged.
        baseline: then fine-tune an untrained network of the same architecture, with the same
            settings, in OUT/untrained. It takes as long again.
    """

    train: str
    encoder: str
    encoder_options: dict[str, Any] = field(default_factory=dict)
    input: Literal["rgb", "flow", "vectors"] | None = None
    out: str = "runs/finetune"
    label: str = "label"
    labels: int | float | None = None
    validation: float = 0.1
    preset: Literal["default", "paper", "official-code"] = "default"
    frames: int | None = None
    stride: int | None = None
    size: int | None = None
    augmentation: Literal["paper", "dsm-code", "mild", "modern", "cmd", "cmd-finetune", "none"] = (
        "mild"
    )
    dropout: float = 0.5
    drop_factor: float = 0.1
    min_steps: int = 300
    clips: int = 10
    baseline: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self, ("data", "train", "encoder"), bool, "must be given")
        clip = ("frames", "stride", "size")
        require(self, clip, lambda v: v is None or v >= 1, "must be at least 1")
        require(self, ("clips",), lambda v: v >= 1, "must be at least 1")
        require(self, ("drop_factor",), lambda v: v > 0, "must be above 0")
        require(self, ("min_steps",), lambda v: v >= 0, "must not be negative")
        shares = ("dropout", "validation")
        require(self, shares, lambda v: 0 <= v < 1, "must lie in 0..1, below 1")
        remedy = "must be a share of the labels (0.1) or a whole number for each class (5)"
        require(self, ("labels",), _can_be_labels, remedy)


_EPOCHS: dict[str, Any] = {"epochs": 45, "drops": (10, 20, 30, 40)}
_SGD: dict[str, Any] = _EPOCHS | {"augmentation": "paper", "min_steps": 0}
PRESETS: dict[str, dict[str, Any]] = {
    "default": _EPOCHS
    | {
        "optimizer": "adamw",
        "lr": 1e-3,
        "weight_decay": 0.01,
        "schedule": "cosine",
        "warmup": 0.1,
        "batch_size": 16,
    },
    "paper": _SGD | {"lr": 0.1, "weight_decay": 5e-4, "batch_size": 128},
    "official-code": _SGD
    | {
        "augmentation": "dsm-code",
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
    """Build a configuration from names and values; None means not given.

    Raises:
        UnsceneError: an unknown name or preset, a value out of range, or no test videos, training
            videos or encoder.
    """
    given = {key: value for key, value in given.items() if value is not None}
    check_known("setting", given, [f.name for f in fields(FinetuneConfig)])
    for name, text in (
        ("data", "no DATA: give the test videos"),
        ("train", "fine-tuning needs training videos: give them with --train"),
        ("encoder", "no encoder: give a saved one, or the name of an architecture, with --encoder"),
    ):
        if not given.get(name):
            raise UnsceneError(text)
    labels = _labels(given.pop("labels", None))
    values = convert_values(FinetuneConfig, given)
    preset = PRESETS[values.get("preset", "default")]
    return FinetuneConfig(**(preset | values), labels=labels)


def _can_be_labels(value: int | float | None) -> bool:
    if value is None:
        return True
    return value >= 1 if isinstance(value, int) else 0 < value <= 1


def _labels(value: Any) -> int | float | None:
    """A whole number or a share; YAML reads 1e-2 as text."""
    if value is None or (isinstance(value, int | float) and not isinstance(value, bool)):
        return value
    try:
        return int(value) if str(value).strip().isdigit() else float(str(value))
    except ValueError:
        raise UnsceneError(f"labels {value!r}: must be a share (0.1) or a whole number") from None


def flat(config: FinetuneConfig) -> dict[str, Any]:
    """The inverse of `build`, as plain YAML types; paths are absolute, see `locate_places`."""
    return locate_places(as_plain(config))
