"""Files -> clips: one PyAV pass per window.

A pass seeks to the key frame before the window, decodes forward and keeps only what was asked for:
the planes of the wanted frames, and on request every frame's motion vectors and the key frame. A
window late in a long file costs what one at the start costs; memory is that of the wanted frames.

The decoder runs on one thread: parallelism comes from the workers, and under frame threading the
H.264 decoder exports different vectors on every run (methods.md, section 4).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field

import av
import numpy as np
import torch
from av.error import FFmpegError
from av.video.frame import PictureType, VideoFrame

from unscene.errors import VideoError
from unscene.video.clip import Clip, Motion
from unscene.video.packets import open_container, vectors_of
from unscene.video.planes import FrameStack, PlaneReader
from unscene.video.probe import VECTOR_CODECS, check_file, video_stream, why
from unscene.video.sampling import Request
from unscene.video.timestamps import TimedFrames
from unscene.video.vectors import BLOCK, BlockFields, exact_so_far, joined, upright_field

_BIDIRECTIONAL = frozenset({int(PictureType.B), int(PictureType.BI)})


@dataclass
class _Pass:
    """Frames found while decoding forward once: by index, counted from the pass's first frame."""

    stack: FrameStack
    key: FrameStack
    fields: BlockFields  # of the frames whose vectors are wanted
    places: dict[int, int] = field(default_factory=dict)  # of a frame in the stack
    frames: int | None = None  # how many there are until the end, once the end was seen


def read_clips(
    path: str | os.PathLike[str],
    request: Request,
    *,
    start: float = 0.0,
    end: float | None = None,
    short_side: int | None = None,
) -> dict[str, Clip]:
    """Read every clip of a request in one pass over the file (two or three where it loops).

    Args:
        path: a video file.
        request: what to read, see `sampling`; `request.at` counts from `start`.
        start, end: the segment of the file that counts as the video, in seconds.
        short_side: shrink larger frames to this short side, in pixels.

    Returns:
        The clips by name; "key" among them if the request wants the key frame.

    Raises:
        VideoError: the file cannot be opened, has no video, no frame in the segment, or motion
            vectors are wanted and the codec has none, or pictures of another size among them.
    """
    path = os.fspath(path)
    check_file(path)
    try:
        with open_container(path) as container:
            return _Reader(container, path, start, end, short_side, request).read()
    except (FFmpegError, OSError, ValueError) as error:
        raise VideoError(path, why(error)) from error


