"""What a video object layer says of all its pictures (ISO/IEC 14496-2, 6.2.3)."""

from __future__ import annotations

from dataclasses import dataclass

from unscene.video.bits import Bits
from unscene.video.mpeg4 import Unparsed

_ADVANCED = 0x0F  # extended aspect ratio
_RECTANGULAR = 0
LAYERS = range(0x20, 0x30)  # start codes


@dataclass(frozen=True)
class Layer:
    """A layer whose pictures can be read here.

    Attributes:
        size: (H, W) in luma pixels.
        time_bits: bits of a picture's time within its second.
        scale: fractions of a pixel that a vector counts in, 2 or 4.
        resync: pictures may be cut into video packets.
        header: its bytes: whoever meets another layer has met another stream.
    """

    size: tuple[int, int]
    time_bits: int
    scale: int
    resync: bool
    header: bytes

    @property
    def macroblocks(self) -> tuple[int, int]:
        """Rows and columns of them in a picture."""
        return -(-self.size[0] // 16), -(-self.size[1] // 16)


def layer_of(data: bytes) -> Layer:
    """The first layer of a stream's configuration.

    Raises:
        Unparsed: there is none, or one of a kind that is left to FFmpeg.
    """
    start = data.find(b"\0\0\1")
    while start >= 0:
        end = data.find(b"\0\0\1", start + 3)
        if data[start + 3 : start + 4] and data[start + 3] in LAYERS:
            header = data[start : end if end >= 0 else len(data)]
            try:
                return _layer(header.rstrip(b"\0"))
            except IndexError as error:
                raise Unparsed("a layer that breaks off") from error
        start = end
    raise Unparsed("no layer")


def _plain(what: str, found: int, wanted: int) -> None:
    if found != wanted:
        raise Unparsed(what)


def _layer(header: bytes) -> Layer:
    bits = Bits(header[4:])
    version = 1
    bits.take(1 + 8)  # random access, object type
    if bits.take(1):
        version = bits.take(4)
        bits.take(3)
    if bits.take(4) == _ADVANCED:
        bits.take(16)
    if bits.take(1):  # control parameters
        _plain("chroma that is not 4:2:0", bits.take(2), 1)
        bits.take(1)  # low delay
        if bits.take(1):
            bits.take(79)  # buffer sizes
    _plain("a shape", bits.take(2), _RECTANGULAR)
    bits.take(1)
    ticks = bits.take(16)
    bits.take(1)
    time_bits = max((ticks - 1).bit_length(), 1)
    if bits.take(1):
        bits.take(time_bits)
    bits.take(1)
    width = bits.take(13)
    bits.take(1)
    height = bits.take(13)
    bits.take(1)
    _plain("interlaced", bits.take(1), 0)
    _plain("overlapped compensation", bits.take(1), 1)
    _plain("a sprite", bits.take(1 if version == 1 else 2), 0)
    _plain("more than 8 bits", bits.take(1), 0)
    if bits.take(1):
        for _ in ("intra", "inter"):
            _skip_matrix(bits)
    quarter = bits.take(1) if version != 1 else 0
    _plain("complexity estimation", bits.take(1), 1)
    resync = not bits.take(1)
    _plain("data partitioning", bits.take(1), 0)
    if version != 1:
        _plain("other references", bits.take(1), 0)
        _plain("reduced resolution", bits.take(1), 0)
    _plain("scalability", bits.take(1), 0)
    if not (ticks and width > 16 and height):
        raise Unparsed("a layer of no size, of one column of macroblocks, or without time")
    return Layer((height, width), time_bits, 4 if quarter else 2, resync, header)


def _skip_matrix(bits: Bits) -> None:
    if bits.take(1):
        for _ in range(64):
            if not bits.take(8):
                break
