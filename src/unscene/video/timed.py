"""Frames of a file from its beginning to its end, with their times.

The times are those that decode.py gives: the first frame of the file is at 0.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

import av
from av.error import FFmpegError
from av.video.frame import VideoFrame

from unscene.video.packets import Packets, rewind, tick_of
from unscene.video.probe import frame_rate, video_stream


class TimedFrames:
    """A file that is open for reading.

    Attributes:
        damaged: packets that were incomplete, failed or gave a frame with errors so far.
    """

    def __init__(self, container: av.container.InputContainer, path: str) -> None:
        self.container = container
        self.stream = video_stream(container, path)
        self.packets = Packets(container, self.stream)
        self.codec = self.stream.codec_context.codec.canonical_name
        self.fps, self.tick = frame_rate(self.stream), tick_of(self.stream)
        self.damaged = 0
        self.origin = (self.stream.start_time or 0) * self.tick
        # As in decode.py: AVI has decoding times only, late by what the first frame shows.
        self.decoding_times = container.format.name == "avi"
        if self.decoding_times:
            first = next(self._all(), None)
            self.origin += first[1] if first is not None else 0.0
            rewind(container)
            self.damaged = 0

    def segment(self, start: float, end: float | None) -> Iterator[tuple[VideoFrame, float]]:
        """Frames from `start` to before `end`, seconds; None: to the end of the file."""
        half = 0.5 / self.fps
        for frame, time in self._from(start - half):
            if end is not None and time >= end - half:
                return
            if time >= start - half:
                yield frame, time

    def _from(self, start: float) -> Iterator[tuple[VideoFrame, float]]:
        if start > 2:
            with suppress(FFmpegError):
                ticks = int((start - 2 + self.origin) / self.tick)
                self.container.seek(ticks, stream=self.stream, backward=True)
                frames = self._all()
                first = next(frames, None)
                if first is not None and first[1] <= start:
                    self.damaged = 0  # behind a jump references may be missing: no damage
                    yield first
                    yield from frames
                    return
            rewind(self.container)
        yield from self._all()

    def _all(self) -> Iterator[tuple[VideoFrame, float]]:
        time, sent, last = None, None, self.packets.damage
        for packet, frames in self.packets:
            failed = self.packets.damage is not last or any(frame.is_corrupt for frame in frames)
            self.damaged += failed or packet.is_corrupt
            last = self.packets.damage
            if packet.dts is not None:
                sent = packet.dts * self.tick - self.origin
            for frame in frames:
                stamp = frame.dts if self.decoding_times or frame.pts is None else frame.pts
                if stamp is not None:
                    time = stamp * self.tick - self.origin
                elif time is not None:
                    time += 1 / self.fps
                else:
                    time = 0.0 if sent is None else sent + 1 / self.fps
                yield frame, time


def evenly(
    frames: Iterator[tuple[VideoFrame, float]], fps: float, length: float
) -> Iterator[tuple[VideoFrame, float]]:
    """At every 1/fps the frame that is shown then; `length`: how long the last one is shown."""
    shown, origin, count, time = None, 0.0, 0, 0.0
    for frame, time in frames:
        if shown is None:
            origin = time
        else:
            while count / fps < time - origin - 1e-6:
                yield shown, count / fps
                count += 1
        shown = frame
    while shown is not None and count / fps < time + length - origin - 1e-6:
        yield shown, count / fps
        count += 1
