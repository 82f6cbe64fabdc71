"""Paths, and writing files completely or not at all."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def expand_home(text: str | os.PathLike[str]) -> Path:
    """Make a path; a leading ~ or ~NAME is replaced by the home folder, if there is one."""
    return Path(os.path.expanduser(text))  # noqa: PTH111 - Path's own raises for an unknown NAME


@contextmanager
def write_atomically(path: Path) -> Iterator[Path]:
    """Yield a temporary path in the same folder; rename it to `path` if the block succeeds.

    If the block fails, the temporary file is removed. It has the same suffix as `path`, because
    some writers go by the suffix (video containers, for example).
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.tmp{path.suffix}")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def check_writable(path: Path) -> None:
    """Raise OSError if `path` cannot be written, before hours of work."""
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, "is a folder", str(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    if not os.access(path.parent, os.W_OK):
        raise PermissionError(errno.EACCES, "Permission denied", str(path))


def write_text(path: Path, text: str) -> None:
    """Write a UTF-8 text file completely or not at all."""
    with write_atomically(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
