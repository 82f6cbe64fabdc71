"""Does a model respond when something moves? Its response over time, beside the motion (DSM, 1.6).

    video      |----------------------------------------------------------|
    windows    |--------|
                 |--------|
                   |--------|                      up to 16, each a step after the one before
                     ...
    response   of each window: the mean of its feature, as in the paper
    motion     of each window: the mean length of its optical flow, in % of the view's side a step

Both are curves over a video; their rank correlation (Spearman) is the video's score: 1 if the model
responds the more, the more moves, 0 if the two have nothing to do with each other. The paper shows
curves; the number is ours.

What moves much is often also large, near or bright. "frozen" is the same correlation when all that
the model sees of each window is its middle frame, repeated: what looks alone would earn; "gain" is
what seeing the motion adds to that.

A feature with negative values (of a transformer, say) has no mean that means much: its length takes
the mean's place [ours]. The camera's own motion counts as motion. Videos in which motion is nearly
the same throughout have nothing to follow and are left out.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unscene.audit.footage import Footage, basic
from unscene.audit.measures.base import Measured, Watcher, against, counted, too_few
from unscene.data.catalog import Video
from unscene.data.loading import Batch
from unscene.errors import VideoError
from unscene.motion.flow import dis_flow
from unscene.results.statistics import score
from unscene.video.clip import Clip, ClipBatch
from unscene.video.decode import read_clips
from unscene.video.sampling import Request
from unscene.views.augment import make_view
from unscene.views.flow import view_flow

Floats = NDArray[np.float64]
_FEWEST = 8  # windows; of fewer, a correlation says nothing
_STEADY = 0.1  # standard deviation over mean; motion that changes less is the same throughout
_STILL = 0.05  # % of the view's side a step; less is noise of the flow
_FLAT = 1e-5  # standard deviation over mean; a response that changes less is rounding
_GRID = 64  # of optical flow, whose mean is all that is wanted


@dataclass(frozen=True)
class Slide:
    """How windows slide over a video.

    Attributes:
        start: first frame of the video that is read.
        step: frames of the video from one frame that is read to the next.
        apart: of the frames that are read, how many from one of a window to its next.
        hop: likewise, from one window to the next.
        windows: how many there are.
    """

    start: int
    step: int
    apart: int
    hop: int
    windows: int

    def reads(self, frames: int) -> int:
        """How many frames are read for windows of `frames`."""
        return (frames - 1) * self.apart + (self.windows - 1) * self.hop + 1


def slide(total: int, frames: int, stride: int, most: int) -> Slide | None:
    """The windows of a video of `total` frames, around its middle; None if it is too short.

    Windows are a stride apart, or up to half a window in long videos; where a video is too short
    for that, they are as few frames apart as it takes. What is read stays below half of `most`
    windows laid end to end.
    """
    for step in (stride, 1):
        apart = stride // step
        places = (total - 1) // step + 1 - (frames - 1) * apart
        if places >= (most // 2 if step > 1 else _FEWEST):
            hop = min(math.ceil((places - 1) / (most - 1)), max(1, frames * apart // 2))
            windows = min(most, (places - 1) // hop + 1)
            left = places - 1 - (windows - 1) * hop
            return Slide(left // 2 * step, step, apart, hop, windows)
    return None


class Response:
    """Measures the response over time: `Measured` of name "response".

    It reads videos of its own, some with every batch: single windows hold no curve. Scores, means
    over videos: "spearman", "pearson" and "frozen", -1..1, and "gain" (Spearman's less frozen's),
    -2..2, chance 0 for all; a response that never changes has a correlation of 0.

    Details: "curves", for each video "video", "label", "times" (seconds, middle of each window),
    "response" (less its mean, over its standard deviation), "motion" (% of the view's side a
    step), and its scores; "flat", videos whose response never changes; "left_out".

    Args:
        watcher: the model.
        footage: whose videos are read.
        videos: how many at most, drawn from the seed.
        windows: of a video, at most; at least 8.
    """

    name = "response"

    def __init__(
        self, watcher: Watcher, footage: Footage, *, videos: int = 16, windows: int = 16
    ) -> None:
        self.watcher, self.footage, self.most = watcher, footage, max(_FEWEST, windows)
        rng = np.random.default_rng([footage.seed, 0xE])
        self.waiting = rng.permutation(len(footage.videos)).tolist()
        self.wanted = min(videos, len(self.waiting))
        self.quota = math.ceil(self.wanted / max(1, len(footage)))
        self.curves: list[dict[str, object]] = []
        self.files: list[int] = []  # which each curve is of
        self.flat = 0
        self.kind = "mean"
        self.left_out: Counter[str] = Counter()
        self.forwards = 0

    def see(self, batch: Batch) -> None:
        """Read on; the batch itself is not needed."""
        for _ in range(self.quota):
            self._next()

    def finish(self) -> Measured:
        while self._next():
            pass
        details = {
            "left_out": dict(sorted(self.left_out.items())),
            "flat": self.flat,
            "curves": self.curves,
        }
        absent = too_few(self.files, "with a curve to follow")
        if not self.curves:
            absent = f"no video has a curve to follow ({counted(self.left_out) or 'none was read'})"
        elif self.flat == len(self.curves):
            absent = f"the {self.kind} of its features is the same whatever it is shown"
        if absent:
            return Measured(self.name, absent=absent, details=details, forwards=self.forwards)
        files = np.array(self.files)
        scores = {
            kind: score(
                np.array([curve[kind] for curve in self.curves]), videos=files, shares=False
            )
            for kind in ("spearman", "gain", "frozen", "pearson")
        }
        return Measured(
            self.name,
            scores=against(scores, dict.fromkeys(scores, 0.0)),
            details=details,
            forwards=self.forwards,
        )

    def _next(self) -> bool:
        """Measure one more video; False if none is left or enough have a curve."""
        if not self.waiting or len(self.curves) >= self.wanted:
            return False
        if sum(self.left_out.values()) >= 4 * self.wanted:  # of which most say the same
            return False
        index = self.waiting.pop(0)
        before = self.watcher.forwards
        reason = self._measure(index)
        self.forwards += self.watcher.forwards - before
        if reason:
            self.left_out[reason] += 1
        return True

    def _measure(self, index: int) -> str:
        """Why a video has no curve, or "" if it has one now."""
        video, spec = self.footage.videos[index], self.watcher.spec
        assert video.info is not None
        fps = video.info.fps
        plan = slide(round(video.duration * fps), spec.frames, spec.stride, self.most)
        if plan is None:
            return "video too short"
        try:
            clip = _read(video, plan, spec.frames, self.footage.short_side or 2 * spec.size)
        except VideoError:
            return "could not be read"
        motion = self._motion(clip, plan)
        if motion.mean() < _STILL:
            return "nothing moves"
        if motion.std() < _STEADY * motion.mean():
            return "motion is the same throughout"
        curve, still = (normalised(found) for found in self._responses(clip, plan))
        self.flat += not curve.any()
        agreed, alone = (correlation(ranks(found), ranks(motion)) for found in (curve, still))
        middle = plan.start + (spec.frames - 1) * plan.apart * plan.step / 2
        times = (middle + np.arange(plan.windows) * plan.hop * plan.step) / fps
        self.files.append(int(self.footage.files[index]))
        self.curves.append(
            {
                "video": video.path,
                "label": self.footage.label_of(index) or "",
                "times": times.round(3).tolist(),
                "response": curve.round(4).tolist(),
                "motion": motion.round(4).tolist(),
                "spearman": agreed,
                "gain": agreed - alone,
                "frozen": alone,
                "pearson": correlation(curve, motion),
            }
        )
        return ""

    def _motion(self, clip: Clip, plan: Slide) -> Floats:
        """The motion of each window, (N,)."""
        sizes = torch.tensor([clip.size])
        affine = basic(self.watcher.spec).center(sizes).affine
        length = torch.zeros(max(0, len(clip) - plan.apart))
        for phase in range(plan.apart):
            every = slice(phase, None, plan.apart)
            part = Clip(clip.y[every], clip.u[every], clip.v[every], clip.times[every])
            if len(part) > 1:
                flow = view_flow(dis_flow(part, _GRID)[None], affine, (_GRID, _GRID))[0]
                length[every] = flow.norm(dim=-1).mean(dim=(1, 2)) * 50  # a side is 2 long
        frames = self.watcher.spec.frames
        pairs = torch.arange(max(1, frames - 1)) * plan.apart
        places = torch.arange(plan.windows)[:, None] * plan.hop + pairs
        found: Floats = length[places.clamp(max=len(length) - 1)].mean(dim=1).double().numpy()
        return found

    def _responses(self, clip: Clip, plan: Slide) -> tuple[Floats, Floats]:
        """The response to each window, and to each as its middle frame, (N,) both; windows are cut
        from one view of all that was read."""
        batch = ClipBatch.of([clip]).to(self.watcher.device)
        spec, size = self.watcher.spec, self.watcher.batch_size
        view = make_view(batch, basic(spec).center(batch.sizes.cpu()), size=spec.size)[0]
        inside = torch.arange(spec.frames, device=view.device) * plan.apart
        middle = inside[spec.frames // 2].expand_as(inside)
        found = []
        for shown in (inside, middle):
            features = []
            for first in range(0, plan.windows, size):
                starts = range(first, min(first + size, plan.windows))
                windows = torch.stack([view[:, j * plan.hop + shown] for j in starts])
                features.append(self.watcher.features(windows))
            whole = torch.cat(features)
            self.kind = "mean" if bool((whole >= 0).all()) else "length"
            found.append(response(whole).double().numpy())
        return found[0], found[1]


def response(features: Tensor) -> Tensor:
    """(N, D) -> (N,): the mean of features that are never negative, the length of others."""
    return features.mean(dim=1) if bool((features >= 0).all()) else features.norm(dim=1)


def normalised(curve: Floats) -> Floats:
    """Less its mean, over its standard deviation; all 0 if it never changes."""
    spread = float(curve.std())
    if spread <= _FLAT * abs(float(curve.mean())):
        return np.zeros_like(curve)
    found: Floats = (curve - curve.mean()) / spread
    return found


def ranks(values: Floats) -> Floats:
    """Places in order, from 0; equals share the mean of theirs."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    found: Floats = (np.cumsum(counts) - (counts + 1) / 2)[place]
    return found


def correlation(a: Floats, b: Floats) -> float:
    """Pearson's, -1..1; 0 if either never changes."""
    a, b = a - a.mean(), b - b.mean()
    norm = math.sqrt(float((a @ a) * (b @ b)))
    return float(a @ b) / norm if norm > 0 else 0.0


def _read(video: Video, plan: Slide, frames: int, short_side: int) -> Clip:
    assert video.info is not None
    offsets = tuple(k * plan.step for k in range(plan.reads(frames)))
    request = Request(plan.start / video.info.fps, {"clip": offsets})
    read = read_clips(video.path, request, start=video.start, end=video.end, short_side=short_side)
    return read["clip"]
