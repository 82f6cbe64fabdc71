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
    vectors = np.zeros((len(records), rows, columns, 2), np.float32)
    valid = np.zeros((len(records), rows, columns), bool)
    present = [(i, r) for i, r in enumerate(records) if r is not None and len(r)]
    if not present:
        return vectors, valid
    frame = np.repeat([i for i, _ in present], [len(r) for _, r in present])
    record = np.concatenate([r for _, r in present])
    past = record["source"] < 0
    frame, record = frame[past], record[past]
    scale = np.maximum(record["motion_scale"], 1).astype(np.float32)
    value = np.stack([record["motion_x"] / scale, record["motion_y"] / scale], axis=-1)
    half_w, half_h = record["w"] // 2, record["h"] // 2
    left = (record["dst_x"] - half_w).astype(np.int64) // BLOCK
    top = (record["dst_y"] - half_h).astype(np.int64) // BLOCK
    for dy in range(int(record["h"].max(initial=0) + BLOCK - 1) // BLOCK):
        for dx in range(int(record["w"].max(initial=0) + BLOCK - 1) // BLOCK):
            covers = (record["w"] > dx * BLOCK) & (record["h"] > dy * BLOCK)
            row, column = top + dy, left + dx
            covers &= (row >= 0) & (row < rows) & (column >= 0) & (column < columns)
            where = frame[covers], row[covers], column[covers]
            vectors[where] = value[covers]
            valid[where] = True
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
