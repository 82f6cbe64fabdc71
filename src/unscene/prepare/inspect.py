"""What a file offers a reader of motion vectors: a verdict and the facts behind it.

ready               a vector is the motion from the frame before: no B-frames, one reference, no
                    interlacing (`vectors.explain_inexact`)
needs transcoding   readable, but without vectors or with vectors of another meaning
unreadable          no frame can be decoded

Packets are counted without decoding; types of frames and damage come from the first frames, unless
all are to be decoded.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np
from av.error import FFmpegError
from av.video.frame import PictureType, VideoFrame

from unscene.errors import VideoError
from unscene.prepare.tone_curve import VISIBLE
from unscene.video.h264_header import read_reference_count
from unscene.video.packets import INTRA, Packets, open_container
from unscene.video.picture_format import PictureFormat
from unscene.video.planes import as_array
from unscene.video.probe import (
    SAMPLE,
    VECTOR_CODECS,
    check_file,
    explain_error,
    find_frame_rate,
    find_video_stream,
    measure_duration,
)
from unscene.video.vectors import explain_inexact

Verdict = Literal["ready", "needs transcoding", "unreadable"]
_GLANCE = 20  # the light of every so many of them is measured
_PACKETS = 20_000  # counted at most: 11 minutes; further frames are estimated from the duration
_DAMAGED = "damaged"
_DARK = 0.15  # mean luma; of ARID, filmed at night, it is 0.03 to 0.21, of UCF101 0.22 to 0.71


@dataclass(frozen=True)
class Inspection:
    """Facts about one file; where it is unreadable only path, verdict, reason and bytes count.

    Attributes:
        reason: why it is not ready, reasons joined by "; ".
        width, height: of the upright picture.
        frames: counted packets; estimated from the duration where `frames_estimated`.
        references: frames that P-frames may refer to; None where the stream does not say.
        gop: mean number of frames from one key frame to the next.
        rotation: counter-clockwise quarter turns that make the picture upright, as in `VideoInfo`.
        b_frames: there are some, or the decoder keeps frames back for them, as for all MPEG-1 and
            MPEG-2: the reader does not call such vectors exact.
        damaged: packets that were incomplete, failed, or gave a frame with errors or one without
            its reference.
        decoded: how many frames were decoded to know that.
        missing: frames that an AVI speaks of and does not hold. (What other containers say of their
            length may count what is not to be shown.)
        light: mean luma of what is not plain black (bars are), 0 black to 1 white; None where it
            is not 8-bit YUV or gray.
    """

    path: str
    verdict: Verdict
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
    light: float | None = None

    @property
    def dark(self) -> bool:
        """Whether brightening would show what is hardly to be seen (`levels`)."""
        return self.light is not None and self.light < _DARK

    def decoded_whole(self, frames: int, damaged: int) -> Inspection:
        """The same after all frames were decoded, so many, or of a segment all of its own."""
        reasons = [reason for reason in self.reason.split("; ") if reason not in ("", _DAMAGED)]
        seen = replace(self, decoded=frames, damaged=damaged)
        return _judged(seen, [_DAMAGED] * (damaged > 0) + reasons)


@dataclass
class _Seen:
    """What the decoded frames showed."""

    kinds: set[int] = field(default_factory=set)
    sizes: set[tuple[int, int]] = field(default_factory=set)
    interlaced: bool = False


def inspect(path: str | os.PathLike[str], *, thorough: bool = False) -> Inspection:
    """Check one file; never raises for what is wrong with it.

    Args:
        thorough: decode all frames, not only the first, to find all damage.
    """
    path = os.fspath(path)
    try:
        check_file(path)
        size = Path(path).stat().st_size
        try:
            found, seen = _decoded(path, None if thorough else SAMPLE)
            found = _counted(found)
        except (FFmpegError, OSError, ValueError) as error:
            raise VideoError(path, explain_error(error)) from error
    except VideoError as error:
        size = Path(path).stat().st_size if Path(path).is_file() else 0
        return Inspection(path, "unreadable", error.reason, size)
    found = replace(found, bytes=size)
    return _judged(found, _reasons(found, seen))


def _judged(found: Inspection, reasons: Iterable[str]) -> Inspection:
    reason = "; ".join(reasons)
    return replace(found, verdict="needs transcoding" if reason else "ready", reason=reason)


def _reasons(found: Inspection, seen: _Seen) -> Iterator[str]:
    if found.damaged:
        yield _DAMAGED
    if found.missing:
        yield "frames missing"
    if found.codec not in VECTOR_CODECS:
        yield "codec without motion vectors"
        return
    yield from explain_inexact(
        b_frames=found.b_frames, references=found.references, interlaced=seen.interlaced
    )
    if len(seen.sizes) > 1:
        yield "changes size"
    if seen.kinds <= INTRA and found.frames > 1:
        yield "key frames only"


def _decoded(path: str, limit: int | None) -> tuple[Inspection, _Seen]:
    """What decoding tells: size, damage, what kinds of frames there are."""
    seen, count, first, references = _Seen(), 0, None, None
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
                if count % _GLANCE == 0 and (light := _light(frame)) is not None:
                    lights.append(light)
                count += 1
                seen.interlaced |= frame.interlaced_frame
                seen.kinds.add(frame.pict_type)
                seen.sizes.add((frame.height, frame.width))
            if limit is not None and count >= limit:
                break
        if first is None:
            because = "" if packets.damage is None else f": {explain_error(packets.damage)}"
            raise VideoError(path, f"no frame can be decoded{because}")
        known = codec in VECTOR_CODECS
        picture_format = PictureFormat.of(first)
        height, width = picture_format.upright_size((first.height, first.width))
        fps = find_frame_rate(stream)
        found = Inspection(
            path=path,
            verdict="ready",
            codec=codec,
            container=container.format.name.partition(",")[0],
            pixel_format=first.format.name,
            width=width,
            height=height,
            fps=fps,
            vectors=known and not seen.kinds <= INTRA,
            b_frames=int(PictureType.B) in seen.kinds or bool(context.has_b_frames),
            references=references if codec == "h264" else 1 if known else None,
            rotation=picture_format.turns,
            damaged=packets.damaged,
            decoded=count,
            frames=stream.frames,
            duration=measure_duration(container, stream, fps),
            light=round(sum(lights) / len(lights), 3) if lights else None,
        )
    return found, seen


def _light(frame: VideoFrame) -> float | None:
    kind = frame.format
    if kind.components[0].bits != 8 or not kind.name.startswith(("yuv", "nv", "gray")):
        return None
    black, white = (0, 255) if PictureFormat.of(frame).full_range else (16, 235)
    seen = as_array(frame.planes[0])[::4, ::4]
    seen = seen[seen > black + VISIBLE - 16]
    return float(np.clip((seen.mean() - black) / (white - black), 0, 1)) if seen.size else 0.0


def _counted(found: Inspection) -> Inspection:
    """What the packets tell without decoding: how many there are, key frames, reordering."""
    count, passed_over, keys = 0, 0, list[int]()
    latest, sent = -float("inf"), -float("inf")
    reordered, whole = False, True
    with open_container(found.path) as container:
        stream = find_video_stream(container, found.path)
        try:
            for packet in container.demux(stream):
                if not packet.size or packet.is_discard:
                    passed_over += packet.dts is not None  # else it is the end
                    continue
                if count == _PACKETS:
                    whole = False
                    break
                if packet.is_keyframe:
                    keys.append(count)
                count += 1
                # AVI has no presentation times; what FFmpeg makes up for it runs to and fro.
                if packet.pts is not None and found.container != "avi":
                    if packet.dts is not None:
                        latest = latest if packet.dts >= sent else packet.pts  # a clock set back
                        sent = packet.dts
                    reordered |= packet.pts < latest
                    latest = packet.pts
        except FFmpegError:
            whole = False
    claimed = found.frames or round(found.duration * found.fps)
    missing = max(0, found.frames - count - passed_over)
    missing = missing if whole and found.container == "avi" else 0
    return replace(
        found,
        missing=missing,
        frames=count if whole else max(count, claimed),
        frames_estimated=not whole,
        gop=(keys[-1] - keys[0]) / (len(keys) - 1) if len(keys) > 1 else count,
        b_frames=found.b_frames or reordered,
    )
