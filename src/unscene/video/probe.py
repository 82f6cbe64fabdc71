"""What kind of video a file is: opened, its first frame decoded, closed again."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import av
from av.error import FFmpegError
from av.stream import Disposition

from unscene.errors import VideoError
from unscene.video.packets import Packets, open_container, rewind, tick_of

# FFmpeg's names of the codecs (not of decoders, such as libdav1d) whose decoders export vectors.
VECTOR_CODECS = frozenset(
    {"flv1", "h261", "h263", "h264", "mpeg1video", "mpeg2video", "mpeg4", "msmpeg4v1", "msmpeg4v2"}
    | {"msmpeg4v3", "rv10", "rv20", "wmv1", "wmv2"}
)


@dataclass(frozen=True)
class VideoInfo:
    """Facts about one video.

    Attributes:
        width, height: of the upright picture, in luma pixels.
        fps: average frames a second (25 where the file does not say).
        duration: seconds, measured by reading all packets where the file does not say.
        frames: as the container claims, None where it does not say.
        vectors: True if FFmpeg exports motion vectors for this codec.
        b_frames: True if the stream announces reordered frames.
        rotation: counter-clockwise quarter turns that make the picture upright, 0..3.
    """

    codec: str
    pixel_format: str
    width: int
    height: int
    fps: float
    duration: float
    frames: int | None
    vectors: bool
    b_frames: bool
    rotation: int


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
            turns = quarter_turns(frame.rotation)
            upright = (frame.width, frame.height)[:: -1 if turns % 2 else 1]
            return VideoInfo(
                codec=context.codec.canonical_name,
                pixel_format=frame.format.name,
                width=upright[0],
                height=upright[1],
                fps=fps,
                duration=duration_of(container, stream, fps),
                frames=stream.frames or None,
                vectors=context.codec.canonical_name in VECTOR_CODECS,
                b_frames=bool(context.has_b_frames),
                rotation=turns,
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
    """The first stream that is moving pictures (cover art is not)."""
    moving = [
        stream
        for stream in container.streams.video
        if not stream.disposition & Disposition.attached_pic
    ]
    for stream in moving:
        if stream.codec_context is not None:
            return stream
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
    """Seconds, from the cheapest source that knows."""
    if (length := stream.duration or 0) > 0:
        return length * tick_of(stream)
    if (length := container.duration or 0) > 0:
        return length / av.time_base
    if stream.frames:
        return stream.frames / fps
    # Raw and live streams carry no length: go through the packets, which decodes nothing.
    rewind(container)
    count, stamps = 0, []
    for packet in container.demux(stream):
        if packet.size:
            count += 1
            if packet.pts is not None:
                stamps.append(packet.pts)
    if len(stamps) < count or count < 2:
        return max(count, 1) / fps
    return (max(stamps) - min(stamps)) * tick_of(stream) + 1 / fps


def quarter_turns(rotation: float) -> int:
    """FFmpeg's display rotation (degrees counter-clockwise) as quarter turns 0..3."""
    return round(rotation / 90) % 4


def why(error: Exception) -> str:
    """An FFmpeg or system error in words a person can act on."""
    text = str(getattr(error, "strerror", None) or error)
    if "Invalid data found" in text or "moov atom not found" in text:
        return "is not a video that FFmpeg can read, or is damaged (invalid data)"
    return f"cannot be decoded ({text})"
