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
future turned round, which makes them motion per frame, averaged over the distance. (FFmpeg hands
out the direct blocks of MPEG-4's B-frames as if they stood still.)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

BLOCK = 8
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

    Attributes:
        places: of each frame among the fields, by its index.
        plain: no frame so far is a B-frame or was predicted from the future.
        waiting: there are B-frames behind the last I- or P-frame, whose vectors into the future
            need the next one.
    """

    def __init__(self, room: int) -> None:
        self._room = room
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
        if not self.places:
            from unscene.video.scatter import scatter

            self._scatter = scatter
            rows, columns = -(-size[0] // BLOCK), -(-size[1] // BLOCK)
            self.vectors = np.zeros((self._room, rows, columns, 2), np.float32)
            self.valid = np.zeros((self._room, rows, columns), bool)
        place = self.places[index] = len(self.places)
        if data is None:
            return
        records, past = np.frombuffer(data, np.int16), max(self._past, 1)
        if self._bidirectional:
            self._later.append((records, past, self._frame, place))
        elif self._scatter(records, past, 0, self.vectors, self.valid, place, _SHIFT):
            self.plain = False

    def finish(self, anchor: int | None = None) -> None:
        """Fill in the B-frames that wait for an I- or P-frame; None: none follows."""
        for records, past, number, place in self._later:
            future = 0 if anchor is None else anchor - number
            self._scatter(records, past, future, self.vectors, self.valid, place, _SHIFT)
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


def rotate_field(
    vectors: np.ndarray, valid: np.ndarray, quarter_turns: int
) -> tuple[np.ndarray, np.ndarray]:
    """Turn a block field counter-clockwise with its frame, the vectors turning along."""
    for _ in range(quarter_turns % 4):
        vectors = np.rot90(vectors, axes=(1, 2))
        vectors = np.stack([vectors[..., 1], -vectors[..., 0]], axis=-1)
        valid = np.rot90(valid, axes=(1, 2))
    return np.ascontiguousarray(vectors), np.ascontiguousarray(valid)
