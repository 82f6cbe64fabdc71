"""`unscene views`: look at the views of a method before you train."""

from __future__ import annotations

from collections.abc import Sequence

from jsonargparse import ArgumentParser, Namespace

from unscene.cli import DATA
from unscene.cli.help import (
    add_all_settings,
    add_method_flags,
    check_values,
    chosen_method,
    describe_methods,
    names_suffice,
)
from unscene.files import expand_home
from unscene.methods.registry import check_read, find_method, known_methods, setting_names
from unscene.train.config import RunConfig, find_cpu_defaults

HELP = "picture of anchors, positives, negatives and flow"
_OWN = ("out", "overwrite", "videos", "method", "preset", "seed")


def flags(parser: ArgumentParser, arguments: Sequence[str]) -> None:
    """Add the flags: of the picture, and the settings that change the chosen method's views."""
    parser.usage = "%(prog)s DATA [flags]"
    parser.add_argument("data", type=str, help=DATA)
    parser.add_argument("--out", type=str, default="views.png", help="the picture (.png)")
    parser.add_argument("--overwrite", action="store_true", help="replace the picture in --out")
    parser.add_argument("--videos", type=int, default=4, help="number of videos to draw")
    names_only = names_suffice(arguments, _OWN)
    if not names_only:
        check_values(arguments)
    name = RunConfig.method if names_only else chosen_method(arguments)
    methods = "" if names_only else f", one of {describe_methods()}"
    presets = "" if names_only else f": {', '.join(find_method(name).presets)}"
    parser.add_argument(
        "--method", type=str, default=RunConfig.method, help=f"method whose views to draw{methods}"
    )
    parser.add_argument(
        "--preset",
        type=str,
        default="default",
        help=f"where settings that are not given come from{presets}",
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of the videos and views")
    if names_only:
        add_all_settings(parser, _OWN)
        return
    parser.epilog = f"Settings are those of {name}; --method X --help shows the settings of X."
    entry = find_method(name)
    others = {each for one in known_methods() for each in find_method(one).settings.drawn_names()}
    add_method_flags(parser, entry, entry.settings.drawn_names(), others)


def run(values: Namespace) -> None:
    entry = find_method(values.method)
    given = {*setting_names(), *entry.settings.names()} - set(_OWN)
    overrides = {name: values[name] for name in given if values.get(name) is not None}
    check_read(entry, sorted(overrides))
    # The clips that `unscene pretrain` would train on without more flags.
    chosen = find_cpu_defaults(overrides | {"method": values.method, "preset": values.preset})
    drawn = entry.settings.drawn_names()
    overrides |= {name: value for name, value in chosen.items() if name in drawn}
    from unscene.preview.run import preview

    path = preview(
        values.data,
        expand_home(values.out),
        overwrite=values.overwrite,
        videos=values.videos,
        method=values.method,
        preset=values.preset,
        overrides=overrides,
        seed=values.seed,
    )
    print(f"picture: {path}")
