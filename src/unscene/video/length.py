"""A file -> its frame rate and length: what the file says, checked against its packets.

Files say what is not so. Recordings of browsers say 1000 frames per second, and a file of which
half was downloaded says the length of the whole. A look at the packets behind the first frame and
at the end of the file shows that; all packets count only if it does. Nothing is decoded.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise, takewhile
from pathlib import Path
from typing import BinaryIO

import av
from av.container import InputContainer
from av.error import FFmpegError
from av.index import IndexEntry

from unscene.video.packets import is_raw, open_container, read_tick

LONGEST = 10.0  # seconds between two frames; after a longer gap the clock counts as broken
DISORDER = 1.0  # seconds that time stamps out of order jump back; if more, the clock is set back
_HEAD = 32  # packets behind the first frame that are looked at
_BEFORE_END = 1.0  # seconds before the end of the file, where the look at the end begins
_AGREE = 0.05  # frame rates that differ by a smaller share agree
_TOLERATED = 0.1  # share of its length, and
_TOLERATED_SECONDS = 2.0  # seconds, that may be missing at the end of a file without a remark
_BEGINNING = 64  # bytes of a packet; no compressed picture begins with so many zeros


@dataclass(frozen=True)
class Length:
    """How fast and how long a video is.

    Attributes:
        fps: average frames per second: the file's own, or the measured ones where that is false.
        duration: seconds that can be read.
        claimed_fps: frames per second that the file gives; 25 where it gives none.
        missing: seconds that the file should contain, by the length that it gives, and does not.
    """

    fps: float
    duration: float
    claimed_fps: float
    missing: float = 0.0


def measure_length(path: str, container: InputContainer, stream: av.VideoStream) -> Length:
    """Measure frame rate and length, from the cheapest sources that can be trusted.

    Args:
        path: the file, to open it again where all packets count.
        container: the open file, at one of its first frames; its position changes.
        stream: its video stream.
    """
    fps = find_frame_rate(stream)
    if is_raw(container):  # the times that FFmpeg makes up follow from the rate
        duration = max(_read_all(path, stream).count, 1) / fps
        return Length(fps, duration, fps)
    claimed = _find_claim(container, stream, fps)
    if claimed is None:
        return _read_all(path, stream).compare(fps, None)
    plausible = _agree(_Stamps().read(container, stream, _HEAD).measure_rate(), fps)
    if 0 < stream.frames <= len(stream.index_entries):
        listed = _Listing(path, stream)
        whole = listed.is_whole()
        if whole and plausible:
            return Length(fps, claimed, fps)
        found = listed.read().compare(fps, claimed)
        return Length(found.fps, claimed, fps) if whole else found
    if plausible:
        end = _read_end(container, stream, claimed).compare(fps, claimed)
        if not end.missing:
            return end
    return _read_all(path, stream).compare(fps, claimed)


def find_frame_rate(stream: av.VideoStream) -> float:
    """Find the frames per second that a file gives; 25 where it does not say a usable number."""
    for rate in (stream.average_rate, stream.guessed_rate):
        if rate and 0.1 <= float(rate) <= 1000:
            return float(rate)
    return 25.0


@dataclass
class _Stamps:
    """Times of packets, in seconds.

    Attributes:
        start: when the first frame of the video is displayed; None: it is among these packets.
        count: number of packets.
        shown: when their frames are displayed, as far as the packets say.
        sent: when their frames are decoded, as far as the packets say.
        end: when the last of them ends, as far as the packets say how long frames stay.
    """

    start: float | None = None
    count: int = 0
    shown: list[float] = field(default_factory=list)
    sent: list[float] = field(default_factory=list)
    end: float = 0.0

    def read(
        self, container: InputContainer, stream: av.VideoStream, most: int | None = None
    ) -> _Stamps:
        """Add packets from the container's position on: `most`, or all up to the end or damage."""
        tick = read_tick(stream)
        decoding_times = container.format.name == "avi"  # `timestamps` says why
        with suppress(FFmpegError):
            for packet in container.demux(stream):
                if not packet.size or packet.is_discard:
                    continue
                self.count += 1
                sent, shown = packet.dts, packet.dts if decoding_times else packet.pts
                if sent is not None:
                    self.sent.append(sent * tick)
                if shown is not None:
                    self.shown.append(shown * tick)
                    self.end = max(self.end, (shown + (packet.duration or 0)) * tick)
                if self.count == most:
                    break
        return self

    def measure_rate(self) -> float | None:
        """Measure frames per second; None if these packets do not show it.

        They are counted in the order of decoding, in which also the first and the last of them have
        no gaps. Fields of interlaced video may be packets of their own; the second of two has no
        time.
        """
        steps = [step for step in self._steps() if _goes_on(step)]
        passed = sum(steps)
        return len(steps) / passed if passed > 0 and len(self.shown) == self.count else None

    def jumps(self) -> bool:
        """Whether the clock is set back or runs away, as in a file made of several."""
        return any(not _goes_on(step) for step in self._steps())

    def _steps(self) -> Iterator[float]:
        return (later - sent for sent, later in pairwise(self.sent))

    def compare(self, fps: float, claimed: float | None) -> Length:
        """Correct what the file says by these packets, which reach to its end."""
        rate = self.measure_rate() if self.start is None else None
        rate = fps if rate is None or _agree(rate, fps) else rate
        if claimed is None and len(self.shown) < self.count:
            claimed = self.count / fps
        if not self.shown or (claimed is not None and self.jumps()):
            duration = 1 / fps if claimed is None else claimed
        else:
            start = min(self.shown) if self.start is None else self.start
            end = max(self.shown) + 1 / rate
            duration = (max(end, self.end) if rate == fps else end) - start
        if claimed is None:
            return Length(rate, duration, fps)
        if rate == fps and abs(duration - claimed) < 1.5 / rate:
            return Length(rate, claimed, fps)
        # The length may be that of the sound, or be too long by the last frame.
        tolerated = max(3 / rate, min(_TOLERATED * claimed, _TOLERATED_SECONDS))
        missing = claimed - duration
        return Length(rate, duration, fps, missing if missing > tolerated else 0.0)


