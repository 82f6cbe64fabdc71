"""`unscene prepare`: check videos, and transcode them for training."""

from __future__ import annotations

import os
import shlex
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from jsonargparse import ArgumentParser, Namespace

from unscene.cli import DATA
from unscene.errors import UnsceneError
from unscene.files import check_free, check_writable, expand_home
from unscene.progress import count_progress, format_duration, format_size, progress_bar

if TYPE_CHECKING:
    from unscene.data.catalog import Catalog, Skipped
    from unscene.prepare.estimate import Estimate
    from unscene.prepare.inspect import Inspection
    from unscene.prepare.plan import Plan
    from unscene.prepare.run import RunSummary

HELP = "check videos, and transcode them so that their motion vectors can be used"
_NAMED = 8  # files that are named below the table
_VERDICTS = ("ready", "needs transcoding", "unreadable")  # in the order of the table


def flags(parser: ArgumentParser) -> None:
    from unscene.data.processes import count_cores
    from unscene.prepare.settings import TranscodeSettings

    parser.add_argument("data", type=str, help=DATA)
    parser.add_argument(
        "out",
        nargs="?",
        type=str | None,
        help="folder to write: new, empty, or of an earlier run, which is continued",
    )
    parser.add_argument("--check", action="store_true", help="inspect the files and write nothing")
    parser.add_argument(
        "--csv", type=str | None, help="with --check: write a CSV with one row per file"
    )
    parser.add_argument(
        "--overwrite", action="store_true", help="with --csv: replace the file if there is one"
    )
    parser.add_argument(
        "--thorough", action="store_true", help="with --check: decode all frames to find damage"
    )
    parser.add_argument(
        "--dry_run", action="store_true", help="estimate disk space and time, and stop"
    )
    parser.add_argument(
        "--force", action="store_true", help="start even if the disk seems too small"
    )
    parser.add_argument(
        "--workers", type=int, default=count_cores(), help="number of processes; 0: only this one"
    )
    parser.add_class_arguments(TranscodeSettings, as_group=True)


def run(values: Namespace) -> int:
    if values.workers < 0:
        raise UnsceneError(f"--workers {values.workers}: must be at least 0")
    if values.check:
        return _check(values)
    if values.out is None:
        raise UnsceneError("name a folder OUT to write, or use --check to inspect the files only")
    for name in ("csv", "overwrite", "thorough"):
        if getattr(values, name):
            raise UnsceneError(f"--{name}: needs --check; OUT/prepare.csv is always written")
    from unscene.prepare import run as prepare
    from unscene.prepare.estimate import estimate
    from unscene.prepare.plan import make_plan
    from unscene.prepare.record import RECORD
    from unscene.prepare.settings import TranscodeSettings

    settings = TranscodeSettings(
        **{name: values[name] for name in TranscodeSettings.__dataclass_fields__}
    )
    plan = make_plan(values.data, expand_home(values.out), settings)
    if not values.dry_run:
        check_writable(plan.out / RECORD)
    with count_progress("checking", len(plan.todo), "file", show=bool(plan.todo)) as checked:
        found = prepare.inspect_plan(plan, workers=values.workers, progress=checked)
    every = [*_inspect_skipped(plan.catalog), *found.values()]
    print(_format_table(every, plan.root, brightened=settings.brighten))
    needs = estimate(plan, found)
    print(_format_estimate(needs, plan, values.workers), flush=True)
    if not needs.fits and not values.force:
        raise UnsceneError(
            f"{plan.out}: {format_size(needs.free)} free on this disk, too little for about "
            f"{format_size(needs.bytes or 0)} and a safety margin; free some space, choose "
            "another disk or a smaller --short_side, or use --force"
        )
    if values.dry_run:
        return 0
    with progress_bar("transcoding", needs.files, "file", show=bool(needs.files)) as shown:

        def progress(summary: RunSummary) -> None:
            written = format_size(summary.after)
            shown.set_postfix_str(f"{written}, {len(summary.failed)} failed", False)
            shown.update()

        summary = prepare.run_plan(plan, found, workers=values.workers, progress=progress)
    print(_format_summary(summary, plan))
    if summary.stopped:
        return 130
    return 0 if summary.done + summary.already else 1


