"""OUT/prepare.jsonl: the settings and the data, then a line whenever a file is begun, finished or
given up ("withdrawn").

Lines are only added, and the last one of a file counts. One run at a time may add them. Folders
that older versions prepared go on: what their lines lack is not asked for.
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import asdict, dataclass, field
from itertools import chain, count
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from unscene.errors import UnsceneError
from unscene.prepare.settings import TranscodeSettings

if TYPE_CHECKING:
    from unscene.prepare.plan import Plan

RECORD, REPORT = "prepare.jsonl", "prepare.csv"
_FORMAT = 1


@dataclass(frozen=True)
class Known:
    """What a record says.

    Attributes:
        lines: the last line of every file that is ours, by target.
        root: the folder whose tree is mirrored; None where an older version left it out.
        begun: there is a first line.
    """

    lines: dict[str, dict[str, Any]] = field(default_factory=dict)
    root: str | None = None
    begun: bool = False


def read_record(out: Path, settings: TranscodeSettings) -> Known:
    """The record of OUT, empty where there is none.

    Raises:
        UnsceneError: OUT was made with other settings, or the line that names them is damaged.
    """
    path = out / RECORD
    if not path.is_file():
        return Known()
    head, *rest = path.read_text(encoding="utf-8", errors="replace").splitlines() or [""]
    first = _parsed(head)
    if not first and not rest:  # the machine went down before anything was done
        return Known()
    if not first:
        raise UnsceneError(
            f"{path}: its first line, which names the settings, is damaged; "
            "name another folder for OUT"
        )
    _same_settings(out, first, settings)
    lines, root = dict[str, dict[str, Any]](), first.get("root")
    for line in map(_parsed, rest):
        root = line.get("root", root)
        if "target" in line:
            lines[line["target"]] = line
        if "withdrawn" in line:
            lines.pop(line["withdrawn"], None)
    return Known(lines, root, begun=True)


def _parsed(text: str) -> dict[str, Any]:
    try:
        line = json.loads(text)
    except ValueError:  # the end of an interrupted run
        return {}
    return line if isinstance(line, dict) else {}


def _same_settings(out: Path, line: dict[str, Any], settings: TranscodeSettings) -> None:
    # A setting that is younger than the folder was at its default.
    have, want = asdict(TranscodeSettings()) | line.get("settings", {}), asdict(settings)
    other = [f"{k} {have.get(k)} (now {want[k]})" for k in want if have.get(k) != want[k]]
    if line.get("format") != _FORMAT or other:
        raise UnsceneError(
            f"{out}: was made with {', '.join(other) or 'another version'}; "
            "give the same settings to go on, or name another folder"
        )


class Record:
    """The record of a plan's OUT, open for adding lines. To be closed.

    Raises:
        UnsceneError: another run has it open, or had it since the plan was made.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        plan.out.mkdir(parents=True, exist_ok=True)
        self.file = (plan.out / RECORD).open("a", encoding="utf-8")
        try:
            self._start()
        except BaseException:
            self.file.close()
            raise

    def _start(self) -> None:
        plan, root = self.plan, os.path.realpath(self.plan.root)
        _lock(self.file, plan.out)
        known = read_record(plan.out, plan.settings)
        if known.lines != plan.record:
            raise UnsceneError(
                f"{plan.out}: another run has written to it meanwhile; run the same command again"
            )
        if not known.begun:
            self.file.truncate(0)
            self.add({"format": _FORMAT, "settings": asdict(plan.settings), "root": root})
        else:
            torn = not (plan.out / RECORD).read_bytes().endswith(b"\n")
            self.file.write("\n" if torn else "")
            if known.root != root:
                self.add({"root": root})
        if plan.table:
            self.add({"target": plan.table, "table": os.path.realpath(plan.catalog.source)})

    def begin(self, target: str) -> Path | None:
        """Claim a file, so that it is ours even if nobody lives to say that it is finished.

        Returns:
            Where a file is hidden now that stood there and may be somebody else's.

        Raises:
            UnsceneError: somebody else has put a file there since the plan was made.
        """
        path, line, hidden = self.plan.out / target, self.plan.record.get(target), None
        if os.path.lexists(path):
            if line is None:
                raise UnsceneError(f"{path}: `prepare` did not write this file; move it away")
            if path.lstat().st_size in (0, line.get("bytes")):  # made from what has changed since
                path.unlink()
            else:
                hidden = set_aside(path)
        self.add({"target": target, "begun": True})
        return hidden

    def withdraw(self, target: str) -> None:
        """What could not be made is not ours, whoever puts a file there."""
        self.add({"withdrawn": target})

    def add(self, line: dict[str, Any]) -> None:
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
        raise UnsceneError(f"{out}: another `unscene prepare` is writing to it") from error
    except OSError:  # some network disks know no locks
        pass


def set_aside(path: Path) -> Path:
    """Hide a file beside itself, over none that is hidden already; it may be the only one."""
    numbers = chain([""], (f".{number}" for number in count(1)))
    tries = (path.with_name(f".{path.name}{number}.old") for number in numbers)
    return path.rename(next(hidden for hidden in tries if not os.path.lexists(hidden)))


def sweep(out: Path) -> None:
    """Remove what runs that were killed left half-written."""
    for path in out.rglob(".*.tmp.mp4"):
        found = re.fullmatch(r"\..*\.(\d+)\.tmp\.mp4", path.name)
        if found and not _alive(int(found[1])):
            path.unlink(missing_ok=True)


def _alive(process: int) -> bool:
    if os.name == "nt":  # where signal 0 would end it
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass
    return True