def _goes_on(step: float) -> bool:
    return -DISORDER < step <= LONGEST


def _agree(rate: float | None, fps: float) -> bool:
    return rate is None or abs(rate / fps - 1) < _AGREE


def _read_all(path: str, stream: av.VideoStream) -> _Stamps:
    """Read the times of all packets."""
    with open_container(path) as container:
        same = next(one for one in container.streams.video if one.index == stream.index)
        return _Stamps().read(container, same)


def _read_end(container: InputContainer, stream: av.VideoStream, claimed: float) -> _Stamps:
    """Read the times of the packets at the end; a container that cannot seek is read on."""
    tick = read_tick(stream)
    start = (stream.start_time or 0) * tick
    place = int((start + max(0.0, claimed - _BEFORE_END)) / tick)
    with suppress(FFmpegError):
        container.seek(place, stream=stream)
    return _Stamps(start).read(container, stream)


class _Listing:
    """Frames that the container lists, with their places in the file.

    A file may end before a frame that it lists. Programs that reserve the disk space of a download
    leave zeros there.
    """

    def __init__(self, path: str, stream: av.VideoStream) -> None:
        self.path, self.stream = path, stream
        self.size = Path(path).stat().st_size
        self.compressed = not stream.codec_context.codec.intra_only

    def is_whole(self) -> bool:
        """Whether the file contains the last frame."""
        with Path(self.path).open("rb") as file:
            return self._contains(file, self.stream.index_entries[-1])

    def read(self) -> _Stamps:
        """List the times of the frames before the first one that the file does not contain."""
        tick = read_tick(self.stream)
        with Path(self.path).open("rb") as file:
            contained = takewhile(partial(self._contains, file), self.stream.index_entries)
            times = [
                entry.timestamp * tick for entry in contained if entry.size and not entry.is_discard
            ]
        return _Stamps(count=len(times), shown=times, sent=times)

    def _contains(self, file: BinaryIO, entry: IndexEntry) -> bool:
        if entry.pos + entry.size > self.size:
            return False
        if not self.compressed or not entry.size:
            return True
        file.seek(entry.pos)
        return any(file.read(min(entry.size, _BEGINNING)))


def _find_claim(container: InputContainer, stream: av.VideoStream, fps: float) -> float | None:
    """Find the seconds that a file gives for its pictures; its own length may be of its sound."""
    tick = read_tick(stream)
    length = stream.duration or 0
    if container.format.name == "avi":  # FFmpeg shortens the length of a file that was cut short
        length = max(length, stream.frames)
    if length > 0:
        return length * tick
    late = 0.0
    if container.format.name.startswith("matroska"):  # which gives the time of the end
        late = max(0.0, (stream.start_time or 0) * tick)
    if (seconds := _tagged(stream)) > late:
        return seconds - late
    if len(container.streams) == 1 and (seconds := (container.duration or 0) / av.time_base) > late:
        return seconds - late
    return stream.frames / fps if stream.frames else None


def _tagged(stream: av.VideoStream) -> float:
    """Length in seconds that a Matroska file gives for this stream (DURATION: 00:01:02.5), or 0."""
    for name, text in stream.metadata.items():
        found = re.fullmatch(r"(\d+):(\d\d):(\d\d(?:\.\d*)?)", text)
        if found and name.upper().startswith("DURATION"):
            hours, minutes, seconds = found.groups()
            return int(hours) * 3600 + int(minutes) * 60 + float(seconds)
    return 0.0