def _check(values: Namespace) -> int:
    from unscene.data.csv_table import write_csv
    from unscene.data.listing import list_videos
    from unscene.prepare.run import inspect_files

    if values.out is not None:
        raise UnsceneError(
            f"--check writes nothing, so leave out {values.out}; --csv writes a CSV of the results"
        )
    file = None if values.csv is None else expand_home(values.csv)
    if file is not None:
        check_free(file, overwrite=values.overwrite)
    catalog = list_videos(values.data)
    paths = list(dict.fromkeys(video.path for video in catalog.videos))
    with count_progress("checking", len(paths), "file", show=bool(paths)) as progress:
        found = inspect_files(
            paths, workers=values.workers, thorough=values.thorough, progress=progress
        )
    every = [*_inspect_skipped(catalog), *found.values()]
    root = Path(os.path.commonpath([Path(path).parent for path in paths]))
    print(_format_table(every, root))
    without, with_vectors = _list_methods()
    for verdict, meaning in _explain_verdicts(every, without, with_vectors):
        print(f"{verdict:<18} {meaning}")
    if file is not None:
        needed = ", ".join(with_vectors)
        lines = [
            asdict(one) | {"transcode_for": needed if _needs_vectors(one) else ""} for one in every
        ]
        write_csv(file, list(lines[0]), lines)
        print(f"one row per file: {file}")
    return 0 if any(one.verdict != "unreadable" for one in every) else 1


def _inspect_skipped(catalog: Catalog) -> list[Inspection]:
    from unscene.prepare.inspect import Inspection

    return [Inspection(one.path, "unreadable", one.reason) for one in catalog.skipped]


def _format_table(found: Sequence[Inspection], root: Path, *, brightened: bool = False) -> str:
    """Format the number of files by verdict and codec, and below it the files with problems."""
    size, seconds = sum(one.bytes for one in found), sum(one.duration for one in found)
    lines = [
        f"{_count(len(found), 'file')}, {format_size(size)}, {format_duration(seconds)} of video",
        "",
        f"  {'verdict':<18} {'codec':<11} {'files':>6}  {'size':>8}   reasons (number of files)",
        *_format_groups(found),
    ]
    dark = sum(one.dark for one in found)
    if dark and not brightened:
        are = "is" if dark == 1 else "are"
        lines += ["", f"  {_count(dark, 'file')} {are} very dark: consider --brighten true"]
    bad = [one for one in found if one.verdict == "unreadable"]
    hurt = (one for one in found if one.incomplete or one.claimed_fps or one.grows)
    bad += sorted(hurt, key=lambda one: -one.damaged - one.missing)
    if bad:
        names = [_shorten(one.path, root) for one in bad[:_NAMED]]
        width = min(60, max(map(len, names)))
        lines += ["", "  files with problems"]
        for one, name in zip(bad, names, strict=False):
            lines.append(f"  {name:<{width}}   {_format_problems(one) or one.reason}")
        if len(bad) > _NAMED:
            lines.append(f"  and {len(bad) - _NAMED} more")
    return "\n".join([*lines, ""])


def _format_groups(found: Sequence[Inspection]) -> Iterator[str]:
    groups: dict[tuple[str, str], list[Inspection]] = defaultdict(list)
    for one in found:
        groups[one.verdict, one.codec or "-"].append(one)
    shown = ""
    for verdict, codec in sorted(
        groups, key=lambda key: (_VERDICTS.index(key[0]), -len(groups[key]))
    ):
        group = groups[verdict, codec]
        counts = Counter(
            reason
            for one in group
            for reason in (one.reason.split("; ") if verdict == "needs transcoding" else ())
        )
        reasons = ", ".join(f"{reason} ({count})" for reason, count in counts.most_common())
        yield (
            f"  {verdict if verdict != shown else '':<18} {codec:<11} {len(group):>6}"
            f"  {format_size(sum(one.bytes for one in group)):>8}   {reasons}".rstrip()
        )
        shown = verdict


def _list_methods() -> tuple[list[str], list[str]]:
    """List the methods that train on any video, and those that need motion vectors."""
    from unscene.methods.registry import find_method, generates, known_methods

    names: tuple[list[str], list[str]] = [], []
    for name in known_methods():
        if not generates(name):
            names[find_method(name).needs_vectors].append(name)
    return names


def _needs_vectors(one: Inspection) -> bool:
    """Whether methods that read motion vectors profit from transcoding this file."""
    return one.verdict == "needs transcoding" and (one.inexact or not one.vectors)


