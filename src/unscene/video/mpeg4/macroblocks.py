"""The one loop over a picture's macroblocks, compiled: bits -> motion vectors on a grid of cells.

ISO/IEC 14496-2, 6.2.5 to 6.2.8 for the order of the bits, 7.6.5 for the prediction of vectors.
"""

from __future__ import annotations

import numpy as np
from numba import types

from unscene.compiled import compiled
from unscene.video.mpeg4 import codes

PADDING = 16  # zero bytes put behind the data, since no code begins with as many zero bits
# Of `state`: what the layer says, then what the picture says, then the last number read.
TIME_BITS, SCALE, RESYNC, THRESHOLD, QUANTISER, RANGE_BITS, FOUND = range(7)
_BYTES = types.Array(types.uint8, 1, "C", readonly=True)
_TABLES = types.Array(types.uint16, 2, "C", readonly=True)
_INTS = types.Array(types.int64, 1, "C")
_INT = types.int64
_GRID = types.Array(_INT, 3, "C")


@compiled(_INT(_INTS, _INT, _INT))
def _bits(words: np.ndarray, place: int, count: int) -> int:
    """The `count` bits from bit `place` on, at most 32; words: eight bytes from each fourth on."""
    return (words[place >> 5] >> (64 - (place & 31) - count)) & ((1 << count) - 1)


@compiled(_INT(_INTS, _INT, _TABLES, _INT))
def _skip_coefficients(words: np.ndarray, place: int, tables: np.ndarray, intra: int) -> int:
    """Where the block that begins at `place` ends; -1: it does not."""
    while True:
        word = _bits(words, place, 32)
        code = tables[codes.INTER_RUN + intra, word >> (32 - codes.RUN_BITS)]
        if code == 0:
            return -1
        place += code & 15
        if code >> 4 == codes.ESCAPED:
            if (word >> 23) & 3 == 3:  # last, run, marker, level, marker as they are
                if not (word >> 15) & (word >> 2) & 1:
                    return -1
                place += 30
                if (word >> 22) & 1:
                    return place
                continue
            # Another code, whose level or run is larger than its own.
            place += 8 + ((word >> 24) & 1)
            code = tables[codes.INTER_COEFFICIENT + intra, _bits(words, place, 12)]
            if code == 0 or code >> 4 == codes.ESCAPED:
                return -1
            place += code & 15
        if code >> 4 == codes.LAST:
            return place


@compiled(_INT(_INTS, _INT, _TABLES, _INT, _INT))
def _skip_blocks(words: np.ndarray, place: int, tables: np.ndarray, coded: int, dc: int) -> int:
    """Pass over the six blocks of a macroblock.

    Args:
        coded: a bit for each, the first block's the highest.
        dc: -1: an inter macroblock; 1: intra, DC coefficients have codes of their own; 0: not.
    """
    intra = _INT(dc >= 0)
    for block in range(6):
        if dc > 0:
            code = tables[codes.DC_LUMA if block < 4 else codes.DC_CHROMA, _bits(words, place, 12)]
            if code == 0:
                return -1
            size = code >> 4
            place += (code & 15) + size + (size > 8)
        if (coded >> (5 - block)) & 1:
            place = _skip_coefficients(words, place, tables, intra)
            if place < 0:
                return -1
    return place


@compiled(_INT(_INTS, _INT, _TABLES, _INT, _INTS))
def _component(
    words: np.ndarray, place: int, tables: np.ndarray, predicted: int, state: np.ndarray
) -> int:
    """One component of a vector, into state[FOUND]."""
    word, range_bits = _bits(words, place, 32), state[RANGE_BITS]
    code = tables[codes.VECTOR, word >> 20]
    if code == 0:
        return -1
    length = _INT(code & 15)
    size = _INT(code >> 4)
    if size:
        negative = (word >> (31 - length)) & 1
        rest = (word >> (31 - length - range_bits)) & ((1 << range_bits) - 1)
        length += 1 + range_bits
        size = ((size - 1) << range_bits) + rest + 1
        half = 32 << range_bits
        size = ((predicted + (-size if negative else size) + half) & (2 * half - 1)) - half
    else:
        size = predicted
    place += length
    state[FOUND] = size
    return place


