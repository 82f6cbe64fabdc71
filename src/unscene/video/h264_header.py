"""An H.264 stream's sequence parameter set -> the number of reference frames it may use.

The other codecs with motion vectors have one.

Source: ITU-T H.264, sections 7.3.2.1.1 (sequence parameter set) and 9.1 (Exp-Golomb codes).
"""

from __future__ import annotations

import re

# Profiles whose parameter sets describe chroma and scaling (7.3.2.1.1).
_HIGH = frozenset({100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135})


def read_reference_count(data: bytes) -> int | None:
    """max_num_ref_frames of the first sequence parameter set; None if there is none.

    Args:
        data: an avcC record, as in MP4 and MKV, or a stream with start codes.
    """
    if data[:1] == b"\x01" and len(data) > 8 and data[5] & 31:
        unit = data[8 : 8 + int.from_bytes(data[6:8], "big")]
    else:
        found = re.search(rb"\x00\x00\x01[\x07\x27\x47\x67](.{4,256})", data, re.DOTALL)
        unit = found[0][3:] if found else b""
    if len(unit) < 5:
        return None
    # A byte 3 after two zeros only keeps start codes from appearing by chance.
    try:
        return _max_num_ref_frames(_BitReader(unit[1:].replace(b"\0\0\3", b"\0\0")))
    except IndexError:
        return None


def _max_num_ref_frames(bits: _BitReader) -> int:
    profile = bits.take(8)
    bits.take(16)  # constraints, level
    bits.take_unsigned()
    if profile in _HIGH:
        chroma = bits.take_unsigned()
        if chroma == 3:
            bits.take(1)
        bits.take_unsigned(), bits.take_unsigned(), bits.take(1)  # bit depths, lossless
        if bits.take(1):
            for i in range(12 if chroma == 3 else 8):
                if bits.take(1):
                    _skip_scaling_list(bits, 16 if i < 6 else 64)
    bits.take_unsigned()
    order = bits.take_unsigned()
    if order == 0:
        bits.take_unsigned()
    elif order == 1:
        bits.take(1), bits.take_signed(), bits.take_signed()
        for _ in range(bits.take_unsigned()):
            bits.take_signed()
    return bits.take_unsigned()


def _skip_scaling_list(bits: _BitReader, size: int) -> None:
    last = following = 8
    for _ in range(size):
        if following:
            following = (last + bits.take_signed()) % 256
        last = following or last


class _BitReader:
    """Reads a header bit by bit; reading past the end raises IndexError."""

    def __init__(self, data: bytes) -> None:
        self.digits, self.position = "".join(f"{byte:08b}" for byte in data), 0

    def take(self, count: int) -> int:
        digits = self.digits[self.position : self.position + count]
        if len(digits) < count:
            raise IndexError
        self.position += count
        return int(digits or "0", 2)

    def take_unsigned(self) -> int:
        """An unsigned Exp-Golomb code."""
        zeros = 0
        while not self.take(1):
            zeros += 1
        return (1 << zeros) - 1 + self.take(zeros)

    def take_signed(self) -> int:
        """A signed Exp-Golomb code."""
        value = self.take_unsigned()
        return (value + 1) // 2 if value % 2 else -(value // 2)
