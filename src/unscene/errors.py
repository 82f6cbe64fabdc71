"""The one exception that is shown to people without a traceback, and what it says of names that
nobody knows."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class UnsceneError(Exception):
    """Something the user can put right: the message names the file, the value and the remedy."""


class VideoError(UnsceneError):
    """One file cannot be used. Callers with many files report it, count it and go on."""

    def __init__(self, path: object, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = str(path)
        self.reason = reason

    def __reduce__(self) -> tuple[type[VideoError], tuple[str, str]]:
        # Exceptions cross process borders pickled; the default would lose the second argument.
        return type(self), (self.path, self.reason)


def check_known(kind: str, names: Iterable[str], known: Iterable[str]) -> None:
    """Raise UnsceneError for the first of the names that is none of the known."""
    known = list(known)
    for name in names:
        if name not in known:
            raise UnsceneError(describe_unknown(kind, name, known))


def describe_unknown(kind: str, name: str, known: Iterable[str]) -> str:
    """What to say of a name that is none of the known; suggests the nearest, whatever its case."""
    names = list(known)
    close = find_nearest(name, names)
    hint = f"; did you mean {close}?" if close else "."
    return f"unknown {kind} {name!r}{hint} Known: {', '.join(names)}"


def find_nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that is most like another, whatever its case: first of all one with the same
    letters; None: no one is like it."""
    spelled = {one.lower(): one for one in known}
    mixed = [one for one in spelled if sorted(one) == sorted(name.lower())]
    close = mixed or get_close_matches(name.lower(), spelled, n=1)
    return spelled[close[0]] if close else None
