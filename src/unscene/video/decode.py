"""A video file -> clips: one decoding pass per request.

A pass seeks to the key frame before the clip, decodes forward and keeps only what the request asks
for: the planes of some frames and, on demand, motion vectors of every frame and the key frame. A
clip late in a long file costs as much as one at the start. Memory is that of the requested frames.

The decoder runs on one thread: parallelism comes from the workers, and under frame threading the
H.264 decoder exports different vectors on every run (methods.md, section 4).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from av.error import FFmpegError
from av.video.frame import PictureType, VideoFrame

from unscene.errors import VideoError
from unscene.video.clip import Clip, Motion
from unscene.video.packets import read_vectors
from unscene.video.planes import FrameStack, PictureGrew, PlaneReader
from unscene.video.probe import VECTOR_CODECS, check_file, explain_error
from unscene.video.sampling import Request
from unscene.video.timestamps import TimedFrames
from unscene.video.vectors import (
    BLOCK,
    BlockFields,
    has_exact_vectors,
    join_fields,
    orient_field,
)

_MOTION = {"flags2": "+export_mvs"}
# What makes pictures of what was parsed. Vectors are in the bitstream and stay the same.
_NO_PICTURES = {"skip_loop_filter": "all", "skip_idct": "all"}
_BIDIRECTIONAL = frozenset({int(PictureType.B), int(PictureType.BI)})


@dataclass
class _Pass:
    """What one pass of decoding found; frames are numbered from the pass's first one."""

    stack: FrameStack
    key: FrameStack
    fields: BlockFields  # motion vectors of the frames that want them
    slots: dict[int, int] = field(default_factory=dict)  # position of each frame in the stack
    length: int | None = None  # number of frames up to the end of the video, if the end was reached


_Located = dict[int, tuple[_Pass, int]]  # for each offset of a request: its pass, its number there


def read_clips(
    path: str | os.PathLike[str],
    request: Request,
    *,
    start: float = 0.0,
    end: float | None = None,
    fps: float | None = None,
    short_side: int | None = None,
) -> dict[str, Clip]:
    """Read every clip of a request in one pass over the file.

    Clips that wrap around the end of the video take a second or third pass.

    Args:
        path: a video file.
        request: what to read, see `sampling`; `request.at` counts from `start`.
        start, end: the segment of the file that counts as the video, in seconds.
        fps: frames per second as `probe` measured them; None: as the file says, which may be false.
        short_side: shrink larger frames to this short side, in pixels.

    Returns:
        The clips by name, and the clip "key" if the request wants the key frame.

    Raises:
        VideoError: the file cannot be opened, has no video stream or no frame in the segment; or
            motion vectors are requested, and the codec has none or the picture changes size.
    """
    path = os.fspath(path)
    check_file(path)
    try:
        options = _MOTION if request.motion or request.motion_only else None
        if options and not request.shows_pictures:
            options = _MOTION | _NO_PICTURES
        with TimedFrames(path, options, fps) as timed:
            return _Reader(timed, path, start, end, short_side, request).read()
    except (FFmpegError, OSError, ValueError) as error:
        raise VideoError(path, explain_error(error)) from error


