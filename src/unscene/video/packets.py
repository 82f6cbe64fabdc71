"""Container -> packets -> frames: the part of FFmpeg that damaged and odd files make stumble."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import av
from av.error import EOFError as AvEOFError
from av.error import FFmpegError
from av.packet import Packet
from av.sidedata.motionvectors import MotionVectors
from av.sidedata.sidedata import SideDataContainer
from av.video.frame import PictureType, VideoFrame

# FFmpeg's names of the codecs whose decoders, where a picture's reference is missing, draw over
# grey. Those of other codecs wait for a picture that needs none.
H263_FAMILY = frozenset(
    {"flv1", "h261", "h263", "mpeg4", "msmpeg4v1", "msmpeg4v2", "msmpeg4v3", "rv10", "rv20"}
    | {"wmv1", "wmv2"}
)
INTRA = frozenset({int(PictureType.I), int(PictureType.SI)})
_NO_TIMES = 0x80  # AVFMT_NOTIMESTAMPS, libavformat/avformat.h


def open_container(path: str) -> av.container.InputContainer:
    """av.open that survives metadata which is not UTF-8 and names that look like a protocol."""
    return av.open(str(Path(path).absolute()), mode="r", metadata_errors="replace")


def is_raw(container: av.container.InputContainer) -> bool:
    """Whether a file is nothing but coded pictures: what times FFmpeg makes up for them shift with
    every rewind."""
    return bool(container.format.flags & _NO_TIMES)


def rewind(container: av.container.InputContainer) -> None:
    """Go to the beginning, also of raw streams, which know bytes but no times."""
    raw = is_raw(container)
    try:
        container.seek(0 if raw else min(container.start_time or 0, 0), unsupported_byte_offset=raw)
    except FFmpegError:
        container.seek(0, unsupported_byte_offset=not raw)


def tick_of(stream: av.VideoStream) -> float:
    """Seconds that one unit of the stream's time stamps stands for."""
    return float(stream.time_base or 1 / av.time_base)


def vectors_of(frame: VideoFrame) -> MotionVectors | None:
    """The records of a frame whose decoder was told to export them; None: it has none."""
    # Not `frame.side_data`: that and the frame point to each other, and a frame that waits for the
    # garbage collector costs its decoder fresh memory.
    found = SideDataContainer(frame)  # type: ignore[call-arg]
    for data in found:
        if isinstance(data, MotionVectors):
            return data
    return None


class Packets:
    """Decodes packet after packet; damage costs the frames it hits, not the file.

    From the beginning or behind a jump, frames are shown from the first one that can be whole.

    Attributes:
        damage: the last error that was passed over, None if there was none.
        damaged: packets that were incomplete, failed, or gave a frame with errors or one without
            its reference.
    """

    def __init__(self, container: av.container.InputContainer, stream: av.VideoStream) -> None:
        self.container, self.stream = container, stream
        stream.thread_type = "NONE"
        stream.codec_context.thread_count = 1
        self.damage: FFmpegError | None = None
        self.damaged = 0
        self._draws_over_grey = stream.codec_context.codec.canonical_name in H263_FAMILY

    def __iter__(self) -> Iterator[tuple[Packet, list[VideoFrame]]]:
        """Every packet from here to the end with the frames that came out when it went in."""
        begun, last = not self._draws_over_grey, self.damage
        for packet in self._demux():
            try:
                frames = packet.decode()
            except AvEOFError:
                return
            except FFmpegError as error:
                self.damage = error
                frames = []
            failed = self.damage is not last or any(frame.is_corrupt for frame in frames)
            last = self.damage
            if frames and not begun:
                keys = [k for k, frame in enumerate(frames) if frame.key_frame]
                begun, failed = bool(keys), failed or keys[:1] != [0]
                frames = frames[keys[0] :] if keys else []
            self.damaged += failed or packet.is_corrupt
            yield packet, frames

    def only_keys(self, ahead: int) -> bool:
        """Whether the first frames of the file, as many as that, are all intra-coded.

        Containers may call any packet a key, and are not believed; where the next ones are none,
        nothing is decoded.
        """
        coming = (packet for packet in self._demux() if packet.size)
        if not all(packet.is_keyframe for packet in islice(coming, ahead)):
            return False
        rewind(self.container)
        kinds = (frame.pict_type in INTRA for _, frames in self for frame in frames)
        return all(islice(kinds, ahead))

    def _demux(self) -> Iterator[Packet]:
        moved = True
        while moved:
            moved = False
            try:
                for packet in self.container.demux(self.stream):
                    moved = True
                    yield packet
                return
            except FFmpegError as error:  # go on behind it, unless it stays where it is
                self.damage = error
