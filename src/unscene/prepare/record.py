"""OUT/prepare.jsonl <-> what `prepare` has written to OUT so far.

The file starts with the settings and the data, followed by one line whenever a file is started,
finished or given up ("withdrawn"). Lines are only appended, and the last line of a file counts.
Only one run at a time may append. Records of older versions can be continued: fields that their
lines lack are not needed.
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import asdict, dataclass, field
from itertools import chain, count
from pathlib import Path
from typing import Any, TextIO

from unscene.errors import UnsceneError
from unscene.prepare.settings import TranscodeSettings

RECORD, REPORT = "prepare.jsonl", "prepare.csv"
_FORMAT = 1

Lines = dict[str, dict[str, Any]]  # the last line of every file, by target


@dataclass(frozen=True)
class Recorded:
    """The contents of a record.

    Attributes:
        lines: the last line of every file that `prepare` has written or started, by target.
        root: the folder whose tree is mirrored; None in records of older versions.
        started: the record has a first line.
    """

    lines: Lines = field(default_factory=dict)
    root: str | None = None
    started: bool = False


def read_record(out: Path, settings: TranscodeSettings) -> Recorded:
    """Read the record of OUT; it is empty if there is none.

    Raises:
        UnsceneError: OUT was written with other settings, or the line with the settings is damaged.
    """
    path = out / RECORD
    if not path.is_file():
        return Recorded()
    head, *rest = path.read_text(encoding="utf-8", errors="replace").splitlines() or [""]
    first = _parse(head)
    if not first and not rest:  # the computer crashed before anything was done
        return Recorded()
    if not first:
        raise UnsceneError(
            f"{path}: its first line, which holds the settings, is damaged; "
            "choose another folder for OUT"
        )
    _check_settings(out, first, settings)
    lines, root = Lines(), first.get("root")
    for line in map(_parse, rest):
        root = line.get("root", root)
        if "target" in line:
            lines[line["target"]] = line
        if "withdrawn" in line:
            lines.pop(line["withdrawn"], None)
    return Recorded(lines, root, started=True)


def _parse(text: str) -> dict[str, Any]:
    try:
        line = json.loads(text)
    except ValueError:  # the last line of an interrupted run
        return {}
    return line if isinstance(line, dict) else {}


def _check_settings(out: Path, line: dict[str, Any], settings: TranscodeSettings) -> None:
    # A setting that did not exist when the folder was written had its default value.
    have, want = asdict(TranscodeSettings()) | line.get("settings", {}), asdict(settings)
    other = [f"{k} {have.get(k)} (now {want[k]})" for k in want if have.get(k) != want[k]]
    if line.get("format") != _FORMAT or other:
        raise UnsceneError(
            f"{out}: was written with {', '.join(other) or 'another version'}; "
            "use the same settings to continue, or choose another folder"
        )


class Record:
    """The record of OUT, open for appending; call `close` when done.

    Args:
        out: the folder OUT, created if missing.
        settings: of the run, written into a new record.
        root: the folder whose tree is mirrored.
        expected: the lines that `read_record` returned when the run was planned.
        table: name of the CSV that the run will write, and the file its rows come from, if any.

    Raises:
        UnsceneError: another run has the record open, or has changed it since the plan was made.
    """

    def __init__(
        self,
        out: Path,
        settings: TranscodeSettings,
        root: Path,
        expected: Lines,
        table: tuple[str, str] | None = None,
    ) -> None:
        self.out, self.expected = out, expected
        out.mkdir(parents=True, exist_ok=True)
        self.file = (out / RECORD).open("a", encoding="utf-8")
        try:
            self._start(settings, os.path.realpath(root), table)
        except BaseException:
            self.file.close()
            raise

    def _start(self, settings: TranscodeSettings, root: str, table: tuple[str, str] | None) -> None:
        _lock(self.file, self.out)
        recorded = read_record(self.out, settings)
        if recorded.lines != self.expected:
            raise UnsceneError(
                f"{self.out}: another run has written to it in the meantime; "
                "run the same command again"
            )
        if not recorded.started:
            self.file.truncate(0)
            self.add({"format": _FORMAT, "settings": asdict(settings), "root": root})
        else:
            incomplete = not (self.out / RECORD).read_bytes().endswith(b"\n")
            self.file.write("\n" if incomplete else "")
            if recorded.root != root:
                self.add({"root": root})
        if table is not None:
            self.add({"target": table[0], "table": os.path.realpath(table[1])})

    def begin(self, target: str) -> Path | None:
        """Mark a file as started, so that it counts as ours even if this run is killed.

        Returns:
            The new path of a file that was in the way and may not be ours, if there was one.

        Raises:
            UnsceneError: somebody else has put a file there since the plan was made.
        """
        path, line, moved = self.out / target, self.expected.get(target), None
        if os.path.lexists(path):
            if line is None:
                raise UnsceneError(
                    f"{path}: this file was not written by `unscene prepare`; move it away"
                )
            if path.lstat().st_size in (0, line.get("bytes")):  # ours, of an older source
                path.unlink()
            else:
                moved = set_aside(path)
        self.add({"target": target, "begun": True})
        return moved

    def withdraw(self, target: str) -> None:
        """Mark a file as not written: whatever is at its path later is not ours."""
        self.add({"withdrawn": target})

    def add(self, line: dict[str, Any]) -> None:
        """Append a line and flush it."""
        self.file.write(json.dumps(line) + "\n")
        self.file.flush()

    def close(self) -> None:
        self.file.close()


def _lock(file: TextIO, out: Path) -> None:
    try:
        import fcntl
    except ImportError:  # Windows
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise UnsceneError(f"{out}: another `unscene prepare` is writing to this folder") from error
    except OSError:  # some network file systems have no locks
        pass


def set_aside(path: Path) -> Path:
    """Rename a file to a new hidden name in the same folder (.NAME.old), and return that path.

    The file is never deleted: it may be the only copy.
    """
    numbers = chain([""], (f".{number}" for number in count(1)))
    names = (path.with_name(f".{path.name}{number}.old") for number in numbers)
    return path.rename(next(name for name in names if not os.path.lexists(name)))


def remove_leftovers(out: Path) -> None:
    """Remove the temporary files of runs that were killed."""
    for path in out.rglob(".*.tmp.mp4"):
        found = re.fullmatch(r"\..*\.(\d+)\.tmp\.mp4", path.name)
        if found and not _is_running(int(found[1])):
            path.unlink(missing_ok=True)


def _is_running(process: int) -> bool:
    if os.name == "nt":  # where signal 0 would kill it
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass
    return True