@compiled(_INT(_INTS, _INT, _TABLES, _INTS, _GRID, _INT, _INT, _INT))
def _vector(
    words: np.ndarray,
    place: int,
    tables: np.ndarray,
    state: np.ndarray,
    grid: np.ndarray,
    row: int,
    column: int,
    there: int,
) -> int:
    """The vector of the block at (row, column) of the grid, into its cell (7.6.5).

    Args:
        there: which neighbours of the macroblock belong to its packet: 1 the left one, 2 the one
            above, 4 the one to the right of that.
    """
    if row % 2:
        beside = 2 if column % 2 else 1
        there |= 0 if column % 2 else 1
    else:  # the last of four blocks looks to the upper left: what is to its right is not yet there
        beside = 1 if column % 2 else -1
        there |= 6 if column % 2 else 7
    for axis in range(2):
        left = grid[row, column - 1, axis] if there & 1 else 0
        above = grid[row - 1, column, axis] if there & 2 else 0
        right = grid[row - 1, column + beside, axis] if there & 4 else 0
        if there & 6 == 0:
            predicted = left
        elif there & 3 == 0:
            predicted = right
        else:
            predicted = max(min(left, above), min(max(left, above), right))
        place = _component(words, place, tables, predicted, state)
        if place < 0:
            return -1
        grid[row, column, axis] = state[FOUND]
    return place


@compiled(_INT(_INTS, _INT, _INTS, _INT))
def _packet_header(words: np.ndarray, place: int, state: np.ndarray, count: int) -> int:
    """Where the next macroblock begins: at `place`, unless a video packet ends there (6.2.5.2):
    then its number, of `count`, goes into state[FOUND], and state[QUANTISER] is set."""
    stuffing = 8 - (place & 7)
    behind = place + stuffing
    zeros = 16 + state[RANGE_BITS]  # more than any code has
    stuffed = _bits(words, place, stuffing) == (1 << (stuffing - 1)) - 1
    if not stuffed or _bits(words, behind, zeros + 1) != 1:
        return place
    place = behind + zeros + 1
    number_bits = 0
    while (1 << number_bits) < count:
        number_bits += 1
    state[FOUND] = _bits(words, place, number_bits)
    state[QUANTISER] = _bits(words, place + number_bits, 5)
    place += number_bits + 6
    if _bits(words, place - 1, 1):  # time, kind, threshold and range of vectors once more
        while _bits(words, place, 1):
            place += 1
        place += 2 + state[TIME_BITS] + 1 + 2 + 3 + 3
    return place


