"""A file -> facts about its video (codec, size, frame rate, length), from its first frame."""

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
    read_tick,
    rewind,
)
from unscene.video.picture_format import PictureFormat
from unscene.video.vectors import has_exact_vectors

# FFmpeg's names of the codecs (not of decoders, such as libdav1d) whose decoders export vectors.
VECTOR_CODECS = H263_FAMILY | {"h264", "mpeg1video", "mpeg2video"}
SAMPLE = 60  # frames that are looked at, where the first one is not enough


@dataclass(frozen=True)
class VideoInfo:
    """Facts about one video.

    Attributes:
        width, height: of the upright picture, in luma pixels.
        fps: average frames a second (25 where the file does not say).
        duration: seconds, measured by reading all packets where the file does not say.
        frames: number of frames that the container claims, None where it does not say.
        vectors: True if FFmpeg exports motion vectors for this codec, and not all of the stream's
            first 60 frames are key frames, which have none.
        exact: True if the stream has one reference frame, no B-frames and is not interlaced, as far
            as its header and first frame say. Every vector is then the motion since the previous
            frame.
        rotation: counterclockwise quarter turns that make the picture upright, 0..3; a file that
            asks for mirroring is mirrored first.
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
        """The reason why there are no motion vectors to read; None if there are some."""
        if self.codec not in VECTOR_CODECS:
            return f"{self.codec} carries no motion vectors"
        return None if self.vectors else "its frames are key frames, without motion vectors"


def probe(path: str | os.PathLike[str]) -> VideoInfo:
    """Open a file, decode its first frame and return facts about the video.

    Raises:
        VideoError: the file is missing, not readable, empty or damaged, or has no video stream.
    """
    path = os.fspath(path)
    check_file(path)
    try:
        with open_container(path) as container:
            stream = find_video_stream(container, path)
            packets = Packets(container, stream)
            frame = next((frame for _, frames in packets for frame in frames), None)
            if frame is None:
                raise VideoError(path, "no frame can be decoded; the file is cut short or damaged")
            fps = find_frame_rate(stream)
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
                duration=measure_duration(container, stream, fps),
                frames=stream.frames or None,
                vectors=vectors,
                exact=vectors
                and has_exact_vectors(context, codec, interlaced=frame.interlaced_frame),
                rotation=picture_format.turns,
            )
    except (FFmpegError, OSError, ValueError) as error:
        raise VideoError(path, explain_error(error)) from error


def check_file(path: str) -> None:
    """Raise VideoError for a path that cannot be a video, before FFmpeg opens it."""
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


def find_video_stream(container: av.container.InputContainer, path: str) -> av.VideoStream:
    """Find the video stream that FFmpeg's players would show, or else the first; never cover art.

    Raises:
        VideoError: there is none, or FFmpeg has no decoder for it.
    """
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


def find_frame_rate(stream: av.VideoStream) -> float:
    """Find the average number of frames per second; 25 where the file does not say a usable one."""
    for rate in (stream.average_rate, stream.guessed_rate):
        if rate and 0.1 <= float(rate) <= 1000:
            return float(rate)
    return 25.0


def measure_duration(
    container: av.container.InputContainer, stream: av.VideoStream, fps: float
) -> float:
    """Measure the length in seconds, from the cheapest source that knows it.

    A container's own length may be that of its sound.
    """
    if not is_raw(container):
        if (length := stream.duration or 0) > 0:
            return length * read_tick(stream)
        if (seconds := _tagged(stream)) > 0:
            return seconds
        if (length := container.duration or 0) > 0 and len(container.streams) == 1:
            return length / av.time_base
        if stream.frames:
            return stream.frames / fps
    # Raw and live streams carry no length: count the packets, which decodes nothing.
    rewind(container)
    count, stamps = 0, []
    with suppress(FFmpegError):  # count what comes before the damage
        for packet in container.demux(stream):
            if packet.size:
                count += 1
                if packet.pts is not None:
                    stamps.append(packet.pts)
    if is_raw(container) or len(stamps) < count or count < 2:
        return max(count, 1) / fps
    return (max(stamps) - min(stamps)) * read_tick(stream) + 1 / fps


def _tagged(stream: av.VideoStream) -> float:
    """Length in seconds that a Matroska file gives for this stream (DURATION: 00:01:02.5), or 0."""
    for name, text in stream.metadata.items():
        found = re.fullmatch(r"(\d+):(\d\d):(\d\d(?:\.\d*)?)", text)
        if found and name.upper().startswith("DURATION"):
            hours, minutes, seconds = found.groups()
            return int(hours) * 3600 + int(minutes) * 60 + float(seconds)
    return 0.0


def explain_error(error: Exception) -> str:
    """Put an FFmpeg or system error into words that a user can act on."""
    text = str(getattr(error, "strerror", None) or error)
    if "Invalid data found" in text or "moov atom not found" in text:
        return "is not a video that FFmpeg can read, or is damaged (invalid data)"
    return f"cannot be decoded ({text})"
