"""The methods by name, and the settings that each preset gives them. Imports no torch.

A run's settings come from, later ones winning: the defaults of `Settings`, the preset, a
configuration file, the flags that were typed. The result is written out whole as config.yaml.
"""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any, Literal, get_args

from unscene.errors import UnsceneError, check_known
from unscene.methods.settings import Settings
from unscene.methods.typed import typed

PresetName = Literal["default", "paper", "official-code"]
PRESETS: tuple[str, ...] = get_args(PresetName)

# The paper's own (methods.md 1.3 to 1.5); tau = 1 "for simplicity".
_PAPER: dict[str, Any] = {"temperature": 1.0}
# What the authors' public code does instead (methods.md 1.5, [C]).
_CODE: dict[str, Any] = {
    "temperature": 0.07,
    "twin_momentum": 0.999,
    "weight_decay": 1e-4,
    "drops": (120, 160, 200),
}
# What trained best in the trials of experiments/LOG.md (temperature, queue, and whose features fill
# it, AdamW); the two-layer head and augmenting all views made no difference there.
_OURS: dict[str, Any] = {
    "augmentation": "paper",
    "basic_on": "all",
    "head": "mlp",
    "temperature": 0.1,
    "queue": 0,
    "queue_of": "key",
    "batch_negatives": True,
    "optimizer": "adamw",
    "lr": 1e-3,
    "weight_decay": 1e-4,
    "schedule": "cosine",
    "warmup": 0.05,
    "batch_size": 32,
}
_DSM = {"warp": True, "flow_scaling": True, "shift": True}
_MOCO: dict[str, Any] = {"basic_on": "all", "queue_of": "key"}

# CMD's authors' code and model card (methods.md 3.2 to 3.4); lr is 5e-4 times the batch.
_CMD: dict[str, Any] = {
    "augmentation": "cmd",
    "dim": 512,
    "temperature": 0.1,
    "lr": 5e-4 * 64,
    "nesterov": True,
    "weight_decay": 5e-3,
    "clip_gradient": 15.0,
    "schedule": "cosine",
    "warmup": 5 / 120,
    "epochs": 120,
    "batch_size": 64,
}

# Regression of the future's vectors beat finding their feature at half the cost
# (experiments/LOG.md).
_unscene = {
    "other_scene": 0.5,
    "foretell": 1.0,
    "stages": 2,
    "motion_loss": "l2",
    "predictor": "linear",
    "scales": "concat",
}

_TABLE: dict[str, dict[str, dict[str, Any]]] = {
    "moco": {
        "default": _OURS | _MOCO,
        "paper": _PAPER | _MOCO,
        "official-code": _CODE | _MOCO,
    },
    "dsm": {
        "default": _OURS | _DSM,
        "paper": _PAPER | _DSM,
        # The code has no flow scaling; its negative is the clip at another time.
        "official-code": _CODE | _DSM | {"flow_scaling": False},
    },
    "dsm-triplet": {
        "default": _OURS | _DSM,
        "paper": _PAPER | _DSM,
        "official-code": _CODE | _DSM | {"flow_scaling": False},
    },
    # Nothing we have of HDC's paper names optimiser, schedule, temperature or head: the first two
    # are DSM's, the others ours.
    "hdc": {"default": _OURS, "paper": {"head": "mlp"}},
    # What each part adds stands in docs/results.md.
    "unscene": {"default": _OURS | _DSM | _unscene},
    "cmd": {
        "default": _CMD | {k: _OURS[k] for k in ("optimizer", "lr", "weight_decay", "batch_size")},
        "paper": _CMD,
        "official-code": _CMD | {"weight_decay": 1e-3, "motion_corrected": False},
    },
}
METHODS: tuple[str, ...] = tuple(_TABLE)
# Their names in sentences.
SPOKEN = {
    "moco": "MoCo",
    "dsm": "DSM",
    "dsm-triplet": "DSM (Triplet)",
    "hdc": "HDC",
    "cmd": "CMD",
    "unscene": "unscene",
}


def fit_queue(settings: Settings, videos: int) -> Settings:
    """Settings whose queue, if it was left open (0), suits the number of videos."""
    if settings.queue:
        return settings
    return replace(settings, queue=max(1, min(4096, videos // 8)))


def resolve(
    method: str, preset: str = "default", overrides: dict[str, Any] | None = None
) -> Settings:
    """Settings of a method under a preset, with some changed; None in `overrides` means unset.

    Raises:
        UnsceneError: unknown method, preset or setting, or a value out of range.
    """
    check_known("method", [method], METHODS)
    check_known("preset", [preset], PRESETS)
    if preset not in _TABLE[method]:
        raise UnsceneError(
            f"{method} has no preset {preset!r}, its authors having published none. It has: "
            f"{', '.join(_TABLE[method])}"
        )
    given = {key: value for key, value in (overrides or {}).items() if value is not None}
    check_known("setting", given, [field.name for field in fields(Settings)])
    return replace(Settings(**_TABLE[method][preset]), **typed(Settings, given))
