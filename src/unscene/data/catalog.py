"""Videos that were found and checked, what is known of each, and those that cannot be used."""

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

    @property
    def frames(self) -> int:
        """Whole frames of the segment, by its duration."""
        assert self.info is not None, "ask a checked catalog"
        return int(self.duration * self.info.fps + 1e-3)

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

    def exclude(self, why: Callable[[Video], str | None]) -> Catalog:
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

    def summary(self) -> str:
        """One line, plus the skipped files by reason."""
        plural = "s" if len(self.videos) != 1 else ""
        lines = [f"{len(self.videos)} video{plural} used, {len(self.skipped)} skipped"]
        for reason, count in Counter(s.reason for s in self.skipped).most_common():
            first = next(s.path for s in self.skipped if s.reason == reason)
            others = f" and {count - 1} more" if count > 1 else ""
            lines.append(f"  {reason}: {first}{others}")
        return "\n".join(lines)


def number_files(videos: Iterable[Video]) -> list[int]:
    """Which file each video is in, numbered from 0 as they appear: segments of one file, or its
    other names, have its number. Where no file comes twice, these are the places of the videos."""
    number: dict[str, int] = {}
    return [number.setdefault(video.file, len(number)) for video in videos]


def index_labels(videos: Iterable[Video], column: str) -> tuple[list[int], list[str]]:
    """Class numbers of the videos and the class names, sorted, for a label column."""
    values = [video.value(column) for video in videos]
    names = sorted(set(values))
    number = {name: i for i, name in enumerate(names)}
    return [number[value] for value in values], names
