"""`unscene index`: makes an index of footage, in which moments can be searched."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from jsonargparse import ArgumentParser, Namespace

from unscene.cli import DATA, DEVICE, ENCODER, WORKERS

if TYPE_CHECKING:
    from unscene.search.build import Indexed

HELP = "index footage, so that moments in it can be searched, labeled and grouped"

INDEX = "folder of the index that `unscene index` made, or its address in an object store"
_SHOWN = 5  # files that could not be read


def flags(parser: ArgumentParser) -> None:
    parser.add_argument("data", type=str, help=DATA)
    parser.add_argument(
        "--out",
        type=str,
        default="runs/index",
        help="folder of the index; one that is there is brought up to date",
    )
    parser.add_argument(
        "--encoder",
        type=str | None,
        help=f"{ENCODER} (default: motion, or that of the index that is there)",
    )
    parser.add_argument(
        "--length",
        type=float | None,
        help="seconds of a window (default: those of the encoder's clips at 30 frames a second)",
    )
    parser.add_argument(
        "--hop", type=float | None, help="seconds from one window to the next (default: half)"
    )
    parser.add_argument("--workers", type=int, default=1, help=WORKERS)
    parser.add_argument("--batch_size", type=int, default=16, help="clips encoded at once")
    parser.add_argument("--device", type=str, default="auto", help=DEVICE)


def run(values: Namespace) -> None:
    from unscene.progress import progress_bar
    from unscene.search.build import build_index

    with progress_bar("index", 0, "window") as shown:

        def progress(done: int, total: int) -> None:  # which is known when the files are checked
            shown.total = total
            shown.update(done - shown.n)

        done = build_index(
            values.data,
            values.out,
            encoder=values.encoder,
            length=values.length,
            hop=values.hop,
            batch_size=values.batch_size,
            workers=values.workers,
            device=values.device,
            progress=progress,
        )
    print(_summarize(done))


def _summarize(done: Indexed) -> str:
    """What was done, for people."""
    from unscene.progress import format_duration

    counts = {
        name: count
        for name in ("new", "changed", "moved", "unchanged", "removed")
        if (count := getattr(done, name))
    }
    lines = [
        f"files: {', '.join(f'{count} {name}' for name, count in counts.items()) or 'none'}",
        f"windows: {done.windows} in {format_duration(done.seconds)}, "
        f"{done.about.length:.2f} s long, {done.about.hop:.2f} s apart ({done.about.encoder})",
    ]
    if done.relabel:
        lines.append(f"labels of changed files: of {done.relabel}; check that they still fit")
    if done.about.recall:
        lines.append(
            f"search is approximate from a million windows on: it finds {done.about.recall:.1%} of "
            "the 20 nearest (100 windows as queries)"
        )
    if done.skipped:
        lines.append(f"skipped: {len(done.skipped)}")
        lines += [f"  {one.path}: {one.reason}" for one in done.skipped[:_SHOWN]]
        if len(done.skipped) > _SHOWN:
            lines.append(f"  and {len(done.skipped) - _SHOWN} more")
    lines.append(f"search it: unscene search {shlex.quote(done.place)} VIDEO --from 1 --to 3")
    return "\n".join(lines)
