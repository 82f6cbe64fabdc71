"""unscene: the three papers' answers to one bias, in one method [ours].

    views     anchor    basic augmentation
              positive  the same motion: warped (DSM), or over another video's scene (`other_scene`)
              negative  the same scene: shifted, flow scaled (DSM eq. 3, 4)
              motion    what moves after the clip (CMD)
    encoder   any; one for all views; its last `stages` (HDC)
    head      one for every stage, D = 128, L2; one layer that foretells vectors (foretell.py)
    loss      mean over stages, weighed as HDC's, of max(|a-p| - |a-n| + margin, 0), plus
              `foretell` times the share of the future motion that is not foretold: the vectors
              themselves, at every position (CMD's ablation "regression")

Every part is one flag away from being gone: `--other_scene 0`, `--foretell 0`, `--stages 1`;
without all of them it is DSM (Triplet). docs/results.md says which parts help. CMD's own way to
foretell, by finding the motion's feature, is `--motion_loss nce --predictor transformer`; here it
was worse and took twice the time (experiments/LOG.md). The maps of both scales stand beside each
other (`scales` concat), as they did in all our experiments; CMD adds them.

Why these: the triplet within a video learned most of what moves in our experiments, while negatives
from other videos brought the scene back in (experiments/LOG.md). The positive over another scene is
what no crop or warp can give: the place itself is exchanged. What moves is cut out by change over
time (`background_swap`), not by the codec's vectors: held against what is known to move, that cuts
better at 64 and at 128 pixels (experiments/LOG.md, "What moves, cut out"). Flow is DIS by default:
with the codec's (`--flow codec`) it learned a little less in every seed. Views of a moving camera,
and of a video that is its own neighbour in the batch, stay what they are.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from unscene.data.catalog import Video
from unscene.data.loading import Batch
from unscene.encoders import VideoEncoder
from unscene.errors import UnsceneError
from unscene.methods.base import StepResult
from unscene.methods.contrastive import same_video, triplet
from unscene.methods.dsm import TripletViews
from unscene.methods.hdc import StageEmbedder
from unscene.methods.motion_prediction import (
    MotionPrediction,
    flow_of,
    future_windows,
    map_shape,
    motion_view,
    reads_vectors,
    refusal,
    two_scales,
    windows_of,
)
from unscene.methods.progress import similarities
from unscene.methods.settings import Settings
from unscene.video.clip import Clip
from unscene.video.sampling import ClipSampler, FutureClipSampler
from unscene.views.augment import ViewParameters

_CONTRAST = "triplet"


class UnsceneNetwork(StageEmbedder):
    """The encoder, a head for every stage, and what foretells motion."""

    def __init__(self, encoder: VideoEncoder, settings: Settings) -> None:
        super().__init__(encoder, settings, (_CONTRAST,))
        if settings.foretell:
            shape = map_shape(encoder, settings.frames, settings.size, settings.scales)
            self.motion = MotionPrediction(shape, settings)


class Unscene(TripletViews):
    """DSM's triplet at HDC's depths, with CMD's foretold motion and exchanged scenes."""

    embedder: UnsceneNetwork

    def __init__(self, encoder: VideoEncoder, settings: Settings) -> None:
        super().__init__(encoder, settings)
        if not self.has_negative:
            raise UnsceneError("unscene needs a negative: --flow_scaling true or --shift true")

    def _network(self, encoder: VideoEncoder) -> UnsceneNetwork:
        return UnsceneNetwork(encoder, self.settings)

    def sampler(self) -> ClipSampler:
        s, plain = self.settings, self.windows()
        if not s.foretell:
            return plain
        return future_windows(s, shift=plain.shift, loops=plain.loops, vectors=plain.motion)

    def transforms(self) -> dict[str, Callable[[Clip], Clip]]:
        return super().transforms() | flow_of(self._foretold, self.settings)

    def refuses(self, video: Video) -> str | None:
        sampler = self.sampler()
        least = sampler.least if isinstance(sampler, FutureClipSampler) else 0
        vectors = bool(least) and reads_vectors(self.settings)
        return super().refuses(video) or refusal(video, least, vectors=vectors)

    @property
    def _foretold(self) -> tuple[str, ...]:
        """Names of the motion windows, the true one first."""
        return windows_of(self.settings) if self.settings.foretell else ()

    def _beside(self, batch: Batch, params: ViewParameters) -> dict[str, Tensor]:
        s = self.settings
        return {name: motion_view(batch, name, params, s) for name in self._foretold}

    def loss(self, batch: Batch, views: dict[str, Tensor]) -> StepResult:
        # One pass for all three, so that batch norm sees them alike.
        stacked = torch.cat([views[name] for name in ("anchor", "positive", "negative")])
        maps = self.embedder.encoder.forward_stages(stacked)
        loss, metrics = self._triplets(maps)
        if self.settings.foretell:
            windows = [views[name] for name in self._foretold]
            count = len(views["anchor"])
            own = same_video(batch.index.to(stacked.device), apart=False)
            own_maps = [m[:count] for m in maps]
            clips = two_scales(self.embedder.encoder, own_maps, self.settings.scales)
            foretold, found = self.embedder.motion(clips, windows, own)
            loss = loss + self.settings.foretell * foretold
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
                metrics = similarities(a, p, n)
        total = (torch.stack(losses) * (weights / weights.sum()).to(losses[0])).sum()
        return total, metrics
