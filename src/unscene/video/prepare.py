"""A folder of videos -> the same folder, transcoded for training: check, estimate, run.

A run that was stopped goes on where it was: a file that is finished, whose source and settings are
the same, is not done again. Files that cannot be read are reported, counted and left out.
"""

from __future__ import annotations

import csv
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from unscene.errors import UnsceneError, VideoError
from unscene.files import replacing
from unscene.video.catalog import Progress, Skipped
from unscene.video.inspect import Inspection, inspect
from unscene.video.prepare_plan import REPORT, Job, Plan, Record, stamp, sweep
from unscene.video.processes import spread, stopping
from unscene.video.transcode import Outcome, Recipe, transcode

_SAMPLES, _SECONDS = 8, 2.0  # transcoded to estimate the rest
_SPARE = 1.5  # a few seconds of a few files may be easier than the rest


@dataclass(frozen=True)
class Estimate:
    """What is left to do will take so much.

    Attributes:
        bytes: of the files still to be written; None: no sample could be transcoded.
        free: bytes free where OUT lies.
        seconds: of one worker.
    """

    files: int
    frames: int
    bytes: int | None
    free: int
    seconds: float

    @property
    def fits(self) -> bool:
        return self.bytes is None or self.bytes * _SPARE <= self.free


@dataclass
class Account:
    """What a run did.

    Attributes:
        done, already: files written now and before.
        failed: files that could not be used, and why.
        damaged: files that were written without their damaged parts.
        before, after: bytes of all finished files, and of their sources.
        stopped: by Ctrl-C; what is left can be done later.
    """

    done: int = 0
    already: int = 0
    failed: list[Skipped] = field(default_factory=list)
    damaged: int = 0
    before: int = 0
    after: int = 0
    frames: int = 0
    seconds: float = 0.0
    stopped: bool = False


def check(
    paths: Iterable[str], *, workers: int, thorough: bool = False, progress: Progress | None = None
) -> dict[str, Inspection]:
    """Inspect every file once; by path, in the order of `paths`."""
    unique = list(dict.fromkeys(paths))
    found: dict[str, Inspection] = {}
    with closing(spread(partial(inspect, thorough=thorough), unique, workers)) as outcomes:
        for path, outcome in outcomes:
            found[path] = outcome.result()
            if progress:
                progress(len(found), len(unique))
    return {path: found[path] for path in unique}


def check_plan(
    plan: Plan, *, workers: int, progress: Progress | None = None
) -> dict[str, Inspection]:
    """The same for a plan; files that are finished were checked when they were made."""
    known = {
        job.source: Inspection(**{**line["inspection"], "path": job.source})
        for job in plan.jobs
        if job.target in plan.done and "inspection" in (line := plan.record[job.target])
    }
    new = check(
        (job.source for job in plan.jobs if job.source not in known),
        workers=workers,
        progress=progress,
    )
    found = known | new
    return {job.source: found[job.source] for job in plan.jobs}


