"""Which frames of a video a method gets to see.

A sampler turns the length of a video and a random generator into a `Request`: one point in time
and, for every clip that is wanted, frame offsets counted from that point. The reader then makes
one pass.

    video     |--------------------------------------------------------------|
    at                    v
    frames    . . . . . . 0 1 2 3 4 5 6 7 8 9 . . . . . . . . . . . . . . . .
    clip                  x       x       x       x            (stride 4, T = 4)
    shifted                   x       x       x       x        (tau = 2)

Past the end a window loops to the beginning of the video (or of its start..end segment), which is
what equation 4 of the DSM paper asks for, and also what a video shorter than its window gets:

    video     |0 1 2 3 4 5 6|
    clip       x       x     x       x          offsets 0 4 8 12 -> frames 0 4 1 5
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np

from unscene.errors import UnsceneError


@dataclass(frozen=True)
class Request:
    """What to read in one pass.

    Attributes:
        at: seconds from the beginning of the video (or segment); offset 0 is the first frame that
            is shown at or after this time, give or take half a frame.
        offsets: for every named clip its frames, in frames of the video counted from `at`.
        motion: names of the clips that want the codec's motion vectors.
        key_frame: also hand on, as the clip "key", the last key frame at or before this offset
            (or the first there is, where none is so early).
        motion_only: names of clips that want the vectors of all frames from their first offset to
            their last, and no pixels: their planes hold no frame (T = 0).
    """

    at: float
    offsets: dict[str, tuple[int, ...]]
    motion: tuple[str, ...] = ()
    key_frame: int | None = None
    motion_only: tuple[str, ...] = ()


class ClipSampler(Protocol):
    """Draws request number `number` for a video of `duration` seconds at `fps` frames a second."""

    def draw(
        self, duration: float, fps: float, rng: np.random.Generator, number: int = 0
    ) -> Request: ...


def draw_shift(shift: tuple[int, int], rng: np.random.Generator, room: int | None = None) -> int:
    """tau of equation 4, of both ends and what lies between them.

    Args:
        shift: alpha1, alpha2.
        room: frames that it shall not go beyond, as far as alpha1 allows; None: any.
    """
    low, high = shift
    return int(rng.integers(low, (high if room is None else max(low, min(high, room))) + 1))


def clip_duration(frames: int, stride: int, fps: float) -> float:
    """Seconds between the first and the last frame of a window."""
    return (frames - 1) * stride / fps


@dataclass(frozen=True)
class RandomClipSampler:
    """A window at a random place and, if `shift` is given, its temporally shifted twin.

    Attributes:
        frames: T, at least 1.
        stride: distance of neighbouring frames in frames of the video, at least 1.
        shift: (alpha1, alpha2) of equation 4: the clip "shifted" begins tau ~ U{alpha1..alpha2}
            frames of the video later than "clip". None: no such clip.
        loops: equation 4, whose shifted clip may run past the end. False: the clips lie where it
            does not, and tau is at most what the video has room for, though never below alpha1.
        motion: clips that want motion vectors.
    """

    frames: int = 16
    stride: int = 4
    shift: tuple[int, int] | None = None
    loops: bool = True
    motion: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_clip(self.frames, self.stride)
        if self.shift is not None and not 0 <= self.shift[0] <= self.shift[1]:
            raise UnsceneError(f"shift {self.shift}: needs two frame counts, 0 <= first <= second")

    def draw(
        self, duration: float, fps: float, rng: np.random.Generator, number: int = 0
    ) -> Request:
        where = rng.random()
        room = max(0.0, duration - clip_duration(self.frames, self.stride, fps) - 1 / fps)
        clip = clip_offsets(self.frames, self.stride)
        offsets = {"clip": clip}
        if self.shift is not None:
            tau = draw_shift(self.shift, rng, None if self.loops else int(room * fps + 1e-3))
            offsets["shifted"] = tuple(offset + tau for offset in clip)
            if not self.loops:
                room = max(0.0, room - tau / fps)
        return Request(where * room, offsets, motion=self.motion)


@dataclass(frozen=True)
class TwoClipSampler:
    """Two windows of one video, "clip" and "second", that begin anywhere in a stretch of it.

    video     |--------------------------------------------------------------|
    stretch               |<---------- reach ---------->|      (both begin in it)
    clip                                x   x   x   x
    second                      x   x   x   x

    The stretch lies at random, and is all there is where a video is shorter. Either window may be
    the earlier one, and they may overlap: in a video that holds one window only, they are the same.

    Attributes:
        frames, stride: as of RandomClipSampler.
        reach: how far apart the windows begin at most, in frames of the video. All that lies
            between them has to be decoded, so in long videos it decides what reading costs.
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
        # Cut, not rounded: rounding could push the later window past the end, where it would loop.
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
    """`count` windows spread evenly over the video (test protocol); draw `number` is one of them.

    video     |---------------------------------|
    count 3   [window 0]  [window 1]  [window 2]
    count 1              [window 0]
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
    """Windows laid end to end over the whole video; draw `number` is one of them.

    video     |------------------------------------|
    windows    [window 0][window 1][window 2]          what is left at the end is not shown
    shorter   |-----|                                  one window, which loops
    """

    frames: int = 16
    stride: int = 4

    def __post_init__(self) -> None:
        check_clip(self.frames, self.stride)

    def count(self, duration: float, fps: float) -> int:
        """How many windows a video of `duration` seconds has, at least 1."""
        # The last window ends with a frame, not with the gap after it.
        frames = round(duration * fps) + self.stride - 1
        return max(1, frames // (self.frames * self.stride))

    def draw(
        self, duration: float, fps: float, rng: np.random.Generator, number: int = 0
    ) -> Request:
        at = number * self.frames * self.stride / fps
        return Request(at, {"clip": clip_offsets(self.frames, self.stride)})


@dataclass(frozen=True)
class FutureClipSampler:
    """A clip, the motion after it, the motion of other moments, and a frame for its context (CMD).

    video     |--------------------------------------------------------------|
    clip                      x   x   x   x
    key                     k                     within `near` frames of the clip
    motion                                   mmmm         `motion_frames`, `gap` after the clip
    other0         mmmm                                   never over "motion"; over each other
    other1                                        mmmm    only where room is short

    Attributes:
        frames, stride: as of RandomClipSampler.
        motion_frames: F, consecutive frames of a motion window.
        gap: frames from the clip's last to the motion's first; None: the motion ends with the clip
            (the present, instead of the future).
        others: motion windows of other moments.
        reach: how far the others begin from the clip's ends at most, in frames of the video: what
            lies between is decoded.
        near: how far from the clip the key frame is looked for.
        key_only: "key" is the last key frame before a frame drawn so; False: that very frame.
        context, motion: whether "key", whether the motion windows are wanted at all.
        motion_as: what motion windows are read as: the codec's "vectors"; "frames", one more in
            front; or "both", all of those frames with their vectors.
        shift, loops: also "shifted", as of RandomClipSampler.
        vectors: clips that want motion vectors beside their frames.
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
        """Frames in front of a motion window that are read with it."""
        return int(self.motion_as != "vectors")

    @property
    def _span(self) -> int:
        return (self.frames - 1) * self.stride + 1

    @property
    def _motion_at(self) -> int:
        """The first frame of the motion, counted from the clip's."""
        if self.gap is None:
            return max(1, self._span - self.motion_frames)
        return self._span - 1 + self.gap

    @property
    def least(self) -> int:
        """Frames a video needs at least: 71 with CMD's numbers."""
        if not self.motion:
            return self._span
        whole = max(self._span, self._motion_at + self.motion_frames)
        if self.others and self._motion_at < self.motion_frames + self._front:
            whole += self.motion_frames  # the others would find no room before the motion
        return whole

    def draw(
        self, duration: float, fps: float, rng: np.random.Generator, number: int = 0
    ) -> Request:
        total = max(int(duration * fps + 1e-3), self.least)
        clip = int(rng.integers(total - self.least + 1))
        begins = {"clip": clip} | (self._motion(clip, total, rng) if self.motion else {})
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

    def _motion(self, clip: int, total: int, rng: np.random.Generator) -> dict[str, int]:
        """Where the motion windows begin (their pixels one frame earlier)."""
        count, early, last = self.motion_frames, self._front, total - self.motion_frames
        motion = clip + self._motion_at

        def beside(low: int, high: int) -> list[int]:
            low, high = max(early, low), min(last, high)
            return [s for s in range(low, high + 1) if abs(s - motion) >= count]

        near = beside(clip - self.reach, clip + self._span + self.reach)
        # Of a short clip the motion may fill all that is near.
        free = near or beside(motion - count, motion + count)
        begins, left = {"motion": motion - early}, free
        for other in range(self.others):
            begin = int(rng.choice(left or free or [motion]))
            left = [s for s in left if abs(s - begin) >= count]
            begins[f"other{other}"] = begin - early
        return begins


def clip_offsets(frames: int, stride: int) -> tuple[int, ...]:
    """Offsets of T frames, `stride` apart."""
    return tuple(range(0, frames * stride, stride))


def check_clip(frames: int, stride: int) -> None:
    """Raise UnsceneError unless both are at least 1."""
    for name, value in (("frames", frames), ("stride", stride)):
        if value < 1:
            raise UnsceneError(f"{name} {value}: must be at least 1")
