"""What --help shows of a flag: a text, its default in the words of a shell, and its group."""

from __future__ import annotations

import re
from argparse import SUPPRESS, Action
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields
from types import NoneType, UnionType
from typing import Any, Literal, Protocol, Union, get_args, get_origin

from jsonargparse import ArgumentParser, DefaultHelpFormatter


class HelpFormatter(DefaultHelpFormatter):
    """Tells a default where there is one; jsonargparse would add "type: str | null" to all."""

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


def add_groups(
    parser: ArgumentParser,
    groups: Mapping[str, Sequence[str]],
    hints: Mapping[str, Any],
    texts: Mapping[str, str],
    defaults: Mapping[str, str],
) -> None:
    """Flags of fields under titles, and --config and --resume under the first.

    Args:
        groups: names of fields by title.
        hints, texts: types and descriptions of all fields; a field in backquotes is another flag.
        defaults: what is said of those that are not given, in brackets.
    """
    for number, (title, names) in enumerate(groups.items()):
        group = parser.add_argument_group(title)
        if not number:
            group.add_argument(
                "--config", type=str | None, metavar="FILE", help="a config.yaml; flags win over it"
            )
            group.add_argument(
                "--resume",
                action="store_true",
                help="continue the run in --out from its last checkpoint",
            )
        add_fields(group, names, hints, texts, defaults)


def add_fields(
    group: _Flags,
    names: Sequence[str],
    hints: Mapping[str, Any],
    texts: Mapping[str, str],
    defaults: Mapping[str, str],
) -> None:
    """Flags of fields, as `add_groups` has them."""
    for name in names:
        shown = f" ({defaults[name]})" if name in defaults else ""
        text = re.sub(r"`(\w+)`", r"--\1", texts[name]).rstrip(".")
        add_flag(group, name, hints[name], text + shown)


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
    """What stands for a value behind its flag; None: the flag's name."""
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
