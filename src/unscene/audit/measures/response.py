"""The measure "response": does the model respond when something moves?

    video      |----------------------------------------------------------|
    clips      |--------|
                 |--------|
                   |--------|                      up to 16, each one hop after the one before
                     ...
    response   of each clip: the mean of its feature, as in the paper
    motion     of each clip: the mean length of its optical flow without the camera's motion, in %
               of the view's side per step

Both are curves over a video. Their rank correlation (Spearman) is the score of the video: 1 if the
response rises with the motion, 0 if the two are unrelated.

What moves much is often also large, near or bright. "frozen" is therefore the same correlation when
the model sees only the middle frame of each clip, repeated: what appearance alone earns. "gain" is
the difference: what seeing the motion adds.

Source: DSM paper, section 1.6, which shows curves; the number is our own.
Deviation: the mean of a feature with negative values (of a transformer, say) has little meaning;
its length takes the place of the mean.

What the camera does is no motion: a similarity is taken out of the flow of each pair of frames
(`motion.camera`). In scenes with depth, near objects still move. Videos whose motion is nearly
constant have no curve to follow and are left out.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import pearsonr, spearmanr
from torch import Tensor

from unscene.audit.extractor import FeatureExtractor
from unscene.audit.footage import Footage, make_augmentation
from unscene.audit.measures.base import Measure, find_shortage, list_reasons, with_chance
from unscene.audit.report.charts import Results, curves, join_charts, score_chart, without_twins
from unscene.audit.report.films import clip_title
from unscene.audit.report.words import Outcome, ScoreWords, Words, spell_number
from unscene.audit.result import Measured
from unscene.data.catalog import Video
from unscene.data.loading import Batch
from unscene.errors import VideoError
from unscene.motion.camera import stabilize_flow
from unscene.motion.flow import dis_flow
from unscene.results.statistics import score
from unscene.video.clip import Clip, ClipBatch
from unscene.video.decode import read_clips
from unscene.video.sampling import Request
from unscene.views.augment import make_view
from unscene.views.flow import view_flow

Floats = NDArray[np.float64]
_FEWEST = 8  # clips per video; a correlation over fewer means nothing
_STEADY = 0.1  # standard deviation over mean; motion that changes less is constant
_STILL = 0.05  # % of the view's side per step; less is noise of the flow
_FLAT = 1e-5  # standard deviation over mean; a response that changes less is rounding
_GRID = 64  # of optical flow, of which only the mean is used
_SHOWN = 4  # videos whose curves are shown at once


@dataclass(frozen=True)
class Slide:
    """How clips slide over a video.

    Attributes:
        start: first frame of the video that is read.
        step: frames of the video from one frame that is read to the next.
        apart: frames read from one frame of a clip to the next.
        hop: frames read from one clip to the next.
        windows: number of clips.
    """

    start: int
    step: int
    apart: int
    hop: int
    windows: int

    def reads(self, frames: int) -> int:
        """Number of frames to read for clips of `frames`."""
        return (frames - 1) * self.apart + (self.windows - 1) * self.hop + 1


def plan_slide(total: int, frames: int, stride: int, most: int) -> Slide | None:
    """Plan the clips of a video of `total` frames, around its middle; None if it is too short.

    Clips are a stride apart, or up to half a clip in long videos. In short videos they are as few
    frames apart as necessary. Less is read than half of `most` clips laid end to end.
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


