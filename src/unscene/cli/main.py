"""The command line. Heavy imports happen inside the commands, so that help and typos are fast."""

from __future__ import annotations

import errno
import io
import os
import re
import sys
from collections.abc import Sequence
from importlib import import_module

from jsonargparse import ArgumentError, ArgumentParser, set_parsing_settings

from unscene import __version__
from unscene.cli.help import HelpFormatter, command_parser
from unscene.errors import UnsceneError, describe_unknown, find_nearest
from unscene.signals import handle_stops, interrupt


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point of `unscene`; returns the exit status (0 done, 1 failed, 2 wrong usage)."""
    # Torch threads that wait by spinning would take the cores from the reading processes. The
    # variable is read when torch is first imported, which happens later.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    for stream in (sys.stdout, sys.stderr):  # file names that are not UTF-8 must be printable
        if isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
            stream.reconfigure(errors="backslashreplace")
    with handle_stops(interrupt):  # what ends a command cleans up, whoever sends it
        try:
            return _run(list(sys.argv[1:] if argv is None else argv))
        except KeyboardInterrupt:
            print("interrupted", file=sys.stderr)
            return 130


def _run(arguments: list[str]) -> int:
    wanted = next((a for a in arguments if not a.startswith("-")), "")
    completion = any(a.startswith("--print_completion") for a in arguments)
    try:
        parser = _parser(None if completion else wanted, arguments)
    except UnsceneError as error:  # an unknown method, or a file of --config that cannot be read
        print(f"unscene {wanted}: {error}", file=sys.stderr)
        return 1
    if not arguments:
        print(parser.format_help(), end="", file=sys.stderr)
        return 2
    try:
        config = parser.parse_args(arguments)
    except ArgumentError as error:
        message = _explain_flag(str(error), parser, arguments) or _shorten(str(error))
        print(f"unscene: {message}", file=sys.stderr)
        return 2
    name = config.command
    try:
        return import_module(f"unscene.cli.{name}").run(config[name]) or 0
    except UnsceneError as error:
        print(f"unscene {name}: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:
        # The reader (head, less) is gone; Python would complain again when it closes stdout.
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
    "<class 'dict'>": 'a table, such as {"width": 16}',
}


def _explain_flag(text: str, parser: ArgumentParser, arguments: Sequence[str]) -> str | None:
    """Explain a flag that the command does not have."""
    found = re.search(r"unrecognized arguments: --([^\s=]+)", text)
    if not found:
        return None
    close = find_nearest(
        found[1], (flag.removeprefix("--") for flag in _flags_of(parser, arguments))
    )
    hint = f"; did you mean --{close}?" if close else "."
    return f"unknown flag '--{found[1]}'{hint} See --help"


def _flags_of(parser: ArgumentParser, arguments: Sequence[str]) -> set[str]:
    """The flags of the command that the arguments name."""
    known = set[str]()
    for action in parser._actions:
        known.update(flag for flag in action.option_strings if flag.startswith("--"))
        for name, below in getattr(action, "_name_parser_map", {}).items():
            if name in arguments:
                known |= _flags_of(below, arguments)
    return known


def _shorten(text: str) -> str:
    """jsonargparse lists every type that a value failed to be; people want one line."""
    if found := re.search(r"arguments are required: ((?:\w+\.)*)\w", text):
        text = text.replace(found[1], "")
        return f"{text}; see unscene {found[1].replace('.', ' ')}--help"
    if found := re.search(r'expected "(?:(\w+)\.)?(\w+)" to be one of \{(.*)\}', text):
        names = ", ".join(found[3].split(","))
        return f"{found[1]}: no {found[2]}; name one of {names}, or see unscene {found[1]} --help"
    if found := re.search(r"argument (\w+): invalid choice: '(.*)' \(choose from (.*)\)", text):
        return describe_unknown(found[1].lower(), found[2], re.findall(r"[\w-]+", found[3]))
    found = re.search(r'key "(?:\w+\.)*(\w+)":.*(?:Given|Got) value: (.*)', text, re.DOTALL)
    if found is None:
        return text
    kinds = [
        _list(found[2].strip(), text)
        if kind in ("<class 'list'>", "<class 'tuple'>")
        else _EXPECTED.get(kind, re.sub(r"typing\.Literal\[(.*)\]", r"one of \1", kind))
        for kind in re.findall(r"Expected (?:a )?(<.+?>|typing\S.*)", text)
        if "NoneType" not in kind
    ]
    return f"--{found[1]} {found[2].strip()!r}: must be {' or '.join(kinds) or 'something else'}"


def _list(value: str, text: str) -> str:
    """Say what a list should look like, given the value and the message of jsonargparse."""
    words = re.fullmatch(r"[^\[\](),\s]+(, ?[^\[\](),\s]+)*", value)
    numbers = "tuple[int" in text or "tuple[float" in text or value[:1].isdigit()
    pair = numbers and "..." not in text  # one number would be no better in brackets
    if words and (words[1] or not pair) and numbers == value[:1].isdigit():
        return f"a list: [{value}]"
    return f"a list, such as {'[2, 20]' if numbers else '[one, other]'}"


_COMMANDS = (
    *("demo", "prepare", "pretrain", "views", "evaluate", "audit"),
    *("index", "search", "label", "predict", "cluster", "explore"),
    *("results", "reproduce", "scenes", "export", "doctor"),
)
_BY_ARGUMENTS = ("pretrain", "views", "scenes")  # flags depend on --method or --kind


def _parser(wanted: str | None, arguments: Sequence[str]) -> ArgumentParser:
    """The parser; only the wanted command gets its flags, or for None all of them."""
    set_parsing_settings(add_print_completion_argument=True)
    parser = ArgumentParser(
        prog="unscene",
        exit_on_error=False,
        description="Video representations that watch the motion, not the scene.",
        version=__version__,
        formatter_class=HelpFormatter,
    )
    below = parser.add_subcommands(dest="command", title="commands", metavar="COMMAND")
    for name in _COMMANDS:
        command = import_module(f"unscene.cli.{name}")
        sub = command_parser(below, name, f"unscene {name}", command.HELP)
        if wanted in (None, name):  # after it was added: it may have commands of its own
            command.flags(sub, *([arguments] if name in _BY_ARGUMENTS else []))
    return parser
