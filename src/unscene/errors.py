"""Exceptions that are shown to the user without a traceback, and messages about unknown names."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class UnsceneError(Exception):
    """An error that the user can fix: the message names the file, the value and the remedy."""


class VideoError(UnsceneError):
    """One file cannot be used. Callers with many files report it, count it and go on.

    Attributes:
        path: of the file.
        reason: why it cannot be used.
    """

    def __init__(self, path: object, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = str(path)
        self.reason = reason

    def __reduce__(self) -> tuple[type[VideoError], tuple[str, str]]:
        # Exceptions are pickled between processes; the default would lose the second argument.
        return type(self), (self.path, self.reason)


class ReadingError(UnsceneError):
    """The processes that read videos cannot go on: one died, or memory or open files ran out."""


def check_at_least(least: int, **values: int | None) -> None:
    """Raise UnsceneError for the first of the values that is below `least`; None is not checked.

    >>> check_at_least(1, clips=10, batch_size=16)
    """
    for name, value in values.items():
        if value is not None and value < least:
            raise UnsceneError(f"{name} {value}: must be at least {least}")


def check_known(kind: str, names: Iterable[str], known: Iterable[str]) -> None:
    """Raise UnsceneError for the first name that is not known.

    Args:
        kind: what the names are, for the message.
    """
    known = list(known)
    for name in names:
        if name not in known:
            raise UnsceneError(describe_unknown(kind, name, known))


def describe_unknown(kind: str, name: str, known: Iterable[str]) -> str:
    """Write the message for an unknown name; it suggests the most similar known one.

    >>> describe_unknown("method", "mcoo", ["moco", "dsm"])
    "unknown method 'mcoo'; did you mean moco? Known: moco, dsm"
    """
    names = list(known)
    close = find_nearest(name, names)
    hint = f"; did you mean {close}?" if close else "."
    return f"unknown {kind} {name!r}{hint} Known: {', '.join(names)}"


def first_line(error: BaseException) -> str:
    r"""What an error says, in its first line; its class if it says nothing.

    >>> first_line(ValueError("no such table\nat line 3")), first_line(KeyError())
    ('no such table', 'KeyError')
    """
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def find_nearest(name: str, known: Iterable[str]) -> str | None:
    """Find the most similar known name, ignoring case; None if there is none.

    A name with the same letters in another order comes first.
    """
    spelled = {one.lower(): one for one in known}
    mixed = [one for one in spelled if sorted(one) == sorted(name.lower())]
    close = mixed or get_close_matches(name.lower(), spelled, n=1)
    return spelled[close[0]] if close else None
