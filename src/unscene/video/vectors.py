"""The codec's motion vectors: records of one frame -> vectors on a grid of 8x8 blocks.

Convention
----------
FFmpeg gives every block the centre of the block in this frame (dst) and the point in the reference
frame it was predicted from (src = dst + motion / scale). For a block predicted from the past,
src - dst is therefore the backward flow of equation 2, in luma pixels: I(dst, t+1) = I(src, t).
`source` is -1 for the past and +1 for the future, never the distance to the reference.
"""

from __future__ import annotations

from collections.abc import Sequence

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
_WORD = np.int64
_MOTION = 3  # which word of a record holds (motion_x, motion_y)
_EMPTY = np.uint64(2**64 - 1)


def block_field(
    records: Sequence[np.ndarray | None], height: int, width: int
) -> tuple[np.ndarray, np.ndarray]:
    """Vectors of L frames on the block grid, all frames at once.

    Args:
        records: for each frame a structured array of dtype RECORD, or None (no vectors).
        height, width: coded size of the frame in luma pixels.

    Returns:
        vectors float32 (L, Hb, Wb, 2) and valid bool (L, Hb, Wb), Hb = ceil(height / 8). Blocks
        without a vector from the past are 0 and not valid. Where several blocks share a cell (4x4
        and 8x4 partitions), the last one stands for all.
    """
    rows, columns = -(-height // BLOCK), -(-width // BLOCK)
    # A vector travels as one number of two floats; cells that get none keep a number no vector has.
    cells = np.full(len(records) * rows * columns, _EMPTY)
    lengths = [0 if record is None else len(record) for record in records]
    if any(lengths):
        # As words: joining records field by field would take longer than all the rest.
        words = np.concatenate([r.view(_WORD) for r in records if r is not None and len(r)])
        first = np.repeat(np.arange(len(records)) * (rows * columns), lengths)
        _scatter(words.view(RECORD), first, cells.reshape(-1, rows, columns))
    valid = cells != _EMPTY
    cells[~valid] = 0
    vectors = cells.view(np.float32).reshape(len(records), rows, columns, 2)
    return vectors, valid.reshape(len(records), rows, columns)


def _scatter(record: np.ndarray, first: np.ndarray, cells: np.ndarray) -> None:
    """Write each record's vector into the cells it covers.

    Args:
        record: dtype RECORD (N,), of all frames.
        first: (N,), where the frame of each record begins among the cells.
        cells: uint64 (L, Hb, Wb), contiguous.
    """
    _, rows, columns = cells.shape
    flat = cells.reshape(-1)
    words = record.view(_WORD).reshape(len(record), -1)
    value = words[:, _MOTION].copy().view(np.int32).astype(np.float32)
    scale = record["motion_scale"]
    least = scale.min()
    if least == scale.max():  # as in every stream seen so far
        value *= np.float32(1 / max(least, 1))
    else:
        value /= np.repeat(np.maximum(scale, 1), 2)
    vector = value.view(np.uint64)
    past = record["source"] < 0
    kind = record["w"] * np.uint16(256) + record["h"]
    for size in np.flatnonzero(np.bincount(kind)):  # three or four sizes of block at most
        w, h = divmod(int(size), 256)
        found = np.flatnonzero((kind == size) & past)
        if not len(found):
            continue
        chosen = found if len(found) < len(record) else slice(None)  # a slice copies nothing
        column = (record["dst_x"][chosen].astype(np.int64) - w // 2) // BLOCK
        row = (record["dst_y"][chosen].astype(np.int64) - h // 2) // BLOCK
        down, across = -(-h // BLOCK), -(-w // BLOCK)
        whole = row.min() >= 0 and column.min() >= 0
        whole &= row.max() + down <= rows and column.max() + across <= columns
        corner, moved = first[chosen] + row * columns + column, vector[chosen]
        for dy in range(down):
            for dx in range(across):
                where = corner + (dy * columns + dx)
                if whole:
                    flat[where] = moved
                else:
                    inside = (row + dy >= 0) & (row + dy < rows)
                    inside &= (column + dx >= 0) & (column + dx < columns)
                    flat[where[inside]] = moved[inside]


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
