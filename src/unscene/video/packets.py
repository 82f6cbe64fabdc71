"""A container -> packets -> frames, also for damaged and unusual files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

import av
from av.error import EOFError as AvEOFError
from av.error import FFmpegError
from av.packet import Packet
from av.sidedata.motionvectors import MotionVectors
from av.sidedata.sidedata import SideDataContainer
from av.video.frame import PictureType, VideoFrame

# FFmpeg's names of the codecs whose decoders paint on gray when the reference picture is missing.
# Decoders of other codecs wait for a picture that needs no reference.
H263_FAMILY = frozenset(
    {"flv1", "h261", "h263", "mpeg4", "msmpeg4v1", "msmpeg4v2", "msmpeg4v3", "rv10", "rv20"}
    | {"wmv1", "wmv2"}
)
# Codecs of which some frames are no key frames, and whose bitstream tells which. A container may
# flag anything, and decoders of other codecs paint on whatever picture they happen to hold.
_MARKS_KEY_FRAMES = H263_FAMILY | frozenset(
    {"av1", "cavs", "cfhd", "dirac", "ffv1", "h263i", "h263p", "h264", "hevc", "indeo4", "indeo5"}
    | {"mpeg1video", "mpeg2video", "png", "rv30", "rv40", "rv60", "svq1", "svq3", "theora", "vc1"}
    | {"vp3", "vp4", "vp5", "vp6", "vp6a", "vp6f", "vp7", "vp8", "vp9", "vvc", "wmv3"}
)
# A key frame of these sets all that later frames need, and their decoders know no headers only.
_KEEP_NOTHING = frozenset({"av1", "vp8", "vp9"})
INTRA = frozenset({int(PictureType.I), int(PictureType.SI)})
_NO_TIMES = 0x80  # AVFMT_NOTIMESTAMPS, libavformat/avformat.h


_options: dict[str, str] = {}  # of every container that this process opens


def allow_formats(names: Iterable[str]) -> None:
    """Let this process open containers of these formats only, as FFmpeg names its demuxers.

    For files of strangers: a playlist (HLS, DASH, concat) makes FFmpeg open other files.
    """
    _options["format_whitelist"] = ",".join(names)


def open_container(path: str) -> av.container.InputContainer:
    """Open a file, whatever its metadata's encoding and even if its name looks like a protocol."""
    place = str(Path(path).absolute())
    return av.open(place, mode="r", options=dict(_options), metadata_errors="replace")


def is_raw(container: av.container.InputContainer) -> bool:
    """Whether a file holds only coded pictures, without time stamps.

    The times that FFmpeg makes up for such a file shift with every rewind.
    """
    return bool(container.format.flags & _NO_TIMES)


def rewind(container: av.container.InputContainer) -> None:
    """Seek to the start of the file, also of raw streams, which know bytes but no times.

    Raises:
        FFmpegError: the container cannot seek.
    """
    raw = is_raw(container)
    container.seek(0 if raw else min(container.start_time or 0, 0), unsupported_byte_offset=raw)


def may_seek(stream: av.VideoStream) -> bool:
    """Whether decoding from a key frame in the middle can show what decoding from the start shows.

    Not so for codecs whose bitstream does not mark key frames, and for pictures with a palette,
    which containers hand out once, where it changes.
    """
    context = stream.codec_context
    marks = context.codec.intra_only or context.codec.canonical_name in _MARKS_KEY_FRAMES
    return marks and context.pix_fmt != "pal8"


def read_tick(stream: av.VideoStream) -> float:
    """Read how many seconds one unit of the stream's time stamps is."""
    return float(stream.time_base or 1 / av.time_base)


def read_vectors(frame: VideoFrame) -> MotionVectors | None:
    """Read the motion vector records of a frame, if it has any and its decoder exports them."""
    # Not `frame.side_data`: it and the frame refer to each other, and while a frame waits for the
    # garbage collector its decoder has to allocate new memory.
    found = SideDataContainer(frame)  # type: ignore[call-arg]
    for data in found:
        if isinstance(data, MotionVectors):
            return data
    return None


class Packets:
    """Decodes packet after packet; damage costs the frames it affects, not the file.

    At the start of the file and after a seek, iteration begins with the first frame that can be
    complete.

    Attributes:
        damage: the last error that was skipped, None if there was none.
        damaged: number of packets that were incomplete, failed to decode, or gave a frame with
            errors or without its reference.
    """

    def __init__(self, container: av.container.InputContainer, stream: av.VideoStream) -> None:
        self.container, self.stream = container, stream
        stream.thread_type = "NONE"
        stream.codec_context.thread_count = 1
        self.damage: FFmpegError | None = None
        self.damaged = 0
        self._paints_on_gray = stream.codec_context.codec.canonical_name in H263_FAMILY

    def __iter__(self) -> Iterator[tuple[Packet, list[VideoFrame]]]:
        """Every packet from here to the end, with the frames that decoding it returned."""
        started, last = not self._paints_on_gray, self.damage
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
            # An edit list may hide the key frame that the first frames refer to.
            started |= packet.is_discard and packet.is_keyframe and not failed
            if frames and not started:
                keys = [k for k, frame in enumerate(frames) if frame.key_frame]
                started, failed = bool(keys), failed or keys[:1] != [0]
                frames = frames[keys[0] :] if keys else []
            self.damaged += failed or packet.is_corrupt
            yield packet, frames

    def read_headers(self) -> None:
        """Show the first packet to the decoder, as headers only; the next step must be a seek.

        The decoder keeps what this packet says about the stream. x264, for example, gives its
        version only there, and early versions wrote pictures that are decoded in another way.
        """
        context = self.stream.codec_context
        if context.codec.canonical_name in _KEEP_NOTHING:
            return
        context.open(strict=False)
        decoded, context.skip_frame = context.skip_frame, "ALL"
        try:
            first = next((packet for packet in self._demux() if packet.size), None)
            if first is not None:
                first.decode()
        except FFmpegError as error:
            self.damage = error
        finally:
            context.skip_frame = decoded

    def only_keys(self, ahead: int) -> bool:
        """Whether the first `ahead` frames of the file are all intra-coded.

        Containers may flag any packet as a key frame, so flagged packets are decoded to be sure. If
        one of the first packets is not flagged, nothing is decoded.
        """
        coming = (packet for packet in self._demux() if packet.size)
        if not all(packet.is_keyframe for packet in islice(coming, ahead)):
            return False
        with open_container(self.container.name) as again:  # this one may not be able to rewind
            same = next(s for s in again.streams.video if s.index == self.stream.index)
            packets = Packets(again, same)
            kinds = (frame.pict_type in INTRA for _, frames in packets for frame in frames)
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
            except FFmpegError as error:  # go on after it, unless it makes no progress
                self.damage = error
