"""Decoded frames -> three uint8 planes (YUV 4:2:0).

8-bit 4:2:0 video, which is nearly all video, is copied as it is. Other formats (10-bit, 4:4:4, RGB)
are converted by FFmpeg's scaler on one thread; its context is built once per request and reused.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from av.video.frame import VideoFrame
from av.video.plane import VideoPlane
from av.video.reformatter import VideoReformatter

from unscene.video.picture_format import FULL, LIMITED, PictureFormat

Planes = tuple[np.ndarray, np.ndarray, np.ndarray]

_GRAY = {"gray", "gray8", "y8"}


class PictureGrew(Exception):  # noqa: N818
    """A frame of `size` (H, W) is larger than those before it, which have to be read again."""

    def __init__(self, frame: VideoFrame) -> None:
        super().__init__()
        self.size = frame.height, frame.width


def shrink(size: tuple[int, int], short_side: int | None) -> tuple[int, int]:
    """The size in which frames are read.

    Args:
        size: (H, W) of the frames.
        short_side: of larger frames after shrinking, in pixels; None: nothing is shrunk.

    >>> shrink((2160, 3840), 480), shrink((240, 320), 480)
    ((480, 853), (240, 320))
    """
    height, width = size
    short = min(size)
    if short_side is None or short <= short_side:
        return size
    return round(height * short_side / short), round(width * short_side / short)


@dataclass(eq=False)
class PlaneReader:
    """Converts the frames of one request into planes of one size, that of the largest frame.

    Attributes:
        short_side: shrink frames whose short side is larger, in pixels; None keeps the coded size.
        size: (H, W) of all planes, that of the largest frame so far.
        picture_format: of all planes, set by the first frame.
    """

    short_side: int | None = None
    size: tuple[int, int] | None = field(default=None, init=False)
    picture_format: PictureFormat = field(default=PictureFormat(), init=False)
    _scaler: VideoReformatter = field(default_factory=VideoReformatter, init=False)

    def __call__(self, frame: VideoFrame) -> Planes:
        """Convert a frame to uint8 planes (H, W) and, twice, (ceil(H/2), ceil(W/2)).

        They may be views, to be copied before the frame is released.

        Raises:
            PictureGrew: the frame is larger than `size`, which is now that of this frame.
        """
        if self.size is None:
            self.settle(frame)
        assert self.size is not None
        name = frame.format.name
        same_size = (frame.height, frame.width) == self.size
        if not same_size:
            self._grow(frame)
        height, width = self.size
        if same_size and name in ("yuv420p", "yuvj420p"):
            return _planes(frame)
        how = None if same_size else "AREA"
        if self.picture_format.gray:  # yuv420p would do, but FFmpeg takes all gray for full range
            if not (same_size and name in _GRAY):
                frame = self._scaler.reformat(
                    frame, width, height, "gray", interpolation=how, threads=1
                )
            chroma = np.full(((height + 1) // 2, (width + 1) // 2), 128, np.uint8)
            return as_array(frame.planes[0]), chroma, chroma
        wanted = FULL if self.picture_format.full_range else LIMITED
        frame = self._scaler.reformat(
            frame,
            width,
            height,
            "yuv420p",
            interpolation=how,
            src_color_range=frame.color_range or wanted,
            dst_color_range=wanted,
            threads=1,
        )
        return _planes(frame)

    def settle(self, frame: VideoFrame) -> None:
        """Take size and format from the first frame."""
        if self.size is None:
            self.size = shrink((frame.height, frame.width), self.short_side)
            self.picture_format = PictureFormat.of(frame)

    def _grow(self, frame: VideoFrame) -> None:
        assert self.size is not None
        size = shrink((frame.height, frame.width), self.short_side)
        if size[0] * size[1] > self.size[0] * self.size[1]:
            self.size = size
            raise PictureGrew(frame)


@dataclass(eq=False)
class FrameStack:
    """Frames of one pass in one array; each frame is copied once.

    Attributes:
        reader: converts the frames.
        capacity: maximum number of frames.
        times: presentation time of each frame in seconds.
    """

    reader: PlaneReader
    capacity: int
    times: list[float] = field(default_factory=list, init=False)
    _planes: Planes | None = field(default=None, init=False)

    def add(self, frame: VideoFrame, time: float) -> None:
        """Append a frame; if the stack is full, the frame replaces the last one."""
        new = self.reader(frame)
        if self._planes is None:
            y, u, v = (np.empty((self.capacity, *plane.shape), np.uint8) for plane in new)
            self._planes = y, u, v
        if len(self.times) == self.capacity:
            self.times.pop()
        for planes, plane in zip(self._planes, new, strict=True):
            planes[len(self.times)] = plane
        self.times.append(time)

    def planes(self, first: int, count: int) -> Planes:
        """Views of `count` frames from `first` on, (count, H, W) each."""
        assert self._planes is not None
        y, u, v = (plane[first : first + count] for plane in self._planes)
        return y, u, v


def _planes(frame: VideoFrame) -> Planes:
    y, u, v = frame.planes  # each access builds all of them
    return as_array(y), as_array(u), as_array(v)


def as_array(plane: VideoPlane) -> np.ndarray:
    """View an 8-bit plane as writable uint8 (H, W), without the padding of its rows."""
    shape, strides = (plane.height, plane.width), (plane.line_size, 1)
    return np.ndarray(shape, np.uint8, plane, 0, strides)  # type: ignore[arg-type]
