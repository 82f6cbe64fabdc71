"""The variable-length codes of MPEG-4 part 2 (ISO/IEC 14496-2, Annex B), as tables to look up.

The index of a table is the next 12 bits, the longest code's length; an entry is
value << 4 | length of the code, and 0 where no code begins so.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

BITS, RUN_BITS = 12, 13  # a run holds at least the longest coefficient with its sign

# A macroblock of a P-picture (table B.7): values are kind * 4 + which chroma blocks are coded.
INTER, INTER_Q, INTER_4V, INTRA, INTRA_Q = range(5)
STUFFING = 20
_MACROBLOCK = {
    INTER: "1 0011 0010 000101",
    INTER_Q: "011 0000111 0000110 000000101",
    INTER_4V: "010 0000101 0000100 00000101",
    INTRA: "00011 00000100 00000011 0000011",
    INTRA_Q: "000100 000000100 000000011 000000010",
    STUFFING // 4: "000000001",
}
# Which of the four luma blocks of an intra macroblock are coded (table B.8).
_LUMA = "0011 00101 00100 1001 00011 0111 000010 1011 00010 000011 0101 1010 0100 1000 0110 11"
# How many bits the difference of a DC coefficient has (tables B.13 and B.14), and then a one
# behind more and more zeros.
_DC_LUMA, _DC_CHROMA = "011 11 10 010", "11 10 01"
# Size of a vector's difference (table B.12), without its sign, by length and the codes from the
# smallest size on: (length, first code, last code).
_VECTOR = (
    *((1, 1, 1), (2, 1, 1), (3, 1, 1), (4, 1, 1), (6, 3, 3), (7, 5, 3), (9, 11, 9)),
    *((10, 17, 4), (11, 7, 2), (12, 3, 2)),
)
# Coefficients (tables B.16 and B.17): both use these codes, (length, first, last) ...
_COEFFICIENT = (
    *((2, 2, 2), (3, 6, 6), (4, 7, 7), (4, 14, 15), (5, 11, 13), (6, 12, 21), (7, 16, 23)),
    *((8, 19, 31), (9, 17, 37), (10, 4, 15), (10, 32, 33), (11, 4, 7), (11, 32, 39)),
    *((12, 80, 95),),
)
# ... and those say with these that a coefficient is the last of its block.
_LAST_INTER = (
    *((4, 7, 7), (6, 12, 15), (7, 16, 19), (8, 19, 26), (9, 17, 25), (10, 4, 7), (11, 4, 5)),
    *((11, 36, 39), (12, 88, 95)),
)
_LAST_INTRA = (
    *((4, 7, 7), (6, 12, 12), (6, 14, 15), (7, 16, 17), (7, 19, 19), (8, 19, 22), (8, 26, 26)),
    *((9, 17, 23), (10, 4, 6), (11, 4, 5), (11, 36, 39), (12, 89, 95)),
)
_ESCAPE = "0000011"

# Values of coefficients: what follows a code, and whether the block ends. Signs count to the codes.
LAST, ESCAPED = 1, 2


def _table(codes: Iterable[tuple[str, int]]) -> np.ndarray:
    """uint16 (4096,) of codes given as digits, with their values."""
    table = np.zeros(1 << BITS, np.uint16)
    for digits, value in codes:
        free = BITS - len(digits)
        first = int(digits, 2) << free
        assert not table[first : first + (1 << free)].any(), digits
        table[first : first + (1 << free)] = value << 4 | len(digits)
    return table


def _digits(ranges: Iterable[tuple[int, int, int]]) -> list[str]:
    found = []
    for length, first, last in ranges:
        step = 1 if last >= first else -1
        found += [f"{code:0{length}b}" for code in range(first, last + step, step)]
    return found


def _coefficients(last: Iterable[tuple[int, int, int]]) -> np.ndarray:
    ends = set(_digits(last))
    codes = [(digits, LAST if digits in ends else 0) for digits in _digits(_COEFFICIENT)]
    table = _table([*codes, (_ESCAPE, ESCAPED)])
    return table + (table > 0) * (table >> 4 != ESCAPED)  # one bit more: the sign


def _runs(table: np.ndarray) -> np.ndarray:
    """uint16 (2 ** RUN_BITS,): as many codes of coefficients at once as these bits hold.

    Values are those of the last one; 0 bits where an escape comes first, 0 where no code does.
    """
    place = np.zeros(1 << RUN_BITS, np.int64)
    value = np.zeros_like(place)
    ahead = np.arange(1 << RUN_BITS) << BITS  # zeros behind them, which begin no code
    for _ in range(RUN_BITS):
        code = table[(ahead >> (RUN_BITS - place)) & ((1 << BITS) - 1)].astype(np.int64)
        length, found = code & 15, code >> 4
        whole = (length > 0) & (place + length <= RUN_BITS) & (value == 0)
        stop = whole & (found == ESCAPED)
        value[stop & (place == 0)] = ESCAPED
        whole &= ~stop
        place[whole] += length[whole]
        value[whole] = found[whole]
    return (value << 4 | place).astype(np.uint16)


def _sizes(short: str, longest: int) -> np.ndarray:
    codes = [*short.split(), *(f"{1:0{length}b}" for length in range(3, longest + 1))]
    return _table((digits, size) for size, digits in enumerate(codes))


_MACROBLOCKS = [
    (digits, kind * 4 + chroma)
    for kind, codes in _MACROBLOCK.items()
    for chroma, digits in enumerate(codes.split())
]
_INTER, _INTRA = _coefficients(_LAST_INTER), _coefficients(_LAST_INTRA)
# uint16 (9, 8192): the tables by these numbers; all but the runs use the first 4096.
MACROBLOCK, LUMA, VECTOR, DC_LUMA, DC_CHROMA = range(5)
INTER_COEFFICIENT, INTRA_COEFFICIENT, INTER_RUN, INTRA_RUN = range(5, 9)
TABLES = np.zeros((9, 1 << RUN_BITS), np.uint16)
for _number, _entries in enumerate(
    [
        _table(_MACROBLOCKS),
        _table((digits, coded) for coded, digits in enumerate(_LUMA.split())),
        _table((digits, size) for size, digits in enumerate(_digits(_VECTOR))),
        _sizes(_DC_LUMA, 11),
        _sizes(_DC_CHROMA, 12),
        *(_INTER, _INTRA, _runs(_INTER), _runs(_INTRA)),
    ]
):
    TABLES[_number, : len(_entries)] = _entries
