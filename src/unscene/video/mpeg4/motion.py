"""Frames of which nothing is known but their vectors, in place of a decoder's."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import av
import numpy as np
from av.error import FFmpegError
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.frame import PictureType, VideoFrame

from unscene.video.mpeg4 import Unparsed
from unscene.video.mpeg4.codes import TABLES
from unscene.video.mpeg4.layer import layer_of
from unscene.video.mpeg4.picture import Picture, ends, picture_of
from unscene.video.packets import Packets

_KIND = {True: int(PictureType.I), False: int(PictureType.P)}


def can_parse(context: VideoCodecContext) -> bool:
    """Whether it is worth trying: MPEG-4 part 2 whose header promises no B-frames."""
    return context.codec.canonical_name == "mpeg4" and not context.has_b_frames


@dataclass
class ParsedFrame:
    """What the reader asks of a frame, under the names that PyAV gives it.

    Attributes:
        sample: a decoded frame of the same stream.
    """

    packets: ParsedPackets
    sample: VideoFrame
    data: bytes
    picture: Picture
    pts: int | None
    dts: int | None
    interlaced_frame = False

    @property
    def key_frame(self) -> bool:
        return self.picture.key

    @property
    def pict_type(self) -> int:
        return _KIND[self.picture.key]

    def read_vectors(self, vectors: np.ndarray, valid: np.ndarray, place: int) -> None:
        """Fill in the vectors of this frame, see `macroblocks.read_vectors`.

        Raises:
            Unparsed: there is something else than vectors of a plain picture, or damage.
        """
        if not self.picture.key:
            self.packets.read_vectors(self, vectors, valid, place)


class ParsedPackets(Packets):
    """Reads packet after packet; only the first key frame, which tells what pictures mean, goes
    through the decoder.

    Raises:
        Unparsed: at the first packet that is left to FFmpeg.
    """

    def __init__(self, container: av.container.InputContainer, stream: av.VideoStream) -> None:
        super().__init__(container, stream)
        from unscene.video.mpeg4 import macroblocks

        self._loop = macroblocks
        self._layer = layer = layer_of(stream.codec_context.extradata or b"")
        rows, columns = layer.macroblocks
        self._grid = np.zeros((2 * rows + 1, 2 * columns + 2, 3), np.int64)
        self._words = np.zeros(0, np.int64)
        self._sample: VideoFrame | None = None
        self._state = np.zeros(7, np.int64)
        self._state[macroblocks.TIME_BITS] = layer.time_bits
        self._state[macroblocks.SCALE] = layer.scale
        self._state[macroblocks.RESYNC] = layer.resync

    def __iter__(self) -> Iterator[tuple[Packet, list[Any]]]:
        begun = ended = False
        for packet in self._demux():
            if not packet.size:
                ended = True
                continue
            if ended or self.damage or packet.is_corrupt or packet.is_discard:
                raise Unparsed("an odd packet")
            data = bytes(packet)
            picture = picture_of(data, self._layer)
            begun |= picture.key and picture.coded
            if not (begun and picture.coded):
                yield packet, []
                continue
            if self._sample is None:
                self._sample = self._decoded(packet)
            yield packet, [ParsedFrame(self, self._sample, data, picture, packet.pts, packet.dts)]

    def _decoded(self, packet: Packet) -> VideoFrame:
        try:
            frames = packet.decode()
        except FFmpegError as error:
            raise Unparsed("a key frame that cannot be decoded") from error
        if len(frames) != 1 or frames[0].is_corrupt:
            raise Unparsed("a key frame that does not come out alone")
        context = self.stream.codec_context
        if (context.coded_height, context.coded_width) != self._layer.size:
            raise Unparsed("pictures of another size than the layer's")
        return frames[0]

    def read_vectors(
        self, frame: ParsedFrame, vectors: np.ndarray, valid: np.ndarray, place: int
    ) -> None:
        room = (len(frame.data) + self._loop.PADDING) // 4 + 1
        if len(self._words) < room:
            self._words = np.zeros(2 * room, np.int64)
        packet = np.frombuffer(frame.data, np.uint8)
        picture = frame.picture
        self._state[self._loop.THRESHOLD] = picture.threshold
        self._state[self._loop.QUANTISER] = picture.quantiser
        self._state[self._loop.RANGE_BITS] = picture.range_bits
        where = packet, picture.place, picture.end
        rooms = self._state, self._words, self._grid
        stop = self._loop.read_vectors(*where, TABLES, *rooms, vectors, valid, place)
        if stop < 0 or not ends(frame.data, stop, picture.end):
            raise Unparsed("a picture that is not plain, or damaged")
