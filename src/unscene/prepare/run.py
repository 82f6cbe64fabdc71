"""A folder of videos -> the same folder, transcoded for training: inspect the files, run the plan.

A run that was stopped continues where it was: finished files are kept if their sources and the
settings are unchanged. Files that cannot be read are reported, counted and left out.
"""

from __future__ import annotations

import filecmp
import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import closing
from dataclasses import asdict, dataclass, field, fields
from functools import partial
from pathlib import Path
from typing import Any

from unscene.data.catalog import Skipped
from unscene.data.csv_table import write_csv
from unscene.data.listing import Progress
from unscene.data.processes import run_in_processes, should_stop
from unscene.errors import UnsceneError, VideoError
from unscene.files import write_atomically
from unscene.prepare.inspect import Inspection, inspect
from unscene.prepare.plan import Job, Plan, describe_source, find_orphans
from unscene.prepare.record import REPORT, Record, remove_leftovers, set_aside
from unscene.prepare.settings import TranscodeSettings
from unscene.prepare.transcode import Transcoded, transcode

_FACTS = {one.name for one in fields(Inspection)}
_Result = tuple[Transcoded, dict[str, Any], float]  # what was written, its source, seconds


@dataclass
class RunSummary:
    """What a run did.

    Attributes:
        done: number of files written by this run.
        already: number of files that earlier runs had finished.
        failed: files that could not be used, and why.
        stale: files in OUT whose source is gone or no longer a video, that differ from their source
            list, or that may not be ours, and what was done with them.
        damaged: number of files that were written without the damaged parts of their sources.
        before: bytes of the sources of all finished files, each counted once.
        after: bytes of all finished files.
        frames: number of frames of all finished files.
        seconds: duration of this run.
        stopped: the run was interrupted by Ctrl-C; the rest can be done later.
    """

    done: int = 0
    already: int = 0
    failed: list[Skipped] = field(default_factory=list)
    stale: list[Skipped] = field(default_factory=list)
    damaged: int = 0
    before: int = 0
    after: int = 0
    frames: int = 0
    seconds: float = 0.0
    stopped: bool = False


def inspect_files(
    paths: Iterable[str], *, workers: int, thorough: bool = False, progress: Progress | None = None
) -> dict[str, Inspection]:
    """Inspect every file once.

    Args:
        workers: number of processes; 0: this one.
        thorough: decode all frames, see `inspect`.
        progress: called as progress(done, total) after every file.

    Returns:
        The inspections by path, in the order of `paths`.
    """
    unique = list(dict.fromkeys(paths))
    found: dict[str, Inspection] = {}
    work = partial(inspect, thorough=thorough)
    with closing(run_in_processes(work, unique, workers, abandon=True)) as outcomes:
        for path, outcome in outcomes:
            found[path] = outcome.result()
            if progress:
                progress(len(found), len(unique))
    return {path: found[path] for path in unique}


def inspect_plan(
    plan: Plan, *, workers: int, progress: Progress | None = None
) -> dict[str, Inspection]:
    """Inspect the sources of a plan; those of finished files are read from the record.

    Args, Returns:
        As for `inspect_files`.
    """
    finished = (job for job in plan.jobs if job.target in plan.done)
    recorded = ((job.source, _read_inspection(job, plan.recorded[job.target])) for job in finished)
    known = {source: one for source, one in recorded if one is not None}
    new = inspect_files(
        (job.source for job in plan.jobs if job.source not in known),
        workers=workers,
        progress=progress,
    )
    found = known | new
    return {job.source: found[job.source] for job in plan.jobs}


def _read_inspection(job: Job, line: Mapping[str, Any]) -> Inspection | None:
    """Read an inspection from the record, which may be of an older or newer version."""
    facts = line.get("inspection")
    if not isinstance(facts, dict) or "verdict" not in facts:
        return None
    return Inspection(**{k: v for k, v in facts.items() if k in _FACTS} | {"path": job.source})


