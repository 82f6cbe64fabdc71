"""The codec's motion vectors: records of one frame -> vectors on a grid of 8x8 blocks.

Convention
----------
FFmpeg gives every block the centre of the block in this frame (dst) and the point in the reference
frame it was predicted from (src = dst + motion / scale). For a block predicted from the past,
src - dst is therefore the backward flow of equation 2, in luma pixels: I(dst, t+1) = I(src, t).
`source` is -1 for the past and +1 for the future, never the distance to the reference.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

BLOCK = 8

# AVMotionVector, libavutil/motion_vector.h. Naming it once spares building it for every frame.
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
_WORDS = RECORD.itemsize // 8
_CHUNK = 3000  # records handled at a time: what is made on the way stays in the cache
_HEAD = np.int64(0x0000FFFFFFFFFFFF)  # of a record's first word: source, w and h


class Records:
    """The records of the frames of one pass, one after the other, as FFmpeg hands them out."""

    def __init__(self) -> None:
        self._words = np.empty((1024, _WORDS), np.int64)
        self._ends = [0]
        self._frames: dict[int, int] = {}

    def add(self, index: int, data: Any) -> None:
        """Copy the records of frame `index`; None: it has no vectors, as a key frame has none."""
        if data is None:
            return
        new = np.frombuffer(data, np.int64).reshape(-1, _WORDS)
        begin, end = self._ends[-1], self._ends[-1] + len(new)
        if end > len(self._words):
            larger = np.empty((2 * end, _WORDS), np.int64)
            larger[:begin] = self._words[:begin]
            self._words = larger
        self._words[begin:end] = new
        self._frames[index] = len(self._ends) - 1
        self._ends.append(end)

    def get(self, index: int) -> np.ndarray | None:
        """Records of frame `index`, dtype RECORD (N,), a view; None if it has none."""
        place = self._frames.get(index)
        if place is None:
            return None
        return self._words[self._ends[place] : self._ends[place + 1]].view(RECORD)[:, 0]


def block_field(
    records: Sequence[np.ndarray | None], height: int, width: int
) -> tuple[np.ndarray, np.ndarray]:
    """Vectors of L frames on the block grid.

    Args:
        records: for each frame a structured array of dtype RECORD, or None (no vectors).
        height, width: coded size of the frame in luma pixels.

    Returns:
        vectors float32 (L, Hb, Wb, 2) and valid bool (L, Hb, Wb), Hb = ceil(height / 8). Blocks
        without a vector from the past are 0 and not valid. Where several blocks share a cell (4x4
        and 8x4 partitions), the last one stands for all.
    """
    rows, columns = -(-height // BLOCK), -(-width // BLOCK)
    # A vector travels as one number of two floats, negated: no motion is then -0.0, whose bits
    # tell it from a cell that has no vector.
    cells = np.zeros((len(records), rows, columns), np.uint64)
    for group, first in _chunks(records, rows * columns):
        _scatter(group, first, cells)
    vectors = np.subtract(np.float32(0), cells.view(np.float32))
    return vectors.reshape(*cells.shape, 2), cells != 0


def _chunks(
    records: Sequence[np.ndarray | None], cells: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Words (N, 5) of some frames at a time and (N,), where the frame of each record begins."""
    group: list[np.ndarray] = []
    first: list[int] = []
    count = 0
    for t, record in enumerate(records):
        if record is None or not len(record):
            continue
        if group and count + len(record) > _CHUNK:
            yield _joined(group), np.repeat(first, [len(words) for words in group])
            group, first, count = [], [], 0
        # As words: joining records field by field would take longer than all the rest.
        group.append(record.view(np.int64).reshape(-1, _WORDS))
        count += len(record)
        first.append(t * cells)
    if group:
        yield _joined(group), np.repeat(first, [len(words) for words in group])


def _joined(group: list[np.ndarray]) -> np.ndarray:
    return group[0] if len(group) == 1 else np.concatenate(group)


def _scatter(words: np.ndarray, first: np.ndarray, cells: np.ndarray) -> None:
    """Write each record's vector into the cells it covers.

    Args:
        words: int64 (N, 5), records.
        first: int64 (N,), where the frame of each record begins among the cells.
        cells: uint64 (L, Hb, Wb), contiguous.
    """
    record = words.view(RECORD)[:, 0]
    vector = _vectors(words, record["motion_scale"])
    place = record["dst_x"].astype(np.int64), record["dst_y"].astype(np.int64)
    source, head = record["source"], words[:, 0] & _HEAD
    if (head == head[0]).all():
        if source[0] < 0:
            _fill(_size(head[0]), place, vector, first, cells)
        return
    past = source < 0
    for kind in np.unique(head[past]):  # three or four sizes of block at most
        # Column by column: picking whole records would take longer than all the rest.
        chosen = np.flatnonzero(head == kind)
        centre = place[0][chosen], place[1][chosen]
        _fill(_size(kind), centre, vector[chosen], first[chosen], cells)


def _size(head: np.int64) -> tuple[int, int]:
    """(w, h) of a block."""
    return int(head) >> 32 & 0xFF, int(head) >> 40 & 0xFF


def _vectors(words: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Negated vectors in pixels, two floats as one number: uint64 (N,)."""
    value = np.empty((len(words), 2), np.float32)
    numbers = words.view(np.int32)
    value[:, 0], value[:, 1] = numbers[:, 6], numbers[:, 7]  # motion_x, motion_y
    least = scale.min()
    if least == scale.max():  # as in every stream seen so far
        value *= np.float32(-1 / max(least, 1))
    else:
        value /= -np.maximum(scale, 1).astype(np.float32)[:, None]
    packed: np.ndarray = value.view(np.uint64)[:, 0]
    return packed


def _fill(
    size: tuple[int, int],
    centre: tuple[np.ndarray, np.ndarray],
    vector: np.ndarray,
    first: np.ndarray,
    cells: np.ndarray,
) -> None:
    """The same for blocks of one size (w, h) around their centres (x, y)."""
    _, rows, columns = cells.shape
    flat = cells.reshape(-1)
    w, h = size
    column = (centre[0] - w // 2) >> 3  # // BLOCK
    row = (centre[1] - h // 2) >> 3
    down, across = -(-h // BLOCK), -(-w // BLOCK)
    whole = row.min() >= 0 and column.min() >= 0
    whole &= row.max() + down <= rows and column.max() + across <= columns
    corner = first + row * columns + column
    for dy in range(down):
        for dx in range(across):
            where = corner + (dy * columns + dx)
            if whole:
                flat[where] = vector
            else:
                inside = (row + dy >= 0) & (row + dy < rows)
                inside &= (column + dx >= 0) & (column + dx < columns)
                flat[where[inside]] = vector[inside]


def only_past(records: Sequence[np.ndarray | None]) -> bool:
    """True if no block was predicted from the future."""
    return not any((r["source"] > 0).any() for r in records if r is not None)


def rotate_field(
    vectors: np.ndarray, valid: np.ndarray, quarter_turns: int
) -> tuple[np.ndarray, np.ndarray]:
    """Turn a block field counter-clockwise with its frame, the vectors turning along."""
    for _ in range(quarter_turns % 4):
        vectors = np.rot90(vectors, axes=(1, 2))
        vectors = np.stack([vectors[..., 1], -vectors[..., 0]], axis=-1)
        valid = np.rot90(valid, axes=(1, 2))
    return np.ascontiguousarray(vectors), np.ascontiguousarray(valid)
