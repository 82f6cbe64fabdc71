"""A moment of a file -> a small H.264 clip, a poster, a filmstrip.

Clips play in browsers: H.264 in MP4, no sound, upright, of one size. They are written by
`prepare.transcode` and pictures are read by `video.decode`, so files that are odd (variable clocks,
a picture that grows, no index, damage) are cut as they are indexed.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from os import PathLike, fspath
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from unscene.errors import UnsceneError, check_at_least
from unscene.prepare.settings import TranscodeSettings
from unscene.prepare.transcode import Stopped, Transcoded, transcode
from unscene.video.clip import Clip
from unscene.video.decode import read_clips
from unscene.video.probe import probe
from unscene.video.sampling import Request
from unscene.views.color import yuv_to_rgb

__all__ = ["Stopped", "cut_moment", "encode_jpeg", "make_filmstrip", "read_pictures", "read_poster"]

Picture = NDArray[np.uint8]  # RGB (H, W, 3)
_KEYS = 60  # frames from one key frame to the next: most clips have one
_GAP = 2  # px between the pictures of a filmstrip


def cut_moment(
    path: str | PathLike[str],
    start: float,
    end: float,
    out: str | Path,
    *,
    short_side: int = 240,
    quality: float = 27,
    stop: Callable[[], bool] = lambda: False,
) -> Transcoded:
    """Cut a moment out of a file as a small mp4, completely or not at all; `out` is replaced.

    Args:
        path: a video file; it is only read.
        start, end: of the moment in seconds; past the end of the file, the clip ends with it.
        out: an .mp4.
        short_side: of the picture in pixels, even and at least 16; smaller videos keep their size,
            and so does every video at 0.
        quality: crf of H.264, lower is better.
        stop: called before every frame; if it returns True, the work ends with `Stopped`.

    Returns:
        Frames and bytes that were written.

    Raises:
        VideoError: the file cannot be used, or has no frame in the moment.
        UnsceneError: the moment ends before it starts, or `out` cannot be written.
        Stopped: `stop` returned True.

    >>> import tempfile
    >>> from unscene.synthetic.generate import encode_video
    >>> folder = Path(tempfile.mkdtemp())
    >>> encode_video(folder / "a.mp4", np.zeros((50, 64, 96, 3), np.uint8), fps=25)
    >>> cut_moment(folder / "a.mp4", 0.4, 1.2, folder / "b.mp4", short_side=32).frames
    20
    """
    start = _check_moment(path, start, end)
    settings = TranscodeSettings(short_side, _KEYS, quality=quality)
    at_once = {"movflags": "+faststart"}  # players need not look for the index at the end
    return transcode(path, Path(out), settings, start=start, end=end, stop=stop, muxer=at_once)


def read_poster(path: str | PathLike[str], at: float, *, short_side: int = 240) -> Picture:
    """Read one picture, RGB (H, W, 3): the frame at `at` seconds, or the last one of the file.

    Args:
        path: a video file.
        at: seconds.
        short_side: shrink larger frames to this short side, in pixels.

    Raises:
        VideoError: the file cannot be used.
    """
    poster: Picture = read_pictures(path, at, math.inf, 1, short_side=short_side)[0]
    return poster


def read_pictures(
    path: str | PathLike[str], start: float, end: float, count: int, *, short_side: int = 240
) -> Picture:
    """Read evenly spaced pictures of a moment in one pass, the first frame included.

    Args:
        path: a video file.
        start, end: of the moment in seconds.
        count: of pictures.
        short_side: shrink larger frames to this short side, in pixels.

    Returns:
        RGB (count, H, W, 3), upright. Where the moment has fewer frames, some are repeated.

    Raises:
        VideoError: the file cannot be used, or has no frame in the moment.
        UnsceneError: the moment ends before it starts.
    """
    check_at_least(1, count=count)
    start = _check_moment(path, start, end)
    info = probe(path)
    # Who asks for a moment past the end gets the last frame.
    start = min(start, max(info.duration - 1 / info.fps, 0.0))
    end = min(max(end, start + 1 / info.fps), info.duration)
    last = max(round((end - start) * info.fps) - 1, 0) if count > 1 else 0
    offsets = np.linspace(0, last, count).round().astype(int)
    wanted = np.unique(offsets)
    request = Request(start, {"clip": tuple(wanted.tolist())})
    clip = read_clips(path, request, fps=info.fps, short_side=short_side)["clip"]
    # A clip that runs past the end goes on at the start of the video: those frames are left out.
    steps = np.append(np.diff(clip.times.numpy()), -1.0)
    kept = int(np.argmax(steps <= 0)) + 1
    pictures = _convert(clip, kept)
    return pictures[np.minimum(np.searchsorted(wanted, offsets), kept - 1)]


def make_filmstrip(
    path: str | PathLike[str], start: float, end: float, *, count: int = 6, height: int = 96
) -> Picture:
    """Show a moment as one picture: `count` of its frames side by side, RGB (height, W, 3).

    Between the frames are gaps of two white pixels.

    Args:
        path, start, end, count: as for `read_pictures`.
        height: of the filmstrip in pixels; smaller videos are enlarged to it.

    Raises:
        VideoError, UnsceneError: as `read_pictures`.
    """
    check_at_least(1, height=height)
    pictures = read_pictures(path, start, end, count, short_side=2 * height)
    width = max(1, round(pictures.shape[2] * height / pictures.shape[1]))
    how = cv2.INTER_AREA if pictures.shape[1] > height else cv2.INTER_CUBIC
    strip: Picture = np.full((height, count * (width + _GAP) - _GAP, 3), 255, np.uint8)
    for number, picture in enumerate(pictures):
        left = number * (width + _GAP)
        strip[:, left : left + width] = cv2.resize(picture, (width, height), interpolation=how)
    return strip


def encode_jpeg(picture: Picture, quality: int = 82) -> bytes:
    """Encode a picture, RGB (H, W, 3), as JPEG.

    >>> encode_jpeg(np.zeros((8, 8, 3), np.uint8))[:2]
    b'\xff\xd8'
    """
    flags = [cv2.IMWRITE_JPEG_QUALITY, quality]
    written, data = cv2.imencode(".jpg", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), flags)
    assert written
    return data.tobytes()


def _check_moment(path: str | PathLike[str], start: float, end: float) -> float:
    """The start, not before that of the file; raise UnsceneError if there is nothing to cut."""
    if math.isnan(start) or not end > max(start, 0.0):
        raise UnsceneError(
            f"{fspath(path)}: a moment from {start} to {end} s has no length: give a start of 0 or "
            "more, and a later end"
        )
    return max(start, 0.0)


def _convert(clip: Clip, count: int) -> Picture:
    """The first frames of a clip as RGB (count, H, W, 3)."""
    full, wide = torch.tensor([clip.full_range]), torch.tensor([clip.matrix == "bt709"])
    matrix = yuv_to_rgb(full, wide)[0, :3].numpy() * 255
    height, width = clip.size
    pictures = np.empty((count, height, width, 3), np.uint8)
    for number in range(count):
        chroma = (cv2.resize(p[number].numpy(), (width, height)) for p in (clip.u, clip.v))
        planes = np.stack([clip.y[number].numpy(), *chroma], axis=-1).astype(np.float32)
        colors = cv2.transform(planes, matrix)
        pictures[number] = np.clip(colors.round(), 0, 255)
    return pictures