def run_plan(
    plan: Plan,
    inspections: Mapping[str, Inspection],
    *,
    workers: int,
    progress: Callable[[RunSummary], None] | None = None,
) -> RunSummary:
    """Transcode the rest of a plan, and write its CSV and OUT/prepare.csv.

    Ctrl-C ends the run between two files, with `stopped` set; all files in OUT are complete.

    Args:
        inspections: of all sources, from `inspect_plan`.
        workers: number of processes; 0: this one.
        progress: called after every file.

    Raises:
        UnsceneError: OUT cannot be written, or a process died; finished files are kept.
    """
    started, run = time.monotonic(), _Run(plan, inspections)
    summary, record = run.summary, plan.open_record()
    try:
        remove_leftovers(plan.out)
        differing = list(_copy_lists(plan))
        summary.stale = [*_handle_stale(plan, run.failed), *differing]
        run.transcode_rest(record, workers, progress)
    except KeyboardInterrupt:
        summary.stopped = True
    except (UnsceneError, OSError) as error:
        raise UnsceneError(
            f"{error}\n{len(run.done)} of {len(plan.jobs)} files are finished and kept; "
            "fix the problem and run the same command again"
        ) from error
    finally:
        record.close()
    summary.stale += _compare_moved(run.moved, plan.out)
    summary.seconds = time.monotonic() - started
    if plan.table and not summary.stopped:
        _write_table(plan, run.done)
    rows = run.report_rows()
    write_csv(plan.out / REPORT, list(rows[0]), rows)
    return summary


class _Run:
    """The state of one run.

    Attributes:
        done: line of the record of every finished file, by target.
        failed: reason of every file that cannot be used, by target.
        moved: new path of every file that was in the way, by target.
    """

    def __init__(self, plan: Plan, inspections: Mapping[str, Inspection]) -> None:
        self.plan, self.inspections, self.summary = plan, inspections, RunSummary()
        self.done: dict[str, dict[str, Any]] = {}
        self.moved: dict[str, Path] = {}
        self._sources: set[str] = set()  # segments of one file share a source
        for target in plan.done:
            self._count(plan.recorded[target])
        self.summary.already = len(self.done)
        unreadable = [job for job in plan.jobs if self._inspection(job).verdict == "unreadable"]
        self.failed = {job.target: self._inspection(job).reason for job in unreadable}
        self.summary.failed += plan.catalog.skipped
        self.summary.failed += [Skipped(j.source, self.failed[j.target]) for j in unreadable]

    def transcode_rest(
        self, record: Record, workers: int, progress: Callable[[RunSummary], None] | None
    ) -> None:
        plan = self.plan
        jobs = [job for job in plan.todo if job.target not in self.failed]
        work = partial(_transcode, plan.root, plan.out, plan.settings)
        with closing(run_in_processes(work, self._begin(jobs, record), workers)) as outcomes:
            for job, future in outcomes:
                self._store(job, future, record)
                if progress:
                    progress(self.summary)

    def _begin(self, jobs: Iterable[Job], record: Record) -> Iterator[Job]:
        for job in jobs:
            if moved := record.begin(job.target):
                self.moved[job.target] = moved
            yield job

    def _store(self, job: Job, future: Future[_Result], record: Record) -> None:
        try:
            transcoded, source, seconds = future.result()
        except VideoError as error:
            self.failed[job.target] = error.reason
            record.withdraw(job.target)
            self.summary.failed.append(Skipped(job.source, error.reason))
            return
        inspection = self._inspection(job)
        every = transcoded.frames if job.start or job.end else inspection.frames
        complete = inspection.after_decoding_all(every, transcoded.damaged)
        line = {"target": job.target, **source, **asdict(transcoded), "seconds": seconds}
        line["inspection"] = asdict(complete)
        record.add(line)
        self._count(line)
        self.summary.done += 1

    def _count(self, line: dict[str, Any]) -> None:
        self.done[line["target"]] = line
        summary = self.summary
        summary.before += 0 if line["source"] in self._sources else line["source_bytes"]
        self._sources.add(line["source"])
        summary.after += line["bytes"]
        summary.frames += line["frames"]
        summary.damaged += line["damaged"] > 0

    def _inspection(self, job: Job) -> Inspection:
        return self.inspections[job.source]

    def report_rows(self) -> list[dict[str, Any]]:
        """The rows of OUT/prepare.csv."""
        missing = [
            asdict(Inspection(one.path, "unreadable", one.reason))
            | {"start": "", "end": "", "output": "", "failed": one.reason}
            for one in self.plan.catalog.skipped
        ]
        return missing + [self._report_row(job) for job in self.plan.jobs]

    def _report_row(self, job: Job) -> dict[str, Any]:
        line = self.done.get(job.target)
        # Transcoding decodes every frame, so it knows more than the first inspection.
        best = (_read_inspection(job, line) if line else None) or self._inspection(job)
        return asdict(best) | {
            "start": job.start,
            "end": job.end,
            "output": job.target if line else "",
            "failed": self.failed.get(job.target, ""),
        }