class _Reader:
    def __init__(
        self,
        container: av.container.InputContainer,
        path: str,
        start: float,
        end: float | None,
        short_side: int | None,
        request: Request,
    ) -> None:
        self.path, self.request = path, request
        self.start, self.end = start, end
        self.motion = {*request.motion, *request.motion_only}
        context = video_stream(container, path).codec_context
        codec = context.codec.canonical_name
        if self.motion and codec not in VECTOR_CODECS:
            raise VideoError(path, f"{codec} carries no motion vectors; pass --flow auto")
        options = {"flags2": "+export_mvs"} if self.motion else {}
        self.timed = TimedFrames(container, path, options)
        self.to_planes = PlaneReader(short_side)
        self.coded_size = (0, 0)  # of the frames whose vectors are wanted, in luma pixels
        self.interlaced = False

    def read(self) -> dict[str, Clip]:
        request = self.request
        shown = {
            offset
            for name, offsets in request.offsets.items()
            if name not in request.motion_only
            for offset in offsets
        }
        moving = {
            offset
            for name in self.motion
            for offset in range(request.offsets[name][0], request.offsets[name][-1] + 1)
        }
        tail = self._pass(self.start + request.at, shown, moving)
        place: dict[int, tuple[_Pass, int]] = {o: (tail, o) for o in shown | moving}
        if tail.frames is not None and max(place) >= tail.frames:
            self._loop(tail, shown, moving, place)
        clips = {}
        for name, offsets in request.offsets.items():
            still = name in request.motion_only
            clip = self._no_frames() if still else self._clip(offsets, place)
            if name in self.motion:
                clip = clip.replace(motion=self._motion(offsets, place))
            clips[name] = clip
        if request.key_frame is not None:
            if not tail.key.times:
                raise VideoError(self.path, "no key frame before the window")
            clips["key"] = self._stack([(tail.key, 0)])
        return clips

    def _loop(
        self, tail: _Pass, shown: set[int], moving: set[int], place: dict[int, tuple[_Pass, int]]
    ) -> None:
        """Past the end the window goes on at the beginning, as often as it takes."""
        assert tail.frames is not None
        gone = tail.frames

        def after(offsets: set[int]) -> set[int]:
            return {o - gone for o in offsets if o >= gone}

        head = self._pass(self.start, after(shown), after(moving))
        total = head.frames
        if total == 0:
            raise self._nothing()
        if gone == 0:  # the window begins at the beginning
            tail.key = head.key
        if total is not None and max(after(shown | moving)) >= total:
            head = self._pass(
                self.start,
                {o % total for o in after(shown)},
                {o % total for o in after(moving)},
            )
        for offset in place:
            if offset >= gone:
                index = offset - gone
                place[offset] = (head, index if total is None else index % total)

    def _pass(self, at: float, shown: set[int], moving: set[int]) -> _Pass:
        """Decode from the key frame before `at` until the last wanted frame or the end."""
        found = _Pass(
            FrameStack(self.to_planes, len(shown)),
            FrameStack(self.to_planes, 1),
            BlockFields(len(moving), self.timed.codec),
        )
        fields, last = found.fields, max(shown | moving)
        half = 0.5 / self.timed.fps
        index = -1
        for frame, time in self.timed.around(at - half):
            if self.end is not None and time >= self.end - half:
                found.frames = index + 1
                break
            early = time < at - half
            index += not early
            if frame.key_frame and self._is_wanted_key(index, found):
                found.key.add(frame, time)
            if moving:
                fields.show(bidirectional=frame.pict_type in _BIDIRECTIONAL)
            if early:
                continue
            if index in shown:
                found.places[index] = len(found.places)
                found.stack.add(frame, time)
            if index in moving:
                self._add_vectors(fields, index, frame)
            # Vectors of a B-frame may count from the P-frame that follows.
            if index >= last and not fields.waiting:
                break
        else:
            found.frames = index + 1
        fields.finish()
        return found

    def _is_wanted_key(self, index: int, found: _Pass) -> bool:
        """Whether the key frame `index` takes the place of what was found before."""
        wanted = self.request.key_frame
        return wanted is not None and (index <= wanted or not found.key.times)

    def _add_vectors(self, fields: BlockFields, index: int, frame: VideoFrame) -> None:
        if (frame.height, frame.width) != self.coded_size:
            self._take_size(frame)
        self.interlaced |= frame.interlaced_frame
        fields.add(index, vectors_of(frame), self.coded_size)

    def _take_size(self, frame: VideoFrame) -> None:
        """Of the first frame with vectors; there is no common grid for others."""
        if self.coded_size != (0, 0):
            raise VideoError(self.path, "changes size in a window of motion vectors")
        self.to_planes.settle(frame)
        self.coded_size = (frame.height, frame.width)

    def _clip(self, offsets: Sequence[int], place: dict[int, tuple[_Pass, int]]) -> Clip:
        chosen = []
        for offset in offsets:
            found, index = place[offset]
            if index not in found.places:
                raise self._nothing()
            chosen.append((found.stack, found.places[index]))
        return self._stack(chosen)

    def _no_frames(self) -> Clip:
        """Planes of no frame, for a clip of which only the motion is wanted."""
        height, width = self.to_planes.picture_format.upright_size(self.coded_size)
        y = torch.empty((0, height, width), dtype=torch.uint8)
        chroma = torch.empty((0, (height + 1) // 2, (width + 1) // 2), dtype=torch.uint8)
        return Clip(y, chroma, chroma.clone(), torch.empty(0, dtype=torch.float64))

    def _nothing(self) -> VideoError:
        damage = self.timed.packets.damage
        because = "" if damage is None else f": {why(damage)}"
        return VideoError(self.path, f"no frame can be decoded in this part of the file{because}")

    def _stack(self, frames: Sequence[tuple[FrameStack, int]]) -> Clip:
        stack, first = frames[0]
        if all(frame == (stack, first + i) for i, frame in enumerate(frames)):
            planes = stack.planes(first, len(frames))  # as they lie: nothing is copied
        else:
            each = [stack.planes(place, 1) for stack, place in frames]
            luma, blue, red = (np.concatenate(parts) for parts in zip(*each, strict=True))
            planes = luma, blue, red
        picture_format = self.to_planes.picture_format
        y, u, v = (
            torch.from_numpy(np.ascontiguousarray(picture_format.upright(plane)))
            for plane in planes
        )
        times = [stack.times[place] for stack, place in frames]
        seconds = torch.tensor(times, dtype=torch.float64)
        return Clip(y, u, v, seconds, picture_format.full_range, picture_format.matrix)

    def _motion(self, offsets: Sequence[int], place: dict[int, tuple[_Pass, int]]) -> Motion:
        dense = range(offsets[0], offsets[-1] + 1)
        frames = [
            # Where the window loops, the codec's reference is not the frame before in the window.
            (found.fields, index) if index > 0 or offset == dense[0] else None
            for offset, (found, index) in ((o, place[o]) for o in dense)
        ]
        try:
            vectors, valid = joined(frames)
        except LookupError as error:
            raise self._nothing() from error
        picture_format = self.to_planes.picture_format
        vectors, valid = upright_field(vectors, valid, self.coded_size, picture_format)
        return Motion(
            vectors=torch.from_numpy(vectors),
            valid=torch.from_numpy(valid),
            frames=torch.tensor([offset - offsets[0] for offset in offsets]),
            size=picture_format.upright_size(self.coded_size),
            block=BLOCK,
            exact=exact_so_far(
                self.timed.stream.codec_context, self.timed.codec, interlaced=self.interlaced
            )
            and all(place[o][0].fields.plain for o in offsets),
        )
