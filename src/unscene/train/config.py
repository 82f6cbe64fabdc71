"""The configuration of a pre-training: one flat record on top of `unscene.config`.

This file imports no torch; building a configuration imports the method that it names.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any, Literal

from unscene.config import PLACES, RENAMED, RunOptions, as_plain, convert_values
from unscene.errors import UnsceneError
from unscene.files import expand_home, make_absolute
from unscene.methods.registry import find_method, generates, keep_read, resolve
from unscene.methods.settings import ClipSettings, CommonSettings


@dataclass(frozen=True, kw_only=True)
class RunConfig(RunOptions):
    """Everything that decides what a pre-training run does.

    Attributes:
        data: folder of videos, class folders, or CSV; nothing for a method that generates what it
            learns from.
        method: name of a method, or package.module:Class of your own.
        preset: where settings that are not given come from.
        encoder: architecture to train; or a saved encoder or published checkpoint, which is trained
            further, with heads, queue and momentum encoder of its own.
        encoder_options: keyword arguments of a new encoder (width of r3d-narrow, for example).
        input: what the encoder reads: "rgb", "flow" (optical flow of its clips, without the
            camera's motion) or "vectors" (the codec's motion vectors instead). Not given: RGB, or
            what a saved encoder reads.
        monitor: what is measured during training, for about 5 % of the time: "decoupling" (the
            decoupling score, which needs no labels), "knn" (recall@1 among labelled videos), or
            "none".
        settings: of the method and its optimizer.
    """

    data: str = ""
    out: str = "runs/pretrain"
    method: str = "dsm-triplet"
    preset: str = "default"
    encoder: str = "r3d18"
    encoder_options: dict[str, Any] = field(default_factory=dict)
    input: Literal["rgb", "flow", "vectors"] | None = None
    monitor: Literal["decoupling", "knn", "none"] = "decoupling"
    settings: ClipSettings = field(default_factory=CommonSettings)


# Defaults where no GPU is used: what a laptop trains in hours.
CPU: dict[str, Any] = {
    "encoder": "r3d-narrow",
    "size": 56,
    "frames": 8,
    "side_encoders": "narrow",  # of cmd
}
OWN = tuple(f.name for f in fields(RunConfig) if f.name != "settings")


def build(given: dict[str, Any]) -> RunConfig:
    """Build a configuration from flat names; None means not given.

    Settings that other methods read and this one does not are left out: files hold such settings.

    Raises:
        UnsceneError: an unknown name, a value out of range, no data, or data for a method that
            generates what it learns from.

    Example:
        >>> config = build({"data": "videos/", "method": "moco", "frames": 8})
        >>> config.settings.frames
        8
    """
    given = {RENAMED.get(k, k): value for k, value in given.items() if value is not None}
    own = convert_values(RunConfig, {key: value for key, value in given.items() if key in OWN})
    method = own.get("method", RunConfig.method)
    if not generates(method):
        if not own.get("data"):
            raise UnsceneError("no DATA: give a folder of videos, class folders or a CSV")
    elif own.get("data"):
        raise UnsceneError(
            f"{method} generates what it learns from and reads no DATA; leave out {own['data']}"
        )
    if usual := find_method(method).encoder:
        own.setdefault("encoder", usual)
    rest = {key: value for key, value in given.items() if key not in OWN}
    read = keep_read(method, rest, OWN)
    settings = resolve(method, own.get("preset", RunConfig.preset), read)
    return RunConfig(**own, settings=settings)


def find_cpu_defaults(given: dict[str, Any]) -> dict[str, Any]:
    """Find the values for a CPU of settings that are not given, if no GPU is used.

    They hold together, so there are none where an encoder is given or named by its options. Presets
    of the papers keep their numbers.

    Args:
        given: flat names and values; None means not given.

    Returns:
        Values to add to `given`; imports torch to look for a GPU.
    """
    given = {name: value for name, value in given.items() if value is not None}
    if {"encoder", "encoder_options"} & given.keys() or given.get("preset", "default") != "default":
        return {}
    from unscene.device import uses_gpu

    if uses_gpu(given.get("accelerator", "auto")):
        return {}
    entry = find_method(given.get("method", RunConfig.method))
    if entry.encoder:
        return {}
    read = {"encoder", *entry.settings.names()}
    return {name: value for name, value in CPU.items() if name in read and name not in given}


def describe_cpu_defaults(chosen: dict[str, Any]) -> str:
    """Say which values `find_cpu_defaults` has chosen, and what they are elsewhere."""
    flags = " ".join(f"--{name} {value}" for name, value in chosen.items())
    return (
        f"No GPU is used, so the defaults are those for a CPU: {flags}. On a GPU they are "
        f"{RunConfig.encoder}, {CommonSettings.size} px and {CommonSettings.frames} frames"
    )


def flat(config: RunConfig) -> dict[str, Any]:
    """The inverse of `build`, as plain YAML types; paths are absolute, see `locate_places`."""
    own = {name: getattr(config, name) for name in OWN}
    return locate_places(own | as_plain(config.settings))


def locate_places(values: dict[str, Any]) -> dict[str, Any]:
    """Make the paths of a configuration absolute: it is used from other folders later."""
    from unscene.data.listing import locate
    from unscene.encoders.resolving import locate_encoder

    how = {"data": locate, "train": locate, "out": _locate_out}
    how |= {"encoder": locate_encoder, "teacher": locate_encoder}
    assert how.keys() == PLACES
    return {
        name: how[name](value) if name in how and value else value for name, value in values.items()
    }


def _locate_out(out: str) -> str:
    return str(make_absolute(expand_home(out)))