def _explain_verdicts(
    every: Sequence[Inspection], without: Sequence[str], with_vectors: Sequence[str]
) -> Iterator[tuple[str, str]]:
    """Say what the verdicts mean for which method, as (start of the line, text)."""
    verdicts = Counter(one.verdict for one in every)
    if verdicts["ready"]:
        yield "ready:", "nothing to do, whatever the method"
    if verdicts["needs transcoding"]:
        yield "needs transcoding:", f"readable as it is by {', '.join(without)}"
        lacking = sum(_needs_vectors(one) and not one.inexact for one in every)
        inexact = sum(one.inexact for one in every)
        if lacking or inexact:
            yield "", f"{', '.join(with_vectors)} need motion vectors: transcode with"
            yield "", "`unscene prepare DATA OUT`, or train with --motion_from flow"
        if lacking:
            yield "", f"- {_count(lacking, 'file')} without vectors, which these methods skip"
        if inexact:
            whose = "whose vectors are not the motion since the previous frame"
            yield "", f"- {_count(inexact, 'file')} {whose}"
        if incomplete := sum(one.incomplete for one in every):
            yield "", f"- {_count(incomplete, 'file')} damaged or unfinished: what is there is read"
    if verdicts["unreadable"]:
        yield "unreadable:", "no frame can be decoded; the file is skipped"


def _format_problems(one: Inspection) -> str:
    parts = []
    if one.damaged:
        parts.append(f"damaged: {_count(one.damaged, 'error')} in {one.decoded} decoded frames")
    if one.missing:
        share = one.missing / (one.missing + one.frames)
        parts.append(f"{share:.0%} of it is missing ({_count(one.missing, 'frame')})")
    if one.claimed_fps:
        parts.append(f"gives {one.claimed_fps:g} frames per second and has {one.fps:.3g}")
    if one.grows:
        parts.append(f"the picture changes size, up to {one.width}x{one.height}")
    return "; ".join(parts)


def _shorten(path: str, root: Path) -> str:
    return os.path.relpath(path, root) if Path(path).is_relative_to(root) else path


def _format_estimate(needs: Estimate, plan: Plan, workers: int) -> str:
    settings = plan.settings
    size = f"short side {settings.short_side}" if settings.short_side else "original size"
    quality = f"{'crf' if settings.codec == 'h264' else 'qscale'} {settings.level:g}"
    how = f"{size}, {settings.codec} {quality}, a key frame every {settings.gop} frames"
    if settings.fps:
        how += f", {settings.fps:g} fps"
    if settings.brighten:
        how += ", brightened"
    done = f" ({len(plan.done)} already done)" if plan.done else ""
    if not needs.files:
        return f"nothing to do{done}: {how}"
    todo = f"to do: {_count(needs.files, 'file')}{done}, {needs.frames:,} frames: {how}"
    if needs.bytes is None:
        return f"{todo}\nno estimate: none of the samples could be transcoded"
    workers = max(workers, 1)
    return (
        f"{todo}\nestimate: {format_size(needs.bytes)} in {plan.out} "
        f"({format_size(needs.free)} free), {format_duration(needs.seconds / workers)} with "
        f"{_count(workers, 'worker')}"
    )


def _format_summary(summary: RunSummary, plan: Plan) -> str:
    finished = summary.done + summary.already
    speed = f" ({summary.done / summary.seconds:.1f} files/s)" if summary.done else ""
    lines = [
        f"transcoded {_count(summary.done, 'file')} in {format_duration(summary.seconds)}{speed}, "
        f"{summary.already} already done, {len(summary.failed)} failed",
        f"sources {format_size(summary.before)}, written {format_size(summary.after)}: "
        f"{summary.frames:,} frames in {plan.out}",
    ]
    lines += _format_reasons("failed", summary.failed, plan.root)
    lines += _format_reasons("stale", summary.stale, plan.out)
    if summary.damaged:
        damaged = _count(summary.damaged, "file")
        lines.append(f"  damaged parts were left out of {damaged}: see {plan.out / 'prepare.csv'}")
    if summary.stopped:
        lines.append(
            f"stopped: {finished} of {len(plan.jobs)} files are finished, and all of them are "
            "complete; run the same command again to continue"
        )
    elif finished:
        data = shlex.quote(str(plan.out / (plan.table or "")))
        lines.append(f"next: unscene pretrain {data}")
    return "\n".join(lines)


def _format_reasons(word: str, skipped: Sequence[Skipped], root: Path) -> Iterator[str]:
    reasons = defaultdict(list)
    for one in skipped:
        reasons[one.reason].append(_shorten(one.path, root))
    for reason, names in sorted(reasons.items(), key=lambda item: -len(item[1])):
        more = f" and {len(names) - 1} more" if len(names) > 1 else ""
        yield f"  {word}: {reason}: {names[0]}{more}"


def _count(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"
