"""A file -> facts about its video (codec, size, frame rate, length), from its first frame."""

from __future__ import annotations

import os
from dataclasses import dataclass
from math import prod
from pathlib import Path

import av
from av.error import FFmpegError
from av.stream import Disposition
from av.video.frame import VideoFrame

from unscene.errors import VideoError
from unscene.video.length import measure_length
from unscene.video.packets import H263_FAMILY, Packets, is_raw, open_container, read_tick
from unscene.video.picture_format import PictureFormat
from unscene.video.vectors import has_exact_vectors

# FFmpeg's names of the codecs (not of decoders, such as libdav1d) whose decoders export vectors.
VECTOR_CODECS = H263_FAMILY | {"h264", "mpeg1video", "mpeg2video"}
_LATE = 0.5  # seconds
SAMPLE = 60  # frames that are looked at, where the first one is not enough


@dataclass(frozen=True)
class VideoInfo:
    """Facts about one video.

    Attributes:
        width, height: of the upright picture, in luma pixels; where the container names a larger
            picture than the first frame, as in a call that starts small, of that one.
        fps: average frames a second, measured where the file says a false number or none.
        duration: seconds that can be read.
        frames: number of frames that the container claims, None where it does not say.
        vectors: True if FFmpeg exports motion vectors for this codec, and not all of the stream's
            first 60 frames are key frames, which have none.
        exact: True if the stream has one reference frame, no B-frames and is not interlaced, as far
            as its header and first frame say. Every vector is then the motion since the previous
            frame.
        rotation: counterclockwise quarter turns that make the picture upright, 0..3; a file that
            asks for mirroring is mirrored first.
        start: seconds before the first frame that can be decoded; 0 but for a recording that lacks
            the key frame at its beginning.
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
    start: float = 0.0

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
            context = stream.codec_context
            named = context.height, context.width  # decoding overwrites it
            packets = Packets(container, stream)
            frame = next((frame for _, frames in packets for frame in frames), None)
            if frame is None:
                raise VideoError(path, "no frame can be decoded; the file is cut short or damaged")
            codec = context.codec.canonical_name
            vectors = codec in VECTOR_CODECS and not packets.only_keys(SAMPLE)
            picture_format = PictureFormat.of(frame)
            height, width = picture_format.upright_size(
                max(named, (frame.height, frame.width), key=prod)
            )
            length = measure_length(path, container, stream)
            return VideoInfo(
                codec=codec,
                pixel_format=frame.format.name,
                width=width,
                height=height,
                fps=length.fps,
                duration=length.duration,
                frames=stream.frames or None,
                vectors=vectors,
                exact=vectors
                and has_exact_vectors(context, codec, interlaced=frame.interlaced_frame),
                rotation=picture_format.turns,
                start=find_start(container, stream, frame),
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


def find_start(
    container: av.container.InputContainer, stream: av.VideoStream, first: VideoFrame
) -> float:
    """Find the time of the first frame that can be decoded, in seconds; 0 if it is less than 0.5.

    AVI and raw streams store no times, and their first frame is at 0.
    """
    if first.pts is None or container.format.name == "avi" or is_raw(container):
        return 0.0
    late = (first.pts - (stream.start_time or 0)) * read_tick(stream)
    return late if late > _LATE else 0.0


def explain_error(error: Exception) -> str:
    """Put an FFmpeg or system error into words that a user can act on."""
    text = str(getattr(error, "strerror", None) or error)
    if "Invalid data found" in text or "moov atom not found" in text:
        return "is not a video that FFmpeg can read, or is damaged (invalid data)"
    return f"cannot be decoded ({text})"
