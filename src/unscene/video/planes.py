"""Decoded frames -> three uint8 planes (YUV 4:2:0).

8-bit 4:2:0 video, which is nearly all video, is copied as it is. Anything else (10-bit, 4:4:4, RGB)
is brought to that form by FFmpeg's scaler, whose context is built once a window and reused; on one
thread, as the decoder (`decode`).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from av.video.frame import VideoFrame
from av.video.plane import VideoPlane
from av.video.reformatter import VideoReformatter

from unscene.video.picture_format import FULL, LIMITED, PictureFormat

Planes = tuple[np.ndarray, np.ndarray, np.ndarray]

_GREY = {"gray", "gray8", "y8"}


@dataclass(eq=False)
class PlaneReader:
    """Turns the frames of one window into planes of one size.

    Attributes:
        short_side: shrink frames whose short side is larger; None keeps the coded size.
        picture_format: of the planes; the first frame decides for all.
    """

    short_side: int | None = None
    size: tuple[int, int] | None = field(default=None, init=False)
    picture_format: PictureFormat = field(default=PictureFormat(), init=False)
    _scaler: VideoReformatter = field(default_factory=VideoReformatter, init=False)

    def __call__(self, frame: VideoFrame) -> Planes:
        """uint8 (H, W), (ceil(H/2), ceil(W/2)) twice: views, to be copied while the frame lives."""
        if self.size is None:
            self.settle(frame)
        assert self.size is not None
        height, width = self.size
        name = frame.format.name
        same_size = (frame.height, frame.width) == self.size
        if same_size and name in ("yuv420p", "yuvj420p"):
            return _planes(frame)
        how = None if same_size else "AREA"
        if (
            self.picture_format.grey
        ):  # not to yuv420p: FFmpeg's scaler takes all grey for full range
            if not (same_size and name in _GREY):
                frame = self._scaler.reformat(
                    frame, width, height, "gray", interpolation=how, threads=1
                )
            chroma = np.full(((height + 1) // 2, (width + 1) // 2), 128, np.uint8)
            return array_of(frame.planes[0]), chroma, chroma
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
        """The first frame decides for all: a stream that changes size midway is scaled to it."""
        if self.size is not None:
            return
        height, width = frame.height, frame.width
        short = min(height, width)
        if self.short_side is not None and short > self.short_side:
            scale = self.short_side / short
            height, width = round(height * scale), round(width * scale)
        self.size, self.picture_format = (height, width), PictureFormat.of(frame)


@dataclass(eq=False)
class FrameStack:
    """Frames of one pass, each copied once, to where it stays.

    Attributes:
        reader: of the pass.
        room: how many frames there may be.
        times: of each frame, in seconds.
    """

    reader: PlaneReader
    room: int
    times: list[float] = field(default_factory=list, init=False)
    _planes: Planes | None = field(default=None, init=False)

    def add(self, frame: VideoFrame, time: float) -> None:
        """Copy a frame behind the others, or over the last one where there is no more room."""
        new = self.reader(frame)
        if self._planes is None:
            y, u, v = (np.empty((self.room, *plane.shape), np.uint8) for plane in new)
            self._planes = y, u, v
        if len(self.times) == self.room:
            self.times.pop()
        for planes, plane in zip(self._planes, new, strict=True):
            planes[len(self.times)] = plane
        self.times.append(time)

    def planes(self, first: int, count: int) -> Planes:
        """`count` frames from `first` on, (count, H, W) each: views."""
        assert self._planes is not None
        y, u, v = (plane[first : first + count] for plane in self._planes)
        return y, u, v


def _planes(frame: VideoFrame) -> Planes:
    y, u, v = frame.planes  # every look at them builds them anew
    return array_of(y), array_of(u), array_of(v)


def array_of(plane: VideoPlane) -> np.ndarray:
    """uint8 (H, W) of an 8-bit plane, without the padding of its rows; it can be written to."""
    shape, strides = (plane.height, plane.width), (plane.line_size, 1)
    return np.ndarray(shape, np.uint8, plane, 0, strides)  # type: ignore[arg-type]
