"""`unscene predict`: name stretches of footage by what was learned from labels."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from jsonargparse import ArgumentParser, Namespace

from unscene.cli import DATA, DEVICE, WORKERS
from unscene.cli.index import INDEX
from unscene.errors import UnsceneError, check_known
from unscene.files import expand_home
from unscene.search.formats import FORMATS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from unscene.search.labels import Label
    from unscene.search.predict import Predictions

HELP = "name stretches of videos by what was learned from labels"
_SHOWN = 5  # reasons for which files were skipped
_STEM = "predictions"


def flags(parser: ArgumentParser) -> None:
    parser.add_argument("data", type=str, help=f"{INDEX}; or other videos: {DATA}")
    parser.add_argument(
        "--labels",
        type=str,
        required=True,
        metavar="MODEL",
        help="file that `unscene label` wrote, or folder of `unscene evaluate finetune`",
    )
    parser.add_argument(
        "--out",
        type=str,
        default="runs/predictions",
        help="folder for predictions.csv, other formats and timeline.png",
    )
    parser.add_argument(
        "--format",
        action="append",
        type=str,
        metavar="NAME",
        help=f"one of {', '.join(FORMATS)}; may be repeated (default: csv)",
    )
    parser.add_argument(
        "--threshold",
        type=float | None,
        help="probability from which a moment is named (default: what was learned)",
    )
    parser.add_argument(
        "--low",
        type=float | None,
        help="probability down to which it goes on (default: 0.6 times the threshold)",
    )
    parser.add_argument(
        "--least", type=float | None, help="shortest interval in seconds (default: half a window)"
    )
    parser.add_argument(
        "--gap",
        type=float | None,
        help="intervals of a class at most so many seconds apart are one (default: half a window)",
    )
    parser.add_argument(
        "--overwrite",
        action="store_true",
        help="replace the predictions of an earlier run in --out",
    )
    parser.add_argument("--workers", type=int, default=1, help=WORKERS)
    parser.add_argument("--batch_size", type=int, default=16, help="clips encoded at once")
    parser.add_argument("--device", type=str, default="auto", help=DEVICE)


def run(values: Namespace) -> None:
    formats = list(dict.fromkeys(values.format or ["csv"]))
    check_known("format", formats, FORMATS)
    out = expand_home(values.out)
    _check_out(out, overwrite=values.overwrite)
    predictions, labels = _predict(values)
    written = _write(predictions, labels, out, formats)
    print(_summarize(predictions, out))
    print("\n".join(str(path) for path in written))


def _check_out(out: Path, *, overwrite: bool) -> None:
    """Refuse a folder with predictions in it, before an hour of work."""
    from unscene.files import check_writable

    check_writable(out / f"{_STEM}.csv")
    if not overwrite and out.is_dir() and any(out.glob(f"{_STEM}.*")):
        raise UnsceneError(
            f"{out}: holds predictions already; pass --overwrite to replace them, or name another "
            "folder with --out"
        )


def _predict(values: Namespace) -> tuple[Predictions, Sequence[Label]]:
    """The predictions, and the labels that the index has of the same videos."""
    from unscene.progress import progress_bar
    from unscene.search.label_model import LabelModel
    from unscene.search.predict_videos import Reading, load_model, predict_videos
    from unscene.search.store import is_index

    rules: dict[str, Any] = {name: values[name] for name in ("threshold", "low", "least", "gap")}
    model = load_model(expand_home(values.labels))
    indexed = is_index(values.data)
    reads = not (indexed and isinstance(model, LabelModel))
    with progress_bar("windows", 0, "window", show=reads) as shown:

        def progress(done: int, total: int) -> None:
            shown.total = total
            shown.update(done - shown.n)

        reading = Reading(values.batch_size, values.workers, values.device, progress)
        if not indexed:
            return predict_videos(model, values.data, reading, **rules), []
        from unscene.search.index import Index

        index = Index.open(values.data)
        return index.predict(model, reading=reading, **rules), index.labels()


def _write(
    predictions: Predictions, labels: Sequence[Label], out: Path, formats: Sequence[str]
) -> list[Path]:
    """Write all formats and the picture; of many files, return the folder."""
    import shutil

    from unscene.search.formats import write_intervals
    from unscene.search.timeline import draw_timelines

    written: list[Path] = []
    # Files of an earlier run with --overwrite would stand beside those of this one.
    for old in out.glob(f"{_STEM}.*"):
        shutil.rmtree(old) if old.is_dir() else old.unlink()
    for name in formats:
        paths = write_intervals(name, predictions.intervals, out, _STEM, predictions.files)
        written += paths if len(paths) == 1 else [out / f"{_STEM}.{name}"] * bool(paths)
    for old in out.glob("timeline*.png"):
        old.unlink()
    return written + draw_timelines(
        out / "timeline.png",
        predictions.files,
        predictions.intervals,
        predictions.classes,
        [label for label in labels if label.label in predictions.classes],
    )


def _summarize(predictions: Predictions, out: Path) -> str:
    """Intervals, seconds and files of each class; what was skipped, and why."""
    from unscene.progress import format_duration
    from unscene.search.predict_videos import count_skipped

    found = len({one.path for one in predictions})
    lines = [
        f"{len(predictions)} intervals in {found} of {len(predictions.files)} files"
        if len(predictions)
        else f"no interval in {len(predictions.files)} files: nowhere is a class probable enough; "
        "try a lower --threshold, or label more moments"
    ]
    rows = [["class", "intervals", "time", "files", "probability"]]
    for name in predictions.classes:
        own = [one for one in predictions if one.label == name]
        if own:
            seconds = sum(one.end - one.start for one in own)
            mean = sum((one.end - one.start) * (one.probability or 0) for one in own) / seconds
            files = len({one.path for one in own})
            rows.append([name, str(len(own)), format_duration(seconds), str(files), f"{mean:.2f}"])
        else:
            rows.append([name, "0", "", "", ""])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = [row[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        lines.append("  " + "  ".join(cells).rstrip())
    reasons = list(count_skipped(predictions))
    if reasons:
        lines.append(f"skipped: {len({path for path, _ in predictions.skipped})}")
        for path, count, reason in reasons[:_SHOWN]:
            lines.append(f"  {reason}: {path}" + (f" and {count - 1} more" if count > 1 else ""))
        if len(reasons) > _SHOWN:
            lines.append(f"  and {len(reasons) - _SHOWN} other reasons")
    return "\n".join(lines)
