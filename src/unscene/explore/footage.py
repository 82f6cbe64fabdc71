"""Files of an index by number -> open files. No path ever comes from a request."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from starlette.responses import FileResponse
from starlette.types import Receive, Scope, Send

from unscene.explore.answers import Refusal

_AGAIN = "run `unscene index` again to bring the index up to date"


class Listed(Protocol):
    """What is needed of a file of an index."""

    @property
    def id(self) -> int: ...
    @property
    def path(self) -> str: ...
    @property
    def size(self) -> int: ...
    @property
    def modified(self) -> int: ...
    @property
    def duration(self) -> float: ...
    @property
    def fps(self) -> float: ...


@dataclass
class OpenFile:
    """A file that was checked and opened; it is closed by who got it."""

    descriptor: int
    path: str
    facts: os.stat_result

    def close(self) -> None:
        os.close(self.descriptor)


class Footage:
    """Opens the files of an index, and nothing else.

    Where a path is a link, or leads through one, it may lead elsewhere than when it was indexed.
    Such a file must have the size and the time of modification that the index knows.
    """

    def __init__(self, files: Sequence[Listed]) -> None:
        self.files = {file.id: file for file in files}

    def find(self, number: int) -> Listed:
        """The file of this number.

        Raises:
            Refusal: the index has none.
        """
        if number not in self.files:
            raise Refusal(404, f"the index has no file {number}; open the page again")
        return self.files[number]

    def locate(self, number: int) -> str:
        """The path of a file, checked."""
        opened = self.open(number)
        opened.close()
        return opened.path

    def open(self, number: int) -> OpenFile:
        """Open a file for reading.

        Raises:
            Refusal: it is gone, may not be read, is no regular file or is another one by now.
        """
        file = self.find(number)
        name = Path(file.path).name
        try:
            home = os.path.realpath(file.path, strict=True)
            flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
            descriptor = os.open(home, flags | getattr(os, "O_BINARY", 0))
        except (FileNotFoundError, NotADirectoryError) as error:
            raise Refusal(404, f"{name}: is not there any more; {_AGAIN}") from error
        except OSError as error:
            raise Refusal(403, f"{name}: cannot be read ({error.strerror})") from error
        facts = os.fstat(descriptor)
        if not stat.S_ISREG(facts.st_mode):
            os.close(descriptor)
            raise Refusal(403, f"{name}: is not a regular file; {_AGAIN}")
        linked = home != os.path.abspath(file.path)  # noqa: PTH100 - resolves no links
        if linked and (facts.st_size, facts.st_mtime_ns) != (file.size, file.modified):
            os.close(descriptor)
            raise Refusal(403, f"{name}: leads to another file than when it was indexed; {_AGAIN}")
        return OpenFile(descriptor, home, facts)


class OpenFileResponse(FileResponse):
    """Serves a file that is open already: whole or in ranges, a piece at a time.

    Nobody can put another file into its place between the check and the reading.
    """

    def __init__(self, file: OpenFile, media_type: str, headers: dict[str, str]) -> None:
        self.file = file
        # Opening this path again gives a reader with a place of its own in the same file.
        again = Path(f"/dev/fd/{file.descriptor}")
        path = again if again.exists() else Path(file.path)
        super().__init__(path, headers=headers, media_type=media_type, stat_result=file.facts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self.file.close()


def open_cached(path: Path) -> OpenFile:
    """Open a file that the server made itself."""
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
    return OpenFile(descriptor, str(path), os.fstat(descriptor))
