"""`unscene prepare`: what the files are, and the same files transcoded for training."""

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
from unscene.files import expand_home
from unscene.progress import count_progress, format_duration, progress_bar

if TYPE_CHECKING:
    from unscene.data.catalog import Catalog, Skipped
    from unscene.prepare.estimate import Estimate
    from unscene.prepare.inspect import Inspection
    from unscene.prepare.plan import Plan
    from unscene.prepare.run import RunSummary

HELP = "check videos and transcode them for training, with exact motion vectors"
_NAMED = 8  # files named below a table
_VERDICTS = ("ready", "needs transcoding", "unreadable")


def flags(parser: ArgumentParser) -> None:
    from unscene.data.processes import count_cores
    from unscene.prepare.settings import TranscodeSettings

    parser.add_argument("data", type=str, help=DATA)
    parser.add_argument("out", nargs="?", type=str | None, help="folder to write; new, or to go on")
    parser.add_argument("--check", action="store_true", help="look at the files, write nothing")
    parser.add_argument("--csv", type=str | None, help="with --check: CSV to write, a line a file")
    parser.add_argument(
        "--thorough", action="store_true", help="with --check: decode every frame to find damage"
    )
    parser.add_argument("--dry_run", action="store_true", help="say what it would take and stop")
    parser.add_argument("--force", action="store_true", help="start although the disk seems small")
    parser.add_argument("--workers", type=int, default=count_cores(), help="processes; 0: this one")
    parser.add_class_arguments(TranscodeSettings, as_group=True)


def run(values: Namespace) -> int:
    if values.workers < 0:
        raise UnsceneError(f"--workers {values.workers}: must be at least 0")
    if values.check:
        return _check(values)
    if values.out is None:
        raise UnsceneError("name the folder OUT to write, or pass --check to look only")
    for name in ("csv", "thorough"):
        if getattr(values, name):
            raise UnsceneError(f"--{name} belongs to --check; OUT/prepare.csv is always written")
    from unscene.prepare import run as prepare
    from unscene.prepare.estimate import estimate
    from unscene.prepare.plan import make_plan
    from unscene.prepare.settings import TranscodeSettings

    settings = TranscodeSettings(
        **{name: values[name] for name in TranscodeSettings.__dataclass_fields__}
    )
    plan = make_plan(values.data, expand_home(values.out), settings)
    with count_progress("checking", len(plan.todo), "file", show=bool(plan.todo)) as checked:
        found = prepare.inspect_plan(plan, workers=values.workers, progress=checked)
    every = [*_skipped(plan.catalog), *found.values()]
    print(_table(every, plan.root, brightened=settings.brighten))
    needs = estimate(plan, found)
    print(_forecast(needs, plan, values.workers), flush=True)
    if not needs.fits and not values.force:
        raise UnsceneError(
            f"{plan.out}: its disk has {_size(needs.free)} free, too little for about "
            f"{_size(needs.bytes or 0)} with some to spare; free some, name another disk, choose "
            "a smaller --short_side, or pass --force"
        )
    if values.dry_run:
        return 0
    with progress_bar("transcoding", needs.files, "file", show=bool(needs.files)) as shown:

        def progress(account: RunSummary) -> None:
            shown.set_postfix_str(f"{_size(account.after)}, {len(account.failed)} failed", False)
            shown.update()

        account = prepare.run_plan(plan, found, workers=values.workers, progress=progress)
    print(_told(account, plan))
    if account.stopped:
        return 130
    return 0 if account.done + account.already else 1


def _check(values: Namespace) -> int:
    from unscene.data.listing import list_videos
    from unscene.prepare.run import inspect_files, write_csv

    if values.out is not None:
        raise UnsceneError(f"--check writes nothing to {values.out}: leave it out, or use --csv")
    file = None if values.csv is None else expand_home(values.csv)
    if file is not None and file.exists():
        raise UnsceneError(f"{file}: exists; name another file for --csv")
    catalog = list_videos(values.data)
    paths = list(dict.fromkeys(video.path for video in catalog.videos))
    with count_progress("checking", len(paths), "file", show=bool(paths)) as progress:
        found = inspect_files(
            paths, workers=values.workers, thorough=values.thorough, progress=progress
        )
    every = [*_skipped(catalog), *found.values()]
    print(_table(every, Path(os.path.commonpath([Path(path).parent for path in paths]))))
    if file is not None:
        write_csv(file, list(asdict(every[0])), map(asdict, every))
        print(f"a line for every file: {file}")
    return 0 if any(one.verdict != "unreadable" for one in every) else 1


def _skipped(catalog: Catalog) -> list[Inspection]:
    from unscene.prepare.inspect import Inspection

    return [Inspection(one.path, "unreadable", one.reason) for one in catalog.skipped]


