"""What a browser cannot play -> an MP4 that grows while it is watched.

A file is transcoded (or its packets are copied) once for everybody who watches it, into a file of
fragments: the first second can be shown as soon as it is encoded. Who watches reads behind the
writer. When the last one is gone for a while, the work stops. A finished file is kept and served in
ranges, as any other.
"""

from __future__ import annotations

import asyncio
import errno
import os
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import chain
from pathlib import Path

import av
from av.error import FFmpegError
from av.packet import Packet

from unscene.errors import UnsceneError, VideoError
from unscene.explore.answers import Refusal
from unscene.explore.cache import FolderCache
from unscene.explore.playable import Playing
from unscene.prepare.deinterlace import deinterlace
from unscene.prepare.settings import TranscodeSettings
from unscene.prepare.transcode import Stopped, encode_frames
from unscene.video.packets import open_container
from unscene.video.planes import PictureGrew
from unscene.video.probe import explain_error, find_video_stream
from unscene.video.timestamps import TimedFrames, repair_clock

_FRAGMENTS = {"movflags": "frag_keyframe+empty_moov+default_base_moof", "flush_packets": "1"}
_WHOLE = {"movflags": "+faststart"}
_SHORT_SIDE, _QUALITY = 480, 24.0
_ALONE = 10.0  # seconds after which the work stops if nobody reads
_PIECE = 1 << 16  # bytes sent at once
_REORDERED = 32  # packets that may come before FFmpeg knows their times
_LOOK = 0.05  # seconds between two looks at a growing file


@dataclass
class Stream:
    """A video that is being written.

    Attributes:
        path: of the growing file.
        readers: how many watch it.
        finished: no more is coming: done, stopped or failed.
        error: why it failed.
    """

    path: Path
    readers: int = 0
    left_at: float = field(default_factory=time.monotonic)
    finished: threading.Event = field(default_factory=threading.Event)
    stopping: bool = False
    error: Exception | None = None

    def should_stop(self) -> bool:
        alone = self.readers == 0 and time.monotonic() - self.left_at > _ALONE
        return self.stopping or alone


class Reader:
    """Somebody who watches a stream from its beginning; closed when they leave."""

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self._file = stream.path.open("rb")  # before the writer can have removed it
        stream.readers += 1

    def close(self) -> None:
        """Leave; the writer stops some time after the last one."""
        if not self._file.closed:
            self._file.close()
            self.stream.readers -= 1
            self.stream.left_at = time.monotonic()

    async def wait(self, *, to_end: bool, seconds: float = 60.0) -> None:
        """Wait until the first bytes are there, or all of them.

        Raises:
            Refusal, UnsceneError, OSError: there will be none.
        """
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            finished = self.stream.finished.is_set()
            if self.stream.error is not None:
                raise self.stream.error
            begun = os.fstat(self._file.fileno()).st_size > 0
            if finished or (begun and not to_end):
                return
            await asyncio.sleep(_LOOK / 5)
        raise Refusal(504, "this file takes too long to be converted; try `unscene prepare` on it")

    async def read(self) -> AsyncIterator[bytes]:
        """Iterate over the bytes from the start to the end, waiting for those not written yet."""
        try:
            while True:
                last = self.stream.finished.is_set()  # before reading: more may come in between
                piece = await asyncio.to_thread(self._file.read, _PIECE)
                if piece:
                    yield piece
                elif last:
                    return
                else:
                    await asyncio.sleep(_LOOK)
        finally:
            self.close()


