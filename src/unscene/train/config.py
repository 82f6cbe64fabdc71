"""A run's configuration: one flat record, written as OUT/config.yaml and read back by `--config`.

This file imports no torch, so that the command line answers at once.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, TypeVar

import yaml

from unscene.errors import UnsceneError, check_known
from unscene.files import write_text
from unscene.methods.presets import PresetName, resolve
from unscene.methods.settings import Settings, as_plain
from unscene.methods.typed import typed

CONFIG = "config.yaml"
Config = TypeVar("Config")
Precision = Literal["auto", "32-true", "bf16-mixed", "16-mixed"]


@dataclass(frozen=True)
class RunConfig:
    """Everything that decides what a pre-training run does.

    Attributes:
        data: folder of videos, class folders, or CSV.
        method: one of `methods.presets.METHODS`.
        preset: where settings that are not given come from.
        encoder: one of `encoders.known_encoders()`; or the folder or file of a saved encoder, which
            is trained further, with heads, queue and momentum encoder of its own.
        encoder_options: keyword arguments of a new encoder (width of r3d-narrow, say).
        out: folder of the run.
        seed: decides the weights, windows and views.
        max_steps: optimiser steps, whatever `epochs` says; not given: as many as those take.
        short_side: shrink larger frames while reading to this short side; 0: never.
        workers: reading processes per training process.
        threads: processor threads that a training process computes on; 0: as many as torch takes.
            Small clips on few cores train faster where reading processes have cores of their own.
        save_every: steps between checkpoints; 0: once an epoch, at least every 500 steps.
        precision: "auto" is bf16 on a GPU and fp32 on a CPU, whichever the run is resumed on.
        devices: number of devices, or "auto"; a resumed run needs as many as it began with.
        accelerator: what computes; "auto" is a GPU where there is one.
        sync_batchnorm: share batch statistics between processes.
        monitor: what is measured now and then, for about 5 % of the time: the decoupling score
            (needs no labels), "knn" (recall at 1 among labelled videos), or "none".
        settings: of the method and its optimiser.
    """

    data: str
    out: str = "runs/pretrain"
    method: str = "dsm-triplet"
    preset: PresetName = "default"
    encoder: str = "r3d18"
    encoder_options: dict[str, Any] = field(default_factory=dict)
    seed: int = 0
    max_steps: int | None = None
    short_side: int = 0
    workers: int = 2
    threads: int = 0
    save_every: int = 0
    precision: Precision = "auto"
    devices: int | Literal["auto"] = "auto"
    accelerator: Literal["auto", "cpu", "gpu"] = "auto"
    sync_batchnorm: bool = False
    monitor: Literal["decoupling", "knn", "none"] = "decoupling"
    settings: Settings = field(default_factory=Settings)

    def __post_init__(self) -> None:
        if self.max_steps is not None and self.max_steps < 1:
            raise UnsceneError(f"max_steps {self.max_steps}: must be at least 1")
        for name in ("workers", "threads", "save_every", "short_side", "seed"):
            if getattr(self, name) < 0:
                raise UnsceneError(f"{name} {getattr(self, name)}: must not be negative")


OWN = tuple(f.name for f in fields(RunConfig) if f.name != "settings")
# These may change between a run and its continuation. None of them changes what a step computes,
# as long as there are as many processes as before (`engine.begin` refuses another number), but
# another kind of device or another number of threads rounds otherwise, and precision "auto" is
# another one on another kind of device.
FREE = frozenset({"out", "workers", "threads", "save_every", "devices", "accelerator", "monitor"})


def build(given: dict[str, Any]) -> RunConfig:
    """A configuration from flat names; None means not given.

    Raises:
        UnsceneError: an unknown name, a value out of range, or no data.
    """
    given = {key: value for key, value in given.items() if value is not None}
    own = typed(RunConfig, {key: value for key, value in given.items() if key in OWN})
    if not own.get("data"):
        raise UnsceneError("no DATA: give a folder of videos, class folders or a CSV")
    rest = {key: value for key, value in given.items() if key not in OWN}
    check_known("setting", rest, [*OWN, *(one.name for one in fields(Settings))])
    settings = resolve(own.get("method", RunConfig.method), own.get("preset", "default"), rest)
    return RunConfig(**own, settings=settings)


def flat(config: RunConfig) -> dict[str, Any]:
    """The inverse of `build`, as plain YAML types."""
    own = {name: getattr(config, name) for name in OWN}
    return own | as_plain(config.settings)


def save_config(out: str, values: dict[str, Any], command: str) -> None:
    """Write OUT/config.yaml, whole or not at all; `command` repeats the run in another folder."""
    head = f"# This run, resolved: `{command} --config THIS_FILE --out OTHER_FOLDER` repeats it.\n"
    write_text(Path(out) / CONFIG, head + yaml.safe_dump(values, sort_keys=False))


def read_config(path: Path) -> dict[str, Any]:
    """The flat names and values of a config.yaml, or of a recipe's pre-training without its `data`,
    which names a data set and no folder."""
    content = read_table(path)
    if not isinstance(content.get("pretrain"), dict):
        return content
    return {key: value for key, value in content["pretrain"].items() if key != "data"}


def read_table(path: Path) -> dict[str, Any]:
    """A YAML file that is a table. Raises UnsceneError if it cannot be read as one."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UnsceneError(f"{path}: no such file; a configuration is a YAML file") from error
    except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
        raise UnsceneError(f"{path}: cannot be read as a configuration ({error})") from error
    if not isinstance(content, dict):
        raise UnsceneError(f"{path}: a configuration is a YAML table of names and values")
    return content


