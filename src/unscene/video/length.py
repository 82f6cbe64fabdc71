"""A file -> its frame rate and length: what the file says, checked against its packets.

Files say what is not so. Recordings of browsers say 1000 frames per second, and a file of which
half was downloaded says the length of the whole. A look at the packets at the end of the file shows
that; all packets count only if it does. Nothing is decoded.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from itertools import pairwise, takewhile
from math import inf
from pathlib import Path
from typing import BinaryIO

import av
from av.container import InputContainer
from av.error import FFmpegError
from av.index import IndexEntry
from av.packet import Packet

from unscene.video.packets import is_raw, open_container, read_tick

LONGEST = 10.0  # seconds between two frames; after a longer gap the clock counts as broken
DISORDER = 1.0  # seconds that time stamps out of order jump back; if more, the clock is set back
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
        container: the open file; its position changes.
        stream: its video stream.
    """
    fps = find_frame_rate(stream)
    if is_raw(container):  # the times that FFmpeg makes up follow from the rate
        duration = max(_read_all(path, stream).count, 1) / fps
        return Length(fps, duration, fps)
    claimed = _find_claim(container, stream, fps)
    if claimed is None:
        return _read_all(path, stream).compare(fps, None)
    if 0 < stream.frames <= len(stream.index_entries):
        return _Listing(path, stream).compare(fps, claimed)
    end = _read_end(container, stream, claimed)
    if end.measure_rate(fps) == fps:
        found = end.compare(fps, claimed)
        if not found.missing:
            return found
    return _read_all(path, stream).compare(fps, claimed)


def find_frame_rate(stream: av.VideoStream) -> float:
    """Find the frames per second that a file gives; 25 where it does not say a usable number."""
    for rate in (stream.average_rate, stream.guessed_rate):
        if rate and 0.1 <= float(rate) <= 1000:
            return float(rate)
    return 25.0


class _PacketTimes:
    """The times of the packets that follow in a container, up to the end or to damage.

    Args:
        container: an open file.
        stream: its video stream.
        start: when the first frame of the video is displayed, in ticks; None: it is among these.

    Attributes:
        count: number of packets.
        shown: when their frames are displayed, in ticks, as far as the packets say.
        sent: when their frames are decoded, in ticks, as far as the packets say.
    """

    def __init__(
        self, container: InputContainer, stream: av.VideoStream, start: int | None = None
    ) -> None:
        self._tick, self._start = read_tick(stream), start
        self._decoding_times = container.format.name == "avi"  # `timestamps` says why
        self.count, self.shown, self.sent = 0, list[int](), list[int]()
        self._latest, self._stays = -inf, 0  # when the frame of the last one is displayed, how long

        with suppress(FFmpegError):
            for packet in container.demux(stream):
                if packet.size and not packet.is_discard:
                    self._add(packet)

    def _add(self, packet: Packet) -> None:
        self.count += 1
        sent = packet.dts
        shown = sent if self._decoding_times else packet.pts
        if sent is not None:
            self.sent.append(sent)
        if shown is not None:
            self.shown.append(shown)
            if shown > self._latest:
                self._latest, self._stays = shown, packet.duration or 0

    def measure_rate(self, fps: float) -> float:
        """Measure frames per second; `fps`, what the file says, unless these packets refute it.

        They are counted in the order of decoding, in which also the first and the last of them have
        no gaps. Fields of interlaced video may be packets of their own; the second of two has no
        time. A step back is either disorder, which later steps make up for, or a clock set back.
        """
        steps = [step for step in self._steps() if _goes_on(step)]
        ahead = [step for step in steps if step >= 0]
        rates = [len(each) / sum(each) for each in (steps, ahead) if sum(each) > 0]
        refuted = len(self.shown) == self.count and not any(_agree(rate, fps) for rate in rates)
        return rates[0] if rates and refuted else fps

    def jumps(self) -> bool:
        """Whether the clock is set back or runs away, as in a file made of several."""
        return any(not _goes_on(step) for step in self._steps())

    def _steps(self) -> Iterator[float]:
        return ((later - sent) * self._tick for sent, later in pairwise(self.sent))

    def compare(self, fps: float, claimed: float | None) -> Length:
        """Correct what the file says by these packets, which reach to its end."""
        rate = self.measure_rate(fps) if self._start is None else fps
        if claimed is None and (not self.shown or len(self.shown) < self.count):
            return Length(rate, max(self.count, 1) / fps, fps)
        if claimed is not None and (not self.shown or self.jumps()):
            return Length(rate, claimed, fps)
        start = min(self.shown) if self._start is None else self._start
        stays = max(1 / rate, self._stays * self._tick if rate == fps else 0.0)
        return _compare(rate, (max(self.shown) - start) * self._tick + stays, fps, claimed)


class _Listing:
    """Frames that a container lists, with their places in the file.

    A file may end before a frame that it lists. Programs that reserve the disk space of a download
    leave zeros there.
    """

    def __init__(self, path: str, stream: av.VideoStream) -> None:
        self.index, self.tick = stream.index_entries, read_tick(stream)
        self.path, self.size = Path(path), Path(path).stat().st_size
        self.compressed = not stream.codec_context.codec.intra_only

    def compare(self, fps: float, claimed: float) -> Length:
        """Correct what the file says by these frames."""
        rate, last = fps, self.index[-1]
        if not _agree(len(self.index) / claimed, fps):  # some are never displayed
            times = self._times(self.index)
            measured = (len(times) - 1) / ((max(times) - min(times)) * self.tick or inf)
            rate = measured if measured and not _agree(measured, fps) else fps
        with self.path.open("rb") as file:
            if self._contains(file, last):
                return Length(rate, claimed, fps)
            times = self._times(takewhile(partial(self._contains, file), self.index))
        return _compare(rate, (max(times) - min(times)) * self.tick + 1 / rate, fps, claimed)

    def _times(self, entries: Iterable[IndexEntry]) -> list[int]:
        return [entry.timestamp for entry in entries if entry.size and not entry.is_discard] or [0]

    def _contains(self, file: BinaryIO, entry: IndexEntry) -> bool:
        if entry.pos + entry.size > self.size:
            return False
        if not self.compressed or not entry.size:
            return True
        file.seek(entry.pos)
        return any(file.read(min(entry.size, _BEGINNING)))


def _compare(rate: float, duration: float, fps: float, claimed: float | None) -> Length:
    """Compare what was measured with what the file says."""
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


def _agree(rate: float, fps: float) -> bool:
    return abs(rate / fps - 1) < _AGREE


def _read_all(path: str, stream: av.VideoStream) -> _PacketTimes:
    """Read the times of all packets."""
    with open_container(path) as container:
        same = next(one for one in container.streams.video if one.index == stream.index)
        return _PacketTimes(container, same)


def _read_end(container: InputContainer, stream: av.VideoStream, claimed: float) -> _PacketTimes:
    """Read the times of the packets at the end; a container that cannot seek is read on."""
    start = stream.start_time or 0
    before_end = int(max(0.0, claimed - _BEFORE_END) / read_tick(stream))
    with suppress(FFmpegError):
        container.seek(start + before_end, stream=stream)
    return _PacketTimes(container, stream, start)


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
