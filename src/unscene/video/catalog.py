"""Where the videos are: a folder, class folders or a CSV -> a list of videos, each checked once.

clips/a.mp4                  folder          no labels
clips/Run/a.mp4              class folders   label = name of the folder the file lies in
videos.csv                   path,label[,start,end][,more columns]; paths relative to the CSV
ucf101-1-train:/data/UCF101  official split  UCF101, HMDB51 or Kinetics: see official.py
"""

from __future__ import annotations

import csv
import hashlib
import math
import os
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from unscene.errors import UnsceneError, VideoError
from unscene.files import place
from unscene.video.probe import VideoInfo, probe

SUFFIXES = frozenset(
    {".3gp", ".264", ".265", ".asf", ".avi", ".divx", ".flv", ".gif", ".h264", ".h265", ".hevc"}
    | {".ivf", ".m1v", ".m2ts", ".m2v", ".m4v", ".mjpeg", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg"}
    | {".mts", ".mxf", ".ogv", ".ts", ".vob", ".webm", ".wmv", ".y4m"}
)

_TWICE = "is a folder that is read already, under another name"

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Video:
    """One video, or one segment of a video.

    Attributes:
        path: absolute, as it was written otherwise; `file` tells whether two are the same.
        label: its class, None if unknown.
        start, end: the segment in seconds; end None is the end of the file.
        columns: all further columns of a CSV, as text.
        info: what `probe` found; None until checked.
    """

    path: str
    label: str | None = None
    start: float = 0.0
    end: float | None = None
    columns: dict[str, str] = field(default_factory=dict)
    info: VideoInfo | None = None

    @property
    def duration(self) -> float:
        """Seconds of the segment."""
        assert self.info is not None, "ask a checked catalog"
        end = self.info.duration if self.end is None else min(self.end, self.info.duration)
        return end - self.start

    @cached_property  # follows links on the disk, and several measures ask for it
    def file(self) -> str:
        """The file itself, links and ".." followed: one for all names and segments of a file."""
        return os.path.realpath(self.path)

    def value(self, column: str) -> str:
        """The text in a label column; "label" is the class."""
        found = self.label if column == "label" else self.columns.get(column)
        if found is None:
            known = (["label"] if self.label is not None else []) + sorted(self.columns)
            raise UnsceneError(
                f"{self.path}: no column {column!r}; it has {', '.join(known) or 'no labels'}"
            )
        return found


@dataclass(frozen=True)
class Skipped:
    """A file that cannot be used, and why."""

    path: str
    reason: str


@dataclass(frozen=True)
class Catalog:
    """The videos of DATA that can be used, and those that cannot.

    Attributes:
        source: DATA, for messages.
        root: the folder that moves with the data; None: `source`, or the folder it lies in.
    """

    source: str
    videos: tuple[Video, ...]
    skipped: tuple[Skipped, ...] = ()
    root: str | None = None

    def __len__(self) -> int:
        return len(self.videos)

    @property
    def split(self) -> str:
        """What to call this part of the data: "ucf101-1-test", or the name of the folder or CSV."""
        return self.source.partition(":")[0] if self.root else Path(self.source).stem

    def without(self, why: Callable[[Video], str | None]) -> Catalog:
        """Without the videos for which `why` has a reason, which are skipped with it."""
        reasons = [(video, why(video)) for video in self.videos]
        skipped = tuple(Skipped(video.path, reason) for video, reason in reasons if reason)
        videos = tuple(video for video, reason in reasons if not reason)
        return replace(self, videos=videos, skipped=self.skipped + skipped)

    def fingerprint(self) -> str:
        """16 hex digits over names, sizes, labels and segments: has the data changed?"""
        root = Path(self.root or self.source)
        root = root if root.is_dir() else root.parent
        digest = hashlib.sha256()
        for video in self.videos:
            name = os.path.relpath(video.path, root)
            file = Path(video.path)
            size = file.stat().st_size if file.exists() else -1
            row = (name, size, video.label, video.start, video.end, sorted(video.columns.items()))
            digest.update(repr(row).encode("utf-8", "surrogateescape"))
        return digest.hexdigest()[:16]

    def account(self) -> str:
        """One line, plus the skipped files by reason."""
        lines = [f"{len(self.videos)} videos used, {len(self.skipped)} skipped"]
        for reason, count in Counter(s.reason for s in self.skipped).most_common():
            first = next(s.path for s in self.skipped if s.reason == reason)
            others = f" and {count - 1} more" if count > 1 else ""
            lines.append(f"  {reason}: {first}{others}")
        return "\n".join(lines)


def open_catalog(data: str | os.PathLike[str], progress: Progress | None = None) -> Catalog:
    """Find the videos of DATA and check every one by decoding its first frame.

    Raises:
        UnsceneError: DATA does not exist, or holds no video that can be used; says what was
            looked for.
    """
    listed = list_videos(data)
    checked = check(listed, progress)
    if not checked.videos:
        raise UnsceneError(
            f"{data}: none of its {len(listed) + len(listed.skipped)} videos can be used.\n"
            + checked.account()
        )
    return checked


def list_videos(data: str | os.PathLike[str]) -> Catalog:
    """Find videos without opening any."""
    if not os.fspath(data):  # a variable that was never set, not the current folder
        raise UnsceneError("no DATA: give a folder of videos, class folders or a CSV")
    path = place(data)
    if not path.exists():
        from unscene.video.official import list_official  # which makes catalogs: imports this file

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


def check(catalog: Catalog, progress: Progress | None = None) -> Catalog:
    """Probe every video; those that fail move to `skipped` with their reason."""
    kept: list[Video] = []
    skipped = list(catalog.skipped)
    with ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1)) as pool:
        for done, outcome in enumerate(pool.map(_check_one, catalog.videos), start=1):
            if isinstance(outcome, Video):
                kept.append(outcome)
            else:
                skipped.append(outcome)
            if progress is not None:
                progress(done, len(catalog))
    return replace(catalog, videos=tuple(kept), skipped=tuple(skipped))


