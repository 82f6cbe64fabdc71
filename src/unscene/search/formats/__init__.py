"""Named intervals, written for other programs and read back: one file a format.

    csv           one table: file,start,end,label[,probability]
    label_studio  JSON of tasks for Label Studio, and the labeling configuration beside it
    elan          one .eaf for each video
    boris         one project that BORIS opens
    webvtt        one .vtt for each video, which players show as subtitles

What a person named becomes an annotation; what was predicted, with its probability, becomes a
prediction where the format distinguishes the two. Times are rounded to milliseconds; Label Studio
counts frames.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Protocol

from unscene.errors import UnsceneError, check_known
from unscene.search.formats.rows import Found, Rate
from unscene.search.intervals import Footage, Named, name_files

__all__ = ["FORMATS", "Found", "read_intervals", "write_intervals"]

FORMATS = ("csv", "label_studio", "elan", "boris", "webvtt")


class Format(Protocol):
    """What a file of this folder has."""

    SUFFIX: str
    SEPARATE: bool  # one file for each video

    def write(self, intervals: Sequence[Named], path: Path, files: Sequence[Footage]) -> None:
        """Write intervals; `path` is the file or, where videos are separate, of the only video."""

    def read(self, path: Path, rate: Rate) -> Found:
        """Read a file; `rate` knows the frame rate of a video by its name."""


def _load(name: str) -> Format:
    module: Callable[..., object] | object = import_module(f"unscene.search.formats.{name}")
    return module  # type: ignore[return-value]


def write_intervals(
    name: str,
    intervals: Sequence[Named],
    out: Path,
    stem: str,
    files: Sequence[Footage],
) -> list[Path]:
    """Write intervals in a format.

    Args:
        name: one of `FORMATS`.
        intervals: labels or predictions of some of the files.
        out: a folder; it is created.
        stem: name of the file, without its suffix; of the folder for formats that have a file for
            each video. These are written for videos that have intervals.
        files: all videos, also those without intervals.

    Returns:
        The files that were written; each is complete or absent.

    Raises:
        UnsceneError: unknown format.
    """
    check_known("format", [name], FORMATS)
    how = _load(name)
    ordered = sorted(intervals, key=lambda one: (one.path, one.start, one.end))
    if not how.SEPARATE:
        path = out / f"{stem}{how.SUFFIX}"
        how.write(ordered, path, files)
        return [path]
    written = []
    for file, path in _place_files(files, out / f"{stem}.{name}", how.SUFFIX):
        own = [one for one in ordered if one.path == file.path]
        if own:
            how.write(own, path, [file])
            written.append(path)
    return written


def _place_files(files: Sequence[Footage], out: Path, suffix: str) -> list[tuple[Footage, Path]]:
    """Where the file of each video goes: below `out` as the video lies in what was indexed."""
    places = []
    for path, name in name_files(files).items():
        outside = Path(name).is_absolute() or ".." in Path(name).parts
        # Two sources may have files of one name: then their whole paths tell them apart.
        whole = Path(path).relative_to(Path(path).anchor)
        places.append(out / (whole if outside else name))
    plain = [place.with_suffix(suffix) for place in places]
    return [
        (file, short if plain.count(short) == 1 else place.with_name(place.name + suffix))
        for file, place, short in zip(files, places, plain, strict=True)
    ]


def read_intervals(path: Path, rate: Rate = lambda name: None) -> Found:
    """Read a file in one of the formats, which its suffix names; or all such files of a folder.

    Args:
        path: .csv, .json, .eaf, .boris or .vtt.
        rate: frame rate of a video, by its name in the file; Label Studio counts frames.

    Raises:
        UnsceneError: the file cannot be read, or its suffix is none of these.
    """
    formats = {_load(name).SUFFIX: name for name in FORMATS}
    if path.is_dir():
        parts = [
            _load(formats[file.suffix]).read(file, rate)
            for file in sorted(path.rglob("*"))
            if file.suffix in formats and _load(formats[file.suffix]).SEPARATE
        ]
        if not parts:
            raise UnsceneError(f"{path}: has no .eaf and no .vtt file; name a file of labels")
        return Found.join(parts)
    if path.suffix.lower() not in formats:
        raise UnsceneError(
            f"{path}: the suffix {path.suffix!r} is none of {', '.join(formats)}; labels are a CSV "
            "file with the columns file,start,end,label"
        )
    return _load(formats[path.suffix.lower()]).read(path, rate)
