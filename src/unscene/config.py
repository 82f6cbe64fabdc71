"""Configurations: one dataclass is flags, YAML keys, defaults and help texts at once.

Pre-training (`train/config.py`), fine-tuning (`evaluate/finetuning/config.py`) and recipes use the
same machinery: a flat record of names and values, written as OUT/config.yaml and read back by
`--config` and `--resume`. This file imports no torch, so that the command line answers at once.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import yaml

from unscene.errors import UnsceneError
from unscene.files import expand_home, write_text

CONFIG = "config.yaml"
RECIPES = Path(__file__).parent / "recipes"  # one file for each row of a paper's table
Config = TypeVar("Config")
Precision = Literal["auto", "32-true", "bf16-mixed", "16-mixed"]
# Settings that had other names in earlier versions, whose files can still be read.
RENAMED = {"twin_momentum": "key_momentum", "foretell": "prediction_weight"}
# These may change between a run and its continuation. None of them changes what a step computes,
# as long as there are as many processes as before (`preflight.begin` refuses another number). But
# another kind of device or another number of threads rounds differently, and precision "auto" is
# another precision on another kind of device.
FREE = frozenset(
    {
        *("out", "workers", "threads", "save_every", "devices", "accelerator", "monitor"),
        "baseline",
    }
)

# Settings that name a file or folder.
PLACES = frozenset({"data", "train", "encoder", "teacher", "out"})
# Of commands that use an encoder. `motion`, which was trained, is not proven better everywhere.
DEFAULT_ENCODER = "hof+mbh"


@dataclass(frozen=True, kw_only=True)
class OptimizerSettings:
    """Optimizer and schedule of a training.

    Attributes:
        optimizer: SGD or AdamW.
        lr: peak learning rate, before `schedule` lowers it.
        momentum: of SGD; AdamW ignores it.
        weight_decay: strength of the decay of the weights.
        nesterov: use Nesterov momentum with SGD.
        clip_gradient: largest norm of the gradient; 0: no clipping.
        schedule: "step" multiplies lr by 0.1 at `drops`, "cosine" decays to zero, "constant" keeps
            it.
        drops: epochs after which the "step" schedule lowers lr.
        warmup: share of all steps in which lr rises from zero.
        epochs: number of passes over the training videos.
        batch_size: clips per batch of one process; all processes together use it times their
            number.
    """

    optimizer: Literal["sgd", "adamw"] = "sgd"
    lr: float = 0.003
    momentum: float = 0.9
    weight_decay: float = 5e-4
    nesterov: bool = False
    clip_gradient: float = 0.0
    schedule: Literal["step", "cosine", "constant"] = "step"
    drops: tuple[int, ...] = (80, 120, 160)
    warmup: float = 0.0
    epochs: int = 200
    batch_size: int = 128

    def __post_init__(self) -> None:
        require(self, ("epochs", "batch_size"), lambda v: v >= 1, "must be at least 1")
        require(self, ("lr",), lambda v: v > 0, "must be above 0")
        at_least_zero = ("momentum", "weight_decay", "clip_gradient")
        require(self, at_least_zero, lambda v: v >= 0, "must not be negative")
        require(self, ("warmup",), lambda v: 0 <= v < 1, "must lie in 0..1, below 1")
        for name, hint in get_type_hints(type(self)).items():
            if get_origin(hint) is Literal:
                known = get_args(hint)
                require(self, (name,), known.__contains__, f"must be {describe_type(hint)}")


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """Where and how a training runs.

    Attributes:
        data: folder of videos, class folders, or CSV.
        out: folder of the run.
        seed: of the weights, the choice of clips, and the views.
        max_steps: optimizer steps, whatever `epochs` says; not given: as many as those take.
        short_side: shrink larger frames to this short side while reading; 0: to four times the
            size, but not below 480.
        workers: reading processes per training process.
        threads: processor threads that a training process computes on; 0: as many as torch takes.
            Small clips on few cores train faster where reading processes have cores of their own.
        save_every: steps between checkpoints; 0: chosen from the length of an epoch.
        precision: "auto" is bf16 on a GPU and fp32 on a CPU, also of a resumed run.
        devices: number of devices, or "auto"; a resumed run needs as many as before.
        accelerator: device type; "auto" is a GPU where there is one.
        sync_batchnorm: share batch statistics between processes.
    """

    data: str
    out: str
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

    def __post_init__(self) -> None:
        require(self, ("max_steps",), lambda v: v is None or v >= 1, "must be at least 1")
        at_least_zero = ("workers", "threads", "save_every", "short_side", "seed")
        require(self, at_least_zero, lambda v: v >= 0, "must not be negative")
        # Mixed into a class with settings: theirs are checked too.
        check = getattr(super(), "__post_init__", None)
        if check is not None:
            check()


def require(owner: Any, names: Iterable[str], holds: Callable[[Any], bool], remedy: str) -> None:
    """Raise UnsceneError, naming field, value and remedy, unless the fields' values hold."""
    for name in names:
        value = getattr(owner, name)
        if not holds(value):
            raise UnsceneError(f"{name} {value!r}: {remedy}")


