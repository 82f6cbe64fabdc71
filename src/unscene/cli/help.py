"""Flags and their help: a text, the default as it is typed, and a group; flags of dataclasses."""

from __future__ import annotations

import argparse
import re
from argparse import SUPPRESS, Action
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Protocol, Union, get_args, get_origin, get_type_hints

from jsonargparse import ArgumentParser, DefaultHelpFormatter

from unscene.config import CONFIG, RunOptions, convert_values, describe, find_config, read_config
from unscene.errors import UnsceneError
from unscene.methods.registry import (
    MethodEntry,
    find_method,
    generates,
    known_methods,
    setting_names,
)
from unscene.methods.settings import CommonSettings
from unscene.train.config import OWN, RunConfig


class HelpFormatter(DefaultHelpFormatter):
    """Shows a default if there is one; jsonargparse would add "type: str | null" to all flags."""

    def _get_help_string(self, action: Action) -> str:
        text, default = action.help or "", action.default
        if not action.option_strings or action.nargs == 0:
            return text
        if action.required:
            return f"{text} (required)"
        nothing = default is None or default == SUPPRESS or default == []
        shown = "" if nothing else f" (default: {plain(default)})"
        return text if text.endswith(shown) else text + shown


class _Flags(Protocol):
    """A parser or a group of its flags."""

    def add_argument(self, *names: str, **how: Any) -> Any: ...


def add_flag(parser: _Flags, name: str, hint: Any, text: str) -> None:
    """A flag of a field of a dataclass; None means that it was not given."""
    parser.add_argument(
        f"--{name}", type=hint | None, default=None, metavar=_placeholder(hint), help=text
    )


def add_first_group(
    parser: ArgumentParser,
    names: Sequence[str],
    hints: Mapping[str, Any],
    texts: Mapping[str, str],
    defaults: Mapping[str, str],
) -> None:
    """Add --config, --resume and the flags that most people need.

    Args:
        names: of the fields.
        hints, texts: types and descriptions of fields; a field in backquotes is another flag.
        defaults: what is said of fields that are not given, in brackets.
    """
    group = parser.add_argument_group("to start with")
    group.add_argument(
        "--config", type=str | None, metavar="FILE", help="a config.yaml; flags win over it"
    )
    group.add_argument(
        "--resume", action="store_true", help="continue the run in --out from its last checkpoint"
    )
    add_fields(group, names, hints, texts, defaults)


def add_class_groups(
    parser: ArgumentParser, owner: type, names: Iterable[str], defaults: Mapping[str, str]
) -> None:
    """Add flags for fields of a dataclass, in a group for each class that declares some."""
    left = list(names)
    hints, texts = get_type_hints(owner), describe(owner)
    for base in owner.__mro__:
        own = [name for name in left if name in vars(base).get("__annotations__", {})]
        if own and is_dataclass(base):
            title = (base.__doc__ or "").strip().partition("\n")[0].rstrip(".")
            group = parser.add_argument_group(title[:1].lower() + title[1:])
            add_fields(group, own, hints, texts, defaults)
            left = [name for name in left if name not in own]


def add_fields(
    group: _Flags,
    names: Sequence[str],
    hints: Mapping[str, Any],
    texts: Mapping[str, str],
    defaults: Mapping[str, str],
) -> None:
    """Add flags of fields; the arguments are those of `add_first_group`."""
    for name in names:
        shown = f" ({defaults[name]})" if name in defaults else ""
        text = re.sub(r"`(\w+)`", r"--\1", texts[name]).rstrip(".")
        add_flag(group, name, hints[name], text + shown)


def chosen_method(arguments: Sequence[str]) -> str:
    """Return the method that a command line asks for, before its flags are known.

    It is that of --method, else of the file of --config, else of the run that --resume continues.
    """
    given = _read_texts(arguments)
    if "method" in given:
        return given["method"]
    files = [given["config"]] if "config" in given else []
    if "resume" in given:
        files.append(str(Path(given.get("out", RunConfig.out)) / CONFIG))
    for file in files:
        path = find_config(file)
        if path.exists():
            return str(read_config(path).get("method", RunConfig.method))
    return RunConfig.method


def names_suffice(arguments: Sequence[str], known: Iterable[str]) -> bool:
    """Whether the names of the flags are all that is needed: for completion, a mistyped flag, or
    where DATA is missing.

    A flag is mistyped if it is neither a setting of some method nor one of the known flags. Only an
    import tells what a method from outside the package reads.
    """
    if any(argument.startswith("--print_completion") for argument in arguments):
        return True
    method = chosen_method(arguments)
    if ":" in method:
        return False
    names = {"help", *setting_names(), *known}
    flags = (a[2:].partition("=")[0] for a in arguments if a.startswith("--") and len(a) > 2)
    instead = {"data", "config", "resume", "help"}
    missing = not (instead & _read_texts(arguments).keys() or generates(method))
    return missing or any(flag not in names for flag in flags)


