"""What `prepare` will write where, and what it has written already.

OUT/Run/a.mp4         from DATA/Run/a.avi: the tree is the same, all files are MP4
OUT/videos.csv        where DATA is a CSV: its rows with the new paths; for an official split it is
                      called OUT/ucf101-1-train.csv
OUT/prepare.jsonl     the record: the settings, then a line whenever a file is begun or finished
OUT/prepare.csv       what was found in every file of DATA

A file in OUT that the record does not name belongs to somebody else and stops everything.
"""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path, PurePath
from typing import Any

from unscene.errors import UnsceneError
from unscene.files import write_text
from unscene.video.catalog import Catalog, Video, list_videos
from unscene.video.transcode import Recipe

RECORD, REPORT = "prepare.jsonl", "prepare.csv"
_FORMAT = 1


@dataclass(frozen=True)
class Job:
    """One file, or one segment of it, and the file it becomes; `target` is relative to OUT."""

    source: str
    target: str
    start: float = 0.0
    end: float | None = None

    def __str__(self) -> str:
        return self.source


@dataclass(frozen=True)
class Plan:
    """What there is to do.

    Attributes:
        root: the folder whose tree is mirrored.
        jobs: one for every file or segment, those that are done among them.
        of: the job of every video of the catalog; rows that name the same segment share one.
        record: by target, what the record says.
        done: targets that are finished.
        table: name of the CSV to write, None where the folders say all.
    """

    catalog: Catalog
    root: Path
    out: Path
    recipe: Recipe
    jobs: tuple[Job, ...]
    of: tuple[Job, ...]
    record: dict[str, dict[str, Any]] = field(repr=False)
    done: frozenset[str]
    table: str | None

    @property
    def todo(self) -> list[Job]:
        return [job for job in self.jobs if job.target not in self.done]


def make_plan(data: str | os.PathLike[str], out: Path, recipe: Recipe) -> Plan:
    """List DATA and compare it with OUT; writes nothing.

    Raises:
        UnsceneError: DATA holds no video; OUT and DATA lie in each other; OUT holds files of
            somebody else, or was made with other settings.
    """
    out, catalog = Path(out).expanduser(), list_videos(data)
    root = _root(catalog)
    _keep_apart(catalog, out)
    of = _jobs(catalog.videos, root)
    jobs = tuple(dict.fromkeys(of))
    record = read_record(out, recipe)
    done = frozenset(job.target for job in jobs if _is_done(job, root, out, record))
    source = Path(catalog.source)
    listed = catalog.root is not None or source.suffix.lower() == ".csv"
    table = None if not listed else f"{catalog.split}.csv" if catalog.root else "videos.csv"
    return Plan(catalog, root, out, recipe, jobs, of, record, done, table)


def _root(catalog: Catalog) -> Path:
    base = Path(os.path.normpath(Path(catalog.root or catalog.source).absolute()))
    base = base if base.is_dir() else base.parent
    paths = [PurePath(os.path.normpath(video.path)) for video in catalog.videos]
    if all(path.is_relative_to(base) for path in paths):
        return base
    return Path(os.path.commonpath([path.parent for path in paths]))


def _keep_apart(catalog: Catalog, out: Path) -> None:
    data, place = Path(catalog.root or catalog.source).resolve(), out.resolve()
    if place.exists() and not place.is_dir():
        raise UnsceneError(f"{out}: is a file; OUT is a folder")
    if data.is_dir() and place.is_relative_to(data):
        raise UnsceneError(f"{out}: lies inside the data ({data}); name a folder outside of it")
    sources = (Path(video.path).resolve() for video in catalog.videos)
    for source in (data, *sources):
        if source.is_relative_to(place):
            raise UnsceneError(f"{out}: holds the data ({source}); name another folder for OUT")


def _jobs(videos: Sequence[Video], root: Path) -> tuple[Job, ...]:
    """A job for every video. Names that meet (a.avi and a.mp4) keep their suffix: a.avi.mp4."""
    keys = [(os.path.normpath(video.path), video.start, video.end) for video in videos]
    unique = dict.fromkeys(keys)
    segments = Counter(path for path, _, _ in unique)
    taken: set[str] = set()  # folded: not all disks tell A.mp4 from a.mp4
    jobs: dict[tuple[str, float, float | None], Job] = {}
    # Those that are .mp4 choose first and keep their names.
    for key in sorted(unique, key=lambda k: (not k[0].lower().endswith(".mp4"), k[0], k[1])):
        path, start, end = key
        relative = PurePath(path).relative_to(root)
        part = ""
        if segments[path] > 1:
            part = f"_{start:g}-{'end' if end is None else format(end, 'g')}"
        for name in _names(relative.stem + part, relative.name + part):
            target = relative.with_name(name).as_posix()
            if target.casefold() not in taken:
                break
        taken.add(target.casefold())
        jobs[key] = Job(path, target, start, end)
    return tuple(jobs[key] for key in keys)


