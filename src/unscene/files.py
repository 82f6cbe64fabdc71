"""Paths, and writing files completely or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from unscene.errors import UnsceneError

_REMEDY = "name another place to write to"


def expand_home(text: str | os.PathLike[str]) -> Path:
    """Make a path; a leading ~ or ~NAME is replaced by the home folder, if there is one."""
    return Path(os.path.expanduser(text))  # noqa: PTH111 - Path's own raises for an unknown NAME


def make_absolute(path: Path) -> Path:
    """The path from the root. Links stay, except before a "..", which would be another place."""
    return path.resolve() if ".." in path.parts else path.absolute()


@contextmanager
def write_atomically(path: Path) -> Iterator[Path]:
    """Yield a temporary path in the same folder; rename it to `path` if the block succeeds.

    If the block fails, the temporary file is removed. It has the same suffix as `path`, because
    some writers go by the suffix (video containers, for example).
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(_name_temporary(path))
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _name_temporary(path: Path) -> str:
    return f".{path.stem}.{os.getpid()}.tmp{path.suffix}"


def check_writable(path: Path) -> None:
    """Check before hours of work that a file could be written at their end.

    Tried by creating a file and removing it: permissions alone do not tell about read-only file
    systems, full disks, names that are too long, or what root may do. Folders are not created.

    Raises:
        UnsceneError: it cannot be written, or is a folder.
    """
    if path.is_dir():
        raise UnsceneError(f"{path}: is a folder, not a file; {_REMEDY}")
    folder = path.absolute().parent
    while not os.path.lexists(folder):
        folder = folder.parent
    if not folder.is_dir():
        raise UnsceneError(f"{path}: cannot be written: {folder} is not a folder; {_REMEDY}")
    tried = folder / _name_temporary(path)
    try:
        tried.touch()
        tried.unlink(missing_ok=True)
    except OSError as error:
        raise UnsceneError(
            f"{path}: cannot be written: {folder}: {error.strerror}; {_REMEDY}"
        ) from error


def check_free(path: Path, *, overwrite: bool = False) -> None:
    """Check that a file can be written and is nobody's result yet, unless `overwrite`.

    Raises:
        UnsceneError: it exists, or cannot be written.
    """
    if not overwrite and os.path.lexists(path) and not path.is_dir():
        raise UnsceneError(
            f"{path}: is there already; pass --overwrite to replace it, or {_REMEDY}"
        )
    check_writable(path)


def encode_text(text: str) -> bytes:
    """Encode text as UTF-8, also text with file names that are not UTF-8.

    Bytes of a name that are not UTF-8 are lone surrogates in Python, which UTF-8 cannot encode.
    They become \\udcXX, which is how JSON writes them: what reads the file gets the same name.

    >>> import json
    >>> json.loads(encode_text(json.dumps("caf\\udce9", ensure_ascii=False)))
    'caf\\udce9'
    """
    return text.encode("utf-8", "backslashreplace")


def write_text(path: Path, text: str) -> None:
    """Write a UTF-8 text file completely or not at all; see `encode_text` for odd file names."""
    with write_atomically(path) as temporary:
        temporary.write_bytes(encode_text(text))
