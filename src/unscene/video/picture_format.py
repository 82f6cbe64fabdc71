"""What a decoded picture means: which light its numbers stand for, and which way it is up.

The one place that decides it, for what reads, transcodes or inspects.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import atan2, degrees

import numpy as np
from av.sidedata.sidedata import SideDataContainer, Type
from av.video.frame import VideoFrame

from unscene.video.clip import Matrix

# FFmpeg's numbers (libavutil/pixfmt.h) for AVColorRange and AVColorSpace.
LIMITED, FULL = 1, 2
_BT709, _SMPTE240M, _BT2020_NCL, _BT2020_CL = 1, 7, 9, 10
_UNSPECIFIED = 2


@dataclass(frozen=True)
class PictureFormat:
    """Of one frame, which the frames behind it share.

    Attributes:
        full_range: luma runs 0..255, not 16..235; False for RGB, which becomes limited YUV.
        matrix: from YUV to RGB.
        grey: there is luma only.
        turns: counter-clockwise quarter turns that make the picture upright, 0..3.
        mirrored: left and right change places before it is turned.
    """

    full_range: bool = False
    matrix: Matrix = "bt601"
    grey: bool = False
    turns: int = 0
    mirrored: bool = False

    @classmethod
    def of(cls, frame: VideoFrame) -> PictureFormat:
        kind, tag = frame.format, frame.color_range
        grey = kind.name.startswith(("gray", "ya"))
        # A grey picture format without a tag means 0..255: codecs whose monochrome is limited say
        # so. FFmpeg's scaler makes limited BT.601 of RGB.
        full = tag == FULL or kind.name.startswith("yuvj") or (grey and tag != LIMITED)
        plain = kind.is_rgb or grey
        matrix = "bt601" if plain else yuv_matrix(frame.colorspace, frame.height)
        return cls(full and not kind.is_rgb, matrix, grey, *_orientation(frame))

    def upright(self, planes: np.ndarray) -> np.ndarray:
        """(..., H, W) as players show it: a view."""
        planes = planes[..., ::-1] if self.mirrored else planes
        return np.rot90(planes, self.turns, (-2, -1))

    def upright_size(self, size: tuple[int, int]) -> tuple[int, int]:
        """The two sides of the upright picture, in the order in which they are given."""
        return (size[1], size[0]) if self.turns % 2 else size


def yuv_matrix(colorspace: int, height: int) -> Matrix:
    """The matrix a stream names or, where it names none, the one players assume for its height.

    BT.2020 and SMPTE 240M are read as BT.709, their nearest neighbour here. YCgCo, which only
    recordings of screens use, has none: its luma is nearly that of BT.601, its colours are wrong.
    """
    if colorspace in (_BT709, _SMPTE240M, _BT2020_NCL, _BT2020_CL):
        return "bt709"
    if colorspace == _UNSPECIFIED and height >= 720:
        return "bt709"
    return "bt601"


def _orientation(frame: VideoFrame) -> tuple[int, bool]:
    """(turns, mirrored) of the display matrix, in which row 0 says where x goes, row 1 where y."""
    a, b, c, d = _display_matrix(frame)
    mirrored = a * d - b * c < 0
    if mirrored:
        a, b = -a, -b
    return round(-degrees(atan2(b, a)) / 90) % 4, mirrored


def _display_matrix(frame: VideoFrame) -> tuple[int, int, int, int]:
    try:
        found = SideDataContainer(frame)  # type: ignore[call-arg]  # see packets.vectors_of
    except ValueError:  # PyAV does not know all kinds of side data, and then shows none
        turns = round(frame.rotation / 90) % 4
        return ((1, 0, 0, 1), (0, -1, 1, 0), (-1, 0, 0, -1), (0, 1, -1, 0))[turns]
    for data in found:
        if data.type is Type.DISPLAYMATRIX:
            a, b, _, c, d, *_ = np.frombuffer(bytes(data), np.int32).tolist()
            return a, b, c, d
    return 1, 0, 0, 1
