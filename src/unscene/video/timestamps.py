"""Frames of a file with their times, the first frame of the file being at 0.

Time stamps are the stream's presentation times where it has them. AVI stores none, and those FFmpeg
makes up jump to and fro; decoding times grow evenly, but run late by a delay that only the first
frame shows. Frames without any stamp follow the one before at the stream's frame rate; raw streams
have no others.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from itertools import chain

import av
from av.error import FFmpegError
from av.video.frame import VideoFrame

from unscene.video.packets import Packets, is_raw, rewind, tick_of
from unscene.video.probe import frame_rate, video_stream

_LONGEST = 10.0  # seconds, at least, that one picture is shown before its clock counts as broken
_SEEK_BACK = (0.0, 2.0, 12.0, 60.0)  # seconds; some containers seek to after the wanted time


class TimedFrames:
    """A file that is open for reading, at its beginning.

    Args:
        container: whose decoder has not been used.
        path: for errors.
        options: of the decoder, as FFmpeg names them.

    Attributes:
        stream: its video stream.
        fps: average frames a second.
    """

    def __init__(
        self,
        container: av.container.InputContainer,
        path: str,
        options: dict[str, str] | None = None,
    ) -> None:
        self.container = container
        self.stream = video_stream(container, path)
        self.packets = Packets(container, self.stream)
        self.codec = self.stream.codec_context.codec.canonical_name
        if options:
            self.stream.codec_context.options = options
        self.fps = frame_rate(self.stream)
        self._tick = tick_of(self.stream)  # fractions would take a tenth of the decoding time
        self._origin = (self.stream.start_time or 0) * self._tick
        self._decoding_times = container.format.name == "avi"
        self._raw = is_raw(container)
        if self._decoding_times:
            first = next(self.onwards(), None)
            self._origin += first[1] if first is not None else 0.0
            rewind(container)
            self.packets.damaged = 0
        self._moved = False  # away from the beginning

    @property
    def damaged(self) -> int:
        """Packets that were incomplete, failed or gave a frame with errors so far."""
        return self.packets.damaged

    def segment(self, start: float, end: float | None) -> Iterator[tuple[VideoFrame, float]]:
        """Frames from `start` to before `end`, seconds; None: to the end of the file."""
        half = 0.5 / self.fps
        for frame, time in self.around(start - half):
            if end is not None and time >= end - half:
                return
            if time >= start - half:
                yield frame, time

    def around(self, time: float) -> Iterator[tuple[VideoFrame, float]]:
        """All frames from a key frame at or before `time` on; from the first where none is found.

        Containers without an index, or with a wrong one, may go too far: then from further back.
        """
        for back in _SEEK_BACK if not self._raw else ():
            if time <= back:
                break
            self._moved = True
            with suppress(FFmpegError):
                self._seek(time - back)
                frames = self.onwards()
                first = next(frames, None)
                if first is not None and first[1] <= time:
                    self.packets.damaged = 0  # behind a jump references may be missing
                    return chain([first], frames)
        if self._moved:
            rewind(self.container)
        self._moved, self.packets.damaged = True, 0
        return self.onwards()

    def _seek(self, time: float) -> None:
        ticks = int((time + self._origin) / self._tick)
        self.container.seek(ticks, stream=self.stream, backward=True)

    def onwards(self) -> Iterator[tuple[VideoFrame, float]]:
        """All frames from here on."""
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


def steady(
    frames: Iterator[tuple[VideoFrame, float]], step: float
) -> Iterator[tuple[VideoFrame, float]]:
    """Times that begin at 0 and always grow: a clock that was set goes on one `step` (s) later.

    Where it was set back by less than a second, later gaps make up for it: stamps that are merely
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


def evenly(
    frames: Iterator[tuple[VideoFrame, float]], fps: float, length: float
) -> Iterator[tuple[VideoFrame, float]]:
    """At every 1/fps from 0 on the frame that is shown then; `length`: of the last one (s)."""
    shown, count, time = None, 0, 0.0
    for frame, time in frames:
        while shown is not None and count / fps < time - 1e-6:
            yield shown, count / fps
            count += 1
        shown = frame
    while shown is not None and count / fps < time + length - 1e-6:
        yield shown, count / fps
        count += 1
