"""The command line. Heavy imports happen inside the commands: help and typos answer fast."""

from __future__ import annotations

import errno
import os
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import get_type_hints

from jsonargparse import ArgumentError, ArgumentParser, Namespace

from unscene import __version__
from unscene.errors import UnsceneError
from unscene.methods.settings import METHODS, Settings
from unscene.train.config import OWN, RunConfig, build, continue_config, describe, read_config

_DATA = "folder of videos, folder of class folders, or CSV (path,label[,start,end])"


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point of `unscene`; returns the exit status (0 done, 1 failed, 2 wrong usage)."""
    # Threads of torch that wait by spinning take the cores from the reading processes. It is read
    # when torch is first imported, which is later; whoever has set it knows better.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    arguments = list(sys.argv[1:] if argv is None else argv)
    wanted = next((a for a in arguments if not a.startswith("-")), "")
    completion = any(a.startswith("--print_shtab") for a in arguments)
    parser, commands = _parser(None if completion else wanted)
    try:
        config = parser.parse_args(arguments)
    except ArgumentError as error:
        print(f"unscene: {_shortened(str(error))}", file=sys.stderr)
        return 2
    name = config.command
    try:
        return commands[name](config[name]) or 0
    except UnsceneError as error:
        text = str(error)
        if text.startswith("Caught "):  # raised in a reading process: its traceback comes first
            text = text.rpartition("Error: ")[2].strip()
        print(f"unscene {name}: {text}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader (head, less) is gone; Python would complain again while closing stdout.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        if error.filename is None and error.errno != errno.ENOSPC:
            raise
        print(f"unscene {name}: {error.filename or 'writing'}: {error.strerror}", file=sys.stderr)
        return 1


_EXPECTED = {
    "<class 'int'>": "a whole number",
    "<class 'float'>": "a number",
    "<class 'bool'>": "true or false",
    "<class 'tuple'>": "a list, such as [2, 20]",
    "<class 'dict'>": 'a table, such as {"width": 16}',
}


def _shortened(text: str) -> str:
    """jsonargparse tells all that a value failed to be; people want one line."""
    found = re.search(r'key "(?:\w+\.)*(\w+)":.*(?:Given|Got) value: (.*)', text, re.DOTALL)
    if found is None:
        return text
    kinds = [
        _EXPECTED.get(kind, re.sub(r"typing\.Literal\[(.*)\]", r"one of \1", kind))
        for kind in re.findall(r"Expected a (<.+?>|\S.*)", text)
        if "NoneType" not in kind
    ]
    return f"--{found[1]} {found[2].strip()!r}: must be {' or '.join(kinds) or 'something else'}"


Command = Callable[[Namespace], int | None]


def _parser(wanted: str | None) -> tuple[ArgumentParser, dict[str, Command]]:
    """The parser; only the wanted command gets its flags, or for None all of them."""
    parser = ArgumentParser(
        prog="unscene",
        exit_on_error=False,
        description="Video representations that watch the motion, not the scene.",
        version=__version__,
    )
    below = parser.add_subcommands(dest="command", title="commands", metavar="COMMAND")
    commands: dict[str, Command] = {}
    for name, help_text, fill, run in (
        ("demo", "the whole story on generated footage, in minutes", _demo_flags, _demo),
        ("pretrain", "learn an encoder from videos without labels", _pretrain_flags, _pretrain),
        ("views", "picture of anchors, positives, negatives and flow", _views_flags, _views),
        ("evaluate", "retrieval and linear probe of an encoder", _evaluate_flags, _evaluate),
        ("scenes", "generate moving scenes with known motion and scene", _scenes_flags, _scenes),
        ("doctor", "versions, devices, codecs, and what is missing", _doctor_flags, _doctor),
    ):
        sub = ArgumentParser(exit_on_error=False, prog=f"unscene {name}", description=help_text)
        if wanted in (None, name):
            fill(sub)
        below.add_subcommand(name, sub, help=help_text)
        commands[name] = run
    return parser, commands


# -- pretrain ----------------------------------------------------------------------------------


def _pretrain_flags(parser: ArgumentParser) -> None:
    parser.add_argument("data", nargs="?", type=str | None, help=_DATA)
    parser.add_argument(
        "--config", type=str | None, help="a config.yaml or recipe; flags given beside it win"
    )
    parser.add_argument(
        "--resume", action="store_true", help="continue the run in --out from its last checkpoint"
    )
    defaults = RunConfig(data="")
    texts = describe()
    for owner, base in ((RunConfig, defaults), (Settings, None)):
        hints = get_type_hints(owner)
        for name, hint in hints.items():
            if name in ("data", "settings"):
                continue
            shown = f" (default: {getattr(base, name)})" if base is not None else " (see --preset)"
            text = texts.get(name, "") + shown
            if name == "method":
                text = f"one of {', '.join(METHODS)} (default: dsm)"
            parser.add_argument(f"--{name}", type=hint | None, default=None, help=text)


def _pretrain(config: Namespace) -> int:
    given = {key: value for key, value in config.as_dict().items() if value is not None}
    resume, recipe = given.pop("resume"), given.pop("config", None)
    given = {key: value for key, value in given.items() if key in OWN or hasattr(Settings, key)}
    if recipe is not None:
        given = read_config(Path(recipe)) | given
    if resume:
        out = Path(given.get("out", RunConfig.out))
        saved = out / "config.yaml"
        if not saved.exists():
            raise UnsceneError(f"{out}: holds no run to resume (no config.yaml)")
        run = continue_config(read_config(saved), given)
    else:
        run = build(given)
    from unscene.train.pretrain import pretrain

    outcome = pretrain(run, resume=resume)
    if outcome.account:
        print(outcome.account)
    return 0 if outcome.finished else 130


# -- views -------------------------------------------------------------------------------------


def _views_flags(parser: ArgumentParser) -> None:
    parser.add_argument("data", type=str, help=_DATA)
    parser.add_argument("--out", type=str, default="views.png", help="the picture (.png)")
    parser.add_argument("--videos", type=int, default=4, help="how many videos to draw")
    parser.add_argument("--method", type=str, default="dsm", help="whose views")
    parser.add_argument("--preset", type=str, default="default")
    parser.add_argument("--size", type=int, default=112, help="side of a view in pixels")
    parser.add_argument("--frames", type=int, default=16)
    parser.add_argument("--stride", type=int, default=4)
    parser.add_argument("--flow", type=str, default="dis", help="dis or codec")
    parser.add_argument("--seed", type=int, default=0)


def _views(config: Namespace) -> None:
    from unscene.train.preview import preview

    path = preview(
        config.data,
        Path(config.out),
        videos=config.videos,
        method=config.method,
        preset=config.preset,
        overrides={
            "size": config.size,
            "frames": config.frames,
            "stride": config.stride,
            "flow": config.flow,
        },
        seed=config.seed,
    )
    print(f"picture: {path}")


# -- evaluate ----------------------------------------------------------------------------------


def _evaluate_flags(parser: ArgumentParser) -> None:
    parser.add_argument("protocol", choices=["retrieve", "probe"], help="what to measure")
    parser.add_argument("data", type=str, help=f"what is searched for or tested: {_DATA}")
    parser.add_argument("--encoder", type=str, help="folder, .safetensors or .json", required=True)
    parser.add_argument(
        "--train",
        type=str | None,
        help="gallery (retrieve) or training set (probe); without it, retrieve leaves one out",
    )
    parser.add_argument("--label", type=str, default="label", help="column of the classes")
    parser.add_argument(
        "--mode",
        type=str,
        default="video",
        help="video: the mean feature of --clips windows; clip: every window for itself",
    )
    parser.add_argument("--clips", type=int, default=10, help="windows a video, averaged")
    parser.add_argument(
        "--apart", type=str | None, help="retrieve: never match videos of one value in this column"
    )
    parser.add_argument(
        "--group", type=str | None, help="probe: choose by whole groups of this column"
    )
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--batch_size", type=int, default=16)
    parser.add_argument("--device", type=str, default="auto", help="auto, cpu, cuda, cuda:1 ...")
    parser.add_argument("--out", type=str | None, help="write the rows to this .jsonl file")


def _evaluate(config: Namespace) -> None:
    from unscene.evaluate.run import evaluate

    rows = evaluate(
        config.protocol,
        config.data,
        Path(config.encoder),
        train=config.train,
        label=config.label,
        mode=config.mode,
        clips=config.clips,
        apart=config.apart,
        group=config.group,
        workers=config.workers,
        batch_size=config.batch_size,
        device=config.device,
        out=Path(config.out) if config.out else None,
    )
    for row in rows:
        low, high = row.ci95
        print(f"{row.metric:<16}{row.value:.3f}  [{low:.3f}, {high:.3f}]  n = {row.n}")


# -- scenes, demo, doctor ----------------------------------------------------------------------


def _scenes_flags(parser: ArgumentParser) -> None:
    from unscene.video.scene_plan import MovingScenes

    parser.add_argument("out", type=str, help="folder to write")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_class_arguments(MovingScenes, as_group=True)


def _scenes(config: Namespace) -> None:
    from unscene.video.scenes import MovingScenes, generate

    values = {k: v for k, v in config.as_dict().items() if k not in ("out", "workers")}
    report = generate(Path(config.out), MovingScenes(**values), workers=config.workers)
    print(f"{report.videos} videos in {report.out}: train.csv, seen.csv, unseen.csv")


def _demo_flags(parser: ArgumentParser) -> None:
    parser.add_argument("--out", type=str, default="runs/demo", help="folder of the demo")
    parser.add_argument("--seed", type=int, default=0)


def _demo(config: Namespace) -> None:
    from unscene.demo import demo

    demo(Path(config.out), seed=config.seed)


def _doctor_flags(parser: ArgumentParser) -> None:
    """It takes none."""


def _doctor(config: Namespace) -> int:
    from unscene.doctor import doctor

    text, healthy = doctor()
    print(text)
    return 0 if healthy else 1
