"""What kind of video a file is: opened, its first frame decoded, closed again."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import av
from av.error import FFmpegError
from av.stream import Disposition

from unscene.errors import VideoError
from unscene.video.packets import (
    H263_FAMILY,
    Packets,
    is_raw,
    open_container,
    rewind,
    tick_of,
)
from unscene.video.picture_format import PictureFormat
from unscene.video.vectors import exact_so_far

# FFmpeg's names of the codecs (not of decoders, such as libdav1d) whose decoders export vectors.
VECTOR_CODECS = H263_FAMILY | {"h264", "mpeg1video", "mpeg2video"}
SAMPLE = 60  # frames that a file is judged by, where that takes more than the first


@dataclass(frozen=True)
class VideoInfo:
    """Facts about one video.

    Attributes:
        width, height: of the upright picture, in luma pixels.
        fps: average frames a second (25 where the file does not say).
        duration: seconds, measured by reading all packets where the file does not say.
        frames: as the container claims, None where it does not say.
        vectors: True if FFmpeg exports motion vectors for this codec, and not all of the stream's
            first 60 frames are key frames, which have none.
        exact: True if these are the motion from one frame to the next, as far as the header and
            the first frame tell (`vectors.exact_so_far`).
        rotation: counter-clockwise quarter turns that make the picture upright, 0..3 (of its
            mirror image, where the file asks for that).
    """

    codec: str
    pixel_format: str
    width: int
    height: int
    fps: float
    duration: float
    frames: int | None
    vectors: bool
    exact: bool
    rotation: int

    @property
    def without_vectors(self) -> str | None:
        """Why there are no motion vectors to read; None: there are."""
        if self.codec not in VECTOR_CODECS:
            return f"{self.codec} carries no motion vectors"
        return None if self.vectors else "its frames are key frames, without motion vectors"


def probe(path: str | os.PathLike[str]) -> VideoInfo:
    """Open a file and decode its first frame.

    Raises:
        VideoError: naming the file and why it cannot be used (missing, unreadable, empty, no video
            stream, damaged).
    """
    path = os.fspath(path)
    check_file(path)
    try:
        with open_container(path) as container:
            stream = video_stream(container, path)
            packets = Packets(container, stream)
            frame = next((frame for _, frames in packets for frame in frames), None)
            if frame is None:
                raise VideoError(path, "no frame can be decoded; the file is cut short or damaged")
            fps = frame_rate(stream)
            context = stream.codec_context
            codec = context.codec.canonical_name
            vectors = codec in VECTOR_CODECS and not packets.only_keys(SAMPLE)
            picture_format = PictureFormat.of(frame)
            height, width = picture_format.upright_size((frame.height, frame.width))
            return VideoInfo(
                codec=codec,
                pixel_format=frame.format.name,
                width=width,
                height=height,
                fps=fps,
                duration=duration_of(container, stream, fps),
                frames=stream.frames or None,
                vectors=vectors,
                exact=vectors and exact_so_far(context, codec, interlaced=frame.interlaced_frame),
                rotation=picture_format.turns,
            )
    except (FFmpegError, OSError, ValueError) as error:
        raise VideoError(path, why(error)) from error


def check_file(path: str) -> None:
    """Raise VideoError for what is plainly no video file, before FFmpeg sees it."""
    file = Path(path)
    if not file.exists():
        raise VideoError(path, "does not exist")
    if file.is_dir():
        raise VideoError(path, "is a directory, not a video file")
    if not file.is_file():
        raise VideoError(path, "is not a regular file")
    if not os.access(path, os.R_OK):
        raise VideoError(path, "may not be read (permissions)")
    if file.stat().st_size == 0:
        raise VideoError(path, "is empty (0 bytes)")


def video_stream(container: av.container.InputContainer, path: str) -> av.VideoStream:
    """The one that FFmpeg's players would show, or else the first; cover art is none."""
    moving = [
        stream
        for stream in container.streams.video
        if not stream.disposition & Disposition.attached_pic
    ]
    usable = [stream for stream in moving if stream.codec_context is not None]
    if usable:
        best = container.streams.best("video") if len(usable) > 1 else None
        return next((stream for stream in usable if stream is best), usable[0])
    reason = "its codec is unknown to this FFmpeg" if moving else "has no video stream"
    raise VideoError(path, reason)


def frame_rate(stream: av.VideoStream) -> float:
    """Average frames a second; 25 where the file does not say or says nonsense."""
    for rate in (stream.average_rate, stream.guessed_rate):
        if rate and 0.1 <= float(rate) <= 1000:
            return float(rate)
    return 25.0


def duration_of(
    container: av.container.InputContainer, stream: av.VideoStream, fps: float
) -> float:
    """Seconds, from the cheapest source that knows. A container's length may be its sound's."""
    if not is_raw(container):
        if (length := stream.duration or 0) > 0:
            return length * tick_of(stream)
        if (seconds := _tagged(stream)) > 0:
            return seconds
        if (length := container.duration or 0) > 0 and len(container.streams) == 1:
            return length / av.time_base
        if stream.frames:
            return stream.frames / fps
    # Raw and live streams carry no length: go through the packets, which decodes nothing.
    rewind(container)
    count, stamps = 0, []
    with suppress(FFmpegError):  # what comes before the damage counts
        for packet in container.demux(stream):
            if packet.size:
                count += 1
                if packet.pts is not None:
                    stamps.append(packet.pts)
    if is_raw(container) or len(stamps) < count or count < 2:
        return max(count, 1) / fps
    return (max(stamps) - min(stamps)) * tick_of(stream) + 1 / fps


def _tagged(stream: av.VideoStream) -> float:
    """Seconds that a Matroska file says of this stream alone (DURATION: 00:01:02.5); else 0."""
    for name, text in stream.metadata.items():
        found = re.fullmatch(r"(\d+):(\d\d):(\d\d(?:\.\d*)?)", text)
        if found and name.upper().startswith("DURATION"):
            hours, minutes, seconds = found.groups()
            return int(hours) * 3600 + int(minutes) * 60 + float(seconds)
    return 0.0


def why(error: Exception) -> str:
    """An FFmpeg or system error in words a person can act on."""
    text = str(getattr(error, "strerror", None) or error)
    if "Invalid data found" in text or "moov atom not found" in text:
        return "is not a video that FFmpeg can read, or is damaged (invalid data)"
    return f"cannot be decoded ({text})"
