"""Container -> packets -> frames: the part of FFmpeg that damaged and odd files make stumble."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import av
from av.error import EOFError as AvEOFError
from av.error import FFmpegError
from av.packet import Packet
from av.sidedata.motionvectors import MotionVectors
from av.sidedata.sidedata import SideDataContainer
from av.video.frame import VideoFrame


def open_container(path: str) -> av.container.InputContainer:
    """av.open that survives metadata which is not UTF-8 and names that look like a protocol."""
    return av.open(str(Path(path).absolute()), mode="r", metadata_errors="replace")


def rewind(container: av.container.InputContainer) -> None:
    """Go to the beginning, also of raw streams, which know bytes but no times."""
    try:
        container.seek(0)
    except FFmpegError:
        container.seek(0, unsupported_byte_offset=True)


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

    Attributes:
        damage: the last error that was passed over, None if there was none.
    """

    def __init__(self, container: av.container.InputContainer, stream: av.VideoStream) -> None:
        self.container, self.stream = container, stream
        stream.thread_type = "NONE"
        stream.codec_context.thread_count = 1
        self.damage: FFmpegError | None = None

    def __iter__(self) -> Iterator[tuple[Packet, list[VideoFrame]]]:
        """Every packet from here to the end with the frames that came out when it went in."""
        for packet in self._demux():
            try:
                frames = packet.decode()
            except AvEOFError:
                return
            except FFmpegError as error:
                self.damage = error
                frames = []
            yield packet, frames

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
