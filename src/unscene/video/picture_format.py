"""A decoded frame -> what its pixels mean: range, YUV matrix, orientation.

Reading, transcoding and inspecting files all decide it here.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import atan2, degrees
from typing import Literal

import numpy as np
from av.sidedata.sidedata import SideDataContainer, Type
from av.video.frame import VideoFrame

Matrix = Literal["bt601", "bt709"]

# FFmpeg's numbers (libavutil/pixfmt.h) for AVColorRange and AVColorSpace.
LIMITED, FULL = 1, 2
_BT709, _SMPTE240M, _BT2020_NCL, _BT2020_CL = 1, 7, 9, 10
_UNSPECIFIED = 2


@dataclass(frozen=True)
class PictureFormat:
    """Range, matrix and orientation of a frame, and of those that follow it in the stream.

    Attributes:
        full_range: luma is 0..255, not 16..235; False for RGB, which is converted to limited YUV.
        matrix: from YUV to RGB.
        gray: the picture has luma only.
        turns: counterclockwise quarter turns that make the picture upright, 0..3.
        mirrored: left and right are swapped before the picture is turned.
    """

    full_range: bool = False
    matrix: Matrix = "bt601"
    gray: bool = False
    turns: int = 0
    mirrored: bool = False

    @classmethod
    def of(cls, frame: VideoFrame) -> PictureFormat:
        """Read the format of a decoded frame."""
        kind, tag = frame.format, frame.color_range
        gray = kind.name.startswith(("gray", "ya"))
        # A gray pixel format without a tag means 0..255: codecs whose monochrome is limited say
        # so. FFmpeg's scaler converts RGB to limited BT.601.
        full = tag == FULL or kind.name.startswith("yuvj") or (gray and tag != LIMITED)
        plain = kind.is_rgb or gray
        matrix = "bt601" if plain else choose_matrix(frame.colorspace, frame.height)
        return cls(full and not kind.is_rgb, matrix, gray, *_orientation(frame))

    def upright(self, planes: np.ndarray) -> np.ndarray:
        """Turn (..., H, W) upright, as players show it; returns a view."""
        planes = planes[..., ::-1] if self.mirrored else planes
        return np.rot90(planes, self.turns, (-2, -1))

    def upright_size(self, size: tuple[int, int]) -> tuple[int, int]:
        """Size of the upright picture: (H, W) for (H, W), (W, H) for (W, H)."""
        return (size[1], size[0]) if self.turns % 2 else size


def choose_matrix(colorspace: int, height: int) -> Matrix:
    """Choose the matrix that a stream names or, if it names none, the one players assume.

    Players go by the height. BT.2020 and SMPTE 240M are read as BT.709, their nearest neighbor
    here. YCgCo, which only screen recordings use, is not supported: its luma is nearly that of
    BT.601, its colors are wrong.

    >>> choose_matrix(2, height=240), choose_matrix(2, height=1080)  # 2: unspecified
    ('bt601', 'bt709')
    """
    if colorspace in (_BT709, _SMPTE240M, _BT2020_NCL, _BT2020_CL):
        return "bt709"
    if colorspace == _UNSPECIFIED and height >= 720:
        return "bt709"
    return "bt601"


def _orientation(frame: VideoFrame) -> tuple[int, bool]:
    """(turns, mirrored) of the display matrix, whose row 0 is the image of x and row 1 of y."""
    a, b, c, d = _display_matrix(frame)
    mirrored = a * d - b * c < 0
    if mirrored:
        a, b = -a, -b
    return round(-degrees(atan2(b, a)) / 90) % 4, mirrored


def _display_matrix(frame: VideoFrame) -> tuple[int, int, int, int]:
    try:
        found = SideDataContainer(frame)  # type: ignore[call-arg]  # see packets.vectors_of
    except ValueError:  # PyAV fails on unknown kinds of side data
        turns = round(frame.rotation / 90) % 4
        return ((1, 0, 0, 1), (0, -1, 1, 0), (-1, 0, 0, -1), (0, 1, -1, 0))[turns]
    for data in found:
        if data.type is Type.DISPLAYMATRIX:
            a, b, _, c, d, *_ = np.frombuffer(bytes(data), np.int32).tolist()
            return a, b, c, d
    return 1, 0, 0, 1
