"""How many references an H.264 stream may use: its sequence parameter set says it.

The other codecs with motion vectors have one.
"""

from __future__ import annotations

import re

from unscene.video.bits import Bits

# Profiles whose parameter sets describe chroma and scaling (ITU-T H.264, 7.3.2.1.1).
_HIGH = frozenset({100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135})


def references_of(data: bytes) -> int | None:
    """max_num_ref_frames of the first H.264 sequence parameter set; None if there is none.

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
    # The byte 3 after two zeros only keeps start codes from appearing by chance.
    bits = Bits(unit[1:].replace(b"\0\0\3", b"\0\0"))
    try:
        return _references(bits)
    except IndexError:
        return None


def _references(bits: Bits) -> int:
    profile = bits.take(8)
    bits.take(16)  # constraints, level
    bits.golomb()
    if profile in _HIGH:
        chroma = bits.golomb()
        if chroma == 3:
            bits.take(1)
        bits.golomb(), bits.golomb(), bits.take(1)  # depths, lossless
        if bits.take(1):
            for i in range(12 if chroma == 3 else 8):
                if bits.take(1):
                    _skip_scaling_list(bits, 16 if i < 6 else 64)
    bits.golomb()
    order = bits.golomb()
    if order == 0:
        bits.golomb()
    elif order == 1:
        bits.take(1), bits.signed(), bits.signed()
        for _ in range(bits.golomb()):
            bits.signed()
    return bits.golomb()


def _skip_scaling_list(bits: Bits, size: int) -> None:
    last = following = 8
    for _ in range(size):
        if following:
            following = (last + bits.signed()) % 256
        last = following or last
