"""The one exception that is shown to people without a traceback."""

from __future__ import annotations


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