def check_values(arguments: Sequence[str]) -> None:
    """Refuse what every method refuses, before the method's module is imported, and torch with it.

    Values of a wrong type are left to the parser of all flags, which is made after that.

    Raises:
        UnsceneError: the seed or a number that all methods have is out of range.
    """
    texts = _read_texts(arguments)
    for owner, needed in ((RunOptions, {"data": "", "out": ""}), (CommonSettings, {})):
        values: dict[str, Any] = {}
        for name in texts.keys() & {field.name for field in fields(owner)}:
            with suppress(UnsceneError):
                values |= convert_values(owner, {name: texts[name]})
        owner(**(needed | values))


def _read_texts(arguments: Sequence[str]) -> dict[str, str]:
    """What is given for DATA and for the flags, as it is typed; {} where a flag lacks its value."""
    parser = argparse.ArgumentParser(
        add_help=False, exit_on_error=False, allow_abbrev=False, argument_default=SUPPRESS
    )
    parser.add_argument("command")
    for name in ("resume", "overwrite", "help"):
        parser.add_argument(f"--{name}", action="store_true")
    parser.add_argument("-h", action="store_true", dest="help")
    for name in sorted({*setting_names(), *OWN, "config", "videos"} - {"data"}):
        parser.add_argument(f"--{name}")
    try:
        given, others = parser.parse_known_args(list(arguments))
    except argparse.ArgumentError:  # the parser of all flags says so
        return {}
    # Not an argument of its own: argparse takes one that may be missing only before all flags.
    data = [text for text in others if not text.startswith("-")]
    return vars(given) | ({"data": data[0]} if data else {})


def add_method_flags(
    parser: ArgumentParser,
    entry: MethodEntry,
    names: Sequence[str],
    others: Iterable[str],
    skip: Iterable[str] = (),
) -> None:
    """Add flags for the settings that a method reads, in groups by the class that declares them.

    Settings that only other methods read are accepted and not shown: `check_read` refuses them by
    name.

    Args:
        entry: the method.
        names: settings of the method that the command takes.
        others: settings of other methods that the command takes.
        skip: settings that have a flag already.
    """
    shown = [name for name in names if name not in set(skip)]
    usual = entry.settings(**entry.presets["default"])
    defaults = {name: f"default: {plain(getattr(usual, name))}" for name in shown}
    add_class_groups(parser, entry.settings, shown, defaults)
    for name in sorted({*others}.difference(entry.settings.names(), skip)):
        parser.add_argument(f"--{name}", help=SUPPRESS)


def add_all_settings(parser: ArgumentParser, skip: Iterable[str]) -> None:
    """Add a bare flag for every setting of every method: enough to complete or correct names."""
    for name in sorted(setting_names() - set(skip)):
        parser.add_argument(f"--{name}", help="a setting of some method")


def describe_methods() -> str:
    """Say which methods there are."""
    names = [f"{name} ({find_method(name).title})" for name in known_methods()]
    return f"{', '.join(names)}, or package.module:Class of your own"


def field_defaults(owner: type) -> dict[str, str]:
    """What a dataclass's fields are where they are not given."""
    return {
        field.name: f"default: {plain(field.default)}"
        for field in fields(owner)
        if field.default is not MISSING and field.default is not None
    }


def plain(value: Any) -> str:
    """A value as it is typed."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(plain, value))}]"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _placeholder(hint: Any) -> str | None:
    """Placeholder for the value of a flag; None: the flag's name."""
    if get_origin(hint) in (Union, UnionType):
        hint = next(part for part in get_args(hint) if part is not NoneType)
    if get_origin(hint) is Literal:
        return f"{{{','.join(map(str, get_args(hint)))}}}"
    if get_origin(hint) is tuple:
        first, *rest = get_args(hint)
        more = "..." if Ellipsis in rest else _placeholder(first)
        return f"[{_placeholder(first)},{more}]"
    known = {bool: "{true,false}", int: "N", float: "X"}
    return known.get(hint, "TABLE" if get_origin(hint) is dict else None)


def command_parser(below: Any, name: str, prog: str, text: str) -> ArgumentParser:
    """The parser of a command, added to those `below` another parser."""
    parser = ArgumentParser(exit_on_error=False, description=text, formatter_class=HelpFormatter)
    below.add_subcommand(name, parser, help=text)
    parser.prog = prog  # adding it put "[options]" between the words
    return parser
