"""A file -> whether its motion vectors can be used (a verdict), and the facts behind that.

ready               every vector is the motion since the previous frame: one reference frame, no
                    B-frames, not interlaced (`vectors.explain_inexact`)
needs transcoding   readable, but without motion vectors, or with others
unreadable          no frame can be decoded

Packets are counted without decoding. Frame types and damage are found by decoding the first frames,
or all frames on request. Then a frame is read as training reads it, behind a seek.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from math import prod
from pathlib import Path
from typing import Literal

import av
import numpy as np
from av.error import FFmpegError
from av.packet import Packet
from av.video.frame import PictureType, VideoFrame

from unscene.errors import VideoError
from unscene.prepare.tone_curve import VISIBLE
from unscene.video.decode import read_clips
from unscene.video.h264_header import read_reference_count
from unscene.video.length import measure_length
from unscene.video.packets import INTRA, Packets, open_container, read_tick
from unscene.video.picture_format import PictureFormat
from unscene.video.planes import as_array
from unscene.video.probe import (
    SAMPLE,
    VECTOR_CODECS,
    check_file,
    explain_error,
    find_start,
    find_video_stream,
)
from unscene.video.sampling import Request
from unscene.video.vectors import explain_inexact

_LIGHT_EVERY = 20  # frames; brightness is measured on every 20th
_PACKETS = 20_000  # packets counted at most (11 minutes); after that, the duration gives the rest
_DAMAGED, _MISSING, _CHANGES_SIZE = "damaged", "frames missing", "changes size"
_DARK = 0.15  # mean luma; ARID, filmed at night, has 0.03 to 0.21, UCF101 0.22 to 0.71


@dataclass(frozen=True)
class Inspection:
    """Facts about one file. If it is unreadable, only path, verdict, reason and bytes are set.

    Attributes:
        reason: why the file is not ready, reasons joined by "; ".
        width, height: of the upright picture; of the largest one where the picture changes size.
        fps: average frames per second; measured where the file gives a false number.
        duration: seconds that can be read.
        frames: counted packets; estimated from the duration if `frames_estimated`.
        vectors: the decoder exports motion vectors, and not all decoded frames are key frames.
        b_frames: the stream has B-frames, or its decoder delays frames because it may have some (as
            all MPEG-1 and MPEG-2).
        references: number of frames that P-frames may refer to; None: the stream does not say.
        gop: mean number of frames from one key frame to the next.
        rotation: counterclockwise quarter turns that make the picture upright, as in `VideoInfo`.
        damaged: number of packets that were incomplete, failed to decode, or gave a frame with
            errors or without its reference.
        decoded: number of frames that were decoded to find that damage.
        missing: number of frames that the file should contain, by the length that it gives, and
            does not: it was cut short, or its download was not finished. Also those that cannot be
            decoded, because the recording lacks the key frame at its beginning.
        claimed_fps: frames per second that the file gives, if that is false; else 0.
        light: mean luma of all that is not plain black, 0 black to 1 white; None if the video is
            neither 8-bit YUV nor gray.
    """

    path: str
    verdict: Literal["ready", "needs transcoding", "unreadable"]
    reason: str = ""
    bytes: int = 0
    codec: str = ""
    container: str = ""
    pixel_format: str = ""
    width: int = 0
    height: int = 0
    fps: float = 0.0
    duration: float = 0.0
    frames: int = 0
    frames_estimated: bool = False
    vectors: bool = False
    b_frames: bool = False
    references: int | None = None
    gop: float = 0.0
    rotation: int = 0
    damaged: int = 0
    decoded: int = 0
    missing: int = 0
    claimed_fps: float = 0.0
    light: float | None = None

    @property
    def dark(self) -> bool:
        """Whether the video is so dark that brightening helps (`tone_curve`)."""
        return self.light is not None and self.light < _DARK

    @property
    def incomplete(self) -> bool:
        """Whether the file is damaged or was cut short. What is there can be read."""
        return self.damaged > 0 or self.missing > 0

    @property
    def inexact(self) -> bool:
        """Whether it has motion vectors that are not the motion since the previous frame."""
        return self.vectors and not {*self.reason.split("; ")} <= {"", _DAMAGED, _MISSING}

    @property
    def grows(self) -> bool:
        """Whether the picture changes its size. Clips have the size of their largest frame."""
        return _CHANGES_SIZE in self.reason.split("; ")

    def after_decoding_all(self, frames: int, damaged: int) -> Inspection:
        """Update the facts after all frames (or all of a segment) were decoded.

        Args:
            frames: number of decoded frames.
            damaged: number of damaged packets among them.
        """
        reasons = [reason for reason in self.reason.split("; ") if reason not in ("", _DAMAGED)]
        updated = replace(self, decoded=frames, damaged=damaged)
        return _add_verdict(updated, [_DAMAGED] * (damaged > 0) + reasons)


@dataclass
class _FrameFacts:
    """Facts about the decoded frames."""

    types: set[int] = field(default_factory=set)
    sizes: set[tuple[int, int]] = field(default_factory=set)
    interlaced: bool = False
    start: float = 0.0  # seconds before the first one


def inspect(path: str | os.PathLike[str], *, thorough: bool = False) -> Inspection:
    """Inspect one file; a file that cannot be used is "unreadable", no error is raised.

    Args:
        thorough: decode all frames, not only the first ones, to find all damage.
    """
    path = os.fspath(path)
    try:
        check_file(path)
        size = Path(path).stat().st_size
        try:
            found, frames = _decode_frames(path, None if thorough else SAMPLE)
            found, second = _count_packets(found, frames.sizes)
            _read_after(max(second, frames.start), found)
        except (FFmpegError, OSError, ValueError) as error:
            raise VideoError(path, explain_error(error)) from error
    except VideoError as error:
        size = Path(path).stat().st_size if Path(path).is_file() else 0
        return Inspection(path, "unreadable", error.reason, size)
    height, width = PictureFormat(turns=found.rotation).upright_size(max(frames.sizes, key=prod))
    found = replace(found, bytes=size, width=width, height=height)
    if frames.start:  # what lacks its key frame counts as missing
        lost = min(round(frames.start * found.fps), found.frames - 1)
        found = replace(
            found,
            missing=found.missing + lost,
            frames=found.frames - lost,
            duration=found.duration - frames.start,
        )
    return _add_verdict(found, _reasons(found, frames))


def _add_verdict(found: Inspection, reasons: Iterable[str]) -> Inspection:
    reason = "; ".join(reasons)
    return replace(found, verdict="needs transcoding" if reason else "ready", reason=reason)


def _reasons(found: Inspection, frames: _FrameFacts) -> Iterator[str]:
    if found.damaged:
        yield _DAMAGED
    if found.missing:
        yield _MISSING
    if len(frames.sizes) > 1:
        yield _CHANGES_SIZE
    if found.codec not in VECTOR_CODECS:
        yield "codec without motion vectors"
        return
    yield from explain_inexact(
        b_frames=found.b_frames, references=found.references, interlaced=frames.interlaced
    )
    if frames.types <= INTRA and found.frames > 1:
        yield "key frames only"


def _decode_frames(path: str, limit: int | None) -> tuple[Inspection, _FrameFacts]:
    """Collect the facts that decoding shows: size, damage, frame types."""
    facts, count, first, references = _FrameFacts(), 0, None, None
    lights: list[float] = []
    with open_container(path) as container:
        stream = find_video_stream(container, path)
        context = stream.codec_context
        codec = context.codec.canonical_name
        packets = Packets(container, stream)
        if codec == "h264":
            references = read_reference_count(context.extradata or b"")
        for packet, frames in packets:
            if codec == "h264" and references is None and packet.size:
                references = read_reference_count(bytes(packet))
            for frame in frames:
                first = first or frame
                if count % _LIGHT_EVERY == 0 and (light := _measure_light(frame)) is not None:
                    lights.append(light)
                count += 1
                facts.interlaced |= frame.interlaced_frame
                facts.types.add(frame.pict_type)
                facts.sizes.add((frame.height, frame.width))
            if limit is not None and count >= limit:
                break
        if first is None:
            because = "" if packets.damage is None else f": {explain_error(packets.damage)}"
            raise VideoError(path, f"no frame can be decoded{because}")
        known = codec in VECTOR_CODECS
        facts.start = find_start(container, stream, first)
        length = measure_length(path, container, stream)
        found = Inspection(
            path=path,
            verdict="ready",
            codec=codec,
            container=container.format.name.partition(",")[0],
            pixel_format=first.format.name,
            fps=length.fps,
            duration=length.duration,
            missing=round(length.missing * length.fps),
            claimed_fps=0.0 if length.claimed_fps == length.fps else length.claimed_fps,
            vectors=known and not facts.types <= INTRA,
            b_frames=int(PictureType.B) in facts.types or bool(context.has_b_frames),
            references=references if codec == "h264" else 1 if known else None,
            rotation=PictureFormat.of(first).turns,
            damaged=packets.damaged,
            decoded=count,
            light=round(sum(lights) / len(lights), 3) if lights else None,
        )
    return found, facts


def _measure_light(frame: VideoFrame) -> float | None:
    kind = frame.format
    if kind.components[0].bits != 8 or not kind.name.startswith(("yuv", "nv", "gray")):
        return None
    black, white = (0, 255) if PictureFormat.of(frame).full_range else (16, 235)
    seen = as_array(frame.planes[0])[::4, ::4]
    seen = seen[seen > black + VISIBLE - 16]
    return float(np.clip((seen.mean() - black) / (white - black), 0, 1)) if seen.size else 0.0


def _decode_sizes(stream: av.VideoStream, packet: Packet) -> set[tuple[int, int]]:
    """Decode a key frame alone, and return its size (H, W)."""
    context = stream.codec_context
    with suppress(FFmpegError):
        frames = [*context.decode(packet), *context.decode(None)]
        return {(frame.height, frame.width) for frame in frames}
    return set()


def _count_packets(found: Inspection, sizes: set[tuple[int, int]]) -> tuple[Inspection, float]:
    """Add the facts that packets show without decoding: number, key frames, reordering.

    Of the key frames that were not decoded before, the one of the most bytes is decoded, and its
    size (H, W) is added to `sizes`: the picture of a call may grow later.

    Returns:
        The facts, and the time of the second key frame; 0 if there is none.
    """
    second, count, keys = 0.0, 0, list[int]()
    largest: Packet | None = None
    latest, sent = -float("inf"), -float("inf")
    reordered, complete = False, True
    with open_container(found.path) as container:
        stream = find_video_stream(container, found.path)
        stream.thread_type = "NONE"
        tick, start = read_tick(stream), stream.start_time or 0
        # AVI has no presentation times; those that FFmpeg makes up jump back and forth.
        decoding_times = found.container == "avi"
        try:
            for packet in container.demux(stream):
                if not packet.size or packet.is_discard:
                    continue
                if count == _PACKETS:
                    complete = False
                    break
                if packet.is_keyframe:
                    keys.append(count)
                    stamp = packet.dts if decoding_times or packet.pts is None else packet.pts
                    if len(keys) == 2 and stamp is not None:
                        second = (stamp - start) * tick
                    if count >= found.decoded and packet.size > getattr(largest, "size", 0):
                        largest = packet
                count += 1
                if packet.pts is not None and not decoding_times:
                    if packet.dts is not None:
                        latest = latest if packet.dts >= sent else packet.pts  # a clock set back
                        sent = packet.dts
                    reordered |= packet.pts < latest
                    latest = packet.pts
        except FFmpegError:
            complete = False
        if largest is not None:
            sizes.update(_decode_sizes(stream, largest))
    found = replace(
        found,
        frames=count if complete else max(count, round(found.duration * found.fps)),
        frames_estimated=not complete,
        gop=(keys[-1] - keys[0]) / (len(keys) - 1) if len(keys) > 1 else count,
        b_frames=found.b_frames or reordered,
    )
    return found, second


def _read_after(key: float, found: Inspection) -> None:
    """Read a frame as training does: a little after the time of a key frame, which takes a seek.

    Raises:
        VideoError: that fails.
    """
    at = key + 2 / found.fps
    request = Request(at, {"frame": (0,)}, motion=("frame",) if found.vectors else ())
    try:
        read_clips(found.path, request, fps=found.fps)
    except VideoError as error:
        raise VideoError(
            found.path, f"no clip can be read at {at:.1f} s: {error.reason}"
        ) from error
