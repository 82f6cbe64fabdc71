"""Every number a method and its training can be set by, and the presets.

This file imports no torch, so that the command line can name methods and defaults at once.

A run's settings come from, later ones winning: the dataclass defaults below, the preset, a
configuration file, the flags that were typed. The result is written out whole as config.yaml.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields, replace
from difflib import get_close_matches
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from unscene.errors import UnsceneError

PresetName = Literal["default", "paper", "official-code"]
PRESETS: tuple[str, ...] = get_args(PresetName)


@dataclass(frozen=True)
class Settings:
    """Views, head, loss and optimiser of a contrastive method.

    Attributes:
        frames, stride: T and the distance of neighbouring frames, in frames of the video.
        size: side of the square views in pixels.
        augmentation: preset of the basic augmentation.
        basic_on: "anchor" (the paper: a = b(c1), p = s(c2), n = t(c3)) or "all" three views.
        warp: spatial local disturbance of the positive.
        warp_points: N = warp_points squared control points.
        warp_reach: C, reach of the offsets in normalised units (0.2 is a tenth of the frame).
        flow_scaling: the negative's motion is scaled by phi(t) ~ U[0, flow_max] (eq. 3).
        shift: the negative is shifted by shift_range frames (eq. 4).
        flow: where flow comes from: DIS in the workers, or the codec's vectors.
        dim: D of the embedding.
        head: "linear" (the paper) or "mlp" (two layers, as MoCo v2).
        temperature: tau.
        twin_momentum: m of the momentum encoder.
        queue: K; 0 takes an eighth of the videos, at most 4096. A queue that holds earlier keys of
            the videos it is compared with makes false negatives of them.
        queue_of: whose features fill the queue: "anchor" (DSM) or "key" (MoCo).
        batch_negatives: the batch's other videos are negatives too. Their keys are as old as the
            positive and came through the same pass; those of the queue are not, and an anchor can
            tell its positive from them by that alone.
        margin: of the triplet loss, eq. 5.
        contrasts: HDC's: "spatial" (two views of one clip), "temporal" (of two windows), "both", or
            "entangled" (one contrast of views that differ in time and in space).
        stages: HDC contrasts so many of the encoder's last stages; 1 is no hierarchy.
        stage_weights: alpha_k = beta_k of HDC's stages, shallow to deep; the last `stages` count.
        sc_pool: "2d" pools H and W for the spatial contrast, which then pairs time steps; "3d" all.
        crop_first: HDC cuts its two windows first and augments each by itself; false: it augments
            the video, both windows alike, and cuts then.
        crop_reach: HDC's two windows begin at most so many frames of the video apart.
        optimizer, lr, momentum, weight_decay: the optimiser; momentum is SGD's.
        schedule: "step" multiplies lr by 0.1 at `drops`, "cosine" goes to zero, "constant" stays.
        drops: epochs of the steps.
        warmup: share of all steps in which lr rises from zero.
        epochs, batch_size: length of the training and size of a batch (all processes together
            see batch_size times their number).
    """

    frames: int = 16
    stride: int = 4
    size: int = 112
    augmentation: Literal["paper", "mild", "modern", "none"] = "paper"
    basic_on: Literal["anchor", "all"] = "anchor"
    warp: bool = False
    warp_points: int = 5
    warp_reach: float = 0.2
    flow_scaling: bool = False
    flow_max: float = 5.0
    shift: bool = False
    shift_range: tuple[int, int] = (2, 20)
    flow: Literal["dis", "codec"] = "dis"
    dim: int = 128
    head: Literal["linear", "mlp"] = "linear"
    temperature: float = 0.07
    twin_momentum: float = 0.99
    queue: int = 6536
    queue_of: Literal["anchor", "key"] = "anchor"
    batch_negatives: bool = False
    margin: float = 0.5
    contrasts: Literal["both", "spatial", "temporal", "entangled"] = "both"
    stages: int = 3
    stage_weights: tuple[float, ...] = (0.25, 0.5, 1.0)
    sc_pool: Literal["2d", "3d"] = "2d"
    crop_first: bool = True
    crop_reach: int = 250
    optimizer: Literal["sgd", "adamw"] = "sgd"
    lr: float = 0.003
    momentum: float = 0.9
    weight_decay: float = 5e-4
    schedule: Literal["step", "cosine", "constant"] = "step"
    drops: tuple[int, ...] = (80, 120, 160)
    warmup: float = 0.0
    epochs: int = 200
    batch_size: int = 128

    def __post_init__(self) -> None:
        for name in ("frames", "stride", "size", "dim", "stages", "epochs", "batch_size"):
            _require(self, name, getattr(self, name) >= 1, "must be at least 1")
        for name in ("temperature", "lr"):
            _require(self, name, getattr(self, name) > 0, "must be above 0")
        from_zero = ("margin", "weight_decay", "warp_reach", "flow_max", "momentum", "queue")
        for name in (*from_zero, "crop_reach"):
            _require(self, name, getattr(self, name) >= 0, "must not be negative")
        weighed = len(self.stage_weights) >= self.stages and all(w > 0 for w in self.stage_weights)
        remedy = f"must be numbers above 0, one for each of the {self.stages} stages"
        _require(self, "stage_weights", weighed, remedy)
        _require(self, "warp_points", self.warp_points >= 2, "must be at least 2")
        _require(self, "twin_momentum", 0 <= self.twin_momentum <= 1, "must lie in 0..1")
        _require(self, "warmup", 0 <= self.warmup < 1, "must lie in 0..1")
        low, high = self.shift_range
        _require(self, "shift_range", 0 <= low <= high, "must be two counts, first <= second")
        for name, hint in get_type_hints(Settings).items():
            if get_origin(hint) is Literal:
                value = getattr(self, name)
                _require(self, name, value in get_args(hint), f"must be {kind_of(hint)}")
        _require(
            self, "frames", self.frames >= 2 or not self.flow_scaling, "flow scaling needs 2 frames"
        )


def _require(settings: Settings, name: str, holds: bool, remedy: str) -> None:
    if not holds:
        raise UnsceneError(f"{name} {getattr(settings, name)!r}: {remedy}")


# The paper's own (methods.md 1.3 to 1.5); tau = 1 "for simplicity".
_PAPER: dict[str, Any] = {"temperature": 1.0}
# What the authors' public code does instead (methods.md 1.5, [C]).
_CODE: dict[str, Any] = {
    "temperature": 0.07,
    "twin_momentum": 0.999,
    "weight_decay": 1e-4,
    "drops": (120, 160, 200),
}
# What trained best in the trials of docs/log.md (queue, and whose features fill it); the two-layer
# head, AdamW, tau = 0.1 and augmenting all views were taken over unmeasured.
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
    # Nothing we have of HDC's paper names optimiser or schedule: those of DSM's stand in.
    "hdc": {"default": _OURS, "paper": {"head": "mlp"}},
}
METHODS: tuple[str, ...] = tuple(_TABLE)
# Their names in sentences.
SPOKEN = {"moco": "MoCo", "dsm": "DSM", "dsm-triplet": "DSM (triplet)", "hdc": "HDC"}


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
    if method not in _TABLE:
        raise UnsceneError(_unknown("method", method, METHODS))
    if preset not in PRESETS:
        raise UnsceneError(_unknown("preset", preset, PRESETS))
    if preset not in _TABLE[method]:
        raise UnsceneError(
            f"{method} has no preset {preset!r}, its authors having published no code. It has: "
            f"{', '.join(_TABLE[method])}"
        )
    given = {key: value for key, value in (overrides or {}).items() if value is not None}
    known = [field.name for field in fields(Settings)]
    for key in given:
        if key not in known:
            raise UnsceneError(_unknown("setting", key, known))
    return replace(Settings(**_TABLE[method][preset]), **typed(Settings, given))


def typed(owner: type, values: dict[str, Any]) -> dict[str, Any]:
    """Values as the fields of a dataclass want them, from a file, where 1e-3 is read as a text.

    Raises:
        UnsceneError: naming the field, its value and what it takes.
    """
    hints = get_type_hints(owner)
    return {name: _typed(name, value, hints[name]) for name, value in values.items()}


def _typed(name: str, value: Any, hint: Any) -> Any:
    if get_origin(hint) in (Union, UnionType):
        parts = [part for part in get_args(hint) if part is not NoneType]
        if value is None or value in get_args(parts[-1]):  # int | Literal["auto"]
            return value
        hint = parts[0]
    try:
        if get_origin(hint) is tuple:
            kind = get_args(hint)[0]
            numbers = tuple(_typed(name, item, kind) for item in _sequence(value))
            if Ellipsis not in get_args(hint) and len(numbers) != len(get_args(hint)):
                raise ValueError
            return numbers
        if get_origin(hint) is Literal:
            if value not in get_args(hint):
                raise ValueError
        elif hint is float and not isinstance(value, bool):
            return float(value)
        elif hint is int and not isinstance(value, bool):
            number = int(value)
            if not isinstance(value, str) and number != value:
                raise ValueError
            return number
        elif not isinstance(value, get_origin(hint) or hint) or hint in (int, float):
            raise ValueError
    except (TypeError, ValueError):
        raise UnsceneError(f"{name} {value!r}: must be {kind_of(hint)}") from None
    return value


def _sequence(value: Any) -> Any:
    if not isinstance(value, list | tuple):
        raise ValueError
    return value


def kind_of(hint: Any) -> str:
    """A type hint in words."""
    if get_origin(hint) is Literal:
        return f"one of {', '.join(map(str, get_args(hint)))}"
    if get_origin(hint) is tuple:
        count = "" if Ellipsis in get_args(hint) else f"{len(get_args(hint))} "
        if get_args(hint)[0] is float:
            return f"a list of {count}numbers, such as [0.5, 1]"
        return f"a list of {count}whole numbers, such as [2, 20]"
    words = {float: "a number", int: "a whole number", bool: "true or false", str: "a text"}
    return words.get(hint, 'a table such as {"width": 16}')


def as_plain(settings: Settings) -> dict[str, Any]:
    """Settings as JSON and YAML types."""
    return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(settings).items()}


def _unknown(kind: str, name: str, known: list[str] | tuple[str, ...]) -> str:
    close = get_close_matches(name, known, n=1)
    hint = f"; did you mean {close[0]}?" if close else ""
    return f"unknown {kind} {name!r}{hint} Known: {', '.join(known)}"
