"""A folder of videos -> the same folder, transcoded for training: check, run.

A run that was stopped goes on where it was: a file that is finished, whose source and settings are
the same, is not done again. Files that cannot be read are reported, counted and left out.
"""

from __future__ import annotations

import csv
import filecmp
import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field, fields
from functools import partial
from pathlib import Path
from typing import Any

from unscene.data.catalog import Skipped
from unscene.data.listing import Progress
from unscene.data.processes import run_in_processes, should_stop
from unscene.errors import UnsceneError, VideoError
from unscene.files import write_atomically
from unscene.prepare.inspect import Inspection, inspect
from unscene.prepare.plan import Job, Plan, orphans, stamp
from unscene.prepare.record import REPORT, Record, set_aside, sweep
from unscene.prepare.settings import TranscodeSettings
from unscene.prepare.transcode import Transcoded, transcode

_KNOWN = {one.name for one in fields(Inspection)}


@dataclass
class RunSummary:
    """What a run did.

    Attributes:
        done, already: files written now and before.
        failed: files that could not be used, and why.
        damaged: files that were written without their damaged parts.
        before, after: bytes of the sources of all finished files, each once, and of the files.
        stale: files in OUT whose source is gone, no longer a video or another list, or that may
            not be ours, and what became of them.
        stopped: by Ctrl-C; what is left can be done later.
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
    """Inspect every file once; by path, in the order of `paths`."""
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
    """The same for a plan; files that are finished were checked when they were made."""
    finished = (job for job in plan.jobs if job.target in plan.done)
    recorded = ((job.source, _recorded(job, plan.record[job.target])) for job in finished)
    known = {source: one for source, one in recorded if one is not None}
    new = inspect_files(
        (job.source for job in plan.jobs if job.source not in known),
        workers=workers,
        progress=progress,
    )
    found = known | new
    return {job.source: found[job.source] for job in plan.jobs}


def _recorded(job: Job, line: Mapping[str, Any]) -> Inspection | None:
    """What the record says, which may be from an older or a newer version."""
    facts = line.get("inspection")
    if not isinstance(facts, dict) or "verdict" not in facts:
        return None
    return Inspection(**{k: v for k, v in facts.items() if k in _KNOWN} | {"path": job.source})


def run_plan(
    plan: Plan,
    inspections: Mapping[str, Inspection],
    *,
    workers: int,
    progress: Callable[[RunSummary], None] | None = None,
) -> RunSummary:
    """Transcode what is left of a plan, and write its CSV and OUT/prepare.csv.

    Ctrl-C ends it between two files with `stopped` set: every file there is, is whole.

    Raises:
        UnsceneError: OUT cannot be written, or a process died; finished files are kept.
    """
    began, account = time.monotonic(), RunSummary()
    done: dict[str, dict[str, Any]] = {}
    sources: set[str] = set()  # segments of a file share one

    def finish(line: dict[str, Any]) -> None:
        done[line["target"]] = line
        account.before += 0 if line["source"] in sources else line["source_bytes"]
        sources.add(line["source"])
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
    work = partial(_transcode, plan.root, plan.out, plan.settings)
    hidden: dict[str, Path] = {}
    try:
        sweep(plan.out)
        carried_otherwise = list(_carry_lists(plan))
        account.stale = [*_stale(plan, failed), *carried_otherwise]
        with closing(run_in_processes(work, _begun(jobs, record, hidden), workers)) as outcomes:
            for job, future in outcomes:
                try:
                    outcome, source, seconds = future.result()
                except VideoError as error:
                    failed[job.target] = error.reason
                    record.withdraw(job.target)
                    account.failed.append(Skipped(job.source, error.reason))
                else:
                    seen = inspections[job.source]
                    every = outcome.frames if job.start or job.end else seen.frames
                    whole = seen.decoded_whole(every, outcome.damaged)
                    line = {"target": job.target, **source, **asdict(outcome), "seconds": seconds}
                    line["inspection"] = asdict(whole)
                    record.add(line)
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
    account.stale += _not_ours(hidden, plan.out)
    account.seconds = time.monotonic() - began
    if plan.table and not account.stopped:
        _write_table(plan, done)
    rows = _report(plan, inspections, done, failed)
    write_csv(plan.out / REPORT, list(rows[0]), rows)
    return account


def _transcode(
    root: Path, out: Path, settings: TranscodeSettings, job: Job
) -> tuple[Transcoded, dict[str, Any], float]:
    """In a working process: the file, the state of its source before it was read, seconds."""
    began = time.monotonic()
    try:
        source = stamp(job, root)
    except OSError as error:
        raise VideoError(job.source, f"cannot be read ({error.strerror})") from error
    outcome = transcode(
        job.source, out / job.target, settings, start=job.start, end=job.end, stop=should_stop
    )
    return outcome, source, round(time.monotonic() - began, 3)


def _stale(plan: Plan, failed: Mapping[str, str]) -> list[Skipped]:
    """Hide what was made from a source that is no longer a video, since OUT is trained on as it is;
    delete nothing: it may be all that is left of one."""
    gone = "its source is gone; it stays"
    found = [Skipped(str(plan.out / target), gone) for target in orphans(plan)]
    for job in plan.jobs:
        path = plan.out / job.target
        if job.target not in failed or not path.is_file():
            continue
        if os.path.lexists(job.source):
            hidden = set_aside(path)
            found.append(Skipped(str(hidden), "its source is unreadable now; hidden"))
        else:
            found.append(Skipped(str(path), gone))
    return found


def _begun(jobs: Iterable[Job], record: Record, hidden: dict[str, Path]) -> Iterator[Job]:
    for job in jobs:
        if aside := record.begin(job.target):
            hidden[job.target] = aside
        yield job


def _not_ours(hidden: Mapping[str, Path], out: Path) -> Iterator[Skipped]:
    """Of the files that were in the way those that are not what has been made in their place: a run
    that was killed may have finished one and not have said so."""
    for target, aside in hidden.items():
        made = out / target
        if made.is_file() and aside.is_file() and filecmp.cmp(made, aside, shallow=False):
            aside.unlink()
        else:
            yield Skipped(str(aside), "may not be `prepare`'s; hidden")


def _carry_lists(plan: Plan) -> Iterator[Skipped]:
    """So that OUT is an official split, too, where DATA is; those that are there stay, and are told
    of if they say something else."""
    for place, source in plan.lists.items():
        target = plan.out / place
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            with write_atomically(target) as temporary:
                shutil.copyfile(source, temporary)
        elif not filecmp.cmp(target, source, shallow=False):
            yield Skipped(str(target), f"is another list than {source}; it stays")


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
        asdict(_inspection(job, inspections, done))
        | {"start": job.start, "end": job.end, "output": job.target if job.target in done else ""}
        | {"failed": failed.get(job.target, "")}
        for job in plan.jobs
    ]


def _inspection(
    job: Job, inspections: Mapping[str, Inspection], done: Mapping[str, dict[str, Any]]
) -> Inspection:
    """What is known best: after transcoding, which decodes every frame."""
    line = done.get(job.target)
    return (_recorded(job, line) if line else None) or inspections[job.source]


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """A CSV, whole or not at all; names that are no UTF-8 stay the bytes they are."""
    with (
        write_atomically(path) as temporary,
        temporary.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file,
    ):
        writer = csv.DictWriter(file, columns, lineterminator="\n", restval="")
        writer.writeheader()
        writer.writerows(rows)