class Streams:
    """The videos that are being written.

    Args:
        cache: where finished ones are kept.
        most: how many are written at once; who asks for another one is told to wait.
    """

    def __init__(self, cache: FolderCache, most: int = 2) -> None:
        self.cache, self.most = cache, most
        self._lock = threading.Lock()
        self._running: dict[str, Stream] = {}

    def join(self, name: str, path: str, playing: Playing, fps: float, start: float) -> Reader:
        """Read a video that is being written, or else begin to write it from `start` (s).

        Raises:
            Refusal: as many as allowed are being written.
        """
        with self._lock:
            running = self._running.get(name)
            if running is not None and not running.should_stop():
                return Reader(running)
            if sum(1 for one in self._running.values() if not one.should_stop()) >= self.most:
                raise Refusal(
                    503,
                    f"{self.most} videos are being converted for the browser; close one, or try "
                    "again in a moment",
                )
            number = time.monotonic_ns()
            stream = Stream(self.cache.folder / f"growing-{number}-{name}")
            stream.path.touch()
            self._running[name] = stream
            reader = Reader(stream)
        arguments = (name, stream, path, playing, fps, start)
        threading.Thread(target=self._write, args=arguments, daemon=True).start()
        return reader

    def stop(self) -> None:
        """Stop all work, when the server ends."""
        with self._lock:
            for stream in self._running.values():
                stream.stopping = True

    def _write(
        self, name: str, stream: Stream, path: str, playing: Playing, fps: float, start: float
    ) -> None:
        try:
            most = self.cache.most // 2
            copies = playing.way == "copied" and start == 0
            if not (copies and _copy(path, stream, _FRAGMENTS, most)):
                _transcode(path, stream, playing, fps, start, most)
            if start == 0:
                self._keep(name, stream.path)
        except Stopped:
            pass
        except PictureGrew:
            stream.error = VideoError(path, "its picture grows; `unscene prepare` writes a copy")
        except (UnsceneError, OSError, ValueError) as error:
            stream.error = error
        finally:
            with self._lock:
                if self._running.get(name) is stream:
                    del self._running[name]
            stream.path.unlink(missing_ok=True)  # who reads has it open
            stream.finished.set()

    def _keep(self, name: str, fragments: Path) -> None:
        """Keep a finished video as a plain MP4, in which a browser can jump at once."""
        whole = self.cache.folder / f"making-{fragments.name}"
        try:
            remux(fragments, whole)
            whole.replace(self.cache.folder / name)
            self.cache.add(name)
        finally:
            with suppress(OSError):
                whole.unlink(missing_ok=True)


def remux(source: Path, target: Path) -> None:
    """Write the packets of an MP4 into another one that begins with its index."""
    stream = Stream(target, readers=1)
    _copy(str(source), stream, _WHOLE, most=None)


def _copy(path: str, stream: Stream, muxer: dict[str, str], most: int | None) -> bool:
    """Copy packets into an MP4; False: they have no times of decoding, and nothing was written."""
    try:
        with open_container(path) as source:
            wanted = find_video_stream(source, path)
            packets = _fill_times(source.demux(wanted), 1 / Fraction(wanted.average_rate or 25))
            first = next(packets, None)
            if first is None:
                return False
            with av.open(str(stream.path), "w", format="mp4", options=muxer) as out:
                copied = out.add_stream_from_template(wanted)
                for packet in chain([first], packets):
                    if stream.should_stop() or _is_too_large(stream.path, most):
                        raise Stopped
                    packet.stream = copied
                    out.mux(packet)
    except FFmpegError as error:
        raise _explain(path, error) from error
    return True


def _fill_times(packets: Iterator[Packet], step: Fraction) -> Iterator[Packet]:
    """Packets from the first key frame on, all with times of decoding.

    Matroska stores none, and FFmpeg guesses them only after it has seen a few packets: those before
    follow from the first one that it knows.
    """
    waiting: list[Packet] = []
    for packet in packets:
        if packet.size == 0 or not (waiting or packet.is_keyframe):
            continue
        waiting.append(packet)
        if packet.dts is None and len(waiting) < _REORDERED:
            continue
        if packet.dts is None:
            return
        ticks = round(step / (packet.time_base or 1))
        for back, one in enumerate(reversed(waiting)):
            one.dts = packet.dts - back * ticks
        yield from waiting
        break
    for packet in packets:
        if packet.dts is not None:
            yield packet


def _transcode(
    path: str, stream: Stream, playing: Playing, fps: float, start: float, most: int
) -> None:
    settings = TranscodeSettings(
        short_side=_SHORT_SIDE, gop=max(2, round(min(fps, 60))), quality=_QUALITY
    )

    def stop() -> bool:
        return stream.should_stop() or _is_too_large(stream.path, most)

    try:
        with TimedFrames(path, fps=fps) as timed:
            frames = repair_clock(deinterlace(timed.iterate_segment(start, None)), 1 / fps)
            count = encode_frames(
                stream.path, frames, timed, settings, None, playing.size, stop, _FRAGMENTS
            )
    except FFmpegError as error:
        raise _explain(path, error) from error
    if count == 0:
        raise VideoError(path, "no frame can be decoded in this part of the file")


def _is_too_large(path: Path, most: int | None) -> bool:
    return most is not None and path.stat().st_size > most


def _explain(path: str, error: FFmpegError) -> Exception:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return OSError(error.errno, os.strerror(error.errno), path)
    return VideoError(path, explain_error(error))
