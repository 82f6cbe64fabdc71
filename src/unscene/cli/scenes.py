"""`unscene scenes`: generate footage whose motion and scene are known."""

from __future__ import annotations

import shlex
from argparse import SUPPRESS
from collections.abc import Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Any, Literal, get_args

from jsonargparse import ArgumentParser, Namespace

from unscene.errors import UnsceneError
from unscene.files import expand_home

if TYPE_CHECKING:
    from unscene.synthetic.generate import Spec

HELP = "generate footage whose motion and scene are known, to try things out"
Kind = Literal["moving-scenes", "figures"]


def flags(parser: ArgumentParser, arguments: Sequence[str]) -> None:
    """Add the flags: those of the chosen kind; those of other kinds are hidden, and refused."""
    parser.add_argument(
        "out",
        type=str,
        help="folder to write: new, empty, or of an earlier run, which is continued",
    )
    parser.add_argument(
        "--kind",
        type=Kind,
        default="moving-scenes",
        help="moving-scenes: one object that moves; figures: people, animals and machines that "
        "follow motion programs, under a moving camera. --kind figures --help shows its settings",
    )
    parser.add_argument(
        "--workers", type=int, default=2, help="number of threads; they do not change the result"
    )
    specs = _specs()
    chosen = specs.pop(_chosen(arguments))
    parser.add_class_arguments(chosen, as_group=True)
    own = {field.name for field in fields(chosen)}
    for other in specs.values():
        for name in (field.name for field in fields(other) if field.name not in own):
            parser.add_argument(f"--{name}", type=Any, default=None, help=SUPPRESS)


def _specs() -> dict[str, type[Spec]]:
    from unscene.synthetic.generate import FigureScenes, MovingScenes

    return dict(zip(get_args(Kind), (MovingScenes, FigureScenes), strict=True))


def _chosen(arguments: Sequence[str]) -> str:
    """The kind that a command line asks for, before its flags are known."""
    kinds = get_args(Kind)
    for flag, value in zip(arguments, [*arguments[1:], ""], strict=True):
        value = value if flag == "--kind" else flag.removeprefix("--kind=")
        if flag.partition("=")[0] == "--kind" and value in kinds:
            return str(value)
    return str(kinds[0])


def run(values: Namespace) -> None:
    from unscene.synthetic.generate import generate

    typed = values.as_dict()
    names = {field.name for field in fields(_specs()[values.kind])}
    own = {name: value for name, value in typed.items() if name in names}
    _refuse_others(values.kind, {k for k, v in typed.items() if k not in names and v is not None})
    scenes = _specs()[values.kind](**own)
    report = generate(expand_home(values.out), scenes, workers=values.workers)
    print(f"{report.videos} videos in {report.out}: train.csv, seen.csv, unseen.csv")
    # The default clip is larger and longer than these videos.
    clip = f"--size {min(scenes.size, 36)} --frames 8 --stride 2"
    if values.kind == "figures":  # limbs are thin
        clip = (
            f"--size {min(scenes.size, 64)} --frames 16 --stride {1 if scenes.frames < 31 else 2}"
        )
    train = shlex.quote(str(report.train))
    print(f"look at them: unscene views {train} {clip}")
    print(f"train on them: unscene pretrain {train} --encoder r3d-narrow {clip} --max_steps 500")


def _refuse_others(kind: str, given: set[str]) -> None:
    if wrong := sorted(given - {"out", "kind", "workers", "command", "config"}):
        owners = [k for k, s in _specs().items() if wrong[0] in {f.name for f in fields(s)}]
        raise UnsceneError(
            f"--{wrong[0]} has no meaning for --kind {kind}: it is a setting of {owners[0]}"
        )
