"""What `prepare` will write where, and what it has written already.

OUT/Run/a.mp4         from DATA/Run/a.avi: the tree is the same, all files are MP4
OUT/train.csv         where DATA is train.csv: its rows with the new paths; for an official split it
                      is called OUT/ucf101-1-train.csv
OUT/ucfTrainTestlist/ and other official lists (`official`) of DATA: copies of them
OUT/prepare.jsonl     the record (`prepare_record`)
OUT/prepare.csv       what was found in every file of DATA

A file in OUT that the record does not name, or that has changed since, belongs to somebody else and
stops everything. So does other DATA than that which OUT was made from: names would meet.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Any

from unscene.data.catalog import Catalog, Video
from unscene.data.listing import list_videos
from unscene.data.official import is_list, lists_of
from unscene.errors import UnsceneError
from unscene.files import expand_home
from unscene.prepare.record import RECORD, REPORT, Known, read_record
from unscene.prepare.settings import TranscodeSettings

Lines = dict[str, dict[str, Any]]
_LONGEST = 238  # bytes of a name: disks allow 255, and a temporary name is longer


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
        lists: official lists that come along, by their place in OUT.
    """

    catalog: Catalog
    root: Path
    out: Path
    settings: TranscodeSettings
    jobs: tuple[Job, ...]
    of: tuple[Job, ...]
    record: Lines = field(repr=False)
    done: frozenset[str]
    table: str | None
    lists: dict[Path, Path]

    @property
    def todo(self) -> list[Job]:
        return [job for job in self.jobs if job.target not in self.done]


def make_plan(data: str | os.PathLike[str], out: Path, settings: TranscodeSettings) -> Plan:
    """List DATA and compare it with OUT; writes nothing.

    Raises:
        UnsceneError: DATA holds no video; OUT and DATA lie in each other; OUT holds files of
            somebody else, or was made from other data or with other settings.
    """
    out, catalog = expand_home(out), list_videos(data)
    root = _root(catalog)
    _keep_apart(catalog, out)
    of = _jobs(catalog.videos, root)
    jobs = tuple(dict.fromkeys(of))
    table = _table(catalog)
    known = read_record(out, settings)
    _same_data(jobs, root, out, known)
    lists = {to: file for to, file in lists_of(root).items() if str(to) != table}
    _only_ours(jobs, table, lists, catalog, out, known.lines)
    _all_kept(jobs, root, out, known.lines)
    done = frozenset(job.target for job in jobs if _is_done(job, root, out, known.lines))
    return Plan(catalog, root, out, settings, jobs, of, known.lines, done, table, lists)


def _table(catalog: Catalog) -> str | None:
    # Of Kinetics, whose lists are found by names like this one, it is called otherwise.
    start = "videos-" if catalog.root is not None and catalog.split.startswith("kinetics") else ""
    name = f"{start}{catalog.split}.csv"
    if catalog.root is None and Path(catalog.source).suffix.lower() != ".csv":
        return None
    return name if name != REPORT else "videos.csv"


def _root(catalog: Catalog) -> Path:
    base = Path(os.path.normpath(Path(catalog.root or catalog.source).absolute()))
    base = base if base.is_dir() else base.parent
    paths = [PurePath(os.path.normpath(video.path)) for video in catalog.videos]
    if all(path.is_relative_to(base) for path in paths):
        return base
    return Path(os.path.commonpath([path.parent for path in paths]))


def _keep_apart(catalog: Catalog, out: Path) -> None:
    data, resolved = Path(catalog.root or catalog.source).resolve(), out.resolve()
    if resolved.exists() and not resolved.is_dir():
        raise UnsceneError(f"{out}: is a file; OUT is a folder")
    if data.is_dir() and resolved.is_relative_to(data):
        raise UnsceneError(f"{out}: lies inside the data ({data}); name a folder outside of it")
    sources = (Path(video.path).resolve() for video in catalog.videos)
    for source in (data, *sources):
        if source.is_relative_to(resolved):
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
        for name in _names(relative, part):
            target = relative.with_name(name).as_posix()
            if target.casefold() not in taken:
                break
        taken.add(target.casefold())
        jobs[key] = Job(path, target, start, end)
    return tuple(jobs[key] for key in keys)


def _names(path: PurePath, part: str) -> Iterator[str]:
    yield _fitting(path.stem, f"{part}.mp4")
    yield _fitting(path.name, f"{part}.mp4")
    number = 2
    while True:
        yield _fitting(path.name, f"{part}_{number}.mp4")
        number += 1


