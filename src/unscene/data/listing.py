"""A folder, class folders, a CSV or an official list -> a catalog of videos, each checked once.

clips/a.mp4                  folder          no labels
clips/Run/a.mp4              class folders   label = name of the file's folder
videos.csv                   path,label[,start,end][,more columns]; paths relative to the CSV
ucf101-1-train:/data/UCF101  official split  UCF101, HMDB51 or Kinetics: see official.py
"""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from unscene.data.catalog import SUFFIXES, Catalog, Skipped, Video
from unscene.data.csv_table import read_csv
from unscene.data.official import list_official, names_split
from unscene.errors import UnsceneError, VideoError
from unscene.files import expand_home, make_absolute
from unscene.video.probe import probe

_TWICE = "is a folder that was already read under another name"

Progress = Callable[[int, int], None]
# DATA in Python: what the command line takes, several video files, or a catalog.
Data = str | os.PathLike[str] | Sequence[str | os.PathLike[str]] | Catalog


def open_catalog(data: Data, progress: Progress | None = None) -> Catalog:
    """Find the videos of DATA, and check each one by decoding its first frame.

    Args:
        data: a folder of videos, a folder of class folders, a CSV (path,label[,start,end]), a
            video, an official list such as "ucf101-1-train:FOLDER", or a list of videos. Or a
            catalog, whose checked videos are not checked again.
        progress: called as progress(done, total) after every video.

    Returns:
        The videos that can be used, with their facts (`Video.info`), and the files that cannot.

    Raises:
        UnsceneError: DATA does not exist, or holds no video that can be used.
    """
    listed = list_videos(data)
    checked = check_videos(listed, progress)
    if not checked.videos:
        raise UnsceneError(
            f"{listed.source}: no video can be used, of {len(listed) + len(listed.skipped)} "
            f"found.\n{checked.summary()}"
        )
    return checked


def list_videos(data: Data) -> Catalog:
    """Find the videos of DATA without opening any.

    Raises:
        UnsceneError: DATA does not exist, or holds no video.
    """
    if isinstance(data, Catalog):
        return data
    if not isinstance(data, str | os.PathLike):
        return _list_files(data)
    if not os.fspath(data):  # an unset shell variable, not the current folder
        raise UnsceneError("no DATA: give a folder of videos, a folder of class folders or a CSV")
    path = expand_home(data)
    if not path.exists():
        if (official := list_official(os.fspath(data))) is not None:
            return official
        raise UnsceneError(f"{data}: does not exist; give a folder of videos or a CSV file")
    if path.is_dir():
        return _list_folder(path)
    if path.suffix.lower() == ".csv":
        return _list_csv(path)
    if path.suffix.lower() in SUFFIXES:
        return Catalog(str(path), (Video(str(path.absolute())),))
    raise UnsceneError(f"{data}: is neither a folder, nor a .csv file, nor a video")


def locate(data: str) -> str:
    """Make the path in DATA absolute: DATA as it is found from every folder, today and later.

    Text without a path that exists stays as it is.
    """
    split, _, where = data.partition(":")
    path, root = expand_home(data), expand_home(where)
    if path.exists():
        return str(make_absolute(path))
    return f"{split}:{make_absolute(root)}" if names_split(split) and root.exists() else data


def check_videos(catalog: Catalog, progress: Progress | None = None) -> Catalog:
    """Probe every video of a catalog; those that fail move to `skipped` with their reason."""
    kept: list[Video] = []
    skipped = list(catalog.skipped)
    with ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1)) as pool:
        try:
            for done, outcome in enumerate(pool.map(_check_one, catalog.videos), start=1):
                if isinstance(outcome, Video):
                    kept.append(outcome)
                else:
                    skipped.append(outcome)
                if progress is not None:
                    progress(done, len(catalog))
        except KeyboardInterrupt:
            pool.shutdown(cancel_futures=True)  # leaving the block would check all the others
            raise
    return replace(catalog, videos=tuple(kept), skipped=tuple(skipped))


def _check_one(video: Video) -> Video | Skipped:
    if video.info is not None:
        return video
    try:
        info = probe(video.path)
    except VideoError as error:
        return Skipped(video.path, error.reason)
    if video.start >= info.duration:
        return Skipped(video.path, "its segment starts after the end of the video")
    if video.end is not None and video.end <= info.start:
        return Skipped(
            video.path, "no frame of its segment can be decoded: its key frame is missing"
        )
    return replace(video, info=info, start=max(video.start, info.start))


def _list_files(paths: Sequence[str | os.PathLike[str]]) -> Catalog:
    if not paths:
        raise UnsceneError("no DATA: the list of videos is empty")
    videos = tuple(Video(str(expand_home(path).absolute())) for path in paths)
    root = os.path.commonpath([Path(video.path).parent for video in videos])
    return Catalog(f"list of {len(videos)}", videos, root=root)


