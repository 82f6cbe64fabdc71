"""Writing files so that nothing is lost: to a temporary name first, then renamed."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def expand_home(text: str | os.PathLike[str]) -> Path:
    """The path that a text names; ~ and ~NAME at its beginning are home folders, if there are."""
    return Path(os.path.expanduser(text))  # noqa: PTH111 - Path's own raises for an unknown NAME


@contextmanager
def write_atomically(path: Path) -> Iterator[Path]:
    """A temporary path beside `path`; renamed to it if the block succeeds, removed if it fails.

    The suffix stays last, so that writers which look at it (video containers, say) still know it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.tmp{path.suffix}")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def check_writable(path: Path) -> None:
    """Raise OSError now where writing `path` would fail later, after hours of work."""
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, "is a folder", str(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    if not os.access(path.parent, os.W_OK):
        raise PermissionError(errno.EACCES, "Permission denied", str(path))


def write_text(path: Path, text: str) -> None:
    """Write a UTF-8 text file whole or not at all."""
    with write_atomically(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
