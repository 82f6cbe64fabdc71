"""Decoded frames -> three uint8 planes (YUV 4:2:0) and what their numbers mean.

8-bit 4:2:0 video, which is nearly all video, is copied as it is. Anything else (10-bit, 4:4:4, RGB)
is brought to that form by FFmpeg's scaler, whose context is built once a pass and reused.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from av.video.frame import VideoFrame
from av.video.plane import VideoPlane
from av.video.reformatter import VideoReformatter

from unscene.video.clip import Matrix

Planes = tuple[np.ndarray, np.ndarray, np.ndarray]

# FFmpeg's numbers (libavutil/pixfmt.h) for AVColorRange and AVColorSpace.
_LIMITED, _FULL = 1, 2
_BT709, _BT2020_NCL, _BT2020_CL = 1, 9, 10
_UNSPECIFIED = 2
_GREY = {"gray", "gray8", "y8"}
_CODED_AS_YUV = {"h264", "hevc", "av1", "vp9", "mpeg4", "mpeg2video"}


@dataclass(eq=False)
class PlaneReader:
    """Turns the frames of one pass into planes of one size.

    Attributes:
        codec: FFmpeg's name of the codec.
        short_side: shrink frames whose short side is larger; None keeps the coded size.
    """

    codec: str
    short_side: int | None = None
    size: tuple[int, int] | None = field(default=None, init=False)
    full_range: bool = field(default=False, init=False)
    matrix: Matrix = field(default="bt601", init=False)
    _scaler: VideoReformatter = field(default_factory=VideoReformatter, init=False)

    def __call__(self, frame: VideoFrame) -> Planes:
        """uint8 (H, W), (ceil(H/2), ceil(W/2)) twice: views, to be copied while the frame lives."""
        if self.size is None:
            self._settle(frame)
        assert self.size is not None
        height, width = self.size
        name = frame.format.name
        same_size = (frame.height, frame.width) == self.size
        if same_size and name in ("yuv420p", "yuvj420p"):
            return _planes(frame)
        if name.startswith("gray"):
            if not (same_size and name in _GREY):
                frame = self._scaler.reformat(frame, width, height, "gray")
            chroma = np.full(((height + 1) // 2, (width + 1) // 2), 128, np.uint8)
            return array_of(frame.planes[0]), chroma, chroma
        wanted = _FULL if self.full_range else _LIMITED
        frame = self._scaler.reformat(
            frame,
            width,
            height,
            "yuv420p",
            interpolation="AREA" if not same_size else None,
            src_color_range=frame.color_range or wanted,
            dst_color_range=wanted,
        )
        return _planes(frame)

    def _settle(self, frame: VideoFrame) -> None:
        """The first frame decides for all: a stream that changes size midway is scaled to it."""
        height, width = frame.height, frame.width
        short = min(height, width)
        if self.short_side is not None and short > self.short_side:
            scale = self.short_side / short
            height, width = round(height * scale), round(width * scale)
        self.size = height, width
        name = frame.format.name
        if name.startswith("gray") and frame.color_range not in (_LIMITED, _FULL):
            # A grey picture format means 0..255; a video codec's monochrome means 16..235.
            self.full_range = self.codec not in _CODED_AS_YUV
        else:
            self.full_range = frame.color_range == _FULL or name.startswith("yuvj")
        if frame.format.is_rgb:
            self.full_range, self.matrix = False, "bt601"  # what the scaler makes of RGB
        else:
            self.matrix = yuv_matrix(frame.colorspace, frame.height)


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


def yuv_matrix(colorspace: int, height: int) -> Matrix:
    """The matrix a stream names or, where it names none, the one players assume for its height.

    BT.2020 is read as BT.709, its nearest neighbour here.
    """
    if colorspace in (_BT709, _BT2020_NCL, _BT2020_CL):
        return "bt709"
    if colorspace == _UNSPECIFIED and height >= 720:
        return "bt709"
    return "bt601"


def _planes(frame: VideoFrame) -> Planes:
    y, u, v = frame.planes  # every look at them builds them anew
    return array_of(y), array_of(u), array_of(v)


def array_of(plane: VideoPlane) -> np.ndarray:
    """uint8 (H, W) of an 8-bit plane, without the padding of its rows; it can be written to."""
    shape, strides = (plane.height, plane.width), (plane.line_size, 1)
    return np.ndarray(shape, np.uint8, plane, 0, strides)  # type: ignore[arg-type]
