"""`unscene audit`: does this model watch the motion or the scene?"""

from __future__ import annotations

import re
import sys

from jsonargparse import ArgumentParser, Namespace

from unscene.cli import DATA, DEVICE, ENCODER, WORKERS
from unscene.config import DEFAULT_ENCODER
from unscene.errors import UnsceneError
from unscene.files import expand_home

HELP = "does a model watch the motion or the scene? a report"

BELOW = 3  # exit status of --fail-below


def flags(parser: ArgumentParser) -> None:
    parser.add_argument("data", type=str, help=DATA)
    parser.add_argument(
        "--encoder",
        action="append",
        type=str,
        help=f"model to audit, once or more: {ENCODER} (default: {DEFAULT_ENCODER})",
    )
    parser.add_argument(
        "--out", type=str, default="runs/audit", help="folder for report.html and audit.json"
    )
    parser.add_argument(
        "--overwrite", action="store_true", help="replace the results of an earlier audit in --out"
    )
    parser.add_argument(
        "--label", type=str | None, help='column of the classes ("label" if there is one)'
    )
    parser.add_argument(
        "--measures",
        nargs="+",
        type=str,
        help="only these, such as swap time; also package.module:Class. All if left out",
    )
    parser.add_argument("--videos", type=int | None, help="at most this many, chosen by the seed")
    parser.add_argument("--clips", type=int, default=1, help="clips per video")
    parser.add_argument("--seed", type=int, default=0, help="of everything random")
    parser.add_argument("--workers", type=int, default=2, help=WORKERS)
    parser.add_argument("--batch_size", type=int, default=8, help="clips read at once")
    parser.add_argument(
        "--no-baseline",
        dest="baseline",
        action="store_false",
        help="leave out the untrained network of the same architecture beside each model, which "
        "about doubles the time",
    )
    parser.add_argument("--device", type=str, default="auto", help=DEVICE)
    parser.add_argument(
        "--fail-below",
        "--fail_below",
        type=float | None,
        help=f"exit with status {BELOW} if a verdict is below this number, or there is none",
    )


def _split_list(words: list[str] | None) -> list[str] | None:
    """Split what was typed as a list, [swap,time] or [swap, time], into names."""
    if words is None:
        return None
    text = " ".join(words)
    if text.startswith("[") and text.endswith("]"):
        text = text[1:-1]
    return [name.strip("'\"") for name in re.split(r"[,\s]+", text) if name]


def run(values: Namespace) -> int:
    below = values.fail_below
    if below is not None and not 0 <= below <= 1:
        raise UnsceneError(f"--fail-below {below}: a verdict is a number from 0 to 1")
    from unscene.audit.run import audit

    out = expand_home(values.out)
    found = audit(
        values.data,
        values.encoder or [DEFAULT_ENCODER],
        out=out,
        overwrite=values.overwrite,
        label=values.label,
        measures=_split_list(values.measures),
        videos=values.videos,
        clips=values.clips,
        seed=values.seed,
        workers=values.workers,
        batch_size=values.batch_size,
        baseline=values.baseline,
        device=values.device,
    )
    failed = False
    for model in found.models:
        covered, value = model.verdict.coverage, model.verdict.value
        extent = f" Evaluated on {covered.text()}." if covered is not None else ""
        print(f"{model.name}: {model.verdict.sentence}{extent}")
        failed |= below is not None and (value is None or value < below)
    print(f"{out / 'report.html'}")
    if failed:
        print(f"unscene audit: a verdict is below {below}", file=sys.stderr)
    return BELOW if failed else 0
