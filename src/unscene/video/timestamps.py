"""A file -> its frames with times in seconds; the first frame of the file is at 0.

Times are the stream's presentation time stamps if it has them. AVI stores none, and those that
FFmpeg makes up jump back and forth; its decoding time stamps grow evenly, but with a delay that
only the first frame shows. A frame without any time stamp follows the previous one at the stream's
frame rate; this is so for all frames of raw streams.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from itertools import chain

import av
from av.error import FFmpegError
from av.video.frame import VideoFrame

from unscene.video.length import find_frame_rate
from unscene.video.packets import Packets, is_raw, read_tick, rewind
from unscene.video.probe import find_video_stream

_LONGEST = 10.0  # seconds between two frames; after a longer gap the clock counts as broken
_SEEK_BACK = (0.0, 2.0, 12.0, 60.0)  # seconds; some containers seek too far


class TimedFrames:
    """Frames and times of an open file.

    Args:
        container: an open file whose decoder has not been used yet.
        path: of the file, for error messages.
        options: of the decoder, as FFmpeg names them.
        fps: frames per second as `probe` measured them; None: as the file says.

    Attributes:
        stream: the video stream.
        fps: average frames per second.
    """

    def __init__(
        self,
        container: av.container.InputContainer,
        path: str,
        options: dict[str, str] | None = None,
        fps: float | None = None,
    ) -> None:
        self.container = container
        self.stream = find_video_stream(container, path)
        self.packets = Packets(container, self.stream)
        self.codec = self.stream.codec_context.codec.canonical_name
        if options:
            self.stream.codec_context.options = options
        self.fps = fps or find_frame_rate(self.stream)
        self._tick = read_tick(self.stream)  # fractions would take a tenth of the decoding time
        self._origin = (self.stream.start_time or 0) * self._tick
        self._decoding_times = container.format.name == "avi"
        self._raw = is_raw(container)
        if self._decoding_times:
            first = next(self.iterate(), None)
            self._origin += first[1] if first is not None else 0.0
            rewind(container)
            self.packets.damaged = 0
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
        for back in _SEEK_BACK if not self._raw else ():
            if time <= back:
                break
            self._moved = True
            with suppress(FFmpegError):
                self._seek(time - back)
                frames = self.iterate()
                first = next(frames, None)
                if first is not None and first[1] <= time:
                    self.packets.damaged = 0  # after a seek references may be missing
                    return chain([first], frames)
        if self._moved:
            rewind(self.container)
        self._moved, self.packets.damaged = True, 0
        return self.iterate()

    def _seek(self, time: float) -> None:
        ticks = int((time + self._origin) / self._tick)
        self.container.seek(ticks, stream=self.stream, backward=True)

    def iterate(self) -> Iterator[tuple[VideoFrame, float]]:
        """Iterate over all frames from the current position on."""
        if self._raw:
            shown = (frame for _, frames in self.packets for frame in frames)
            yield from ((frame, number / self.fps) for number, frame in enumerate(shown))
            return
        step, time = 1 / self.fps, None
        sent = None  # when the decoder was last fed
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
                yield frame, time


def repair_clock(
    frames: Iterator[tuple[VideoFrame, float]], step: float
) -> Iterator[tuple[VideoFrame, float]]:
    """Make times start at 0 and always grow.

    Where the clock jumps back, or ahead by more than 10 s, it goes on one `step` (s) later. After a
    jump back of less than a second, later gaps make up for it, because time stamps that are merely
    out of order look like that.
    """
    most = max(_LONGEST, 10 * step)
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
