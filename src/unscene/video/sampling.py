"""The length of a video and a random generator -> which frames to read (a `Request`).

A request is one point in time and, for every clip, frame offsets counted from that point. The
reader (`decode`) then makes one pass over the file.

    video     |--------------------------------------------------------------|
    at                    v
    frames    . . . . . . 0 1 2 3 4 5 6 7 8 9 . . . . . . . . . . . . . . . .
    clip                  x       x       x       x            (stride 4, T = 4)
    shifted                   x       x       x       x        (tau = 2)

A clip that runs past the end of the video (or of its start..end segment) wraps around to the start.
Equation 4 of the DSM paper (arXiv 2009.05757) asks for this; videos shorter than a clip get it too:

    video     |0 1 2 3 4 5 6|
    clip       x       x     x       x          offsets 0 4 8 12 -> frames 0 4 1 5
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Literal, Protocol

import numpy as np

from unscene.errors import UnsceneError, check_at_least

_NEAR = 64  # frames: what lies so close to a clip is decoded rather than sought


@dataclass(frozen=True)
class Request:
    """What to read in one pass over a video.

    Attributes:
        at: seconds from the start of the video (or segment). Offset 0 is the first frame that is
            displayed at or after this time, give or take half a frame.
        offsets: for every clip, by its name, its frames as offsets from `at`.
        motion: names of the clips that also need motion vectors.
        key_frame: also return the last key frame at or before this offset, as the clip "key". If
            there is none so early, return the first key frame after it.
        motion_only: names of the clips that need motion vectors and no pixels: vectors of all
            frames from the first offset to the last, and planes of T = 0 frames.
    """

    at: float
    offsets: dict[str, tuple[int, ...]]
    motion: tuple[str, ...] = ()
    key_frame: int | None = None
    motion_only: tuple[str, ...] = ()

    @property
    def shows_pictures(self) -> bool:
        """Whether any frame is requested, and not motion vectors only."""
        return self.key_frame is not None or set(self.motion_only) != self.offsets.keys()


def join_requests(requests: Sequence[Request], fps: float) -> tuple[Request, list[dict[str, str]]]:
    """Join the first requests of one video that lie near each other, to be read in one pass.

    Args:
        requests: all of motion vectors only, or all of frames.
        fps: frames per second of the video.

    Returns:
        A request, and for each one that is in it the names of its clips there.

    >>> parts = [Request(at, {"clip": (0, 2)}, motion_only=("clip",)) for at in (1.0, 2.0, 60.0)]
    >>> joined, names = join_requests(parts, fps=25.0)
    >>> joined.at, joined.offsets, names[1]
    (1.0, {'0 clip': (0, 2), '1 clip': (25, 27)}, {'clip': '1 clip'})
    """
    offsets: dict[str, tuple[int, ...]] = {}
    names: list[dict[str, str]] = []
    # The first frame that is displayed at or after a time, give or take half a frame.
    first = [math.ceil(request.at * fps - 0.5 - 1e-6) for request in requests]
    end = first[0]
    for number, (request, begin) in enumerate(zip(requests, first, strict=True)):
        if not first[max(number - 1, 0)] <= begin <= end + _NEAR:
            break
        end = begin + max(wanted[-1] for wanted in request.offsets.values())
        names.append({name: f"{number} {name}" for name in request.offsets})
        for name, wanted in request.offsets.items():
            offsets[f"{number} {name}"] = tuple(begin - first[0] + offset for offset in wanted)
    motion_only = tuple(offsets) if requests[0].motion_only else ()
    return Request(requests[0].at, offsets, motion_only=motion_only), names


class ClipSampler(Protocol):
    """Draws request `number` for a video of `duration` seconds at `fps` frames per second.

    The draw depends on the arguments and on the state of `rng` only. A sampler with an attribute
    `joins` that is True draws clips that lie side by side: several are read in one pass.
    """

    def draw(
        self, duration: float, fps: float, rng: np.random.Generator, number: int = 0
    ) -> Request: ...


@dataclass(frozen=True)
class VectorSampler:
    """Draws what another sampler draws, as motion vectors instead of frames.

    Attributes:
        sampler: the other one.

    >>> sampler = VectorSampler(RandomClipSampler(4, stride=2))
    >>> request = sampler.draw(10.0, fps=25.0, rng=np.random.default_rng(0))
    >>> request.offsets, request.motion_only
    ({'clip': (0, 2, 4, 6)}, ('clip',))
    """

    sampler: ClipSampler
    joins: ClassVar[bool] = True

    def draw(
        self, duration: float, fps: float, rng: np.random.Generator, number: int = 0
    ) -> Request:
        request = self.sampler.draw(duration, fps, rng, number)
        return replace(request, motion=(), motion_only=tuple(request.offsets), key_frame=None)


def draw_shift(shift: tuple[int, int], rng: np.random.Generator, room: int | None = None) -> int:
    """Draw the temporal shift tau ~ U{alpha1..alpha2}, both ends included.

    Args:
        shift: (alpha1, alpha2).
        room: upper limit for tau in frames, though tau is never below alpha1; None: no limit.

    Source: DSM (arXiv 2009.05757), equation 4.
    """
    low, high = shift
    return int(rng.integers(low, (high if room is None else max(low, min(high, room))) + 1))


def clip_duration(frames: int, stride: int, fps: float) -> float:
    """Compute the seconds between the first and the last frame of a clip.

    >>> clip_duration(frames=16, stride=4, fps=30.0)
    2.0
    """
    return (frames - 1) * stride / fps


@dataclass(frozen=True)
class RandomClipSampler:
    """Draws one clip at a random time and, if `shift` is given, a temporally shifted copy of it.

    Attributes:
        frames: T, at least 1.
        stride: distance of consecutive frames of the clip in frames of the video, at least 1.
        shift: (alpha1, alpha2): the clip "shifted" starts tau ~ U{alpha1..alpha2} frames of the
            video after "clip". None: no such clip.
        loops: True: the shifted clip may run past the end and wrap around, as in equation 4. False:
            the clips are placed where it does not, and tau is at most what the video has room for,
            though never below alpha1.
        anywhere: draw the start of the shifted clip as that of the clip, anywhere in the video, and
            not within `shift`; starts less than two frames apart are moved apart by a third of the
            video. As in DSM's public code.
        motion: names of the clips that also need motion vectors.

    Raises:
        UnsceneError: a value is out of range.

    >>> rng = np.random.default_rng(0)
    >>> request = RandomClipSampler(4, stride=4, shift=(1, 5)).draw(10.0, fps=25.0, rng=rng)
    >>> round(request.at, 3), request.offsets
    (6.038, {'clip': (0, 4, 8, 12), 'shifted': (3, 7, 11, 15)})

    Source: DSM (arXiv 2009.05757), equation 4.
    """

    frames: int = 16
    stride: int = 4
    shift: tuple[int, int] | None = None
    loops: bool = True
    anywhere: bool = False
    motion: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_clip(self.frames, self.stride)
        if self.shift is not None and not 0 <= self.shift[0] <= self.shift[1]:
            raise UnsceneError(
                f"shift {self.shift}: needs two numbers of frames, 0 <= first <= second"
            )

    def draw(
        self, duration: float, fps: float, rng: np.random.Generator, number: int = 0
    ) -> Request:
        where = rng.random()
        room = max(0.0, duration - clip_duration(self.frames, self.stride, fps) - 1 / fps)
        clip = clip_offsets(self.frames, self.stride)
        offsets = {"clip": clip}
        if self.shift is not None and self.anywhere:
            first, other = where * room, rng.random() * room
            if abs(other - first) * fps < 2:
                other = (other + duration / 3) % duration
            apart = int((other - first) * fps)
            offsets = {
                "clip": tuple(offset + max(0, -apart) for offset in clip),
                "shifted": tuple(offset + max(0, apart) for offset in clip),
            }
            return Request(min(first, other), offsets, motion=self.motion)
        if self.shift is not None:
            tau = draw_shift(self.shift, rng, None if self.loops else int(room * fps + 1e-3))
            offsets["shifted"] = tuple(offset + tau for offset in clip)
            if not self.loops:
                room = max(0.0, room - tau / fps)
        return Request(where * room, offsets, motion=self.motion)


@dataclass(frozen=True)
class TwoClipSampler:
    """Draws two clips of one video, "clip" and "second", that start within a stretch of it.

    video     |--------------------------------------------------------------|
    stretch               |<---------- reach ---------->|    (both clips start here)
    clip                                x   x   x   x
    second                      x   x   x   x

    The stretch is at a random position; in a video shorter than `reach` it is the whole video.
    Either clip may be the earlier one, and they may overlap. In a video with room for one clip,
    they are identical.

    Attributes:
        frames, stride: as in RandomClipSampler.
        reach: maximum distance of the two starts, in frames of the video. Everything between them
            has to be decoded, so in long videos it decides the cost of reading.

    Raises:
        UnsceneError: a value is out of range.
    """

    frames: int = 16
    stride: int = 4
    reach: int = 250

    def __post_init__(self) -> None:
        check_clip(self.frames, self.stride)
        if self.reach < 0:
            raise UnsceneError(f"reach {self.reach}: must not be negative")

    def draw(
        self, duration: float, fps: float, rng: np.random.Generator, number: int = 0
    ) -> Request:
        room = max(0.0, duration - clip_duration(self.frames, self.stride, fps) - 1 / fps)
        stretch = min(room, self.reach / fps)
        at = rng.random() * (room - stretch)
        clip, second = rng.random(2) * stretch
        # Truncated, not rounded: rounding could push the later clip past the end of the video.
        apart = int((second - clip) * fps)
        offsets = clip_offsets(self.frames, self.stride)
        return Request(
            at + min(clip, second),
            {
                "clip": tuple(offset + max(0, -apart) for offset in offsets),
                "second": tuple(offset + max(0, apart) for offset in offsets),
            },
        )


@dataclass(frozen=True)
class UniformClipSampler:
    """`count` clips spread evenly over the video (test protocol); draw `number` is one of them.

    video     |---------------------------------|
    count 3   [ clip 0 ]  [ clip 1 ]  [ clip 2 ]
    count 1              [ clip 0 ]

    Attributes:
        frames, stride: as in RandomClipSampler.
        count: number of clips; one is taken from the middle of the video.

    Raises:
        UnsceneError: a value is out of range.

    >>> rng = np.random.default_rng()  # not used
    >>> sampler = UniformClipSampler(frames=8, stride=2, count=3)
    >>> [round(sampler.draw(4.6, 25.0, rng, number).at, 3) for number in range(3)]
    [0.0, 2.0, 4.0]
    """

    frames: int = 16
    stride: int = 4
    count: int = 1

    def __post_init__(self) -> None:
        check_clip(self.frames, self.stride)

    def draw(
        self, duration: float, fps: float, rng: np.random.Generator, number: int = 0
    ) -> Request:
        room = max(0.0, duration - clip_duration(self.frames, self.stride, fps) - 1 / fps)
        share = 0.5 if self.count == 1 else number / (self.count - 1)
        return Request(room * share, {"clip": clip_offsets(self.frames, self.stride)})


@dataclass(frozen=True)
class TiledClipSampler:
    """Clips laid end to end over the whole video; draw `number` is one of them.

    video     |------------------------------------|
    clips      [ clip 0 ][ clip 1 ][ clip 2 ]          the rest at the end is not read
    shorter   |-----|                                  one clip, which wraps around

    Attributes:
        frames, stride: as in RandomClipSampler.

    Raises:
        UnsceneError: a value is out of range.
    """

    frames: int = 16
    stride: int = 4

    def __post_init__(self) -> None:
        check_clip(self.frames, self.stride)

    def count(self, duration: float, fps: float) -> int:
        """Number of clips in a video of `duration` seconds, at least 1."""
        # The last clip ends with a frame, not with the gap after it.
        frames = round(duration * fps) + self.stride - 1
        return max(1, frames // (self.frames * self.stride))

    def draw(
        self, duration: float, fps: float, rng: np.random.Generator, number: int = 0
    ) -> Request:
        at = number * self.frames * self.stride / fps
        return Request(at, {"clip": clip_offsets(self.frames, self.stride)})


@dataclass(frozen=True)
class FutureClipSampler:
    """Draws a clip, the motion after it, the motion at other times, and a key frame (CMD).

    video     |--------------------------------------------------------------|
    clip                      x   x   x   x
    key                     k                     within `near` frames of the clip
    motion                                   mmmm         `motion_frames`, `gap` after the clip
    other0         mmmm                                   never overlap "motion"; overlap each
    other1                                        mmmm    other only if there is no more room

    Attributes:
        frames, stride: as in RandomClipSampler.
        motion_frames: F, consecutive frames of each motion clip.
        gap: frames from the last frame of the clip to the first frame of "motion"; None: "motion"
            ends with the clip (the present instead of the future).
        others: number of motion clips at other times.
        reach: maximum distance of the others from the ends of the clip, in frames of the video.
            Everything between them has to be decoded.
        near: maximum distance of the key frame from the clip, in frames of the video.
        key_only: True: "key" is the last key frame before a frame drawn at random; False: that
            frame itself.
        context: draw "key".
        motion: draw "motion" and the others.
        motion_as: what is read of the motion clips: "vectors"; "frames", with one more frame in
            front; or "both", all of those frames and their vectors.
        shift, loops: also draw "shifted", as in RandomClipSampler.
        vectors: names of the clips that need motion vectors in addition to their frames.

    Raises:
        UnsceneError: a value is out of range.

    Source: CMD (arXiv 2104.00862); the numbers are those of the authors' code (methods.md 3.1).
    Deviation from the paper: `reach` limits how far away the others are. The authors take them from
    anywhere in the video, which means decoding everything in between.
    """

    frames: int = 16
    stride: int = 4
    motion_frames: int = 8
    gap: int | None = 3
    others: int = 3
    reach: int = 64
    near: int = 5
    key_only: bool = True
    context: bool = True
    motion: bool = True
    motion_as: Literal["vectors", "frames", "both"] = "vectors"
    shift: tuple[int, int] | None = None
    loops: bool = True
    vectors: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_clip(self.frames, self.stride)
        if self.motion_frames < 1 or (self.gap is not None and self.gap < 1):
            raise UnsceneError(
                f"motion of {self.motion_frames} frames, {self.gap} after the clip: both must be "
                "at least 1"
            )

    @property
    def _front(self) -> int:
        """Number of additional frames in front of a motion clip."""
        return int(self.motion_as != "vectors")

    @property
    def _span(self) -> int:
        return (self.frames - 1) * self.stride + 1

    @property
    def _motion_at(self) -> int:
        """Offset from the first frame of the clip to the first frame of "motion"."""
        if self.gap is None:
            return max(1, self._span - self.motion_frames)
        return self._span - 1 + self.gap

    @property
    def least(self) -> int:
        """The minimum number of frames of a video.

        >>> FutureClipSampler().least  # with CMD's numbers
        71
        """
        if not self.motion:
            return self._span
        whole = max(self._span, self._motion_at + self.motion_frames)
        if self.others and self._motion_at < self.motion_frames + self._front:
            whole += self.motion_frames  # room for the others in front of the motion
        return whole

    def draw(
        self, duration: float, fps: float, rng: np.random.Generator, number: int = 0
    ) -> Request:
        total = max(int(duration * fps + 1e-3), self.least)
        clip = int(rng.integers(total - self.least + 1))
        begins = {"clip": clip} | (self._draw_motion(clip, total, rng) if self.motion else {})
        last = clip + self._span - 1
        context = int(np.clip(rng.integers(clip - self.near, last + self.near + 1), 0, total - 1))
        if self.context and not self.key_only:
            begins["key"] = context
        first = min(begins.values())
        moving = tuple(name for name in begins if name not in ("clip", "key"))
        offsets: dict[str, tuple[int, ...]] = {
            name: (begin - first,) for name, begin in begins.items()
        }
        sampled = clip_offsets(self.frames, self.stride)
        offsets["clip"] = tuple(clip - first + offset for offset in sampled)
        if self.shift is not None:
            tau = draw_shift(self.shift, rng, None if self.loops else total - 1 - last)
            offsets["shifted"] = tuple(offset + tau for offset in offsets["clip"])
        for name in moving:
            begin = begins[name] - first
            offsets[name] = tuple(range(begin, begin + self.motion_frames + self._front))
        end = max(shown[-1] for shown in offsets.values())
        wanted = self.context and self.key_only
        return Request(
            first / fps,
            offsets,
            motion=self.vectors + (moving if self.motion_as == "both" else ()),
            motion_only=moving if self.motion_as == "vectors" else (),
            key_frame=min(max(context - first, 0), end) if wanted else None,
        )

    def _draw_motion(self, clip: int, total: int, rng: np.random.Generator) -> dict[str, int]:
        """Draw the first frame of each motion clip, including the additional one in front."""
        count, early, last = self.motion_frames, self._front, total - self.motion_frames
        motion = clip + self._motion_at

        def beside(low: int, high: int) -> list[int]:
            low, high = max(early, low), min(last, high)
            return [s for s in range(low, high + 1) if abs(s - motion) >= count]

        near = beside(clip - self.reach, clip + self._span + self.reach)
        # In a short clip the motion may fill everything that is near.
        free = near or beside(motion - count, motion + count)
        begins, left = {"motion": motion - early}, free
        for other in range(self.others):
            begin = int(rng.choice(left or free or [motion]))
            left = [s for s in left if abs(s - begin) >= count]
            begins[f"other{other}"] = begin - early
        return begins


def clip_offsets(frames: int, stride: int) -> tuple[int, ...]:
    """List the offsets of T frames, `stride` apart.

    >>> clip_offsets(frames=4, stride=3)
    (0, 3, 6, 9)
    """
    return tuple(range(0, frames * stride, stride))


def check_clip(frames: int, stride: int) -> None:
    """Raise UnsceneError unless both are at least 1."""
    check_at_least(1, frames=frames, stride=stride)