def estimate(plan: Plan, inspections: Mapping[str, Inspection]) -> Estimate:
    """Transcode seconds of a few files and scale to the rest by pixels."""
    jobs = [job for job in plan.todo if inspections[job.source].verdict != "unreadable"]
    there = next(p for p in (plan.out.absolute(), *plan.out.absolute().parents) if p.exists())
    free = shutil.disk_usage(there).free
    shapes = {job: _shape(job, inspections[job.source], plan.recipe) for job in jobs}
    frames = sum(count for count, _, _ in shapes.values())
    size = cost = pixels = decoded = 0.0
    with tempfile.TemporaryDirectory() as folder:
        for job in jobs[:: max(1, -(-len(jobs) // _SAMPLES))]:
            end = min(job.start + _SECONDS, job.end or float("inf"))
            began = time.perf_counter()
            try:
                outcome = transcode(
                    job.source, Path(folder, "a.mp4"), plan.recipe, start=job.start, end=end
                )
            except VideoError:
                continue
            cost += time.perf_counter() - began
            size += outcome.bytes
            pixels += outcome.frames * shapes[job][1]
            decoded += outcome.frames * shapes[job][2]
    if jobs and not pixels:
        return Estimate(len(jobs), frames, None, free, 0.0)
    written = sum(count * drawn for count, drawn, _ in shapes.values()) * size / (pixels or 1)
    seconds = sum(count * read for count, _, read in shapes.values()) * cost / (decoded or 1)
    return Estimate(len(jobs), frames, round(written), free, seconds)


def _shape(job: Job, found: Inspection, recipe: Recipe) -> tuple[int, int, int]:
    """Frames of what a job writes, pixels of each, and pixels of each frame of its source."""
    end = found.duration if job.end is None else min(job.end, found.duration)
    frames = found.frames
    if job.start > 0 or end < found.duration or recipe.fps is not None:
        frames = max(0, round((end - job.start) * (recipe.fps or found.fps)))
    width, height = recipe.size(found.width, found.height)
    return frames, width * height, found.width * found.height


def run(
    plan: Plan,
    inspections: Mapping[str, Inspection],
    *,
    workers: int,
    progress: Callable[[Account], None] | None = None,
) -> Account:
    """Transcode what is left of a plan, and write its CSV and OUT/prepare.csv.

    Ctrl-C ends it between two files with `stopped` set: every file there is, is whole.

    Raises:
        UnsceneError: OUT cannot be written, or a process died; finished files are kept.
    """
    began, account = time.monotonic(), Account()
    done: dict[str, dict[str, Any]] = {}

    def finish(line: dict[str, Any]) -> None:
        done[line["target"]] = line
        account.before += line["source_bytes"]
        account.after += line["bytes"]
        account.frames += line["frames"]
        account.damaged += line["damaged"] > 0

    for target in plan.done:
        finish(plan.record[target])
    account.already = len(done)
    failed = {
        job.target: inspections[job.source].reason
        for job in plan.jobs
        if inspections[job.source].verdict == "unreadable"
    }
    account.failed += plan.catalog.skipped
    account.failed += [Skipped(j.source, failed[j.target]) for j in plan.jobs if j.target in failed]
    jobs = [job for job in plan.todo if job.target not in failed]
    record = Record(plan)
    sweep(plan.out)
    work = partial(_transcode, plan.root, plan.out, plan.recipe)
    try:
        with closing(spread(work, _begun(jobs, record), workers)) as outcomes:
            for job, future in outcomes:
                try:
                    outcome, source, seconds = future.result()
                except VideoError as error:
                    failed[job.target] = error.reason
                    account.failed.append(Skipped(job.source, error.reason))
                else:
                    found = replace(inspections[job.source], damaged=outcome.damaged)
                    line = {"target": job.target, **source, **asdict(outcome), "seconds": seconds}
                    record.add(line | {"inspection": asdict(found)})
                    finish(line)
                    account.done += 1
                if progress:
                    progress(account)
    except KeyboardInterrupt:
        account.stopped = True
    except (UnsceneError, OSError) as error:
        raise UnsceneError(
            f"{error}\n{len(done)} of {len(plan.jobs)} files are finished and kept; "
            "put it right and run the same command again"
        ) from error
    finally:
        record.close()
    account.seconds = time.monotonic() - began
    if plan.table and not account.stopped:
        _write_table(plan, done)
    rows = _report(plan, inspections, done, failed)
    write_csv(plan.out / REPORT, list(rows[0]), rows)
    return account


def _transcode(
    root: Path, out: Path, recipe: Recipe, job: Job
) -> tuple[Outcome, dict[str, Any], float]:
    """In a working process: the file, the state of its source before it was read, seconds."""
    began = time.monotonic()
    try:
        source = stamp(job, root)
    except OSError as error:
        raise VideoError(job.source, f"cannot be read ({error.strerror})") from error
    outcome = transcode(
        job.source, out / job.target, recipe, start=job.start, end=job.end, stop=stopping
    )
    return outcome, source, round(time.monotonic() - began, 3)


def _begun(jobs: Iterable[Job], record: Record) -> Iterator[Job]:
    for job in jobs:
        record.begin(job.target)
        yield job


def _write_table(plan: Plan, done: Mapping[str, Any]) -> None:
    """The rows of DATA with the new paths; segments are cut out, so start and end are gone."""
    assert plan.table is not None
    videos = [(v, j) for v, j in zip(plan.catalog.videos, plan.of, strict=True) if j.target in done]
    columns = dict.fromkeys(name for video, _ in videos for name in video.columns)
    rows = [
        {"path": job.target, "label": video.label or "", **video.columns} for video, job in videos
    ]
    write_csv(plan.out / plan.table, ["path", "label", *columns], rows)


def _report(
    plan: Plan,
    inspections: Mapping[str, Inspection],
    done: Mapping[str, Any],
    failed: Mapping[str, str],
) -> list[dict[str, Any]]:
    missing = [
        asdict(Inspection(one.path, "unreadable", one.reason))
        | {"start": "", "end": "", "output": "", "failed": one.reason}
        for one in plan.catalog.skipped
    ]
    return missing + [
        asdict(inspections[job.source])
        | {"damaged": done.get(job.target, {}).get("damaged", inspections[job.source].damaged)}
        | {"start": job.start, "end": job.end, "output": job.target if job.target in done else ""}
        | {"failed": failed.get(job.target, "")}
        for job in plan.jobs
    ]


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """A CSV, whole or not at all; names that are no UTF-8 stay the bytes they are."""
    with (
        replacing(path) as temporary,
        temporary.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file,
    ):
        writer = csv.DictWriter(file, columns, lineterminator="\n", restval="")
        writer.writeheader()
        writer.writerows(rows)