def as_plain(owner: Any) -> dict[str, Any]:
    """A dataclass as JSON and YAML types."""
    return {
        key: list(value) if isinstance(value, tuple) else value
        for key, value in dataclasses.asdict(owner).items()
    }


def save_config(out: str, values: Mapping[str, Any], command: str) -> None:
    """Write OUT/config.yaml, whole or not at all; `command` repeats the run in another folder."""
    head = f"# This run, resolved: `{command} --config THIS_FILE --out OTHER_FOLDER` repeats it.\n"
    write_text(Path(out) / CONFIG, head + yaml.safe_dump(dict(values), sort_keys=False))


def find_config(value: str) -> Path:
    """The file that a value names: a recipe of the package, by its name, or a path.

    Recipes of encoders that come with the package lie in a folder of their own.

    >>> find_config("table1-dsm-c3d").parent == RECIPES
    True
    >>> find_config("./table1-dsm-c3d") == Path("table1-dsm-c3d")
    True
    """
    known = {path.stem: path for path in RECIPES.glob("**/*.yaml")}
    return known.get(value) or expand_home(value)


def read_config(path: Path) -> dict[str, Any]:
    """Names and values of a config.yaml, or of the `pretrain` part of a recipe.

    The `data` of a recipe names a data set and no folder; it is left out.
    """
    content = read_table(path)
    if isinstance(content.get("pretrain"), dict):
        content = {key: value for key, value in content["pretrain"].items() if key != "data"}
    return {RENAMED.get(key, key): value for key, value in content.items()}


