"""unscene: the ideas of three papers against scene bias, in one method (ours, from no paper).

    views     anchor    basic augmentation
              positive  the same motion: warped (DSM), or over another video's scene (`other_scene`)
              negative  the same scene: shifted, flow scaled (DSM eq. 3, 4)
              motion    what moves after the clip (CMD)
    encoder   any; one for all views; its last `stages` (HDC)
    head      one for every stage, D = 128, L2; one layer that predicts motion vectors
              (motion_prediction.py)
    loss      mean over stages, weighted as HDC's, of max(|a-p| - |a-n| + margin, 0), plus
              `prediction_weight` times the squared error of the predicted future motion vectors at
              every position, as a share of the motion there is (CMD's ablation "regression")

Each part can be switched off by one flag: `--other_scene 0`, `--prediction_weight 0`, `--stages 1`;
without all of them the method is DSM (Triplet). docs/results.md says which parts help. CMD's own
motion prediction, by matching the motion's feature, is `--motion_loss nce --predictor transformer`;
here it was worse and took twice the time (experiments/LOG.md). The maps of both scales are
concatenated (`scales`), as in all our experiments; CMD adds them.

Why these parts: the triplet within a video learned motion best in our experiments, while negatives
from other videos brought the scene back in (experiments/LOG.md). Pasting the motion over another
scene does what no crop or warp can do: it replaces the scene. What moves is segmented by change
over time (`views.background_swap`), not by motion vectors: compared with the known moving pixels,
that segments better at 64 and at 128 pixels (experiments/LOG.md, "What moves, cut out"). Flow is
DIS by default: with motion vectors (`--flow codec`) it learned a little less in every seed. Views
of a moving camera, and of a video next to itself in the batch, keep their background.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from unscene.config import require
from unscene.data.catalog import Video
from unscene.data.loading import Batch
from unscene.encoders import VideoEncoder
from unscene.errors import UnsceneError
from unscene.methods.base import StepResult
from unscene.methods.contrastive import measure_similarities, same_sample_mask, triplet
from unscene.methods.hdc import StageEmbedder, StageSettings
from unscene.methods.motion_prediction import (
    MotionPrediction,
    MotionSettings,
    combine_scales,
    compute_map_shape,
    describe_motion,
    explain_refusal,
    make_future_sampler,
    make_motion_view,
    motion_transforms,
    name_motion_clips,
    reads_vectors,
)
from unscene.methods.settings import OURS
from unscene.methods.triplet_views import DISTURBED, DisturbanceSettings, TripletViews
from unscene.video.clip import Clip
from unscene.video.sampling import ClipSampler, FutureClipSampler
from unscene.views.augment import ViewParameters

TITLE = "unscene"
_CONTRAST = "triplet"


@dataclass(frozen=True, kw_only=True)
class Settings(DisturbanceSettings, StageSettings, MotionSettings):
    """DSM's disturbances, HDC's stages, CMD's motion prediction.

    Attributes:
        margin: of the triplet loss.
        camera: flow scaling scales the camera's motion, too, and so does the predicted motion hold
            it ("in"); or both have to do with what moves against the scene only ("out").
        prediction_weight: weight of the motion prediction beside the triplet loss; 0: none.
    """

    drawn: ClassVar[tuple[str, ...]] = ("prediction_weight",)

    margin: float = 0.5
    prediction_weight: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self, ("margin", "prediction_weight"), lambda v: v >= 0, "must not be negative")
        # The motion that is predicted is the anchor's, and only so much of a video is read.
        require(self, ("warp_on",), "positive".__eq__, "unscene warps the positive")
        require(self, ("shift_start",), "near".__eq__, "unscene's negative starts near")


# Regression of the future vectors beat matching their feature at half the cost
# (experiments/LOG.md). What each part adds stands in docs/results.md.
PRESETS: dict[str, dict[str, Any]] = {
    "default": OURS
    | DISTURBED
    | {
        "basic_on": "all",
        "head": "mlp",
        "temperature": 0.1,
        "other_scene": 0.5,
        "prediction_weight": 1.0,
        "stages": 2,
        "motion_loss": "l2",
        "predictor": "linear",
        "scales": "concat",
    }
}


class UnsceneNetwork(StageEmbedder):
    """The encoder, a head for every stage, and the motion prediction."""

    def __init__(self, encoder: VideoEncoder, settings: Settings) -> None:
        super().__init__(encoder, settings, (_CONTRAST,))
        if settings.prediction_weight:
            shape = compute_map_shape(encoder, settings.frames, settings.size, settings.scales)
            self.motion = MotionPrediction(shape, settings)


class Unscene(TripletViews):
    """DSM's triplet at HDC's stages, with CMD's motion prediction and swapped backgrounds.

    Raises:
        UnsceneError: neither temporal disturbance is on, so that there is no negative; or the
            motion to be predicted needs pixels, and the encoder reads motion vectors.
    """

    settings: Settings
    embedder: UnsceneNetwork

    def __init__(self, encoder: VideoEncoder, settings: Settings) -> None:
        super().__init__(encoder, settings)
        if not self.has_negative:
            raise UnsceneError("unscene needs a negative: --flow_scaling true or --shift true")
        s = settings
        if encoder.input == "vectors" and s.prediction_weight and s.motion_from != "vectors":
            raise UnsceneError(
                f"an encoder of motion vectors reads no pixels, and --motion_from {s.motion_from} "
                "needs some: --motion_from vectors, or --prediction_weight 0"
            )

    def _network(self, encoder: VideoEncoder) -> UnsceneNetwork:
        return UnsceneNetwork(encoder, self.settings)

    def sampler(self) -> ClipSampler:
        s, plain = self.settings, self.clip_sampler()
        if not s.prediction_weight:
            return plain
        return make_future_sampler(s, shift=plain.shift, loops=plain.loops, vectors=plain.motion)

    def transforms(self) -> dict[str, Callable[[Clip], Clip]]:
        return super().transforms() | motion_transforms(self.motion_names, self.settings)

    def refuses(self, video: Video) -> str | None:
        sampler = self.sampler()
        least = sampler.least if isinstance(sampler, FutureClipSampler) else 0
        vectors = bool(least) and reads_vectors(self.settings)
        return super().refuses(video) or explain_refusal(video, least, vectors=vectors)

    @property
    def motion_names(self) -> tuple[str, ...]:
        """Names of the motion clips, the true one first."""
        return name_motion_clips(self.settings) if self.settings.prediction_weight else ()

    def _further_views(self, batch: Batch, params: ViewParameters) -> dict[str, Tensor]:
        s = self.settings
        return {name: make_motion_view(batch, name, params, s) for name in self.motion_names}

    def captions(self) -> dict[str, str]:
        return super().captions() | {"motion": describe_motion(self.settings)}

    def aim(self) -> str:
        if not self.settings.prediction_weight:
            return super().aim()
        return (
            "Training pulls the positive to the anchor, pushes the negative away and predicts the "
            "motion."
        )

    def loss(self, batch: Batch, views: dict[str, Tensor]) -> StepResult:
        # One pass for all three, so that batch norm treats them alike.
        stacked = torch.cat([views[name] for name in ("anchor", "positive", "negative")])
        maps = self.embedder.encoder.forward_stages(stacked)
        loss, metrics = self._triplets(maps)
        if self.settings.prediction_weight:
            windows = [views[name] for name in self.motion_names]
            count = len(views["anchor"])
            mask = same_sample_mask(batch.index.to(stacked.device), needs_others=False)
            anchor_maps = [m[:count] for m in maps]
            clips = combine_scales(self.embedder.encoder, anchor_maps, self.settings.scales)
            prediction, found = self.embedder.motion(clips, windows, mask)
            loss = loss + self.settings.prediction_weight * prediction
            metrics |= found
        return StepResult(loss, metrics)

    def _triplets(self, maps: list[Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        s = self.settings
        deep = maps[-s.stages :]
        weights = torch.tensor(s.stage_weights[-len(deep) :])
        deepest = int(weights.nonzero()[-1])  # that learns
        losses, metrics = [], dict[str, Tensor]()
        for stage, features in enumerate(deep):
            embedded = self.embedder.embed(_CONTRAST, stage, self.embedder.over_time(features))
            a, p, n = embedded[:, 0].chunk(3)
            losses.append(triplet(a, p, n, margin=s.margin))
            if stage == deepest:
                metrics = measure_similarities(a, p, n)
        total = (torch.stack(losses) * (weights / weights.sum()).to(losses[0])).sum()
        return total, metrics
