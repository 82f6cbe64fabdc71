"""A video in seconds -> overlapping windows, and the clips that an encoder reads of each.

    video     |--------------------------------------------|
    windows   [   0   ]   [   2   ]   [   4   ]
                    [   1   ]   [   3   ]        [   5   ]     the last one ends with the video
    clips     [ a ][ b ]                                       of a window longer than a clip

A window has the length that the index was made with, whatever the frame rate: an encoder made for
30 frames a second reads every second frame of a recording with 60.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from unscene.errors import UnsceneError
from unscene.video.sampling import Request, clip_duration, clip_offsets

if TYPE_CHECKING:  # it imports torch, and tables can be read without it
    from unscene.encoders import EncoderSpec

_FPS = 30.0  # the rate for which an encoder's stride is meant
_MOST = 10  # clips per window


@dataclass(frozen=True)
class Windows:
    """N windows of an index, ordered by file and start.

    Attributes:
        ids: int64 (N,), the same for as long as the index holds the window.
        file: int64 (N,), position in `Index.files`.
        start, end: float64 (N,), seconds from the start of the file.
        motion: float32 (N,), see `motion.strength`.
        vectors: float32 (N, D), features of the encoder.
    """

    ids: NDArray[np.int64]
    file: NDArray[np.int64]
    start: NDArray[np.float64]
    end: NDArray[np.float64]
    motion: NDArray[np.float32]
    vectors: NDArray[np.float32]

    def __post_init__(self) -> None:
        lengths = {len(getattr(self, name)) for name in self.__dataclass_fields__}
        if len(lengths) != 1 or self.vectors.ndim != 2:
            raise ValueError(f"columns of windows have the lengths {sorted(lengths)}")

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, rows: NDArray[np.bool_] | NDArray[np.int64] | slice) -> Windows:
        return Windows(*(getattr(self, name)[rows] for name in self.__dataclass_fields__))

    def __repr__(self) -> str:
        return f"Windows({len(self)} x {self.vectors.shape[1]})"


@dataclass(frozen=True)
class WindowPlan:
    """How videos are cut into windows for an encoder.

    Attributes:
        frames, stride: of the encoder's clips, at 30 frames a second.
        length: of a window, in seconds.
        hop: from the start of a window to that of the next one, in seconds.

    Raises:
        UnsceneError: length or hop is not above 0, or a hop leaves gaps between windows.
    """

    frames: int
    stride: int
    length: float
    hop: float

    def __post_init__(self) -> None:
        for name, value in (("length", self.length), ("hop", self.hop)):
            if not 0 < value < math.inf:
                raise UnsceneError(f"--{name} {value}: must be a number of seconds above 0")
        if self.hop > self.length:
            raise UnsceneError(
                f"--hop {self.hop:g}: is longer than a window of {self.length:g} s, so that "
                "what lies between two windows would never be found; use at most --length"
            )

    @classmethod
    def of(cls, spec: EncoderSpec, length: float | None, hop: float | None) -> WindowPlan:
        """The plan for an encoder; None: windows as long as its clips, half a window apart.

        >>> from unscene.encoders import EncoderSpec
        >>> WindowPlan.of(EncoderSpec("r3d18", {}, 512, frames=16, stride=4), None, None)
        WindowPlan(frames=16, stride=4, length=2.1333333333333333, hop=1.0666666666666667)
        """
        if length is None:
            length = spec.frames * spec.stride / _FPS
        return cls(spec.frames, spec.stride, length, length / 2 if hop is None else hop)

    def starts(self, duration: float) -> list[float]:
        """Starts of the windows of a video, in seconds: at least one.

        >>> plan = WindowPlan(16, 2, length=2.0, hop=1.0)
        >>> plan.starts(1.5), plan.starts(4.0), plan.starts(4.3)
        ([0.0], [0.0, 1.0, 2.0], [0.0, 1.0, 2.0, 2.3])
        """
        return [self.start(number, duration) for number in range(self.count(duration))]

    def count(self, duration: float) -> int:
        """Number of windows of a video."""
        room, steps = self._measure(duration)
        # A shorter rest is not worth a window.
        return steps + 1 + (room - steps * self.hop > self.hop / 4)

    def start(self, number: int, duration: float) -> float:
        """Start of a window of a video, by its number; the last one ends with the video."""
        room, steps = self._measure(duration)
        return number * self.hop if number <= steps else round(room, 6)

    def spans(
        self, numbers: NDArray[np.int64], duration: float
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Starts and ends of windows by their numbers, (N,) each; a video ends its last window."""
        starts = np.array([self.start(number, duration) for number in numbers.tolist()], float)
        return starts, np.minimum(starts + self.length, duration)

    def _measure(self, duration: float) -> tuple[float, int]:
        """Seconds from the first to the last start, and the whole hops in them."""
        room = max(0.0, duration - self.length)
        return room, math.floor(room / self.hop + 1e-6)

    def stride_at(self, fps: float) -> int:
        """Stride of a clip, in frames of a video of this rate."""
        return max(1, round(self.stride * fps / _FPS))

    def clip_starts(self, fps: float) -> list[float]:
        """Starts of the clips of a window, in seconds from its own: as many as fill it.

        One clip that is longer or shorter than the window has the same middle.

        >>> WindowPlan(16, 4, length=4.0, hop=2.0).clip_starts(30.0)
        [0.0, 1.8666666666666667]
        """
        clip = self.frames * self.stride_at(fps) / fps
        count = min(_MOST, max(1, round(self.length / clip)))
        room = self.length - clip
        if count == 1:
            return [room / 2]
        return [room * number / (count - 1) for number in range(count)]


@dataclass(frozen=True)
class WindowSampler:
    """Clips of the windows of a video in order; draw `number` is one of them.

    Windows that lie near each other are read in one pass over the file (`joins`).
    """

    plan: WindowPlan
    joins: ClassVar[bool] = True

    def draw(
        self, duration: float, fps: float, rng: np.random.Generator, number: int = 0
    ) -> Request:
        within = self.plan.clip_starts(fps)
        window, clip = divmod(number, len(within))
        at = self.plan.start(window, duration) + within[clip]
        stride = self.plan.stride_at(fps)
        # Past the end a clip would go on at the start, and the jump would look like motion.
        last = duration - clip_duration(self.plan.frames, stride, fps) - 1 / fps
        return Request(max(0.0, min(at, last)), {"clip": clip_offsets(self.plan.frames, stride)})
