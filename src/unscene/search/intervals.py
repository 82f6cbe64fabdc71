"""Intervals of video files that have a name, and what their formats share: times and paths."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Protocol

from unscene.errors import find_nearest


class Named(Protocol):
    """What all formats can write: a label of a person or an interval that was predicted."""

    @property
    def path(self) -> str: ...
    @property
    def start(self) -> float: ...
    @property
    def end(self) -> float: ...
    @property
    def label(self) -> str: ...


class Footage(Protocol):
    """A video file, as an index or a catalog has it; `name` is relative to what was indexed."""

    @property
    def path(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def duration(self) -> float: ...
    @property
    def fps(self) -> float: ...


@dataclass(frozen=True)
class Interval:
    """A stretch of a video file with a name.

    Attributes:
        path: absolute path of the file. As read from a file of labels: as it stands there.
        start, end: seconds.
        label: the class.
        probability: 0..1, the mean over the interval; None if a person named it.

    >>> Interval("/clips/a.mp4", 1.0, 2.5, "wave", 0.87).record()
    {'file': '/clips/a.mp4', 'start': 1.0, 'end': 2.5, 'label': 'wave', 'probability': 0.87}
    """

    path: str
    start: float
    end: float
    label: str
    probability: float | None = None

    def record(self) -> dict[str, str | float | None]:
        """A row of a table."""
        return {
            "file": self.path,
            "start": self.start,
            "end": self.end,
            "label": self.label,
            "probability": self.probability,
        }


def probability_of(interval: Named) -> float | None:
    """The probability of an interval that was predicted; None for a label."""
    return getattr(interval, "probability", None)


def parse_time(text: str) -> float:
    """Seconds of "12.5", "1:12.5" or "1:00:12.5".

    Raises:
        ValueError: it is none of these.

    >>> parse_time("12.5"), parse_time("1:12.5"), parse_time("01:00:12,500")
    (12.5, 72.5, 3612.5)
    """
    *before, last = text.strip().replace(",", ".").split(":")
    if len(before) > 2 or not all(part.isdigit() for part in before):
        raise ValueError(f"{text!r} is not a time")
    if not re.fullmatch(r"-?(\d+\.?\d*|\.\d+)", last):
        raise ValueError(f"{text!r} is not a time")
    seconds = float(last)
    for place, part in enumerate(reversed(before), start=1):
        seconds += int(part) * 60.0**place
    return seconds


def format_time(seconds: float) -> str:
    """The time as hours, minutes, seconds and milliseconds.

    >>> format_time(3612.5)
    '01:00:12.500'
    """
    milliseconds = round(seconds * 1000)
    minutes, rest = divmod(milliseconds, 60_000)
    return f"{minutes // 60:02}:{minutes % 60:02}:{rest // 1000:02}.{rest % 1000:03}"


def name_files(files: Sequence[Footage]) -> dict[str, str]:
    """The name of each file by its path; the whole path where several files have one name."""
    counts = Counter(file.name for file in files)
    return {
        file.path: PurePath(file.name if counts[file.name] == 1 else file.path).as_posix()
        for file in files
    }


def find_file(name: str, files: Sequence[Footage]) -> tuple[int | None, str]:
    """Find the file that a name means: its path, its name, or the end of its path.

    Returns:
        Its position in `files`, and "". Or None, and why there is none.
    """
    wanted = os.path.normpath(os.path.expanduser(name))  # noqa: PTH111 - as in files.expand_home
    names = [os.path.normpath(file.name) for file in files]
    paths = [file.path for file in files]
    found = [i for i, path in enumerate(paths) if path == wanted]
    found = found or [i for i, known in enumerate(names) if name and known == wanted]
    found = found or _find_ends(name, paths)
    if len(found) == 1:
        return found[0], ""
    if found:
        some = ", ".join(paths[i] for i in found[:3])
        return None, f"is the name of {len(found)} files ({some}); write the path"
    close = find_nearest(name, names)
    hint = (
        f"; did you mean {close}?" if close else "; add it with `unscene index`, or drop the line"
    )
    return None, f"is not in the index{hint}"


def _find_ends(name: str, paths: Sequence[str]) -> list[int]:
    """Positions of the paths that end as a name does, with or without its folders and suffix."""
    written = PurePath(name)
    # The last but one: labels came from another machine, where the folder lies elsewhere. The last:
    # files of some formats are named like the video, without its suffix.
    for parts, whole in ((written.parts, True), ((written.name,), True), ((written.name,), False)):
        found = []
        for position, path in enumerate(paths):
            one = PurePath(path)
            end = (one if whole else one.with_suffix("")).parts[-len(parts) :]
            if name and end == parts:
                found.append(position)
        if found:
            return found
    return []