def read_table(path: Path) -> dict[str, Any]:
    """Read a YAML file that holds a table. Raises UnsceneError if it does not."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UnsceneError(f"{path}: no such file; a configuration is a YAML file") from error
    except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
        raise UnsceneError(f"{path}: cannot be read as a configuration ({error})") from error
    if not isinstance(content, dict):
        raise UnsceneError(f"{path}: a configuration is a YAML table of names and values")
    return content


def continue_config(
    build: Callable[[dict[str, Any]], Config],
    flat: Callable[[Config], dict[str, Any]],
    saved: dict[str, Any],
    given: dict[str, Any],
) -> Config:
    """Return the configuration of a resumed run: the saved one, unless `given` contradicts it.

    A queue of length 0 in `given` is left open and so contradicts nothing: the run has fitted it.
    Places are as `given` writes them: they may have moved, and the run itself checks its videos.

    Args:
        build, flat: of this kind of configuration, from flat names (with absolute paths) and back.
        saved: names and values of the run's config.yaml.
        given: names and values of flags; None means not given.

    Raises:
        UnsceneError: names every setting that differs.
    """
    given = {k: v for k, v in given.items() if v is not None and (k, v) != ("queue", 0)}
    check_same(flat(build(saved)), flat(build({**saved, **given})), given)
    return build({**saved, **{key: given[key] for key in given if key in FREE | PLACES}})


def check_same(before: dict[str, Any], now: dict[str, Any], given: Iterable[str]) -> None:
    """Raise UnsceneError, naming every setting of `given` that differs and must not."""
    differing = [
        key
        for key in given
        if key not in FREE and now.get(key) != before.get(key)
        if not (key in PLACES and _is_gone(before.get(key)))
    ]
    if differing:
        table = "\n".join(
            f"  {key}: was {before.get(key)!r}, now {now.get(key)!r}" for key in differing
        )
        raise UnsceneError(
            "--resume continues a run as it was started, but these settings differ:\n"
            f"{table}\nLeave them out, or start a new run in another --out."
        )


def _is_gone(place: Any) -> bool:
    """Whether nothing is left where an absolute path, or the one in SPLIT:ROOT, leads to."""
    path = Path(str(place).rpartition(":")[2])
    return path.is_absolute() and not path.exists() and not Path(str(place)).exists()


def config_of_flags(
    values: Mapping[str, Any],
    out: str,
    build: Callable[[dict[str, Any]], Config],
    flat: Callable[[Config], dict[str, Any]],
) -> tuple[Config, bool]:
    """Return the configuration that a command line asks for, and whether it resumes a run.

    Args:
        values: of the flags, --config and --resume among them; None means not given. A leading ~ in
            paths is expanded.
        out: folder of the run where none is given.
        build, flat: of this kind of configuration, from flat names and back.

    Raises:
        UnsceneError: what `build` raises, or there is no run to resume.
    """
    given = {key: value for key, value in values.items() if value is not None}
    for name in ("out", "encoder", "teacher"):
        # Nothing else changes: ./r3d18 is a folder, r3d18 an architecture.
        if str(given.get(name, "")).startswith("~"):
            given[name] = str(expand_home(given[name]))
    resume, file = given.pop("resume"), given.pop("config", None)
    if file is not None:
        given = read_config(find_config(file)) | given
    if not resume:
        return build(given), False
    given.setdefault("out", out)  # where the run is now, not where it was started
    saved = Path(given["out"]) / CONFIG
    if not saved.exists():
        raise UnsceneError(f"{saved.parent}: holds no run to resume (no {CONFIG})")
    return continue_config(build, flat, read_config(saved), given), True


def convert_values(owner: type, values: Mapping[str, Any]) -> dict[str, Any]:
    """Convert values from a file to the types of a dataclass's fields: YAML reads 1e-3 as text.

    Raises:
        UnsceneError: names the field, its value and what it takes.
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
            if not isinstance(value, list | tuple):
                raise ValueError
            kind = get_args(hint)[0]
            numbers = tuple(_typed(name, item, kind) for item in value)
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
        raise UnsceneError(f"{name} {value!r}: must be {describe_type(hint)}") from None
    return value


def describe_type(hint: Any) -> str:
    """Say in words what a type hint takes."""
    if get_origin(hint) is Literal:
        return f"one of {', '.join(map(str, get_args(hint)))}"
    if get_origin(hint) is tuple:
        count = "" if Ellipsis in get_args(hint) else f"{len(get_args(hint))} "
        if get_args(hint)[0] is float:
            return f"a list of {count}numbers, such as [0.5, 1]"
        return f"a list of {count}whole numbers, such as [2, 20]"
    words = {float: "a number", int: "a whole number", bool: "true or false", str: "a text"}
    return words.get(hint, 'a table such as {"width": 16}')


def describe(owner: type) -> dict[str, str]:
    """Return the help text of every field of a dataclass, from the docstrings of its classes."""
    texts: dict[str, str] = {}
    for base in reversed(owner.__mro__):
        if dataclasses.is_dataclass(base):
            texts |= _attributes(base)
    return texts


def _attributes(owner: type) -> dict[str, str]:
    """The entries of a docstring's Attributes section; one entry may name several attributes."""
    found: dict[str, str] = {}
    names: list[str] = []
    _, _, section = (owner.__doc__ or "").partition("Attributes:")
    known = {f.name for f in dataclasses.fields(owner)}
    margin = len(section.lstrip("\n")) - len(section.lstrip())  # of a head; its text is deeper
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