def _transcode(root: Path, out: Path, settings: TranscodeSettings, job: Job) -> _Result:
    """Do a job, in a worker process.

    Returns:
        What was written, the facts about the source before it was read, and the duration (s).
    """
    started = time.monotonic()
    try:
        source = describe_source(job, root)
    except OSError as error:
        raise VideoError(job.source, f"cannot be read ({error.strerror})") from error
    transcoded = transcode(
        job.source, out / job.target, settings, start=job.start, end=job.end, stop=should_stop
    )
    return transcoded, source, round(time.monotonic() - started, 3)


def _handle_stale(plan: Plan, failed: Mapping[str, str]) -> list[Skipped]:
    """Report files in OUT whose source is gone, and rename those whose source is not a video now.

    Renamed files are no longer trained on. Nothing is deleted: it may be the only copy.
    """
    gone = "its source is gone; the file is kept"
    found = [Skipped(str(plan.out / target), gone) for target in find_orphans(plan)]
    for job in plan.jobs:
        path = plan.out / job.target
        if job.target not in failed or not path.is_file():
            continue
        if os.path.lexists(job.source):
            moved = set_aside(path)
            found.append(Skipped(str(moved), "its source is unreadable now; the file was renamed"))
        else:
            found.append(Skipped(str(path), gone))
    return found


def _compare_moved(moved: Mapping[str, Path], out: Path) -> Iterator[Skipped]:
    """Delete files that were in the way if they equal what was written instead; report the others.

    A run that was killed may have finished a file without recording it.
    """
    for target, path in moved.items():
        written = out / target
        if written.is_file() and path.is_file() and filecmp.cmp(written, path, shallow=False):
            path.unlink()
        else:
            reason = "may not have been written by `unscene prepare`; the file was renamed"
            yield Skipped(str(path), reason)


def _copy_lists(plan: Plan) -> Iterator[Skipped]:
    """Copy official lists, so that OUT is an official split if DATA is; report those that differ.

    Lists that are already in OUT are kept.
    """
    for relative, source in plan.lists.items():
        target = plan.out / relative
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            with write_atomically(target) as temporary:
                shutil.copyfile(source, temporary)
        elif not filecmp.cmp(target, source, shallow=False):
            yield Skipped(str(target), f"differs from the list {source}; the file is kept")


def _write_table(plan: Plan, done: Mapping[str, Any]) -> None:
    """Write the rows of DATA with the new paths; segments are cut out, so start and end go."""
    assert plan.table is not None
    pairs = zip(plan.catalog.videos, plan.job_of_video, strict=True)
    videos = [(video, job) for video, job in pairs if job.target in done]
    columns = dict.fromkeys(name for video, _ in videos for name in video.columns)
    rows = [
        {"path": job.target, "label": video.label or "", **video.columns} for video, job in videos
    ]
    write_csv(plan.out / plan.table, ["path", "label", *columns], rows)