def _check_one(video: Video) -> Video | Skipped:
    try:
        info = probe(video.path)
    except VideoError as error:
        return Skipped(video.path, error.reason)
    if video.start >= info.duration:
        return Skipped(video.path, "its segment starts after the end of the video")
    return replace(video, info=info)


def _list_folder(root: Path) -> Catalog:
    videos: list[Video] = []
    skipped: list[Skipped] = []
    seen = {os.path.realpath(root)}
    walk = os.walk(root, onerror=lambda e: skipped.append(_unreadable(e)), followlinks=True)
    for folder, below, names in walk:
        below[:] = sorted(name for name in below if not name.startswith("."))
        below.sort(key=lambda name: Path(folder, name).is_symlink())  # the folders themselves first
        for name in tuple(below):  # links may lead round in a circle, or to the same folder twice
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
    try:
        with path.open(newline="", encoding="utf-8-sig", errors="surrogateescape") as file:
            reader = csv.DictReader(file, skipinitialspace=True)  # a, "b, c", d
            header = [name.strip() for name in reader.fieldnames or ()]
            reader.fieldnames = header
            if "path" not in header:
                raise UnsceneError(
                    f"{path}: its first line must name the columns path,label[,start,end]; "
                    f"found {','.join(header) or 'nothing'}"
                )
            rows = [(reader.line_num, row) for row in reader]
    except (OSError, csv.Error) as error:
        raise UnsceneError(f"{path}: cannot be read as CSV ({error})") from error
    videos: list[Video] = []
    skipped: list[Skipped] = []
    for line, row in rows:
        outcome = _csv_row(path, line, row)
        (videos if isinstance(outcome, Video) else skipped).append(outcome)  # type: ignore[arg-type]
    if not rows:
        raise UnsceneError(f"{path}: no row can be used: there is none below its first line")
    if not videos:
        account = Catalog("", (), tuple(skipped)).account()
        raise UnsceneError(f"{path}: no row can be used.\n{account}")
    return Catalog(str(path), tuple(videos), tuple(skipped))


def _csv_row(path: Path, line: int, row: dict[str, str]) -> Video | Skipped:
    row = {key: (value or "").strip() for key, value in row.items() if isinstance(key, str)}
    name = row.get("path", "")
    if not name:
        return Skipped(f"{path}:{line}", "row without a path")
    home = name.startswith("~/")
    file = str((path.parent / (place(name) if home else name)).absolute())
    try:
        start, end = _seconds(row.get("start")) or 0.0, _seconds(row.get("end"))
    except ValueError:
        return Skipped(file, "start and end must be seconds")
    if start < 0 or (end is not None and end <= start):
        return Skipped(file, "its segment is empty: end must be after start, start at least 0")
    used = {"path", "label", "start", "end"}
    columns = {key: value for key, value in row.items() if key and key not in used and value}
    return Video(file, row.get("label") or None, start, end, columns)


def _seconds(text: str | None) -> float | None:
    value = float(text) if text else None
    if value is not None and not math.isfinite(value):
        raise ValueError(text)
    return value


def files_of(videos: Iterable[Video]) -> list[int]:
    """Which file each video is in, numbered from 0 as they appear: segments of one file, or its
    other names, have its number. Where no file comes twice, these are the places of the videos."""
    number: dict[str, int] = {}
    return [number.setdefault(video.file, len(number)) for video in videos]


def label_index(videos: Iterable[Video], column: str) -> tuple[list[int], list[str]]:
    """Class numbers of the videos and the class names, sorted, for a label column."""
    values = [video.value(column) for video in videos]
    names = sorted(set(values))
    number = {name: i for i, name in enumerate(names)}
    return [number[value] for value in values], names