@compiled(_INT(_INTS, _INT, _TABLES, _INTS, _GRID))
def _macroblocks(
    words: np.ndarray, place: int, tables: np.ndarray, state: np.ndarray, grid: np.ndarray
) -> int:
    """All macroblocks of a P-picture: vectors into the grid, whose [..., 2] is 1 where intra.
    Where they end; -1: something else than macroblocks was met."""
    last, across = grid.shape[1] - 3, (grid.shape[1] - 2) // 2  # column; macroblocks in a row
    count = across * (grid.shape[0] // 2)
    first, number = 0, -1  # of the video packet, of the macroblock
    for row in range(1, grid.shape[0], 2):
        for column in range(1, last + 1, 2):
            number += 1
            if state[RESYNC] and number:
                begins = _packet_header(words, place, state, count)
                if begins > place:
                    if state[FOUND] != number or state[QUANTISER] == 0:
                        return -1
                    place, first = begins, number
            there = _INT(column > 1 and number > first) | (number - across >= first) << 1
            if column < last and number - across + 1 >= max(first, 1):
                there |= 4
            for block in range(4):
                y, x = row + block // 2, column + block % 2
                grid[y, x, 0] = grid[y, x, 1] = grid[y, x, 2] = 0
            word = _bits(words, place, 32)
            code = _INT(tables[codes.MACROBLOCK, (word >> 19) & 4095])
            while word >> 31 == 0 and code >> 4 == codes.STUFFING:
                place += 1 + (code & 15)
                word = _bits(words, place, 32)
                code = _INT(tables[codes.MACROBLOCK, (word >> 19) & 4095])
            if word >> 31:  # not coded: as in the picture before
                place += 1
                continue
            if code == 0:
                return -1
            left = 31 - (code & 15)
            coded, kind = (code >> 4) & 3, code >> 6
            intra = kind in (codes.INTRA, codes.INTRA_Q)
            left -= intra  # whether AC coefficients are predicted
            code = tables[codes.LUMA, (word >> (left - 12)) & 4095]
            if code == 0:
                return -1
            left -= code & 15
            luma = _INT(code >> 4)
            dc = _INT(state[QUANTISER] < state[THRESHOLD]) if intra else -1
            if kind in (codes.INTER_Q, codes.INTRA_Q):
                left -= 2
                step = (-1, -2, 1, 2)[(word >> left) & 3]
                state[QUANTISER] = min(max(state[QUANTISER] + step, 1), 31)
            place += 32 - left
            if intra:
                for block in range(4):
                    grid[row + block // 2, column + block % 2, 2] = 1
            else:
                luma ^= 15
                place = _vector(words, place, tables, state, grid, row, column, there)
                for block in range(1, 4):
                    y, x = row + block // 2, column + block % 2
                    if kind != codes.INTER_4V:
                        grid[y, x, 0] = grid[row, column, 0]
                        grid[y, x, 1] = grid[row, column, 1]
                    elif place >= 0:
                        place = _vector(words, place, tables, state, grid, y, x, there)
                if place < 0:
                    return -1
            place = _skip_blocks(words, place, tables, luma << 2 | coded, dc)
            if place < 0:
                return -1
    return place


@compiled(types.void(_INTS, _BYTES, _INT, _INT))
def _fill(words: np.ndarray, packet: np.ndarray, first: int, end: int) -> None:
    """Make `words` of the bytes from `first` to `end` of a packet; zeros behind."""
    word = _INT(0)
    for at in range(first // 4, (end + PADDING) // 4):
        four = _INT(0)
        for k in range(4 * at, 4 * at + 4):
            four = four << 8 | (_INT(packet[k]) if k < end else 0)
        word = word << 32 | four
        words[max(at - 1, 0)] = word


@compiled(
    _INT(
        *(_BYTES, _INT, _INT, _TABLES, _INTS, _INTS, _GRID),
        *(types.Array(types.float32, 4, "C"), types.Array(types.boolean, 3, "C"), _INT),
    )
)
def read_vectors(
    packet: np.ndarray,
    place: int,
    end: int,
    tables: np.ndarray,
    state: np.ndarray,
    words: np.ndarray,
    grid: np.ndarray,
    vectors: np.ndarray,
    valid: np.ndarray,
    frame: int,
) -> int:
    """Read the vectors of a coded P-picture.

    Args:
        packet: uint8 (N,).
        place, end: bit of the first macroblock, byte behind the picture.
        tables: `codes.TABLES`.
        state: int64 (7,), of the layer and the picture.
        words: room, int64, at least (N + PADDING) / 4 + 1 numbers.
        grid: room, int64 (2 R + 1, 2 C + 2, 3) for R rows of C macroblocks; 0 along its edges.
        vectors, valid: float32 (L, Hb, Wb, 2) and bool (L, Hb, Wb), written to: from each cell to
            where it was in the picture before, in luma pixels; invalid where it is intra.
        frame: which of the L.

    Returns:
        The bit at which the macroblocks end; -1: there is something else, or there are more cells.
    """
    if valid.shape[1] >= grid.shape[0] or valid.shape[2] >= grid.shape[1] - 1:
        return -1
    _fill(words, packet, place >> 3, end)
    place = _macroblocks(words, place, tables, state, grid)
    if place < 0:
        return -1
    scale = np.float32(1 / state[SCALE])
    for row in range(valid.shape[1]):
        for column in range(valid.shape[2]):
            valid[frame, row, column] = grid[row + 1, column + 1, 2] == 0
            for axis in range(2):
                vectors[frame, row, column, axis] = grid[row + 1, column + 1, axis] * scale
    return place
