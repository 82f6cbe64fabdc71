"""Which picture a packet holds (ISO/IEC 14496-2, 6.2.5)."""

from __future__ import annotations

import math
from typing import NamedTuple

from unscene.video.mpeg4 import Unparsed
from unscene.video.mpeg4.layer import LAYERS, Layer

_START, _PICTURE = b"\0\0\1", b"\xb6"
_KEY, _PREDICTED = 0, 1
_HEADER = 16  # bytes that hold a picture's header, unless it is many seconds late
_THRESHOLDS = 99, 13, 15, 17, 19, 21, 23, 0  # table 6.21


class Picture(NamedTuple):
    """Where a packet's one picture is.

    Attributes:
        key: it is an I-picture.
        coded: False: decoders show nothing for it.
        threshold: quantisers below it code DC coefficients of intra blocks apart.
        quantiser: 1..31.
        range_bits: of a P-picture: of a vector's difference, less than it has at least.
        place: bit of the packet at which the macroblocks begin.
        end: byte behind the picture.
    """

    key: bool
    coded: bool
    threshold: int
    quantiser: int
    range_bits: int
    place: int
    end: int


def picture_of(packet: bytes, layer: Layer) -> Picture:
    """The picture of a packet.

    Raises:
        Unparsed: it has none or several, a B-picture, a sprite, or a layer of its own.
    """
    at = packet.find(_START)
    while at >= 0 and packet[at + 3 : at + 4] != _PICTURE:
        names_layer = len(packet) > at + 3 and packet[at + 3] in LAYERS
        if names_layer and not packet.startswith(layer.header, at):
            raise Unparsed("another layer")
        at = packet.find(_START, at + 3)
    if at < 0:
        raise Unparsed("a packet without a picture")
    end = after = packet.find(_START, at + 4)
    while after >= 0:
        if packet[after + 3 : after + 4] == _PICTURE:
            raise Unparsed("several pictures in a packet")
        after = packet.find(_START, after + 3)
    end = end if end >= 0 else len(packet)
    head = packet[at + 4 : min(at + 4 + _HEADER, end)]
    bits = int.from_bytes(head.ljust(_HEADER, b"\0"), "big")
    left = 8 * _HEADER - 2
    kind = bits >> left
    if kind not in (_KEY, _PREDICTED):
        raise Unparsed("a B-picture or a sprite")
    while left and bits >> (left - 1) & 1:  # seconds
        left -= 1
    # A zero and a marker, the time and a marker, `vop_coded`; rounding (of a P-picture), threshold,
    # quantiser, and (of a P-picture) the range of vectors.
    predicted = kind == _PREDICTED
    left -= 2 + layer.time_bits + 2
    marked = left >= 0 and bits >> (left + layer.time_bits + 2) & bits >> (left + 1) & 1
    coded = bool(bits >> max(left, 0) & 1)
    left -= 12 if predicted else 8
    if not marked or left < 0:
        raise Unparsed("a header that cannot be, or a picture many seconds late")
    header = bits >> left if predicted else bits >> left << 3
    place = 8 * (at + 4 + _HEADER) - left
    quantiser, range_bits = header >> 3 & 31, (header & 7) - 1
    # A key picture has 4 bits a macroblock at least.
    room = 0 if predicted else 4 * math.prod(layer.macroblocks)
    if coded and (quantiser == 0 or predicted > range_bits + 1 or place + room > 8 * end):
        raise Unparsed("a header that cannot be, or breaks off")
    numbers = _THRESHOLDS[header >> 8 & 7], quantiser, range_bits
    return Picture(not predicted, coded, *numbers, place, end)


def ends(packet: bytes, place: int, end: int) -> bool:
    """Whether nothing but stuffing (5.2.4) stands between bit `place` and byte `end`."""
    at, used = divmod(place, 8)
    stuffing = 0x7F >> used  # a zero, and ones to the end of the byte
    if at < end and packet[at] & (0xFF >> used) == stuffing:
        at += 1
    elif used:
        return False
    return at <= end and not packet[at:end].strip(b"\0")
