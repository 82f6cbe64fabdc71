"""Motion vectors of MPEG-4 part 2 (Xvid, DivX, FFmpeg's mpeg4) straight from the bits.

A decoder spends its time on pixels. Between one vector and the next stand the codes of coefficients
whose lengths must be known and whose values need not: read so, a file gives its vectors one and
a half times as fast as through a decoder (docs/log.md). Streams of plain I- and P-pictures only;
whatever else is met raises `Unparsed`, and the file is left to FFmpeg. Of I-pictures, which have no
vectors, only headers are read: whether their pixels are damaged is not seen.
"""


class Unparsed(Exception):  # noqa: N818
    """What this stream or picture holds is left to FFmpeg."""
