"""A list of videos, what is known about each, and the files that cannot be used."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from unscene.errors import UnsceneError
from unscene.video.probe import VideoInfo

SUFFIXES = frozenset(
    {".3gp", ".264", ".265", ".asf", ".avi", ".divx", ".flv", ".gif", ".h264", ".h265", ".hevc"}
    | {".ivf", ".m1v", ".m2ts", ".m2v", ".m4v", ".mjpeg", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg"}
    | {".mts", ".mxf", ".ogv", ".ts", ".vob", ".webm", ".wmv", ".y4m"}
)


@dataclass(frozen=True)
class Video:
    """One video, or one segment of a video file.

    Attributes:
        path: absolute path, links not resolved; `file` tells whether two videos share a file.
        label: the class, None if unknown.
        start, end: the segment in seconds; end None is the end of the file.
        columns: all further columns of a CSV, as text.
        info: facts from `probe`; None until the catalog was checked.
    """

    path: str
    label: str | None = None
    start: float = 0.0
    end: float | None = None
    columns: dict[str, str] = field(default_factory=dict)
    info: VideoInfo | None = None

    @property
    def duration(self) -> float:
        """Duration of the segment in seconds."""
        assert self.info is not None, "only videos of a checked catalog have this"
        end = self.info.duration if self.end is None else min(self.end, self.info.duration)
        return end - self.start

    @property
    def frames(self) -> int:
        """Number of whole frames of the segment, from its duration."""
        assert self.info is not None, "only videos of a checked catalog have this"
        return int(self.duration * self.info.fps + 1e-3)

    @cached_property  # resolving links reads the disk, and several measures need it
    def file(self) -> str:
        """The real path, with links and ".." resolved: the same for all segments of a file."""
        return os.path.realpath(self.path)

    def value(self, column: str) -> str:
        """The text in a column; "label" is the class.

        Raises:
            UnsceneError: the video has no such column.
        """
        found = self.label if column == "label" else self.columns.get(column)
        if found is None:
            known = (["label"] if self.label is not None else []) + sorted(self.columns)
            raise UnsceneError(
                f"{self.path}: no column {column!r}; it has {', '.join(known) or 'no labels'}"
            )
        return found


@dataclass(frozen=True)
class Skipped:
    """A file that cannot be used, and the reason."""

    path: str
    reason: str


@dataclass(frozen=True)
class Catalog:
    """The videos of DATA that can be used, and the files that cannot.

    Attributes:
        source: DATA, for messages.
        videos: the videos.
        skipped: the files that cannot be used.
        root: the folder to which paths are relative in `fingerprint`; None: `source`, or the folder
            that contains it.

    >>> catalog = Catalog("clips", (Video("/clips/Run/a.mp4", "Run"), Video("/clips/b.mp4")))
    >>> labeled = catalog.exclude(lambda video: None if video.label else "has no label")
    >>> print(labeled.summary())
    1 video used, 1 skipped
      has no label: /clips/b.mp4
    """

    source: str
    videos: tuple[Video, ...]
    skipped: tuple[Skipped, ...] = ()
    root: str | None = None

    def __len__(self) -> int:
        return len(self.videos)

    @property
    def split(self) -> str:
        """Name of this part of the data: "ucf101-1-test", or the name of the folder or CSV."""
        return self.source.partition(":")[0] if self.root else Path(self.source).stem

    def exclude(self, why: Callable[[Video], str | None]) -> Catalog:
        """Return a catalog that skips the videos for which `why` returns a reason."""
        reasons = [(video, why(video)) for video in self.videos]
        skipped = tuple(Skipped(video.path, reason) for video, reason in reasons if reason)
        videos = tuple(video for video, reason in reasons if not reason)
        return replace(self, videos=videos, skipped=self.skipped + skipped)

    def name_of(self, path: str) -> str:
        """The path of a file relative to the folder of this catalog, if it lies there.

        >>> Catalog("/", ()).name_of("/Run/a.mp4")
        'Run/a.mp4'
        """
        root = Path(self.root or self.source).absolute()  # as paths are
        root = root if root.is_dir() else root.parent
        inside = Path(path).is_relative_to(root)
        return Path(path).relative_to(root).as_posix() if inside else path

    def fingerprint(self) -> str:
        """Hash names, sizes, labels and segments into 16 hex digits, which change with the data."""
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

    def summary(self) -> str:
        """Text with the number of videos and the skipped files by reason."""
        plural = "s" if len(self.videos) != 1 else ""
        lines = [f"{len(self.videos)} video{plural} used, {len(self.skipped)} skipped"]
        for reason, count in Counter(s.reason for s in self.skipped).most_common():
            first = next(s.path for s in self.skipped if s.reason == reason)
            others = f" and {count - 1} more" if count > 1 else ""
            lines.append(f"  {reason}: {first}{others}")
        return "\n".join(lines)


def number_files(videos: Iterable[Video]) -> list[int]:
    """Number the files of the videos from 0, in order of appearance.

    Segments of one file, or links to it, get the same number.

    >>> number_files([Video("/a.mp4"), Video("/b.mp4"), Video("/a.mp4", start=5.0)])
    [0, 1, 0]
    """
    number: dict[str, int] = {}
    return [number.setdefault(video.file, len(number)) for video in videos]


def index_labels(videos: Iterable[Video], column: str) -> tuple[list[int], list[str]]:
    """Number the classes of the videos, by a label column.

    Returns:
        The class number of every video, and the sorted class names.

    Raises:
        UnsceneError: a video has no such column.

    >>> index_labels([Video("/a.mp4", "run"), Video("/b.mp4", "jump")], "label")
    ([1, 0], ['jump', 'run'])
    """
    values = [video.value(column) for video in videos]
    names = sorted(set(values))
    number = {name: i for i, name in enumerate(names)}
    return [number[value] for value in values], names
