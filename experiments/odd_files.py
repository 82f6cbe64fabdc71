"""Does the reader show what ffmpeg shows, wherever a window begins?

    python experiments/odd_files.py FOLDER_OR_FILE...            # a table; needs ffmpeg and ffprobe

`ffmpeg` decodes every video from its start. `read_clips` reads windows at several places of it,
each in a process's worth of its own: it opens the file, seeks and decodes. Compared are the number
of frames, the times, the size, and the pixels of every frame of every window. A line of the table
names what disagrees:

    refused     ffmpeg shows frames, the reader raises an error (of the file, or of a window)
    count       number of frames of the whole file
    length      `probe` promises (frame rate x duration) more or fewer frames than there are
    times       the time of a frame, counted from the first one, unless presentation times jump back
    order       times do not grow from frame to frame
    size        size of the upright picture; where it changes, the largest of the file or window
    frame       a window shows another frame than the one at its time; both numbers are given
    pixels      a window shows a picture that ffmpeg shows nowhere near

Where ffmpeg itself reports errors, or decodes nothing, the file is "damaged": what differs there is
printed, and does not count. The status is 1 if anything else disagrees.

Pixels may differ by a mean of 2 of 255: ffmpeg's scaler, which converts what is not 8-bit 4:2:0,
rounds differently from version to version. The reader's FFmpeg is PyAV's, not the one on PATH.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from math import prod
from pathlib import Path

import numpy as np

from unscene.data.catalog import SUFFIXES
from unscene.errors import VideoError
from unscene.video.clip import Clip
from unscene.video.decode import read_clips
from unscene.video.packets import open_container
from unscene.video.probe import VideoInfo, find_video_stream, probe
from unscene.video.sampling import Request
from unscene.video.timestamps import TimedFrames

_OFFSETS = (0, 1, 2, 5)  # frames of a window
_PIXELS = 2.0  # mean difference of 8-bit values
_SECONDS = 0.002  # ffprobe rounds to microseconds, Matroska to milliseconds
_LENGTH = 0.05  # share of the frames that frame rate x duration may miss
_THUMB = 24  # a picture is looked for among others by means of 24 x 24 fields


@dataclass
class Theirs:
    """What ffmpeg shows: times of all frames, planes of some, small pictures of all."""

    times: np.ndarray  # seconds, the first frame is at 0
    disordered: bool  # presentation times jump back, so that ffmpeg changes its mind about times
    sizes: list[tuple[int, int]]  # (H, W) of each frame, upright
    errors: list[str]
    planes: dict[int, list[np.ndarray]] = field(default_factory=dict)
    thumbs: list[np.ndarray] = field(default_factory=list)


@dataclass
class Line:
    """A line of the table."""

    path: Path
    codec: str = ""
    theirs: int = 0
    ours: int = 0
    windows: int = 0
    worst: float = 0.0  # mean difference of the worst frame
    damaged: bool = False
    found: dict[str, str] = field(default_factory=dict)  # kind -> the first example of it

    def add(self, kind: str, example: str) -> None:
        self.found.setdefault(kind, example)

    def __str__(self) -> str:
        what = "; ".join(f"{kind}: {example}" for kind, example in self.found.items()) or "ok"
        counts = f"{self.codec:<10} {self.theirs:>6} {self.ours:>6} {self.windows:>4}"
        return f"{counts} {self.worst:>6.2f}  {'damaged ' * self.damaged}{what}  {self.path}"


def main() -> int:
    flags = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    flags.add_argument("paths", nargs="+", type=Path, help="folders, or files, of videos")
    flags.add_argument("--windows", type=int, default=7, help="number of windows of a video")
    flags.add_argument("--every", type=int, default=1, help="take each n-th file of the list only")
    flags.add_argument("--frames", type=int, default=3000, help="longer videos are left out")
    asked = flags.parse_args()
    for program in ("ffmpeg", "ffprobe"):
        if shutil.which(program) is None:
            sys.exit(f"{program}: not found; install it (apt-get install ffmpeg)")
    print(f"{'codec':<10} {'ffmpeg':>6} {'ours':>6} {'win':>4} {'worst':>6}  disagreement, file")
    kinds, files, long = Counter[str](), 0, 0
    for path in list(_videos(asked.paths))[:: asked.every]:
        line = compare(path, asked.windows, asked.frames)
        if line is None:
            long += 1
            continue
        print(line, flush=True)
        files += 1
        kinds.update(list(line.found) if not line.damaged else ["(damaged)"] if line.found else [])
    summary = ", ".join(f"{number} {kind}" for kind, number in kinds.most_common())
    print(
        f"{files} file{'s' * (files != 1)}; {summary or 'no disagreement'}"
        + f"; {long} too long" * (long > 0)
    )
    return int(any(kind != "(damaged)" for kind in kinds))


def _videos(paths: list[Path]) -> Iterator[Path]:
    for path in paths:
        inside = sorted(path.rglob("*")) if path.is_dir() else [path]
        yield from (p for p in inside if p.suffix.lower() in SUFFIXES or p == path)


def compare(path: Path, windows: int, most: int) -> Line | None:
    """Compare one file; None if it has more than `most` frames."""
    line = Line(path)
    try:
        with open_container(str(path)) as container:
            index = find_video_stream(container, str(path)).index
    except (VideoError, OSError, ValueError):
        index = None
    theirs = _list_frames(path, index, most)
    if theirs is None:
        return None
    line.theirs, line.damaged = len(theirs.times), bool(theirs.errors) or not len(theirs.times)
    try:
        info = probe(path)
        with TimedFrames(str(path), fps=info.fps) as timed:
            times = [time for _, time in timed.iterate_around(0.0)]
            if timed.put_in_order():
                times = [time for _, time in timed.iterate_around(0.0)]
    except VideoError as error:
        line.add("refused", error.reason)
        return line
    line.codec, line.ours = info.codec, len(times)
    _compare_facts(line, info, theirs, np.array(times))
    if times and len(theirs.times):
        _compare_windows(line, index, info, theirs, times, windows)
    return line


def _list_frames(path: Path, index: int | None, most: int) -> Theirs | None:
    entries = "frame=pts_time,best_effort_timestamp_time,width,height:stream_side_data=rotation"
    command = ["ffprobe", "-v", "error", "-select_streams", "v:0" if index is None else str(index)]
    command += ["-read_intervals", f"%+#{most + 1}", "-show_entries", entries, "-of", "json"]
    command.append(str(path))
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    found = json.loads(done.stdout or "{}")
    frames = found.get("frames", [])
    if len(frames) > most:
        return None
    shown, best = (
        np.array([float(frame.get(name, "nan")) for frame in frames])
        for name in ("pts_time", "best_effort_timestamp_time")
    )
    sizes = [(frame["height"], frame["width"]) for frame in frames]
    extra = [
        data for stream in found.get("streams", []) for data in stream.get("side_data_list", [])
    ]
    if any(abs(data.get("rotation", 0)) == 90 for data in extra):
        sizes = [(width, height) for height, width in sizes]
    return Theirs(
        times=best - best[:1],
        disordered=bool((np.diff(shown) < 0).any()),
        sizes=sizes,
        errors=_errors(done.stderr),
    )


def _errors(said: str) -> list[str]:
    """Lines about the file, without those about the times of the raw frames that are written."""
    about_output = ("to muxer in stream", "Last message repeated")
    return [line for line in said.splitlines() if not any(word in line for word in about_output)]


def _compare_facts(line: Line, info: VideoInfo, theirs: Theirs, times: np.ndarray) -> None:
    if line.ours != line.theirs:
        line.add("count", f"{line.ours} frames of {line.theirs}")
    promised = info.fps * (info.duration - info.start)
    if abs(promised - line.ours) > max(2, _LENGTH * line.ours):
        line.add("length", f"{info.fps:.5g}/s x {promised / info.fps:.5g} s, {line.ours} frames")
    if theirs.sizes:
        _compare_size(line, "the file", (info.height, info.width), theirs.sizes)
    back = np.flatnonzero(np.diff(times) <= 0)
    if len(back):
        k = back[0]
        line.add("order", f"frame {k + 1} at {times[k + 1]:.3f} s after {times[k]:.3f} s")
    if line.ours == line.theirs and line.ours and not theirs.disordered:
        apart = np.abs(times - times[0] - theirs.times)
        k = int(np.nanargmax(apart)) if np.isfinite(apart).any() else 0
        if apart[k] > _SECONDS:
            ours = times[k] - times[0]
            line.add("times", f"frame {k} at {ours:.3f} s for {theirs.times[k]:.3f} s")


def _compare_windows(
    line: Line, index: int | None, info: VideoInfo, theirs: Theirs, times: list[float], windows: int
) -> None:
    known = len(theirs.times)
    offsets = tuple(k for k in _OFFSETS if k < known)
    starts = np.unique(np.linspace(0, known - 1 - offsets[-1], windows).round().astype(int))
    clips: dict[int, Clip] = {}
    for first in map(int, starts):
        at = theirs.times[first] if line.ours != known else times[first]
        try:
            request = Request(max(float(at), 0.0), {"clip": offsets})
            clips[first] = read_clips(line.path, request, fps=info.fps)["clip"]
        except VideoError as error:
            line.add("refused", f"window at frame {first}: {error.reason}")
    line.windows = len(clips)
    if not clips:
        return
    for size in {clip.size for clip in clips.values()}:
        same = {first: clip for first, clip in clips.items() if clip.size == size}
        wanted = {first + offset for first in same for offset in offsets}
        _decode(line.path, index, theirs, wanted, next(iter(same.values())))
        for first, clip in same.items():
            shown = theirs.sizes[first : first + offsets[-1] + 1]
            _compare_size(line, f"the window at frame {first}", size, shown)
            for place, offset in enumerate(offsets):
                _compare_frame(line, theirs, clip, place, first + offset)


def _compare_size(
    line: Line, what: str, size: tuple[int, int], shown: list[tuple[int, int]]
) -> None:
    largest = max(shown, key=prod)
    if size != largest:
        line.add("size", f"{what} in {size[1]}x{size[0]} for {largest[1]}x{largest[0]}")


def _decode(path: Path, index: int | None, theirs: Theirs, wanted: set[int], like: Clip) -> None:
    """Have ffmpeg decode the whole file in the size and range of a clip; keep what is wanted."""
    height, width = like.size
    out_range = "full" if like.full_range else "limited"
    how = "area" if len(set(theirs.sizes)) > 1 else "bilinear"  # as PyAV does
    scale = f"scale={width}:{height}:flags={how}:out_range={out_range}"
    video = "0:v:0" if index is None else f"0:{index}"
    command = ["ffmpeg", "-v", "error", "-nostdin", "-threads", "1", "-i", str(path), "-map", video]
    command += ["-fps_mode", "passthrough", "-vf", scale, "-f", "rawvideo"]
    command += ["-pix_fmt", "yuvj420p" if like.full_range else "yuv420p", "-"]
    chroma = (height + 1) // 2, (width + 1) // 2
    shapes = ((height, width), chroma, chroma)
    ends = np.cumsum([rows * columns for rows, columns in shapes])
    theirs.planes, theirs.thumbs = {}, []
    with (
        tempfile.TemporaryFile("w+", errors="replace") as errors,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors) as running,
    ):
        assert running.stdout is not None
        while len(data := running.stdout.read(int(ends[-1]))) == ends[-1]:
            parts = np.split(np.frombuffer(data, np.uint8), ends[:-1])
            planes = [part.reshape(shape) for part, shape in zip(parts, shapes, strict=True)]
            if len(theirs.thumbs) in wanted:
                theirs.planes[len(theirs.thumbs)] = planes
            theirs.thumbs.append(_shrink(planes[0]))
        running.wait()
        errors.seek(0)
        theirs.errors += _errors(errors.read())


def _compare_frame(line: Line, theirs: Theirs, clip: Clip, place: int, number: int) -> None:
    line.damaged |= bool(theirs.errors)
    if number not in theirs.planes:
        line.add("count", f"ffmpeg has no frame {number}")
        return
    ours = [plane[place].numpy() for plane in (clip.y, clip.u, clip.v)]
    apart = max(_difference(a, b) for a, b in zip(ours, theirs.planes[number], strict=True))
    line.worst = max(line.worst, apart)
    if apart <= _PIXELS:
        return
    small = _shrink(ours[0])
    each = [_difference(small, thumb) for thumb in theirs.thumbs]
    best = int(np.argmin(each))
    if best != number and each[best] < min(_PIXELS, each[number] / 2):
        line.add("frame", f"{best} for {number}")
    else:
        line.add("pixels", f"frame {number} differs by {apart:.1f}")


def _difference(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.abs(a.astype(np.float32) - b.astype(np.float32)).mean())


def _shrink(luma: np.ndarray) -> np.ndarray:
    """Means of at most 24 x 24 fields of a picture."""
    rows, columns = (np.linspace(0, n, min(n, _THUMB) + 1).astype(int)[:-1] for n in luma.shape)
    sums = np.add.reduceat(np.add.reduceat(luma.astype(np.float32), rows, 0), columns, 1)
    area = np.diff([*rows, luma.shape[0]])[:, None] * np.diff([*columns, luma.shape[1]])
    return sums / area


if __name__ == "__main__":
    sys.exit(main())
