"""Can a browser play this file as it is?

as it is     H.264, VP8, VP9 or AV1 with 4:2:0 pixels in MP4, QuickTime or WebM
copied       H.264 of that kind in another container: its packets, put into MP4
transcoded   everything else
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from av.error import FFmpegError

from unscene.errors import VideoError
from unscene.video.packets import open_container
from unscene.video.probe import check_file, explain_error, find_video_stream

Way = Literal["as it is", "copied", "transcoded"]

_PIXELS = {
    "h264": {"yuv420p", "yuvj420p"},
    "vp8": {"yuv420p"},
    "vp9": {"yuv420p", "yuv420p10le"},
    "av1": {"yuv420p", "yuv420p10le"},
}
_MP4, _MATROSKA = "mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm"
_COPIED = {_MATROSKA, "flv", "mpegts"}  # containers that store times of display


@dataclass(frozen=True)
class Playing:
    """How a file gets to a browser.

    Attributes:
        way: see above.
        media_type: of what is sent.
        size: (H, W) that the container names; frames may be smaller.
    """

    way: Way
    media_type: str
    size: tuple[int, int]


def decide_playing(path: str) -> Playing:
    """Decide from the headers of a file how a browser can play it; no frame is decoded.

    Raises:
        VideoError: it cannot be opened, or has no video stream.
    """
    check_file(path)
    try:
        with open_container(path) as container:
            stream = find_video_stream(container, path)
            context = stream.codec_context
            codec, kind = context.codec.canonical_name, container.format.name
            plays = context.pix_fmt in _PIXELS.get(codec, ())
            size = context.height, context.width
            timed = stream.start_time is not None and bool(context.extradata)
    except (FFmpegError, OSError, ValueError) as error:
        raise VideoError(path, explain_error(error)) from error
    if plays and kind == _MP4 and codec != "vp8":
        return Playing("as it is", "video/mp4", size)
    if plays and kind == _MATROSKA and codec != "h264" and _is_webm(path):
        return Playing("as it is", "video/webm", size)
    if plays and codec == "h264" and kind in _COPIED and timed:
        return Playing("copied", "video/mp4", size)
    return Playing("transcoded", "video/mp4", size)


def _is_webm(path: str) -> bool:
    """Whether a Matroska file calls itself WebM, which is what browsers look at."""
    with Path(path).open("rb") as file:
        return b"webm" in file.read(64)