def _list_folder(root: Path) -> Catalog:
    videos: list[Video] = []
    skipped: list[Skipped] = []
    seen = {os.path.realpath(root)}
    walk = os.walk(root, onerror=lambda e: skipped.append(_unreadable(e)), followlinks=True)
    for folder, below, names in walk:
        below[:] = sorted(name for name in below if not name.startswith("."))
        below.sort(key=lambda name: Path(folder, name).is_symlink())  # real folders before links
        for name in tuple(below):  # links may form a cycle, or lead to one folder twice
            if (real := os.path.realpath(Path(folder, name))) in seen:
                below.remove(name)
                skipped.append(Skipped(str(Path(folder, name).absolute()), _TWICE))
            seen.add(real)
        label = None if Path(folder) == root else Path(folder).name
        for name in below:
            if Path(name).suffix.lower() in SUFFIXES:
                path = str(Path(folder, name).absolute())
                skipped.append(Skipped(path, "is a directory, not a video file"))
        for name in sorted(names):
            if Path(name).suffix.lower() in SUFFIXES and not name.startswith("."):
                videos.append(Video(str(Path(folder, name).absolute()), label))
    if not videos:
        details = "".join(f"\n  {s.path}: {s.reason}" for s in skipped[:5])
        raise UnsceneError(
            f"{root}: no video found. Looked in it and all folders below for files ending in "
            f"{', '.join(sorted(SUFFIXES))}.{details}"
        )
    return Catalog(str(root), tuple(videos), tuple(skipped))


def _unreadable(error: OSError) -> Skipped:
    return Skipped(str(error.filename), f"folder cannot be read ({error.strerror})")


def _list_csv(path: Path) -> Catalog:
    table = read_csv(path, "path", "path,label[,start,end]")
    videos: list[Video] = []
    skipped = list(table.skipped)
    for line, row in table.rows:
        outcome = _csv_row(path, line, row)
        if isinstance(outcome, Video):
            videos.append(outcome)
        else:
            skipped.append(outcome)
    if not videos and not skipped:
        raise UnsceneError(f"{path}: no row can be used: there is none below its first line")
    if not videos:
        account = Catalog("", (), tuple(skipped)).summary()
        raise UnsceneError(f"{path}: no row can be used.\n{account}")
    return Catalog(str(path), tuple(videos), tuple(skipped))


def _csv_row(path: Path, line: int, row: dict[str, str]) -> Video | Skipped:
    name = row["path"]
    if not name:
        return Skipped(f"{path}:{line}", "row without a path")
    home = name.startswith("~/")
    file = str((path.parent / (expand_home(name) if home else name)).absolute())
    try:
        start, end = _seconds(row.get("start")) or 0.0, _seconds(row.get("end"))
    except ValueError:
        return Skipped(file, "start and end must be seconds")
    if start < 0 or (end is not None and end <= start):
        return Skipped(file, "its segment is empty: end must be after start, start at least 0")
    used = {"path", "label", "start", "end"}
    columns = {key: value for key, value in row.items() if key not in used and value}
    return Video(file, row.get("label") or None, start, end, columns)


def _seconds(text: str | None) -> float | None:
    value = float(text) if text else None
    if value is not None and not math.isfinite(value):
        raise ValueError(text)
    return value


def require_columns(data: Data, *columns: str | None) -> Catalog:
    """Skip the videos without a value in one of the columns, and report the skipped files.

    Args:
        data: DATA or a catalog.
        columns: names of columns, "label" for the class; None is ignored.

    Raises:
        UnsceneError: no video has a value in one of the columns.
    """
    catalog = open_catalog(data)
    for column in columns:
        if column is not None:
            catalog = _require_column(catalog, column)
    report_skipped(catalog)
    return catalog


def _require_column(catalog: Catalog, column: str) -> Catalog:
    reason = f"has no value in column {column!r}"
    left = catalog.exclude(lambda video: None if _has(video, column) else reason)
    if not left.videos:
        columns = {name for video in catalog.videos for name in video.columns}
        if any(video.label is not None for video in catalog.videos):
            columns.add("label")
        raise UnsceneError(
            f"{catalog.source}: no label column {column!r}; "
            + (
                f"its columns are {', '.join(sorted(columns))}"
                if columns
                else "its videos carry no labels: use class folders or a CSV (path,label)"
            )
        )
    return left


def _has(video: Video, column: str) -> bool:
    return (video.label if column == "label" else video.columns.get(column)) is not None


def report_skipped(catalog: Catalog) -> None:
    """Print to stderr how many videos were skipped, and why; nothing if none was."""
    if catalog.skipped:
        print(f"{catalog.source}: {catalog.summary()}", file=sys.stderr)