def _names(short: str, long: str) -> Iterator[str]:
    yield f"{short}.mp4"
    yield f"{long}.mp4"
    number = 2
    while True:
        yield f"{long}_{number}.mp4"
        number += 1


def read_record(out: Path, recipe: Recipe) -> dict[str, dict[str, Any]]:
    """The latest line of every file in OUT that is ours."""
    path, lines = out / RECORD, dict[str, dict[str, Any]]()
    found = _files(out)
    if path.is_file():
        for number, text in enumerate(path.read_text(encoding="utf-8").splitlines()):
            try:
                line = json.loads(text)
            except ValueError:  # the end of an interrupted run
                continue
            if number == 0:
                _same_settings(out, line, recipe)
            elif isinstance(line, dict) and "target" in line:
                lines[line["target"]] = line
    others = sorted(found - set(lines) - ({RECORD, REPORT} if path.is_file() else set()))
    if others:
        named = ", ".join(others[:5]) + (f" and {len(others) - 5} more" if len(others) > 5 else "")
        raise UnsceneError(
            f"{out}: holds {len(others)} files that `prepare` did not write: {named}; "
            "name a new or an empty folder, or move them away"
        )
    return lines


def _same_settings(out: Path, line: dict[str, Any], recipe: Recipe) -> None:
    # A setting that is younger than the folder was at its default.
    have, want = asdict(Recipe()) | line.get("settings", {}), asdict(recipe)
    other = [f"{k} {have.get(k)} (now {want[k]})" for k in want if have.get(k) != want[k]]
    if line.get("format") != _FORMAT or other:
        raise UnsceneError(
            f"{out}: was made with {', '.join(other) or 'another version'}; "
            "give the same settings to go on, or name another folder"
        )


def _files(out: Path) -> set[str]:
    """Relative names of the files in OUT; hidden ones are the desktop's, or our temporary ones."""
    found = set()
    for folder, below, names in os.walk(out):
        below[:] = [name for name in below if not name.startswith(".")]
        inside = PurePath(folder).relative_to(out)
        found |= {(inside / name).as_posix() for name in names if not name.startswith(".")}
    return found


def stamp(job: Job, root: Path) -> dict[str, Any]:
    """What tells that a source has changed since."""
    stat = Path(job.source).stat()
    return {
        "source": PurePath(job.source).relative_to(root).as_posix(),
        "source_bytes": stat.st_size,
        "source_mtime_ns": stat.st_mtime_ns,
        "start": job.start,
        "end": job.end,
    }


def _is_done(job: Job, root: Path, out: Path, record: dict[str, dict[str, Any]]) -> bool:
    line, file = record.get(job.target, {}), out / job.target
    if "bytes" not in line or not file.is_file() or file.stat().st_size != line["bytes"]:
        return False
    try:
        return all(line.get(key) == value for key, value in stamp(job, root).items())
    except OSError:
        return False


class Record:
    """OUT/prepare.jsonl, open for adding lines."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        plan.out.mkdir(parents=True, exist_ok=True)
        path = plan.out / RECORD
        if not path.exists():
            head = {"format": _FORMAT, "settings": asdict(plan.recipe)}
            write_text(path, json.dumps(head) + "\n")
        torn = not path.read_text(encoding="utf-8").endswith("\n")
        self.file = path.open("a", encoding="utf-8")
        self.file.write("\n" if torn else "")
        if plan.table:
            self.add({"target": plan.table})

    def begin(self, target: str) -> None:
        """Claim a file, so that it is ours even if nobody lives to say that it is finished."""
        self.add({"target": target, "begun": True})
        if target in self.plan.record:  # made from another source, or not known to be whole
            (self.plan.out / target).unlink(missing_ok=True)

    def add(self, line: dict[str, Any]) -> None:
        self.file.write(json.dumps(line) + "\n")
        self.file.flush()

    def close(self) -> None:
        self.file.close()


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