def _table(found: Sequence[Inspection], root: Path, *, brightened: bool = False) -> str:
    """Files by verdict and codec, then those to look at, by name."""
    groups: dict[tuple[str, str], list[Inspection]] = defaultdict(list)
    for one in found:
        groups[one.verdict, one.codec or "-"].append(one)
    size, length = (
        sum(one.bytes for one in found),
        format_duration(sum(one.duration for one in found)),
    )
    lines = [
        f"{_many(len(found), 'file')}, {_size(size)}, {length} of video",
        "",
        f"  {'verdict':<18} {'codec':<11} {'files':>6}  {'size':>8}   why",
    ]
    shown = ""
    order = sorted(groups, key=lambda key: (_VERDICTS.index(key[0]), -len(groups[key])))
    for verdict, codec in order:
        group = groups[verdict, codec]
        why = Counter(
            reason
            for one in group
            for reason in (one.reason.split("; ") if verdict == "needs transcoding" else ())
        )
        reasons = ", ".join(f"{reason} ({count})" for reason, count in why.most_common())
        lines.append(
            f"  {verdict if verdict != shown else '':<18} {codec:<11} {len(group):>6}"
            f"  {_size(sum(one.bytes for one in group)):>8}   {reasons}".rstrip()
        )
        shown = verdict
    dark = sum(one.dark for one in found)
    if dark and not brightened:
        lines += ["", f"  {_many(dark, 'file')} so dark that little is to be seen: --brighten true"]
    worst = [one for one in found if one.verdict == "unreadable"]
    hurt = (one for one in found if one.damaged or one.missing)
    worst += sorted(hurt, key=lambda one: -one.damaged - one.missing)
    if worst:
        names = [_short(one.path, root) for one in worst[:_NAMED]]
        width = min(60, max(map(len, names)))
        lines += ["", "  look at"]
        for one, name in zip(worst, names, strict=False):
            lines.append(f"  {name:<{width}}   {_hurt(one) or one.reason}")
        if len(worst) > _NAMED:
            lines.append(f"  and {len(worst) - _NAMED} more")
    return "\n".join([*lines, ""])


def _hurt(one: Inspection) -> str:
    said = []
    if one.damaged:
        said.append(f"damaged: {one.damaged} errors in {one.decoded} frames that were decoded")
    if one.missing:
        said.append(f"{one.missing} of {one.missing + one.frames} frames missing")
    return "; ".join(said)


def _short(path: str, root: Path) -> str:
    return os.path.relpath(path, root) if Path(path).is_relative_to(root) else path


def _forecast(needs: Estimate, plan: Plan, workers: int) -> str:
    settings = plan.settings
    size = f"short side {settings.short_side}" if settings.short_side else "sizes kept"
    quality = f"{'crf' if settings.codec == 'h264' else 'qscale'} {settings.level:g}"
    kept = f", {len(plan.done)} are done already" if plan.done else ""
    how = f"{size}, {settings.codec} {quality}, a key frame every {settings.gop} frames"
    if settings.fps:
        how += f", {settings.fps:g} fps"
    if settings.brighten:
        how += ", brightened"
    if not needs.files:
        return f"nothing is left to do{kept}; {how}"
    if needs.bytes is None:
        return f"to do: {needs.files} files{kept}; {how}\nno sample could be transcoded"
    return (
        f"to do: {_many(needs.files, 'file')}, {needs.frames:,} frames{kept}; {how}\n"
        f"about {_size(needs.bytes)} in {plan.out} ({_size(needs.free)} are free) and "
        f"{format_duration(needs.seconds / max(workers, 1))} with "
        f"{_many(max(workers, 1), 'worker')}"
    )


def _told(account: RunSummary, plan: Plan) -> str:
    finished = account.done + account.already
    speed = account.done / account.seconds if account.seconds else 0.0
    spent = format_duration(account.seconds)
    lines = [
        f"{_many(account.done, 'file')} done in {spent} ({speed:.1f} files/s), "
        f"{account.already} were done already, {len(account.failed)} failed",
        f"{_size(account.before)} before, {_size(account.after)} after, "
        f"{account.frames:,} frames in {plan.out}",
    ]
    lines += _by_reason("failed", account.failed, plan.root)
    lines += _by_reason("stale", account.stale, plan.out)
    if account.damaged:
        damaged = _many(account.damaged, "file")
        lines.append(f"  damaged parts were left out of {damaged}: see prepare.csv")
    if account.stopped:
        lines.append(
            f"stopped: {finished} of {len(plan.jobs)} files are finished, all of them whole; "
            "the same command goes on from here"
        )
    elif finished:
        data = shlex.quote(str(plan.out / (plan.table or "")))
        lines.append(f"train on it: unscene pretrain {data}")
    return "\n".join(lines)


def _by_reason(word: str, those: Sequence[Skipped], root: Path) -> Iterator[str]:
    reasons = defaultdict(list)
    for one in those:
        reasons[one.reason].append(_short(one.path, root))
    for reason, names in sorted(reasons.items(), key=lambda item: -len(item[1])):
        more = f" and {len(names) - 1} more" if len(names) > 1 else ""
        yield f"  {word}: {reason}: {names[0]}{more}"


def _many(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def _size(count: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if count < 999.5:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} TB"
