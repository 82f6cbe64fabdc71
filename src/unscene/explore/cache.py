"""A folder of things that can be made again: the least recently used go first."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Executor, Future
from contextlib import suppress
from pathlib import Path

_PREFIX = "unscene-explore-"


def make_temporary_folder() -> Path:
    """A folder for this process, removed when it ends; those of killed servers are removed now."""
    for old in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        number = old.name.removeprefix(_PREFIX).split("-")[0]
        if number.isdecimal() and not _is_running(int(number)):
            shutil.rmtree(old, ignore_errors=True)  # another user's stays: it cannot be removed
    folder = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


class FolderCache:
    """Files by key, each made once however many ask for it, with a limit on their size together.

    A file that is open stays readable after it was removed, so who serves one opens it first.

    Args:
        folder: for these files alone.
        most: bytes.
    """

    def __init__(self, folder: Path, most: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.most = folder, most
        self._lock = threading.Lock()
        self._files: OrderedDict[str, int] = OrderedDict()  # name -> bytes, least recent first
        self._making: dict[str, Future[Path]] = {}

    @property
    def waiting(self) -> int:
        """How many files were asked for and are not made yet."""
        return len(self._making)

    def find(self, name: str) -> Path | None:
        """The file of this name, if it is there."""
        with self._lock:
            if name not in self._files:
                return None
            self._files.move_to_end(name)
        path = self.folder / name
        return path if path.exists() else None  # somebody may clear folders of temporary files

    def request(
        self, name: str, make: Callable[[Path], object], executor: Executor
    ) -> Future[Path]:
        """The file of this name; if it is not there, `make` writes it to the path it is given."""
        found = self.find(name)
        if found is not None:
            done: Future[Path] = Future()
            done.set_result(found)
            return done
        with self._lock:
            if name not in self._making:
                self._making[name] = executor.submit(self._make, name, make)
            return self._making[name]

    def _make(self, name: str, make: Callable[[Path], object]) -> Path:
        path = self.folder / name
        temporary = path.with_name(f"making-{name}")
        try:
            make(temporary)
            temporary.replace(path)
            self.add(name)
        finally:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)
            with self._lock:
                self._making.pop(name, None)
        return path

    def add(self, name: str) -> None:
        """Count a file that was written into the folder, and remove others if it is full."""
        size = (self.folder / name).stat().st_size
        with self._lock:
            self._files[name] = size
            self._files.move_to_end(name)
            while sum(self._files.values()) > self.most and len(self._files) > 1:
                old, _ = self._files.popitem(last=False)
                (self.folder / old).unlink(missing_ok=True)