class _Reader:
    """An open file and the request to read from it."""

    def __init__(
        self,
        timed: TimedFrames,
        path: str,
        start: float,
        end: float | None,
        short_side: int | None,
        request: Request,
    ) -> None:
        self.timed, self.path, self.request = timed, path, request
        self.start, self.end = start, end
        self.motion = {*request.motion, *request.motion_only}
        if self.motion and timed.codec not in VECTOR_CODECS:
            raise VideoError(
                path, f"{timed.codec} carries no motion vectors: `unscene prepare`, or --flow auto"
            )
        self.to_planes = PlaneReader(short_side)
        self.coded_size = (0, 0)  # of the frames whose vectors are read, in luma pixels
        self.interlaced = False

    def read(self) -> dict[str, Clip]:
        while True:
            try:
                return self._read()
            except PictureGrew:  # such as a call that starts small
                self.coded_size, self.interlaced = (0, 0), False

    def _read(self) -> dict[str, Clip]:
        request = self.request
        pixels = {
            offset
            for name, offsets in request.offsets.items()
            if name not in request.motion_only
            for offset in offsets
        }
        vectors = {
            offset
            for name in self.motion
            for offset in range(request.offsets[name][0], request.offsets[name][-1] + 1)
        }
        first = self._decode(self.start + request.at, pixels, vectors)
        located: _Located = {offset: (first, offset) for offset in pixels | vectors}
        if first.length is not None and max(located) >= first.length:
            self._wrap_around(first, pixels, vectors, located)
        clips = {}
        for name, offsets in request.offsets.items():
            no_pixels = name in request.motion_only
            clip = self._empty_clip() if no_pixels else self._make_clip(offsets, located)
            if name in self.motion:
                clip = clip.replace(motion=self._make_motion(offsets, located))
            clips[name] = clip
        if request.key_frame is not None:
            if not first.key.times:
                raise VideoError(self.path, "no key frame before the clip")
            clips["key"] = self._stack([(first.key, 0)])
        return clips

    def _wrap_around(
        self, first: _Pass, pixels: set[int], vectors: set[int], located: _Located
    ) -> None:
        """Locate the offsets past the end: they go on at the start, as often as it takes."""
        assert first.length is not None
        rest = first.length

        def beyond(offsets: set[int]) -> set[int]:
            return {offset - rest for offset in offsets if offset >= rest}

        again = self._decode(self.start, beyond(pixels), beyond(vectors))
        total = again.length
        if total == 0:
            raise self._no_frame()
        if rest == 0:  # the request itself begins at the start of the video
            first.key = again.key
        if total is not None and max(beyond(pixels | vectors)) >= total:
            again = self._decode(
                self.start,
                {offset % total for offset in beyond(pixels)},
                {offset % total for offset in beyond(vectors)},
            )
        for offset in located:
            if offset >= rest:
                number = offset - rest
                located[offset] = (again, number if total is None else number % total)

    def _decode(self, at: float, pixels: set[int], vectors: set[int]) -> _Pass:
        """Decode from the key frame before `at` to the last requested frame or the end."""
        found = self._decode_in_order(at, pixels, vectors)
        return self._decode_in_order(at, pixels, vectors) if self.timed.put_in_order() else found

    def _decode_in_order(self, at: float, pixels: set[int], vectors: set[int]) -> _Pass:
        found = _Pass(
            FrameStack(self.to_planes, len(pixels)),
            FrameStack(self.to_planes, 1),
            BlockFields(len(vectors), self.timed.codec),
        )
        fields, last = found.fields, max(pixels | vectors)
        half = 0.5 / self.timed.fps
        number = -1
        for frame, time in self.timed.iterate_around(at - half):
            if self.end is not None and time >= self.end - half:
                found.length = number + 1
                break
            # A clock that is set back inside a clip does not tear it apart.
            early = number < 0 and time < at - half
            number += not early
            if frame.key_frame and self._is_wanted_key(number, found):
                found.key.add(frame, time)
            if vectors:
                fields.advance(bidirectional=frame.pict_type in _BIDIRECTIONAL)
            if early:
                continue
            if number in pixels:
                found.slots[number] = len(found.slots)
                found.stack.add(frame, time)
            if number in vectors:
                self._add_vectors(fields, number, frame)
            # Vectors of a B-frame may count from the P-frame that follows.
            if number >= last and not fields.waiting:
                break
        else:
            found.length = number + 1
        fields.finish()
        return found

    def _is_wanted_key(self, number: int, found: _Pass) -> bool:
        """Whether this key frame replaces the one that was found before."""
        wanted = self.request.key_frame
        return wanted is not None and (number <= wanted or not found.key.times)

    def _add_vectors(self, fields: BlockFields, number: int, frame: VideoFrame) -> None:
        size = frame.height, frame.width
        if self.coded_size == (0, 0):
            self.to_planes.settle(frame)
            self.coded_size = size
        elif size != self.coded_size:  # there is no common grid
            raise VideoError(
                self.path,
                "picture changes size inside a clip with motion vectors: `unscene prepare` writes "
                "a copy of one size",
            )
        self.interlaced |= frame.interlaced_frame
        fields.add(number, read_vectors(frame), size)

    def _make_clip(self, offsets: Sequence[int], located: _Located) -> Clip:
        chosen = []
        for offset in offsets:
            found, number = located[offset]
            if number not in found.slots:
                raise self._no_frame()
            chosen.append((found.stack, found.slots[number]))
        return self._stack(chosen)

    def _empty_clip(self) -> Clip:
        """A clip of no frames, for a request of motion vectors only."""
        height, width = self.to_planes.picture_format.upright_size(self.coded_size)
        y = torch.empty((0, height, width), dtype=torch.uint8)
        chroma = torch.empty((0, (height + 1) // 2, (width + 1) // 2), dtype=torch.uint8)
        return Clip(y, chroma, chroma.clone(), torch.empty(0, dtype=torch.float64))

    def _no_frame(self) -> VideoError:
        damage = self.timed.packets.damage
        because = "" if damage is None else f": {explain_error(damage)}"
        return VideoError(self.path, f"no frame can be decoded in this part of the file{because}")

    def _stack(self, frames: Sequence[tuple[FrameStack, int]]) -> Clip:
        stack, first = frames[0]
        if all(frame == (stack, first + i) for i, frame in enumerate(frames)):
            planes = stack.planes(first, len(frames))  # contiguous: nothing is copied
        else:
            each = [stack.planes(slot, 1) for stack, slot in frames]
            luma, blue, red = (np.concatenate(parts) for parts in zip(*each, strict=True))
            planes = luma, blue, red
        picture = self.to_planes.picture_format
        y, u, v = (
            torch.from_numpy(np.ascontiguousarray(picture.upright(plane))) for plane in planes
        )
        times = torch.tensor([stack.times[slot] for stack, slot in frames], dtype=torch.float64)
        return Clip(y, u, v, times, picture.full_range, picture.matrix)

    def _make_motion(self, offsets: Sequence[int], located: _Located) -> Motion:
        every = range(offsets[0], offsets[-1] + 1)
        frames = [
            # Where the clip wraps around, the codec's reference is not the clip's previous frame.
            (found.fields, number) if number > 0 or offset == every[0] else None
            for offset, (found, number) in ((o, located[o]) for o in every)
        ]
        try:
            vectors, valid = join_fields(frames)
        except LookupError as error:
            raise self._no_frame() from error
        picture = self.to_planes.picture_format
        vectors, valid = orient_field(vectors, valid, self.coded_size, picture)
        exact = has_exact_vectors(
            self.timed.stream.codec_context, self.timed.codec, interlaced=self.interlaced
        )
        return Motion(
            vectors=torch.from_numpy(vectors),
            valid=torch.from_numpy(valid),
            frames=torch.tensor([offset - offsets[0] for offset in offsets]),
            size=picture.upright_size(self.coded_size),
            block=BLOCK,
            exact=exact and all(located[o][0].fields.past_only for o in offsets),
        )
