"""Windows of CMD: a clip, what moves after it and at other times, and a frame of its surroundings.

Source: arXiv 2104.00862; the numbers are those of its authors' code (methods.md 3.1). How far the
other moments may lie is ours: theirs are anywhere in the video, which has to be decoded in between.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from unscene.errors import UnsceneError
from unscene.video.sampling import Request, check_window, draw_shift, window


@dataclass(frozen=True)
class FutureWindows:
    """A clip, the motion after it, the motion of other moments, and a frame for its context (CMD).

    video     |--------------------------------------------------------------|
    clip                      x   x   x   x
    key                     k                     within `near` frames of the clip
    motion                                   mmmm         `motion_frames`, `gap` after the clip
    other0         mmmm                                   never over "motion"; over each other
    other1                                        mmmm    only where room is short

    Attributes:
        frames, stride: as of RandomWindow.
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
        shift, loops: also "shifted", as of RandomWindow.
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
        check_window(self.frames, self.stride)
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
        sampled = window(self.frames, self.stride)
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