def continue_config(saved: dict[str, Any], given: dict[str, Any]) -> RunConfig:
    """As `continued`, of a pre-training. A queue left open (0) is the one the run has fitted."""
    given = {key: value for key, value in given.items() if (key, value) != ("queue", 0)}
    return continued(build, flat, saved, given)


def continued(
    build: Callable[[dict[str, Any]], Config],
    flat: Callable[[Config], dict[str, Any]],
    saved: dict[str, Any],
    given: dict[str, Any],
) -> Config:
    """The configuration of a resumed run: the saved one, unless something given contradicts it.

    Args:
        build, flat: of this kind of configuration, from flat names and back.

    Raises:
        UnsceneError: naming every setting that differs.
    """
    given = {key: value for key, value in given.items() if value is not None}
    check_same(flat(build(saved)), flat(build({**saved, **given})), given)
    return build({**saved, **{key: given[key] for key in given if key in FREE}})


def check_same(before: dict[str, Any], now: dict[str, Any], given: Iterable[str]) -> None:
    """Raise UnsceneError, naming every setting of `given` that differs and must not."""
    differing = [key for key in given if key not in FREE and now[key] != before[key]]
    if differing:
        table = "\n".join(f"  {key}: was {before[key]!r}, now {now[key]!r}" for key in differing)
        raise UnsceneError(
            "--resume continues a run as it was begun, but these differ:\n"
            f"{table}\nLeave them out, or begin a new run in another --out."
        )


def asked(
    values: dict[str, Any],
    out: str,
    build: Callable[[dict[str, Any]], Config],
    continue_config: Callable[[dict[str, Any], dict[str, Any]], Config],
) -> tuple[Config, bool]:
    """The configuration that a command line asks for, and whether it resumes a run.

    Args:
        values: of the flags, --config and --resume among them; None means not given.
        out: folder of the run where none is given.
        build, continue_config: of this kind of configuration.

    Raises:
        UnsceneError: what those raise; no run to resume.
    """
    given = {key: value for key, value in values.items() if value is not None}
    resume, file = given.pop("resume"), given.pop("config", None)
    if file is not None:
        given = read_config(Path(file)) | given
    if not resume:
        return build(given), False
    saved = Path(given.get("out", out)) / CONFIG
    if not saved.exists():
        raise UnsceneError(f"{saved.parent}: holds no run to resume (no {CONFIG})")
    return continue_config(read_config(saved), given), True


def describe(*owners: type) -> dict[str, str]:
    """Help for every flat name, from the docstrings of `owners`: without any, of the two above."""
    texts: dict[str, str] = {}
    for owner in owners or (RunConfig, Settings):
        texts |= _attributes(owner)
    return texts


def _attributes(owner: type) -> dict[str, str]:
    """The entries of a docstring's Attributes section; one entry may name several attributes."""
    found: dict[str, str] = {}
    names: list[str] = []
    _, _, section = (owner.__doc__ or "").partition("Attributes:")
    known = {f.name for f in dataclasses.fields(owner)}
    margin = len(section.lstrip("\n")) - len(section.lstrip())  # of a head; its text goes on deeper
    for line in section.splitlines():
        head, colon, text = line.strip().partition(": ")
        candidates = [name.strip() for name in head.split(",")]
        deeper = len(line) - len(line.lstrip()) > margin
        if colon and not deeper and set(candidates) <= known:
            names = candidates
            for name in names:
                found[name] = text
        elif line.strip():
            for name in names:
                found[name] += " " + line.strip()
    return found