def _fitting(name: str, end: str) -> str:
    while len(os.fsencode(name + end)) > _LONGEST:
        name = name[:-1]
    return name + end


def _same_data(jobs: Sequence[Job], root: Path, out: Path, known: Known) -> None:
    """Data that has moved is the same: whatever is finished came from a file that is there, too."""
    if known.root is None or known.root == os.path.realpath(root):
        return
    finished = {target for target, line in known.lines.items() if "bytes" in line}
    same = {job.target for job in jobs if _from_same(job, root, known.lines)}
    if not finished <= same:
        raise UnsceneError(
            f"{out}: was made from {known.root}, not from {root}; name another folder for OUT"
        )


def _only_ours(
    jobs: Sequence[Job],
    table: str | None,
    carried: Iterable[Path],
    catalog: Catalog,
    out: Path,
    record: Lines,
) -> None:
    """Refuse whatever would overwrite a file that `prepare` has not written."""
    targets = {job.target for job in jobs}
    resolved = out.resolve()
    for folder in sorted({out / PurePath(to).parent for to in (*targets, *map(str, carried))}):
        if not folder.resolve().is_relative_to(resolved):
            raise UnsceneError(
                f"{folder}: is a link that leads out of {out}; remove it or name another folder"
            )
    # Hidden files are left alone, unless one is in the way.
    found = _files(out) | {name for name in (*targets, table or "") if _there(out, name)}
    own = {RECORD, REPORT} if (out / RECORD).is_file() else set()
    strange = found - set(record) - own
    others = sorted(name for name in strange if name == table or not is_list(out / name))
    if others:
        raise UnsceneError(
            f"{out}: holds {len(others)} files that `prepare` did not write: {_some(others)}; "
            "name a new or an empty folder, or move them away"
        )
    changed = sorted(target for target in targets if _changed(out / target, record.get(target, {})))
    if changed:
        raise UnsceneError(
            f"{out}: holds {len(changed)} files that have changed since `prepare` wrote them: "
            f"{_some(changed)}; move them away to have them written again"
        )
    other = record.get(table or "", {}).get("table")
    if other and other != os.path.realpath(catalog.source) and Path(other).exists():
        raise UnsceneError(
            f"{out / str(table)}: has the rows of {other}; name another folder for OUT"
        )


def _all_kept(jobs: Sequence[Job], root: Path, out: Path, record: Lines) -> None:
    """Another list of the same folder may want another segment, or a.mkv, under the same name."""
    wanted = {
        (PurePath(job.source).relative_to(root).as_posix(), job.start, job.end) for job in jobs
    }
    for job in jobs:
        line = record.get(job.target, {})
        made = line.get("source"), line.get("start"), line.get("end")
        if "bytes" not in line or made in wanted or not (out / job.target).exists():
            continue
        if (root / line["source"]).exists():
            raise UnsceneError(
                f"{out / job.target}: was made from {made[0]}, seconds {made[1]:g} to "
                f"{made[2] or 'the end'}, which this data does not ask for; move it away or name "
                "another folder for OUT"
            )


def _there(out: Path, name: str) -> bool:
    return bool(name) and os.path.lexists(out / name)


def _changed(path: Path, line: dict[str, Any]) -> bool:
    # A machine that goes down leaves empty files: these are no one's work.
    return "bytes" in line and path.is_file() and path.stat().st_size not in (0, line["bytes"])


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


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


def _is_done(job: Job, root: Path, out: Path, record: Lines) -> bool:
    line, file = record.get(job.target, {}), out / job.target
    whole = "bytes" in line and file.is_file() and file.stat().st_size == line["bytes"]
    return whole and _from_same(job, root, record)


def _from_same(job: Job, root: Path, record: Lines) -> bool:
    line = record.get(job.target, {})
    try:
        return all(line.get(key) == value for key, value in stamp(job, root).items())
    except OSError:
        return False


def orphans(plan: Plan) -> list[str]:
    """Finished files in OUT that DATA does not ask for and whose sources are gone."""
    targets = {job.target for job in plan.jobs}
    return [
        target
        for target, line in plan.record.items()
        if target not in targets and "bytes" in line and (plan.out / target).is_file()
        if not (plan.root / line["source"]).exists()
    ]
