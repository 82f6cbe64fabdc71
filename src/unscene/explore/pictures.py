"""A moment of a file -> a still picture, as quickly as can be.

`search.cut` reads exact pictures, with torch, which takes seconds to be imported. Here the first
screen of the page waits.
"""

from __future__ import annotations

import numpy as np
from av.error import FFmpegError
from av.video.frame import VideoFrame

from unscene.errors import VideoError
from unscene.video.picture_format import PictureFormat
from unscene.video.probe import check_file, explain_error
from unscene.video.timestamps import TimedFrames

HEIGHT = 180  # of pictures, in pixels at most
_JPEG = 80
_BUDGET = 60e6  # pixels that are decoded for one picture
_601, _709 = 5, 1  # FFmpeg's numbers of matrices for its scaler (SWS_CS_*)


def make_picture(path: str, at: float, fps: float) -> bytes:
    """Read the frame at a time as a small JPEG.

    Where the key frame before it is too far away to be quick, a frame between the two is taken.

    Args:
        path: of the file.
        at: in seconds.
        fps: of the file, as it was measured.

    Raises:
        VideoError: the file cannot be used.
    """
    import cv2

    check_file(path)
    try:
        with TimedFrames(path, {"skip_loop_filter": "all"}, fps) as timed:
            frame = _find_frame(timed, at)
            if frame is None:
                raise VideoError(path, "no frame can be decoded; the file is cut short or damaged")
            aspect = float(timed.stream.sample_aspect_ratio or 1)
            picture = _shrink(frame, aspect)
    except (FFmpegError, ValueError) as error:
        raise VideoError(path, explain_error(error)) from error
    written, data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, _JPEG])
    assert written
    return data.tobytes()


def _find_frame(timed: TimedFrames, at: float) -> VideoFrame | None:
    half, left, found = 0.5 / timed.fps, _BUDGET, None
    for frame, time in timed.iterate_around(at - half):
        found = frame
        left -= frame.width * frame.height
        if time >= at - half or left < 0:
            break
    return found


def _shrink(frame: VideoFrame, aspect: float) -> np.ndarray:
    """An upright picture, uint8 BGR (H, W, 3), with square pixels."""
    looks = PictureFormat.of(frame)
    shown = max(1, round(frame.width * aspect))
    tall = looks.upright_size((frame.height, shown))[0]
    scale = min(1.0, HEIGHT / tall)
    size = max(1, round(shown * scale)), max(1, round(frame.height * scale))
    small = frame.reformat(
        *size,
        "bgr24",
        src_colorspace=_709 if looks.matrix == "bt709" else _601,
        interpolation="AREA",
    )
    return np.ascontiguousarray(
        looks.upright(small.to_ndarray().transpose(2, 0, 1)).transpose(1, 2, 0)
    )
