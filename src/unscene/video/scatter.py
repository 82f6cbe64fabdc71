"""FFmpeg's records of motion vectors -> cells of a grid: one compiled loop over blocks.

NumPy needs a dozen passes over the records of 40 bytes and takes several times as long.
"""

from __future__ import annotations

import numpy as np
from numba import types

from unscene.compiled import compiled

WORDS = 20  # int16 numbers of one record
_SHIFT = 3  # a cell is 2 ** 3 = 8 pixels wide (`vectors.BLOCK`)

_SIGNATURE = types.int64(
    types.Array(types.int16, 1, "C", readonly=True),
    types.float64,
    types.float64,
    types.Array(types.float32, 4, "C"),
    types.Array(types.boolean, 3, "C"),
    types.int64,
    types.boolean,
)


@compiled(_SIGNATURE)
def scatter(
    records: np.ndarray,
    past: float,
    future: float,
    vectors: np.ndarray,
    valid: np.ndarray,
    frame: int,
    zero_is_known: bool,
) -> int:
    """Write each record's vector, as motion per frame, into the cells that its block covers.

    Args:
        records: int16 (20 * N,), the bytes of N AVMotionVector (libavutil/motion_vector.h).
        past, future: distance to the reference on either side, in frames; 0: unknown, and such
            records are skipped. Where a cell has both, the vector into the past wins.
        vectors: float32 (L, Hb, Wb, 2), written to: src - dst in luma pixels, divided by the
            distance, and negated where the reference is in the future.
        valid: bool (L, Hb, Wb), written to.
        frame: index into L.
        zero_is_known: False: records with a zero vector are skipped.

    Returns:
        The number of records that were predicted from the future.
    """
    _, rows, columns = valid.shape
    ahead = 0
    for side in (1, -1):
        distance = -future if side == 1 else past
        for first in range(0, len(records) - WORDS + 1, WORDS):
            record = records[first : first + WORDS]
            source = 1 if record[0] >= 0 else -1
            if source != side:
                continue
            ahead += source > 0
            if distance == 0:
                continue
            if not zero_is_known and not (record[12] | record[13] | record[14] | record[15]):
                continue
            w, h = record[2] & 0xFF, (record[2] >> 8) & 0xFF
            left, top = (record[5] - w // 2) >> _SHIFT, (record[6] - h // 2) >> _SHIFT
            scale = max(record[16] & 0xFFFF, 1) * distance
            x = ((record[13] << 16) | (record[12] & 0xFFFF)) / scale
            y = ((record[15] << 16) | (record[14] & 0xFFFF)) / scale
            across, down = -(-w >> _SHIFT), -(-h >> _SHIFT)
            for row in range(max(top, 0), min(top + down, rows)):
                for column in range(max(left, 0), min(left + across, columns)):
                    vectors[frame, row, column, 0] = x
                    vectors[frame, row, column, 1] = y
                    valid[frame, row, column] = True
    return ahead
