"""A video file -> a file whose motion vectors are the motion from each frame to the next.

The output is H.264 or MPEG-4 part 2 in MP4: no B-frames, one reference frame, a key frame every
`gop` frames, no sound. Frames keep their times or are resampled at a fixed rate; a broken clock is
repaired first. Interlaced frames are deinterlaced and the rotation is applied. The range becomes
limited, and the matrix is written into the file, because players guess it from the height.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain, islice
from math import prod
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
from unscene.video.planes import PictureGrew, as_array
from unscene.video.probe import check_file, explain_error, probe
from unscene.video.timestamps import TimedFrames, repair_clock, resample

_BT709, _UNSPECIFIED, _BT601 = 1, 2, 6  # AVColorSpace, AVColorPrimaries, AVColorTransfer...
# Errors that all other files would meet too; those of the second set only if the target has them.
_FULL_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_NOT_WRITABLE = {errno.EROFS, errno.EACCES, errno.EIO}
_BUFFER = 1 << 20  # bytes; more than FFmpeg buffers before it writes
_TICKS = 60_000  # per second: whole numbers at 24, 25 and 30 fps; MPEG-4 allows 65535
_TO_LIMITED = np.round(16 + np.arange(256) * (219 / 255)).astype(np.uint8)


@dataclass(frozen=True)
class Transcoded:
    """The file that was written; `damaged` counts packets as in `Inspection`."""

    frames: int
    bytes: int
    damaged: int


class Stopped(Exception):  # noqa: N818
    """The caller stopped the work; no file was left behind."""


def transcode(
    source: str | os.PathLike[str],
    target: Path,
    settings: TranscodeSettings,
    *,
    start: float = 0.0,
    end: float | None = None,
    stop: Callable[[], bool] = lambda: False,
    muxer: dict[str, str] | None = None,
) -> Transcoded:
    """Write the file `target` completely or not at all.

    Args:
        source: a video file; it is only read.
        target: an .mp4.
        start, end: the segment to cut out, in seconds.
        stop: called before every frame; if it returns True, the work ends with Stopped.
        muxer: options of FFmpeg's MP4 muxer.

    Raises:
        VideoError: the source cannot be used, or has no frame in the segment.
        UnsceneError: the target cannot be written (full disk, permissions).
        Stopped: `stop` returned True.
    """
    source = os.fspath(source)
    check_file(source)
    try:
        with write_atomically(Path(target)) as temporary:
            brighten = settings.brighten
            curve = _fit_curve(source, settings, start, end, stop) if brighten else None
            fps = probe(source).fps
            with TimedFrames(source, fps=fps) as timed:
                count, size = None, (0, 0)
                while count is None:
                    frames = deinterlace(timed.iterate_segment(start, end))
                    frames = repair_clock(frames, 1 / fps)
                    if settings.fps is not None:
                        frames = resample(frames, settings.fps, 1 / fps)
                    try:
                        count = encode_frames(
                            temporary, frames, timed, settings, curve, size, stop, muxer
                        )
                    except PictureGrew as larger:
                        size = larger.size
            if not count:
                damage = timed.packets.damage
                because = "" if damage is None else f": {explain_error(damage)}"
                where = " in its segment" if start > 0 or end is not None else ""
                raise VideoError(source, f"no frame can be decoded{where}{because}")
            _verify(temporary, count)
            written = temporary.stat().st_size
        return Transcoded(count, written, timed.damaged)
    except (FFmpegError, OSError, ValueError) as error:
        name, number = getattr(error, "filename", None), getattr(error, "errno", None)
        about_target = name is not None and Path(os.fsdecode(name)) != Path(source).absolute()
        said = getattr(error, "strerror", None)
        if number in _FULL_DISK or (about_target and number in _NOT_WRITABLE):
            raise UnsceneError(f"{target}: cannot be written ({said})") from error
        if about_target:  # a name or times that the disk or the format does not accept
            raise VideoError(source, f"cannot be written as {target} ({said})") from error
        raise VideoError(source, explain_error(error)) from error


def encode_frames(
    path: Path,
    frames: Iterator[tuple[VideoFrame, float]],
    source: TimedFrames,
    settings: TranscodeSettings,
    curve: ToneCurve | None = None,
    size: tuple[int, int] = (0, 0),
    stop: Callable[[], bool] = lambda: False,
    muxer: dict[str, str] | None = None,
) -> int:
    """Encode frames in the size that the first one gets, or one of `size` (H, W) if it is larger.

    Args:
        muxer: options of FFmpeg's MP4 muxer.

    Raises:
        PictureGrew: a frame is larger.
        Stopped: `stop` returned True.
    """
    rate = Fraction(settings.fps or source.fps).limit_denominator(1001)
    ticks = rate.numerator * (_TICKS // rate.numerator) or _TICKS
    count, tick = 0, -1
    converter, stream, length = None, None, round(ticks / rate)
    with av.open(str(path), "w", format="mp4", options=muxer or {}) as out:
        for frame, time in frames:
            if stop():
                raise Stopped
            if converter is None or stream is None:
                converter = _Converter(frame, source, settings, curve, size)
                stream = _add_stream(out, converter, rate, Fraction(1, ticks), settings)
            if prod(settings.size(frame.width, frame.height)) > prod(converter.size):
                raise PictureGrew(frame)
            picture = converter(frame)
            tick = max(round(time * ticks), tick + 1)
            picture.pts, picture.time_base = tick, Fraction(1, ticks)
            _mux(out, stream.encode(picture), length)
            count += 1
        if stream is not None:
            _mux(out, stream.encode(None), length)
    return count


def _fit_curve(
    source: str,
    settings: TranscodeSettings,
    start: float,
    end: float | None,
    stop: Callable[[], bool],
) -> ToneCurve:
    """Fit a tone curve to the key frames, or to the first frame of a segment without any."""

    def lumas(frames: Iterator[tuple[VideoFrame, float]]) -> Iterator[np.ndarray]:
        converter = None
        for frame, _ in frames:
            if stop():
                raise Stopped
            converter = converter or _Converter(frame, timed, settings)
            yield as_array(converter(frame).planes[0])

    for options, most in (({"skip_frame": "nokey"}, None), ({}, 1)):
        with TimedFrames(source, options) as timed:
            found = lumas(islice(timed.iterate_segment(start, end), most))
            first = next(found, None)
            if first is not None:
                return ToneCurve.fit(chain([first], found))
    return ToneCurve.fit([])


def _mux(out: av.container.OutputContainer, packets: list[Packet], length: int) -> None:
    for packet in packets:
        packet.duration = length  # used for the last frame only: the muxer knows the others
        out.mux(packet)


def _add_stream(
    out: av.container.OutputContainer,
    converter: _Converter,
    rate: Fraction,
    tick: Fraction,
    settings: TranscodeSettings,
) -> av.VideoStream:
    name = "libx264" if settings.codec == "h264" else "mpeg4"
    options = settings.encoder_options()
    stream: av.VideoStream = out.add_stream(name, rate=rate, options=options)  # type: ignore[assignment]
    stream.width, stream.height = converter.size
    stream.pix_fmt = "yuv420p"
    context = stream.codec_context
    context.time_base = tick
    context.color_range, context.colorspace = LIMITED, converter.matrix
    # MP4 stores a matrix only together with primaries and a transfer curve.
    context.color_primaries, context.color_trc = converter.primaries, converter.curve
    context.sample_aspect_ratio = converter.aspect
    return stream


class _Converter:
    """Converts frames to upright yuv420p pictures of one size.

    It is the one that a frame of `size` (H, W) gets, or the first frame if that is larger.
    """

    def __init__(
        self,
        frame: VideoFrame,
        source: TimedFrames,
        settings: TranscodeSettings,
        curve: ToneCurve | None = None,
        size: tuple[int, int] = (0, 0),
    ) -> None:
        self.format = PictureFormat.of(frame)
        luma, chroma = (curve.luma, curve.chroma) if curve else (None, None)
        if self.format.gray and self.format.full_range:  # the scaler does not change gray
            luma = _TO_LIMITED if luma is None else luma[_TO_LIMITED]
        self.tables = (luma, chroma, chroma)
        sizes = (frame.width, frame.height), size[::-1]
        width, height = max(sizes, key=lambda each: prod(settings.size(*each)))
        wanted = settings.size(width, height)
        self.size = self.format.upright_size(wanted)
        # Without shrinking, an odd size loses a row or column instead of being blurred.
        shrinks = min(width, height) > min(wanted) + 1
        self.scaled_size = wanted if shrinks else (width, height)
        aspect = source.stream.sample_aspect_ratio or Fraction(1)
        self.aspect = 1 / aspect if self.format.turns % 2 else aspect
        self.range = frame.color_range or (FULL if self.format.full_range else LIMITED)
        self.matrix = frame.colorspace
        if frame.format.is_rgb or self.format.gray or self.matrix == _UNSPECIFIED:
            self.matrix = _BT709 if self.format.matrix == "bt709" else _BT601
        default = _BT601 if self.matrix == _BT601 else _BT709
        known = (frame.color_primaries, frame.color_trc)
        self.primaries, self.curve = (default if n in (0, _UNSPECIFIED) else n for n in known)
        self.scaler = VideoReformatter()

    def __call__(self, frame: VideoFrame) -> VideoFrame:
        scaled = self.scaler.reformat(
            frame,
            *self.scaled_size,
            "gray" if self.format.gray else "yuv420p",
            interpolation="AREA" if (frame.width, frame.height) != self.scaled_size else None,
            src_color_range=self.range,
            dst_color_range=self.range if self.format.gray else LIMITED,
            threads=1,
        )
        # A new picture: the old one would pass its type and side data on to the encoder.
        picture = VideoFrame(self.size[0], self.size[1], "yuv420p")
        for old, new, table in zip(scaled.planes, picture.planes, self.tables, strict=False):
            upright = self.format.upright(as_array(old))
            upright = upright if table is None else table[upright]
            as_array(new)[:] = upright[: new.height, : new.width]
        for new in picture.planes[1:] if self.format.gray else ():
            as_array(new)[:] = 128
        return picture


def _verify(path: Path, count: int) -> None:
    """Check that all frames were written: FFmpeg does not always report a full disk."""
    try:
        with open_container(str(path)) as container:
            found = sum(1 for packet in container.demux(video=0) if packet.size)
    except FFmpegError:
        found = 0
    if found != count:
        with path.open("ab") as file:  # raises if the disk is full
            file.write(bytes(_BUFFER))
        raise OSError(errno.EINVAL, f"{found} of {count} frames arrived", str(path))
