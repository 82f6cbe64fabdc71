"""DATA and OUT -> a plan: which file `prepare` writes where, and which are already written.

OUT/Run/a.mp4         from DATA/Run/a.avi: the tree is the same, all files are MP4
OUT/train.csv         if DATA is train.csv: its rows with the new paths; for an official split the
                      file is called OUT/ucf101-1-train.csv
OUT/ucfTrainTestlist/ and other official lists (`data.official`) of DATA: copies of them
OUT/prepare.jsonl     the record (`record`)
OUT/prepare.csv       a report on every file of DATA

A file in OUT that is not in the record, or that has changed since it was written, belongs to
somebody else, and nothing is written. The same holds if OUT was written from other DATA, because
file names would collide.
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
from unscene.prepare.record import RECORD, REPORT, Lines, Record, Recorded, read_record
from unscene.prepare.settings import TranscodeSettings

_LONGEST = 238  # bytes of a file name: disks allow 255, and temporary names are longer


@dataclass(frozen=True)
class Job:
    """A source file, or a segment of it (in seconds), and the file to write.

    `target` is relative to OUT.
    """

    source: str
    target: str
    start: float = 0.0
    end: float | None = None

    def __str__(self) -> str:
        return self.source


@dataclass(frozen=True)
class Plan:
    """What a run has to do.

    Attributes:
        root: the folder whose tree is mirrored in OUT.
        jobs: one for every file or segment, including finished ones.
        job_of_video: the job of every video of the catalog; rows with the same segment share one.
        recorded: the last line of the record for every target.
        done: targets that are finished.
        table: name of the CSV to write; None if the folders hold the labels.
        lists: official lists to copy, by their path in OUT.
    """

    catalog: Catalog
    root: Path
    out: Path
    settings: TranscodeSettings
    jobs: tuple[Job, ...]
    job_of_video: tuple[Job, ...]
    recorded: Lines = field(repr=False)
    done: frozenset[str]
    table: str | None
    lists: dict[Path, Path]

    @property
    def todo(self) -> list[Job]:
        """The jobs that are not finished."""
        return [job for job in self.jobs if job.target not in self.done]

    def open_record(self) -> Record:
        """Open the record of OUT for appending.

        Raises:
            UnsceneError: another run has the record open, or has changed it since.
        """
        table = None if self.table is None else (self.table, self.catalog.source)
        return Record(self.out, self.settings, self.root, self.recorded, table)


def make_plan(data: str | os.PathLike[str], out: Path, settings: TranscodeSettings) -> Plan:
    """List the videos of DATA and compare them with OUT; nothing is written.

    Raises:
        UnsceneError: DATA holds no video; OUT is inside DATA or DATA inside OUT; OUT contains files
            of somebody else, or was written from other data or with other settings.
    """
    out, catalog = expand_home(out), list_videos(data)
    root = _find_root(catalog)
    _check_apart(catalog, out)
    job_of_video = _make_jobs(catalog.videos, root)
    jobs = tuple(dict.fromkeys(job_of_video))
    table = _name_table(catalog)
    recorded = read_record(out, settings)
    _check_same_data(jobs, root, out, recorded)
    lists = {to: file for to, file in lists_of(root).items() if str(to) != table}
    _check_owned(jobs, table, lists, catalog, out, recorded.lines)
    _check_kept(jobs, root, out, recorded.lines)
    done = frozenset(job.target for job in jobs if _is_done(job, root, out, recorded.lines))
    return Plan(
        catalog, root, out, settings, jobs, job_of_video, recorded.lines, done, table, lists
    )


def _name_table(catalog: Catalog) -> str | None:
    # Kinetics' own lists have names like this one, so ours gets a prefix there.
    start = "videos-" if catalog.root is not None and catalog.split.startswith("kinetics") else ""
    name = f"{start}{catalog.split}.csv"
    if catalog.root is None and Path(catalog.source).suffix.lower() != ".csv":
        return None
    return name if name != REPORT else "videos.csv"


def _find_root(catalog: Catalog) -> Path:
    base = Path(os.path.normpath(Path(catalog.root or catalog.source).absolute()))
    base = base if base.is_dir() else base.parent
    paths = [PurePath(os.path.normpath(video.path)) for video in catalog.videos]
    if all(path.is_relative_to(base) for path in paths):
        return base
    return Path(os.path.commonpath([path.parent for path in paths]))


def _check_apart(catalog: Catalog, out: Path) -> None:
    data, resolved = Path(catalog.root or catalog.source).resolve(), out.resolve()
    if resolved.exists() and not resolved.is_dir():
        raise UnsceneError(f"{out}: is a file; OUT must be a folder")
    if data.is_dir() and resolved.is_relative_to(data):
        raise UnsceneError(f"{out}: lies inside the data ({data}); choose a folder outside of it")
    sources = (Path(video.path).resolve() for video in catalog.videos)
    for source in (data, *sources):
        if source.is_relative_to(resolved):
            raise UnsceneError(
                f"{out}: contains the data ({source}); choose another folder for OUT"
            )


def _make_jobs(videos: Sequence[Video], root: Path) -> tuple[Job, ...]:
    """Make a job for every video. Colliding names (a.avi and a.mp4) keep the suffix: a.avi.mp4."""
    keys = [(os.path.normpath(video.path), video.start, video.end) for video in videos]
    unique = dict.fromkeys(keys)
    segments = Counter(path for path, _, _ in unique)
    taken: set[str] = set()  # lower case: some disks do not distinguish A.mp4 from a.mp4
    jobs: dict[tuple[str, float, float | None], Job] = {}
    # Files that are .mp4 choose first and keep their names.
    for key in sorted(unique, key=lambda k: (not k[0].lower().endswith(".mp4"), k[0], k[1])):
        path, start, end = key
        relative = PurePath(path).relative_to(root)
        part = ""
        if segments[path] > 1:
            part = f"_{start:g}-{'end' if end is None else format(end, 'g')}"
        for name in _candidate_names(relative, part):
            target = relative.with_name(name).as_posix()
            if target.casefold() not in taken:
                break
        taken.add(target.casefold())
        jobs[key] = Job(path, target, start, end)
    return tuple(jobs[key] for key in keys)


def _candidate_names(path: PurePath, part: str) -> Iterator[str]:
    yield _shorten(path.stem, f"{part}.mp4")
    yield _shorten(path.name, f"{part}.mp4")
    number = 2
    while True:
        yield _shorten(path.name, f"{part}_{number}.mp4")
        number += 1


def _shorten(name: str, end: str) -> str:
    while len(os.fsencode(name + end)) > _LONGEST:
        name = name[:-1]
    return name + end


def _check_same_data(jobs: Sequence[Job], root: Path, out: Path, recorded: Recorded) -> None:
    """Refuse other data. Data that has moved still holds all sources that are finished."""
    if recorded.root is None or recorded.root == os.path.realpath(root):
        return
    finished = {target for target, line in recorded.lines.items() if "bytes" in line}
    same = {job.target for job in jobs if _is_from_source(job, root, recorded.lines)}
    if not finished <= same:
        raise UnsceneError(
            f"{out}: was written from {recorded.root}, not from {root}; "
            "choose another folder for OUT"
        )


def _check_owned(
    jobs: Sequence[Job],
    table: str | None,
    carried: Iterable[Path],
    catalog: Catalog,
    out: Path,
    recorded: Lines,
) -> None:
    """Refuse to overwrite any file that `prepare` has not written."""
    targets = {job.target for job in jobs}
    resolved = out.resolve()
    for folder in sorted({out / PurePath(to).parent for to in (*targets, *map(str, carried))}):
        if not folder.resolve().is_relative_to(resolved):
            raise UnsceneError(
                f"{folder}: is a link that leads out of {out}; remove it or choose another folder"
            )
    # Hidden files are ignored, unless one is in the way.
    found = _list_files(out) | {name for name in (*targets, table or "") if _exists(out, name)}
    own = {RECORD, REPORT} if (out / RECORD).is_file() else set()
    unknown = found - set(recorded) - own
    others = sorted(name for name in unknown if name == table or not is_list(out / name))
    if others:
        raise UnsceneError(
            f"{out}: contains files that `unscene prepare` did not write: {_some(others)}; "
            "choose a new or empty folder, or move them away"
        )
    changed = sorted(
        target for target in targets if _is_changed(out / target, recorded.get(target, {}))
    )
    if changed:
        raise UnsceneError(
            f"{out}: contains files that have changed since `unscene prepare` wrote them: "
            f"{_some(changed)}; move them away to have them written again"
        )
    other = recorded.get(table or "", {}).get("table")
    if other and other != os.path.realpath(catalog.source) and Path(other).exists():
        raise UnsceneError(
            f"{out / str(table)}: has the rows of {other}; choose another folder for OUT"
        )


def _check_kept(jobs: Sequence[Job], root: Path, out: Path, recorded: Lines) -> None:
    """Refuse to replace a finished file by another source or segment of the same folder."""
    wanted = {
        (PurePath(job.source).relative_to(root).as_posix(), job.start, job.end) for job in jobs
    }
    for job in jobs:
        line = recorded.get(job.target, {})
        made = line.get("source"), line.get("start"), line.get("end")
        if "bytes" not in line or made in wanted or not (out / job.target).exists():
            continue
        if (root / line["source"]).exists():
            raise UnsceneError(
                f"{out / job.target}: was written from {made[0]}, seconds {made[1]:g} to "
                f"{made[2] or 'the end'}, which this data does not include; move it away or choose "
                "another folder for OUT"
            )


def _exists(out: Path, name: str) -> bool:
    return bool(name) and os.path.lexists(out / name)


def _is_changed(path: Path, line: dict[str, Any]) -> bool:
    # Empty files are left over from a computer that crashed.
    return "bytes" in line and path.is_file() and path.stat().st_size not in (0, line["bytes"])


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def _list_files(out: Path) -> set[str]:
    """List the files in OUT, relative to it, without hidden ones (the desktop's, or temporary)."""
    found = set()
    for folder, below, names in os.walk(out):
        below[:] = [name for name in below if not name.startswith(".")]
        inside = PurePath(folder).relative_to(out)
        found |= {(inside / name).as_posix() for name in names if not name.startswith(".")}
    return found


def describe_source(job: Job, root: Path) -> dict[str, Any]:
    """Collect the facts by which a later run notices that the source has changed."""
    stat = Path(job.source).stat()
    return {
        "source": PurePath(job.source).relative_to(root).as_posix(),
        "source_bytes": stat.st_size,
        "source_mtime_ns": stat.st_mtime_ns,
        "start": job.start,
        "end": job.end,
    }


def _is_done(job: Job, root: Path, out: Path, recorded: Lines) -> bool:
    line, file = recorded.get(job.target, {}), out / job.target
    whole = "bytes" in line and file.is_file() and file.stat().st_size == line["bytes"]
    return whole and _is_from_source(job, root, recorded)


def _is_from_source(job: Job, root: Path, recorded: Lines) -> bool:
    line = recorded.get(job.target, {})
    try:
        return all(line.get(key) == value for key, value in describe_source(job, root).items())
    except OSError:
        return False


def find_orphans(plan: Plan) -> list[str]:
    """Find finished files in OUT that are not in DATA and whose sources are gone."""
    targets = {job.target for job in plan.jobs}
    return [
        target
        for target, line in plan.recorded.items()
        if target not in targets and "bytes" in line and (plan.out / target).is_file()
        if not (plan.root / line["source"]).exists()
    ]
