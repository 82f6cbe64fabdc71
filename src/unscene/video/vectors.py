"""The codec's motion vectors: records of the frames of a pass -> vectors on a grid of 8x8 blocks.

Convention
----------
FFmpeg gives every block the centre of the block in this frame (dst) and the point in the reference
frame it was predicted from (src = dst + motion / scale). For a block predicted from the past,
src - dst is therefore the backward flow of equation 2, in luma pixels: I(dst, t+1) = I(src, t).
`source` is -1 for the past and +1 for the future, never the distance to the reference.

Where there are B-frames, references are further away than one frame, or lie in the future. The
types of the frames in the order in which they are shown tell how far, as long as each refers to the
nearest I- or P-frame on that side:

    shown             I  B  B  P  B  B  P
    to the past       .  1  2  3  1  2  3
    to the future     .  2  1  .  2  1  .

MPEG-1, -2 and -4 have it so; H.264 may choose among several frames and let B-frames refer to
B-frames, so that there it is the likeliest distance. Vectors are divided by it, and those into the
future turned round, which makes them motion per frame, averaged over the distance. FFmpeg hands out
the direct blocks of MPEG-4's B-frames as if they stood still: what stands still there is unknown.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
from av.video.codeccontext import VideoCodecContext

from unscene.video.h264_header import references_of
from unscene.video.picture_format import PictureFormat

BLOCK = 8
_references = lru_cache(maxsize=64)(references_of)
_SHIFT = 3

# AVMotionVector, libavutil/motion_vector.h.
RECORD = np.dtype(
    [
        ("source", "i4"),
        ("w", "u1"),
        ("h", "u1"),
        ("src_x", "i2"),
        ("src_y", "i2"),
        ("dst_x", "i2"),
        ("dst_y", "i2"),
        ("flags", "u8"),
        ("motion_x", "i4"),
        ("motion_y", "i4"),
        ("motion_scale", "u2"),
    ],
    align=True,
)


class BlockFields:
    """Block fields of some frames of one pass; every record goes straight to its cells.

    Blocks without a vector are 0 and not valid. Where several blocks share a cell (4x4 and 8x4
    partitions), the last one stands for all; where a block has a vector into the past and one into
    the future, the former.

    Args:
        room: how many frames there will be.
        codec: FFmpeg's name of it.

    Attributes:
        places: of each frame among the fields, by its index.
        plain: no frame so far is a B-frame or was predicted from the future.
        waiting: there are B-frames behind the last I- or P-frame, whose vectors into the future
            need the next one.
    """

    def __init__(self, room: int, codec: str = "h264") -> None:
        self._room, self._stills = room, codec != "mpeg4"
        self.places: dict[int, int] = {}
        self.plain = True
        self.vectors = np.zeros((0, 0, 0, 2), np.float32)
        self.valid = np.zeros((0, 0, 0), bool)
        self._frame = 0  # number of the frame that was shown last
        self._past = 0  # how far it is from the I- or P-frame before; 0: there was none
        self._bidirectional = False
        self._since: int | None = None  # the last I- or P-frame's number
        self._later: list[tuple[np.ndarray, int, int, int]] = []

    @property
    def waiting(self) -> bool:
        return bool(self._later)

    def show(self, *, bidirectional: bool) -> None:
        """The next frame of the pass, whether its vectors are wanted or not."""
        self._frame += 1
        self._past = 0 if self._since is None else self._frame - self._since
        self._bidirectional = bidirectional
        if bidirectional:
            self.plain = False
            return
        self._since = self._frame
        if self._later:
            self.finish(self._frame)

    def add(self, index: int, data: Any, size: tuple[int, int]) -> None:
        """Take in the vectors of the frame that was shown last.

        Args:
            index: by which it will be asked for.
            data: a buffer of records, or None: it has no vectors, as a key frame has none.
            size: coded (H, W) in luma pixels; that of the first frame decides for all.
        """
        place = self._place(index, size)
        if data is None:
            return
        records, past = np.frombuffer(data, np.int16), max(self._past, 1)
        if self._bidirectional:
            self._later.append((records, past, self._frame, place))
        elif self._scatter(records, past, 0, self.vectors, self.valid, place, _SHIFT, True):
            self.plain = False

    @cached_property
    def _scatter(self) -> Callable[..., int]:
        """Imported where records are read: compiling takes a second."""
        from unscene.video.scatter import scatter

        return scatter

    def _place(self, index: int, size: tuple[int, int]) -> int:
        if not self.places:
            rows, columns = -(-size[0] // BLOCK), -(-size[1] // BLOCK)
            self.vectors = np.zeros((self._room, rows, columns, 2), np.float32)
            self.valid = np.zeros((self._room, rows, columns), bool)
        place = self.places[index] = len(self.places)
        return place

    def finish(self, anchor: int | None = None) -> None:
        """Fill in the B-frames that wait for an I- or P-frame; None: none follows."""
        for records, past, number, place in self._later:
            future = 0 if anchor is None else anchor - number
            cells = self.vectors, self.valid, place, _SHIFT
            self._scatter(records, past, future, *cells, self._stills)
        self._later.clear()


def joined(frames: Sequence[tuple[BlockFields, int] | None]) -> tuple[np.ndarray, np.ndarray]:
    """The fields of a window.

    Args:
        frames: for each frame of which pass it is and its index there; None: it has no vectors.

    Returns:
        vectors float32 (L, Hb, Wb, 2) and valid bool (L, Hb, Wb): views where the frames lie
        together, as they do unless the window loops.

    Raises:
        LookupError: no frame of the window was read.
    """
    read = [
        (k, frame[0], frame[0].places[frame[1]])
        for k, frame in enumerate(frames)
        if frame is not None and frame[1] in frame[0].places
    ]
    if not read:
        raise LookupError("no frame of this window was read")
    _, fields, start = read[0]
    if read == [(k, fields, start + k) for k in range(len(frames))]:
        chosen = slice(start, start + len(frames))
        return fields.vectors[chosen], fields.valid[chosen]
    vectors = np.zeros((len(frames), *fields.vectors.shape[1:]), np.float32)
    valid = np.zeros(vectors.shape[:-1], bool)
    for k, fields, place in read:
        vectors[k], valid[k] = fields.vectors[place], fields.valid[place]
    return vectors, valid


def upright_field(
    vectors: np.ndarray, valid: np.ndarray, size: tuple[int, int], picture_format: PictureFormat
) -> tuple[np.ndarray, np.ndarray]:
    """Mirror and turn a block field with its picture, the vectors turning along.

    Where the coded size is no multiple of a block's, the blocks of the upright picture lie
    elsewhere: each has the vector of the coded block that shows its middle, half a block off at
    most.

    Args:
        vectors, valid: (L, Hb, Wb, 2) and (L, Hb, Wb) of the coded picture.
        size: its (H, W) in luma pixels.
        picture_format: of its frames.
    """
    if not (picture_format.turns or picture_format.mirrored):
        return vectors, valid
    # A turn is at most two flips, and x and y changing places.
    flips = (
        picture_format.turns in (2, 3),
        picture_format.mirrored != (picture_format.turns in (1, 2)),
    )
    rows, columns = (_blocks_along(*axis) for axis in zip(size, flips, strict=True))
    chosen = np.ix_(np.arange(len(valid)), rows, columns)
    vectors = vectors[chosen] * np.where(flips[::-1], np.float32(-1), np.float32(1))
    valid = valid[chosen]
    if picture_format.turns % 2:
        vectors, valid = vectors.swapaxes(1, 2)[..., ::-1], valid.swapaxes(1, 2)
    return np.ascontiguousarray(vectors), np.ascontiguousarray(valid)


def _blocks_along(length: int, flipped: bool) -> np.ndarray:
    """Of each block along an axis of `length` pixels which block it was before the flip."""
    first = np.arange(0, length, BLOCK)
    if not flipped:
        return first // BLOCK
    middle = (first + np.minimum(first + BLOCK, length)) / 2  # of what the picture shows of it
    return ((length - middle) // BLOCK).astype(int)


def inexact(*, b_frames: bool, references: int | None, interlaced: bool) -> Iterator[str]:
    """Why a stream's vectors are not the motion from the frame before; nothing: they are.

    Args:
        b_frames: there are some, or the decoder keeps frames back for them.
        references: frames that P-frames may refer to; None: the stream does not say.
        interlaced: a vector may lead from one field to the other, half a frame away.
    """
    if b_frames:
        yield "B-frames"
    if references is None:
        yield "references unknown"
    elif references > 1:
        yield "more than one reference"
    if interlaced:
        yield "interlaced"


def exact_so_far(context: VideoCodecContext, codec: str, *, interlaced: bool) -> bool:
    """Whether a stream's vectors are the motion from the frame before, as far as its header says.

    Args:
        codec: FFmpeg's name of the codec.
        interlaced: of the frames decoded so far, any is.
    """
    references = _references(context.extradata or b"") if codec == "h264" else 1
    b_frames = bool(context.has_b_frames)
    return not any(inexact(b_frames=b_frames, references=references, interlaced=interlaced))
