"""The codec's records of motion vectors -> one vector per frame for each block of 8x8 pixels.

Convention
----------
FFmpeg gives, for every block, its center in this frame (dst) and the point in the reference frame
that it was predicted from (src = dst + motion / scale). For a block predicted from the past,
src - dst is therefore the backward flow of equation 2, in luma pixels: I(dst, t+1) = I(src, t).
`source` is -1 for the past and +1 for the future, never the distance to the reference.

In a stream with B-frames the reference can be several frames away, or in the future. The frame
types in display order tell how far, as long as each frame refers to the nearest I- or P-frame on
that side:

    displayed         I  B  B  P  B  B  P
    to the past       .  1  2  3  1  2  3
    to the future     .  2  1  .  2  1  .

This holds for MPEG-1, -2 and -4. H.264 may choose among several reference frames and let B-frames
refer to B-frames; there it is the most likely distance. Vectors are divided by the distance, and
those into the future are negated, which gives motion per frame, averaged over the distance. FFmpeg
reports the direct blocks of MPEG-4's B-frames as zero vectors, so zero vectors in those frames
count as unknown.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
from av.video.codeccontext import VideoCodecContext

from unscene.video.h264_header import read_reference_count
from unscene.video.picture_format import PictureFormat

BLOCK = 8  # pixels; `scatter` has it as a shift by 3
_cached_reference_count = lru_cache(maxsize=64)(read_reference_count)

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
    """Block fields of some frames of one pass over a file.

    Blocks without a vector are 0 and not valid. Where several blocks share a cell (4x4 and 8x4
    partitions), the last one wins; where a block has a vector into the past and one into the
    future, the one into the past wins.

    Args:
        capacity: number of frames that will be added.
        codec: FFmpeg's name of the codec.

    Attributes:
        slots: position of each added frame in `vectors` and `valid`, by its index.
        past_only: no frame so far is a B-frame or was predicted from the future.
        waiting: B-frames wait for the next I- or P-frame, which their vectors into the future
            refer to.
    """

    def __init__(self, capacity: int, codec: str = "h264") -> None:
        self._capacity, self._zero_is_known = capacity, codec != "mpeg4"
        self.slots: dict[int, int] = {}
        self.past_only = True
        self.vectors = np.zeros((0, 0, 0, 2), np.float32)
        self.valid = np.zeros((0, 0, 0), bool)
        self._frame = 0  # number of the current frame
        self._past = 0  # its distance to the I- or P-frame before; 0: there was none
        self._bidirectional = False
        self._anchor: int | None = None  # number of the last I- or P-frame
        self._pending: list[tuple[np.ndarray, int, int, int]] = []  # records of B-frames

    @property
    def waiting(self) -> bool:
        return bool(self._pending)

    def advance(self, *, bidirectional: bool) -> None:
        """Go on to the next frame of the pass, whether its vectors are wanted or not."""
        self._frame += 1
        self._past = 0 if self._anchor is None else self._frame - self._anchor
        self._bidirectional = bidirectional
        if bidirectional:
            self.past_only = False
            return
        self._anchor = self._frame
        if self._pending:
            self.finish(self._frame)

    def add(self, index: int, data: Any, size: tuple[int, int]) -> None:
        """Store the vectors of the current frame.

        Args:
            index: the key under which `join_fields` finds the frame.
            data: a buffer of records; None for a frame without vectors, such as a key frame.
            size: coded (H, W) in luma pixels; the first frame sets the grid for all.
        """
        if not self.slots:
            rows, columns = -(-size[0] // BLOCK), -(-size[1] // BLOCK)
            self.vectors = np.zeros((self._capacity, rows, columns, 2), np.float32)
            self.valid = np.zeros((self._capacity, rows, columns), bool)
        slot = self.slots[index] = len(self.slots)
        if data is None:
            return
        records, past = np.frombuffer(data, np.int16), max(self._past, 1)
        if self._bidirectional:
            self._pending.append((records, past, self._frame, slot))
        elif self._scatter(records, past, 0, self.vectors, self.valid, slot, True):
            self.past_only = False

    def finish(self, anchor: int | None = None) -> None:
        """Store the vectors of waiting B-frames; `anchor` is the I- or P-frame that follows."""
        for records, past, number, slot in self._pending:
            future = 0 if anchor is None else anchor - number
            cells = self.vectors, self.valid, slot
            self._scatter(records, past, future, *cells, self._zero_is_known)
        self._pending.clear()

    @cached_property
    def _scatter(self) -> Callable[..., int]:
        """Imported when the first record is read, because compiling takes a second."""
        from unscene.video.scatter import scatter

        return scatter


def join_fields(
    frames: Sequence[tuple[BlockFields, int] | None],
) -> tuple[np.ndarray, np.ndarray]:
    """Join the block fields of the frames of one clip, which may come from several passes.

    Args:
        frames: for each frame its pass and its index there; None for a frame without vectors.

    Returns:
        vectors float32 (L, Hb, Wb, 2) and valid bool (L, Hb, Wb). They are views, nothing is
        copied, unless the clip wraps around the end of the video.

    Raises:
        LookupError: no frame of the clip was read.
    """
    read = [
        (k, frame[0], frame[0].slots[frame[1]])
        for k, frame in enumerate(frames)
        if frame is not None and frame[1] in frame[0].slots
    ]
    if not read:
        raise LookupError("no frame of this clip was read")
    _, fields, start = read[0]
    if read == [(k, fields, start + k) for k in range(len(frames))]:
        chosen = slice(start, start + len(frames))
        return fields.vectors[chosen], fields.valid[chosen]
    vectors = np.zeros((len(frames), *fields.vectors.shape[1:]), np.float32)
    valid = np.zeros(vectors.shape[:-1], bool)
    for k, fields, slot in read:
        vectors[k], valid[k] = fields.vectors[slot], fields.valid[slot]
    return vectors, valid


def orient_field(
    vectors: np.ndarray, valid: np.ndarray, size: tuple[int, int], picture: PictureFormat
) -> tuple[np.ndarray, np.ndarray]:
    """Mirror and rotate a block field together with its picture.

    Where the coded size is not a multiple of the block size, the grid of the upright picture is
    shifted against the coded grid. Each block then takes the vector of the coded block that shows
    its center, which is at most half a block off.

    Args:
        vectors, valid: (L, Hb, Wb, 2) and (L, Hb, Wb) of the coded picture.
        size: (H, W) of the coded picture in luma pixels.
        picture: format of its frames.
    """
    if not (picture.turns or picture.mirrored):
        return vectors, valid
    # A rotation is at most two flips, and swapping x and y.
    flips = picture.turns in (2, 3), picture.mirrored != (picture.turns in (1, 2))
    rows, columns = (_blocks_along(*axis) for axis in zip(size, flips, strict=True))
    chosen = np.ix_(np.arange(len(valid)), rows, columns)
    vectors = vectors[chosen] * np.where(flips[::-1], np.float32(-1), np.float32(1))
    valid = valid[chosen]
    if picture.turns % 2:
        vectors, valid = vectors.swapaxes(1, 2)[..., ::-1], valid.swapaxes(1, 2)
    return np.ascontiguousarray(vectors), np.ascontiguousarray(valid)


def _blocks_along(length: int, flipped: bool) -> np.ndarray:
    """For each block along an axis of `length` pixels, its number before the flip."""
    first = np.arange(0, length, BLOCK)
    if not flipped:
        return first // BLOCK
    center = (first + np.minimum(first + BLOCK, length)) / 2  # of its part inside the picture
    return ((length - center) // BLOCK).astype(int)


def explain_inexact(*, b_frames: bool, references: int | None, interlaced: bool) -> Iterator[str]:
    """Give the reasons why a vector may not be the motion since the previous frame, if any.

    Args:
        b_frames: the stream has B-frames, or its decoder delays frames because it may have some.
        references: number of frames that P-frames may refer to; None: the stream does not say.
        interlaced: a vector may point from one field to the other, half a frame away.

    >>> list(explain_inexact(b_frames=True, references=3, interlaced=False))
    ['B-frames', 'more than one reference']
    """
    if b_frames:
        yield "B-frames"
    if references is None:
        yield "references unknown"
    elif references > 1:
        yield "more than one reference"
    if interlaced:
        yield "interlaced"


def has_exact_vectors(context: VideoCodecContext, codec: str, *, interlaced: bool) -> bool:
    """Whether every vector is the motion since the previous frame, as far as the header says.

    Args:
        codec: FFmpeg's name of the codec.
        interlaced: one of the frames decoded so far is.
    """
    references = _cached_reference_count(context.extradata or b"") if codec == "h264" else 1
    b_frames = bool(context.has_b_frames)
    return not any(explain_inexact(b_frames=b_frames, references=references, interlaced=interlaced))
