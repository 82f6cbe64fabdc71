"""A file -> its frames with times in seconds; the first frame of the file is at 0.

Times are the stream's presentation time stamps if it has them. AVI stores none, and those that
FFmpeg makes up jump back and forth; its decoding time stamps grow evenly, but with a delay that
only the first frame shows. A frame without any time stamp follows the previous one at the stream's
frame rate; this is so for all frames of raw streams. Where times run back and forth all the same,
they are sorted: the decoder gives frames in the order in which they are displayed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from heapq import heappop, heappush
from itertools import chain
from math import inf

from av.error import FFmpegError
from av.video.frame import VideoFrame

from unscene.video.length import DISORDER, LONGEST, find_frame_rate
from unscene.video.packets import Packets, is_raw, may_seek, open_container, read_tick, rewind
from unscene.video.probe import find_video_stream

_REORDERED = 16  # frames between which times can be out of order, as many as H.264 can reorder
_SEEK_BACK = (0.0, 2.0, 12.0, 60.0)  # seconds; some containers seek too far


class TimedFrames:
    """Frames and times of a file, which stays open until the end of a `with` statement.

    Every position shows what decoding from the start of the file shows there. A file whose codec or
    container cannot do that after a seek is decoded from the start.

    Args:
        path: of the file.
        options: of the decoder, as FFmpeg names them.
        fps: frames per second as `probe` measured them; None: as the file says.

    Attributes:
        container: the open file.
        stream: the video stream.
        fps: average frames per second.
    """

    def __init__(
        self, path: str, options: dict[str, str] | None = None, fps: float | None = None
    ) -> None:
        self._path, self._options = path, options
        self._open()
        try:
            self.codec = self.stream.codec_context.codec.canonical_name
            self.fps = fps or find_frame_rate(self.stream)
            self._tick = read_tick(self.stream)  # fractions would take a tenth of the decoding time
            self._origin = (self.stream.start_time or 0) * self._tick
            self._raw = is_raw(self.container)
            self._disordered = self._sorts = False
            self._seeks = not self._raw and may_seek(self.stream)
            self._decoding_times = self.container.format.name == "avi"
            if self._decoding_times:
                first = next(self.iterate(), None)
                self._origin += first[1] if first is not None else 0.0
        except BaseException:
            self.container.close()
            raise

    def __enter__(self) -> TimedFrames:
        return self

    def __exit__(self, *exception: object) -> None:
        self.container.close()

    def _open(self) -> None:
        self.container = open_container(self._path)
        try:
            self.stream = find_video_stream(self.container, self._path)
        except BaseException:
            self.container.close()
            raise
        self.packets = Packets(self.container, self.stream)
        if self._options:
            self.stream.codec_context.options = self._options
        self._moved = False  # away from the start of the file

    @property
    def damaged(self) -> int:
        """Number of packets so far that were incomplete, failed or gave a frame with errors."""
        return self.packets.damaged

    def iterate_segment(
        self, start: float, end: float | None
    ) -> Iterator[tuple[VideoFrame, float]]:
        """Iterate over frames from `start` to before `end` (s); None: to the end of the file."""
        half = 0.5 / self.fps
        for frame, time in self.iterate_around(start - half):
            if end is not None and time >= end - half:
                return
            if time >= start - half:
                yield frame, time

    def iterate_around(self, time: float) -> Iterator[tuple[VideoFrame, float]]:
        """Iterate over frames from a key frame at or before `time` (s), or from the first frame.

        If a container without a proper index seeks too far, seek again from further back.
        """
        if self._sorts:  # behind a key frame, times that belong to frames before it are missing
            time -= _REORDERED / self.fps
        for back in _SEEK_BACK if self._seeks else ():
            if time <= back:
                break
            with suppress(FFmpegError):
                self._seek(time - back)
                if frames := self._begin(time):
                    self.packets.damaged = 0  # after a seek references may be missing
                    return frames
        return self._iterate_from_start()

    def put_in_order(self) -> bool:
        """Sort times from the next pass on, if they ran back and forth so far.

        Returns:
            Whether that changes the times of frames.
        """
        changes = self._disordered and not self._sorts
        self._sorts = self._disordered
        return changes

    def _iterate_from_start(self) -> Iterator[tuple[VideoFrame, float]]:
        """Iterate over all frames; a container that cannot seek is opened again."""
        if self._moved:
            with suppress(FFmpegError):
                rewind(self.container)
                if frames := self._begin(0.5 / self.fps):
                    return frames
            self.container.close()
            self._open()
        self.packets.damaged = 0
        return self.iterate()

    def _begin(self, latest: float) -> Iterator[tuple[VideoFrame, float]] | None:
        """Decode one frame; None if there is none, or if it comes after the time `latest`."""
        self.packets.damaged = 0
        frames = self.iterate()
        first = next(frames, None)
        return None if first is None or first[1] > latest else chain([first], frames)

    def _seek(self, time: float) -> None:
        if not self._moved:
            self._moved = True
            self.packets.read_headers()
        ticks = int((time + self._origin) / self._tick)
        self.container.seek(ticks, stream=self.stream, backward=True)

    def iterate(self) -> Iterator[tuple[VideoFrame, float]]:
        """Iterate over all frames from the current position on."""
        self._moved = True
        if self._raw:
            shown = (frame for _, frames in self.packets for frame in frames)
            return ((frame, number / self.fps) for number, frame in enumerate(shown))
        return _sort_times(self._read_times()) if self._sorts else self._read_times()

    def _read_times(self) -> Iterator[tuple[VideoFrame, float]]:
        step, time = 1 / self.fps, None
        sent = None  # when the decoder was last fed
        latest = -inf
        for packet, frames in self.packets:
            if packet.dts is not None:
                sent = packet.dts * self._tick - self._origin
            for frame in frames:
                stamp = frame.dts if self._decoding_times or frame.pts is None else frame.pts
                if stamp is not None:
                    time = stamp * self._tick - self._origin
                elif time is not None:
                    time += step
                else:
                    time = 0.0 if sent is None else sent + step
                self._disordered |= 0 < latest - time < DISORDER
                latest = time
                yield frame, time


def _sort_times(
    frames: Iterator[tuple[VideoFrame, float]],
) -> Iterator[tuple[VideoFrame, float]]:
    waiting, times = deque[VideoFrame](), list[float]()
    for frame, time in frames:
        waiting.append(frame)
        heappush(times, time)
        if len(waiting) > _REORDERED:
            yield waiting.popleft(), heappop(times)
    while waiting:
        yield waiting.popleft(), heappop(times)


def repair_clock(
    frames: Iterator[tuple[VideoFrame, float]], step: float
) -> Iterator[tuple[VideoFrame, float]]:
    """Make times start at 0 and always grow.

    Where the clock jumps back, or ahead by more than 10 s, it goes on one `step` (s) later. After a
    jump back of less than a second, later gaps make up for it, because time stamps that are merely
    out of order look like that.
    """
    most = max(LONGEST, 10 * step)
    latest, shift, debt = None, 0.0, 0.0
    for frame, time in frames:
        if latest is None:
            latest, shift = -step, -time
        now, next_ = time + shift, latest + step
        if not latest < now <= latest + most:
            back, now = next_ - now, next_
            shift += back
            debt = debt + back if 0 < back < 1 + step else 0.0
        elif debt > 0 and now > next_:
            paid = min(debt, now - next_)
            now, shift, debt = now - paid, shift - paid, debt - paid
        latest = now
        yield frame, now


def resample(
    frames: Iterator[tuple[VideoFrame, float]], fps: float, length: float
) -> Iterator[tuple[VideoFrame, float]]:
    """Sample frames at a fixed rate: at every 1/fps s from 0 on, the frame that is displayed then.

    Args:
        length: how long the last frame is displayed, in seconds.
    """
    shown, count, time = None, 0, 0.0
    for frame, time in frames:
        while shown is not None and count / fps < time - 1e-6:
            yield shown, count / fps
            count += 1
        shown = frame
    while shown is not None and count / fps < time + length - 1e-6:
        yield shown, count / fps
        count += 1
