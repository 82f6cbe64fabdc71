"""One file -> one file whose motion vectors are the motion from each frame to the next.

H.264 or MPEG-4 part 2 in MP4: no B-frames, one reference, a key frame every `gop` frames, no sound.
Frames keep their times, or are drawn from them at an even rate; a broken clock is mended first.
Interlaced pictures are made whole, rotation is applied, the range becomes limited and the matrix is
written down: what players guess depends on the height.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain, islice
from pathlib import Path

import av
import numpy as np
from av.error import FFmpegError
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter

from unscene.errors import UnsceneError, VideoError
from unscene.files import write_atomically
from unscene.prepare.deinterlace import deinterlace
from unscene.prepare.settings import TranscodeSettings
from unscene.prepare.tone_curve import ToneCurve
from unscene.video.packets import open_container
from unscene.video.picture_format import FULL, LIMITED, PictureFormat
from unscene.video.planes import as_array
from unscene.video.probe import check_file, explain_error
from unscene.video.timestamps import TimedFrames, repair_clock, resample

_BT709, _UNSPECIFIED, _BT601 = 1, 2, 6  # AVColorSpace, AVColorPrimaries, AVColorTransfer...
# What the next file would meet, too; only what is said of the target counts in the second.
_FULL_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_NO_WAY = {errno.EROFS, errno.EACCES, errno.EIO}
_ROOM = 1 << 20  # bytes; more than FFmpeg keeps back before it writes
_FINEST = 60_000  # ticks a second: whole at 24, 25 and 30 fps; MPEG-4 allows 65535
_TO_LIMITED = np.round(16 + np.arange(256) * (219 / 255)).astype(np.uint8)


@dataclass(frozen=True)
class Transcoded:
    """What became of one file. `damaged`: packets as in `inspect`."""

    frames: int
    bytes: int
    damaged: int


class Stopped(Exception):  # noqa: N818
    """The caller asked to stop; nothing was left behind."""


def transcode(
    source: str | os.PathLike[str],
    target: Path,
    settings: TranscodeSettings,
    *,
    start: float = 0.0,
    end: float | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> Transcoded:
    """Write `target`, an .mp4, whole or not at all; the source is only read.

    Args:
        start, end: the segment to cut out, in seconds.
        stop: asked before every frame; True ends the work with Stopped.

    Raises:
        VideoError: the source cannot be used, or has no frame in the segment.
        UnsceneError: no target can be written there (the disk is full, permissions).
    """
    source = os.fspath(source)
    check_file(source)
    try:
        with write_atomically(Path(target)) as temporary:
            levels = _levels(source, settings, start, end, stop) if settings.brighten else None
            with open_container(source) as container:
                pictures = TimedFrames(container, source)
                frames = repair_clock(
                    deinterlace(pictures.iterate_segment(start, end)), 1 / pictures.fps
                )
                if settings.fps is not None:
                    frames = resample(frames, settings.fps, 1 / pictures.fps)
                count = _encode(temporary, frames, pictures, settings, levels, stop)
            if not count:
                damage = pictures.packets.damage
                because = "" if damage is None else f": {explain_error(damage)}"
                where = " in its segment" if start > 0 or end is not None else ""
                raise VideoError(source, f"no frame can be decoded{where}{because}")
            _verify(temporary, count)
            written = temporary.stat().st_size
        return Transcoded(count, written, pictures.damaged)
    except (FFmpegError, OSError, ValueError) as error:
        name, number = getattr(error, "filename", None), getattr(error, "errno", None)
        about_target = name is not None and Path(os.fsdecode(name)) != Path(source).absolute()
        said = getattr(error, "strerror", None)
        if number in _FULL_DISK or (about_target and number in _NO_WAY):
            raise UnsceneError(f"{target}: cannot be written ({said})") from error
        if about_target:  # a name, or times, that the disk or the format does not take
            raise VideoError(source, f"cannot be written as {target} ({said})") from error
        raise VideoError(source, explain_error(error)) from error


def _encode(
    path: Path,
    frames: Iterator[tuple[VideoFrame, float]],
    source: TimedFrames,
    settings: TranscodeSettings,
    levels: ToneCurve | None,
    stop: Callable[[], bool],
) -> int:
    rate = Fraction(settings.fps or source.fps).limit_denominator(1001)
    ticks = rate.numerator * (_FINEST // rate.numerator) or _FINEST
    count, place = 0, -1
    draw, stream, length = None, None, round(ticks / rate)
    with av.open(str(path), "w", format="mp4") as out:
        for frame, time in frames:
            if stop():
                raise Stopped
            if draw is None or stream is None:
                draw = _Drawer(frame, source, settings, levels)
                stream = _stream(out, draw, rate, Fraction(1, ticks), settings)
            picture = draw(frame)
            place = max(round(time * ticks), place + 1)
            picture.pts, picture.time_base = place, Fraction(1, ticks)
            _mux(out, stream.encode(picture), length)
            count += 1
        if stream is not None:
            _mux(out, stream.encode(None), length)
    return count


def _levels(
    source: str,
    settings: TranscodeSettings,
    start: float,
    end: float | None,
    stop: Callable[[], bool],
) -> ToneCurve:
    """Of the key frames, or of the first frame where a segment has none."""

    def lumas(frames: Iterator[tuple[VideoFrame, float]]) -> Iterator[np.ndarray]:
        draw = None
        for frame, _ in frames:
            if stop():
                raise Stopped
            draw = draw or _Drawer(frame, pictures, settings)
            yield as_array(draw(frame).planes[0])

    for options, most in (({"skip_frame": "nokey"}, None), ({}, 1)):
        with open_container(source) as container:
            pictures = TimedFrames(container, source, options)
            found = lumas(islice(pictures.iterate_segment(start, end), most))
            first = next(found, None)
            if first is not None:
                return ToneCurve.of(chain([first], found))
    return ToneCurve.of([])


def _mux(out: av.container.OutputContainer, packets: list[Packet], length: int) -> None:
    for packet in packets:
        packet.duration = length  # counts for the last frame: the muxer knows the others
        out.mux(packet)


def _stream(
    out: av.container.OutputContainer,
    draw: _Drawer,
    rate: Fraction,
    tick: Fraction,
    settings: TranscodeSettings,
) -> av.VideoStream:
    name = "libx264" if settings.codec == "h264" else "mpeg4"
    options = settings.encoder_options()
    stream: av.VideoStream = out.add_stream(name, rate=rate, options=options)  # type: ignore[assignment]
    stream.width, stream.height = draw.size
    stream.pix_fmt = "yuv420p"
    context = stream.codec_context
    context.time_base = tick
    context.color_range, context.colorspace = LIMITED, draw.matrix
    # MP4 names a matrix only beside primaries and a transfer curve.
    context.color_primaries, context.color_trc = draw.primaries, draw.curve
    context.sample_aspect_ratio = draw.aspect
    return stream


class _Drawer:
    """Frames -> upright yuv420p of one size, which the first frame decides."""

    def __init__(
        self,
        frame: VideoFrame,
        source: TimedFrames,
        settings: TranscodeSettings,
        levels: ToneCurve | None = None,
    ) -> None:
        self.picture_format = PictureFormat.of(frame)
        self.gray = self.picture_format.gray
        luma, chroma = (levels.luma, levels.chroma) if levels else (None, None)
        if self.gray and self.picture_format.full_range:  # the scaler leaves gray as it is
            luma = _TO_LIMITED if luma is None else luma[_TO_LIMITED]
        self.tables = (luma, chroma, chroma)
        wanted = settings.size(frame.width, frame.height)
        self.size = self.picture_format.upright_size(wanted)
        # Where nothing shrinks, an odd size loses a row or column instead of being blurred.
        shrinks = min(frame.width, frame.height) > min(wanted) + 1
        self.inner = wanted if shrinks else (frame.width, frame.height)
        aspect = source.stream.sample_aspect_ratio or Fraction(1)
        self.aspect = 1 / aspect if self.picture_format.turns % 2 else aspect
        self.range = frame.color_range or (FULL if self.picture_format.full_range else LIMITED)
        self.matrix = frame.colorspace
        if frame.format.is_rgb or self.gray or self.matrix == _UNSPECIFIED:
            self.matrix = _BT709 if self.picture_format.matrix == "bt709" else _BT601
        usual = _BT601 if self.matrix == _BT601 else _BT709
        known = (frame.color_primaries, frame.color_trc)
        self.primaries, self.curve = (usual if n in (0, _UNSPECIFIED) else n for n in known)
        self.scaler = VideoReformatter()

    def __call__(self, frame: VideoFrame) -> VideoFrame:
        small = self.scaler.reformat(
            frame,
            *self.inner,
            "gray" if self.gray else "yuv420p",
            interpolation="AREA" if (frame.width, frame.height) != self.inner else None,
            src_color_range=self.range,
            dst_color_range=self.range if self.gray else LIMITED,
            threads=1,
        )
        # A new picture: the old one would hand its type and side data to the encoder.
        picture = VideoFrame(self.size[0], self.size[1], "yuv420p")
        for old, new, table in zip(small.planes, picture.planes, self.tables, strict=False):
            upright = self.picture_format.upright(as_array(old))
            upright = upright if table is None else table[upright]
            as_array(new)[:] = upright[: new.height, : new.width]
        for new in picture.planes[1:] if self.gray else ():
            as_array(new)[:] = 128
        return picture


def _verify(path: Path, count: int) -> None:
    """What was written must be there: FFmpeg does not always say that the disk is full."""
    try:
        with open_container(str(path)) as container:
            found = sum(1 for packet in container.demux(video=0) if packet.size)
    except FFmpegError:
        found = 0
    if found != count:
        with path.open("ab") as file:  # the disk says so now
            file.write(bytes(_ROOM))
        raise OSError(errno.EINVAL, f"{found} of {count} frames arrived", str(path))