class Response(Measure):
    """The response over time.

    It reads videos of its own, some with every batch, as single clips have no curve.

    Scores, means over videos: "spearman", "pearson" and "frozen", -1..1, and "gain" (spearman minus
    frozen), -2..2; chance is 0 for all. A response that never changes has a correlation of 0.

    Details: "curves", for each video "video", "label", "times" (seconds, middle of each clip),
    "response" (minus its mean, over its standard deviation), "motion" (% of the view's side per
    step) and its scores; "flat", number of videos whose response never changes; "left_out".

    Args:
        extractor: the model.
        footage: the videos.
        videos: most videos, chosen by the seed.
        windows: most clips per video; at least 8.
    """

    name = "response"
    order = 5
    words = Words(
        "Does it respond when something moves?",
        "The strength of the model's feature in a clip that slides over a video is compared with "
        "how much moves there. If the two rise and fall together, the model responds to motion.",
        "The response is the mean of each clip's feature, the motion is the mean length of its "
        "optical flow, without the camera's motion. The number is their rank correlation "
        "(Spearman), averaged over videos. Frozen means that the model sees only the middle frame "
        "of each clip.",
        {
            "spearman": ScoreWords(
                "Correlation with motion", "1: the more moves, the stronger the response.", "signed"
            ),
            "gain": ScoreWords(
                "Gain from seeing the motion",
                "The correlation minus the correlation of frozen clips.",
                "signed",
            ),
            "frozen": ScoreWords("Correlation, frozen clips", kind="signed"),
            "pearson": ScoreWords("Correlation (Pearson)", kind="signed"),
        },
        "gain",
    )

    def __init__(
        self, extractor: FeatureExtractor, footage: Footage, *, videos: int = 16, windows: int = 16
    ) -> None:
        super().__init__(extractor, footage)
        self.most = max(_FEWEST, windows)
        rng = np.random.default_rng([footage.seed, 0xE])
        self.waiting = rng.permutation(len(footage.videos)).tolist()
        self.wanted = min(videos, len(self.waiting))
        self.quota = math.ceil(self.wanted / max(1, len(footage)))
        self.curves: list[dict[str, Any]] = []
        self.files: list[int] = []  # the file of each curve
        self.flat = 0
        self.kind = "mean"
        self.left_out: Counter[str] = Counter()

    def update(self, batch: Batch) -> None:
        for _ in range(self.quota):
            self._next()

    def compute(self) -> Measured:
        while self._next():
            pass
        details = {
            "left_out": dict(sorted(self.left_out.items())),
            "flat": self.flat,
            "curves": self.curves,
        }
        absent = find_shortage(self.files, "with motion that changes")
        if not self.curves:
            reasons = list_reasons(self.left_out) or "none was read"
            absent = f"no video has motion that changes ({reasons})"
        elif self.flat == len(self.curves):
            absent = f"the {self.kind} of its features is the same for all clips"
        if absent:
            return Measured(self.name, absent=absent, details=details)
        files = np.array(self.files)
        scores = {
            kind: score(
                np.array([curve[kind] for curve in self.curves]), videos=files, shares=False
            )
            for kind in ("spearman", "gain", "frozen", "pearson")
        }
        return Measured(self.name, with_chance(scores, dict.fromkeys(scores, 0.0)), details=details)

    @classmethod
    def sentence(cls, measured: Measured) -> str:
        text = cls.words.phrase(
            measured,
            "spearman",
            "responds more strongly, the more moves",
            "does not clearly respond to how much moves",
            "responds less strongly, the more moves",
        )
        text += f", over {measured.scores['spearman'].n} videos"
        if "gain" in measured.scores:
            text += "; " + cls.words.phrase(
                measured,
                "gain",
                "seeing the motion adds to that",
                "it is not certain that seeing the motion adds anything to frozen clips",
                "frozen clips do better",
            )
        return text + "."

    @classmethod
    def outcome(cls, measured: Measured) -> Outcome | None:
        """Both scores count: whoever does not respond to motion gains nothing from seeing it."""
        if "gain" not in measured.scores:
            return None
        responds, gains = (cls.words.side(measured, name) for name in ("spearman", "gain"))
        if responds <= 0:
            text = "responds less, the more moves" if responds else "no clear response"
            return Outcome(text, "open", "spearman")
        if gains > 0:
            return Outcome("responds to motion", "good", "gain")
        text = "responds no more than to frozen clips"
        return Outcome(text, "bad" if gains < 0 else "open", "gain")

    @classmethod
    def charts(cls, results: Results) -> tuple[str, str]:
        chart = score_chart(
            cls.words, results, "spearman", hollow="frozen", legend="frozen clips of the same times"
        )
        models = without_twins(results)
        videos = dict.fromkeys(c["video"] for _, _, one in models for c in one.details["curves"])
        plots = [_plot_video(models, video) for video in videos]
        first, rest = plots[:_SHOWN], plots[_SHOWN:]
        return (
            join_charts(chart, score_chart(cls.words, results, "gain")) + _lay_out(first),
            _lay_out(rest),
        )

    def _next(self) -> bool:
        """Process one more video; False if none is left or enough have a curve."""
        if not self.waiting or len(self.curves) >= self.wanted:
            return False
        if sum(self.left_out.values()) >= 4 * self.wanted:  # most videos are unsuitable
            return False
        reason = self._measure(self.waiting.pop(0))
        if reason:
            self.left_out[reason] += 1
        return True

    def _measure(self, index: int) -> str:
        """Add the curve of a video; returns the reason if it has none, or ""."""
        video, spec = self.footage.videos[index], self.extractor.spec
        assert video.info is not None
        fps = video.info.fps
        plan = plan_slide(round(video.duration * fps), spec.frames, spec.stride, self.most)
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
        curve, still = (standardize(found) for found in self._responses(clip, plan))
        self.flat += not curve.any()
        agreed, alone = (correlate(found, motion, ranks=True) for found in (curve, still))
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
                "pearson": correlate(curve, motion),
            }
        )
        return ""

    def _motion(self, clip: Clip, plan: Slide) -> Floats:
        """The motion of each clip, (N,)."""
        sizes = torch.tensor([clip.size])
        affine = make_augmentation(self.extractor.spec).center(sizes).affine
        length = torch.zeros(max(0, len(clip) - plan.apart))
        for phase in range(plan.apart):
            every = slice(phase, None, plan.apart)
            part = Clip(clip.y[every], clip.u[every], clip.v[every], clip.times[every])
            if len(part) > 1:
                flow = stabilize_flow(dis_flow(part, _GRID), aspect=clip.size[1] / clip.size[0])
                flow = view_flow(flow[None], affine, (_GRID, _GRID))[0]
                length[every] = flow.norm(dim=-1).mean(dim=(1, 2)) * 50  # a side is 2 long
        frames = self.extractor.spec.frames
        pairs = torch.arange(max(1, frames - 1)) * plan.apart
        places = torch.arange(plan.windows)[:, None] * plan.hop + pairs
        found: Floats = length[places.clamp(max=len(length) - 1)].mean(dim=1).double().numpy()
        return found

    def _responses(self, clip: Clip, plan: Slide) -> tuple[Floats, Floats]:
        """The response to each clip, and to its middle frame repeated, both (N,)."""
        batch = ClipBatch.of([clip]).to(self.extractor.device)
        spec, size = self.extractor.spec, self.extractor.batch_size
        view = make_view(batch, make_augmentation(spec).center(batch.sizes.cpu()), size=spec.size)[
            0
        ]
        inside = torch.arange(spec.frames, device=view.device) * plan.apart
        middle = inside[spec.frames // 2].expand_as(inside)
        found = []
        for shown in (inside, middle):
            features = []
            for first in range(0, plan.windows, size):
                starts = range(first, min(first + size, plan.windows))
                windows = torch.stack([view[:, j * plan.hop + shown] for j in starts])
                features.append(self.extractor.features(windows))
            whole = torch.cat(features)
            self.kind = "mean" if bool((whole >= 0).all()) else "length"
            found.append(respond(whole).double().numpy())
        return found[0], found[1]


def respond(features: Tensor) -> Tensor:
    """The response (N,) of features (N, D): the mean if none is negative, the length otherwise."""
    return features.mean(dim=1) if bool((features >= 0).all()) else features.norm(dim=1)


def standardize(curve: Floats) -> Floats:
    """Subtract the mean and divide by the standard deviation; all 0 if it never changes."""
    spread = float(curve.std())
    if spread <= _FLAT * abs(float(curve.mean())):
        return np.zeros_like(curve)
    found: Floats = (curve - curve.mean()) / spread
    return found


def correlate(a: Floats, b: Floats, *, ranks: bool = False) -> float:
    """Pearson's correlation, or Spearman's of ranks, -1..1; 0 if either never changes.

    >>> correlate(np.array([1.0, 2.0, 30.0]), np.array([0.0, 5.0, 6.0]), ranks=True)
    1.0
    """
    if np.ptp(a) == 0 or np.ptp(b) == 0:
        return 0.0
    found = spearmanr(a, b) if ranks else pearsonr(a, b)
    return float(found.statistic)


def _lay_out(plots: Sequence[str]) -> str:
    return f'<div class="plots wide">{"".join(plots)}</div>' if plots else ""


def _plot_video(results: Results, video: str) -> str:
    """The responses of all models over a video, in front of its motion."""
    found = [
        (place, model, curve)
        for place, model, one in results
        for curve in one.details["curves"]
        if curve["video"] == video
    ]
    first = found[0][2]
    # Models with other clip lengths have other times, and are left out of the picture.
    lines = [
        (place, f"{model} {spell_number(curve['spearman'], 'number')}", curve["response"])
        for place, model, curve in found
        if curve["times"] == first["times"]
    ]
    listed = ", ".join(name for _, name, _ in lines)
    return curves(
        clip_title(first),
        first["times"],
        first["motion"],
        f"motion, up to {max(first['motion']):.1f} % of the picture per step",
        lines,
        f"Response over time and motion, correlation: {listed}",
    )


def _read(video: Video, plan: Slide, frames: int, short_side: int) -> Clip:
    assert video.info is not None
    offsets = tuple(k * plan.step for k in range(plan.reads(frames)))
    fps = video.info.fps
    request = Request(plan.start / fps, {"clip": offsets})
    read = read_clips(
        video.path, request, start=video.start, end=video.end, fps=fps, short_side=short_side
    )
    return read["clip"]
