"""DSM: decoupling the scene and the motion (arXiv 2009.05757, AAAI 2021).

    views     anchor    a = b(c1)   basic augmentation
              positive  p = s(c2)   spatial local disturbance: one thin-plate warp for all frames
              negative  n = t(c3)   temporal local disturbance: shifted (eq. 4), flow scaled (eq. 3)
    encoder   any 3D backbone, global average pool
    head      one linear layer, D = 128, L2 (default preset: two layers)
    loss      DSM: InfoNCE with the intra-video negative and a queue of anchors (eq. 7), keys from a
              momentum twin; DSM (Triplet): max(|a-p| - |a-n| + margin, 0) (eq. 5), one network

Each row of Table 4 is one flag away: `--warp`, `--flow_scaling`, `--shift` (false or true). Without
both temporal disturbances there is no negative of the same video.

Deviations and choices the paper leaves open:
- Order of the temporal disturbances: shift first, then scale the shifted clip.
- The flow algorithm is not stated: DIS; or the codec's vectors (`--flow codec`), or these where
  they are exact and the picture has 14 blocks or more along its short side (`--flow auto`), which
  is read faster but taught no more in our experiments (experiments/LOG.md).
- The default preset fills the queue with keys instead of anchors, fits its length to the videos and
  takes the batch's other videos as negatives too (experiments/LOG.md has the evidence), applies the
  basic augmentation to all three views, and uses AdamW, a two-layer head (experiments/LOG.md
  measures both against the paper's) and tau = 0.1. `--preset paper` does none of this.
- Eq. 5 is a sum over the batch; here it is the mean.
- Table 4 does not say how a positive without the warp is augmented: as MoCo's, p = b(c2).
- Positives and negatives go through the momentum twin in one batch (experiments/LOG.md).
- `--other_scene` puts what moves in the positive over another video's scene (`background_swap`);
  it is ours, and off in every preset of DSM.
- `--preset official-code` takes the published code's numbers (tau, m, weight decay, drops, no flow
  scaling); its local bump warps on the anchor, the inter-video term of its triplet run and its
  negatives from anywhere in the video (ours begin within `shift_range`) are not reproduced.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from unscene.data.catalog import Video
from unscene.data.loading import Batch
from unscene.encoders import VideoEncoder
from unscene.errors import UnsceneError
from unscene.methods.base import Embedder, Method, StepResult
from unscene.methods.contrastive import triplet
from unscene.methods.moco import MoCo
from unscene.methods.progress import similarities
from unscene.methods.settings import Settings
from unscene.motion.flow import has_usable_vectors, make_flow_transform
from unscene.video.clip import Clip
from unscene.video.sampling import ClipSampler, RandomClipSampler
from unscene.views.augment import BasicAugmentation, ViewParameters, make_view
from unscene.views.background_swap import swap_background
from unscene.views.disturb import draw_offsets, draw_phi


def takes_vectors(video: Video) -> bool:
    assert video.info is not None
    return has_usable_vectors(video.info)


class TripletViews(Method):
    """The anchor, positive and negative of DSM; what both losses share."""

    settings: Settings

    @property
    def has_negative(self) -> bool:
        return self.settings.flow_scaling or self.settings.shift

    @property
    def negative_clip(self) -> str:
        """The clip the negative is made of."""
        return "shifted" if self.settings.shift else "clip"

    def sampler(self) -> ClipSampler:
        return self.windows()

    def windows(self) -> RandomClipSampler:
        """The clip, and its shifted twin."""
        s = self.settings
        vectors = s.flow_scaling and s.flow != "dis"
        return RandomClipSampler(
            s.frames,
            s.stride,
            shift=s.shift_range if s.shift else None,
            loops=s.shift_loops,
            motion=(self.negative_clip,) if vectors else (),
        )

    def transforms(self) -> dict[str, Callable[[Clip], Clip]]:
        if not self.settings.flow_scaling:
            return {}
        return {self.negative_clip: make_flow_transform(self.settings.size, self.settings.flow)}

    def vectors(self) -> dict[str, Callable[[Video], bool]]:
        return {self.negative_clip: takes_vectors} if self.settings.flow == "auto" else {}

    def views(self, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        s, clip = self.settings, batch.clips["clip"]
        offsets = None
        params = self.basic.draw(clip.sizes, generator)
        views = {"anchor": make_view(clip, params, size=s.size)} | self._beside(batch, params)
        disturbed = self._crop_only() if s.basic_on == "anchor" else self.basic
        # Without the warp the positive is MoCo's, p = b(c2): a bare crop would ask for less.
        params = (disturbed if s.warp else self.basic).draw(clip.sizes, generator)
        if s.warp:
            offsets = draw_offsets(len(clip), generator, points=s.warp_points, reach=s.warp_reach)
        views["positive"] = make_view(clip, params, size=s.size, warp_offsets=offsets)
        if s.other_scene:
            chosen = torch.rand(len(clip), generator=generator) < s.other_scene
            views["positive"] = swap_background(
                views["positive"], batch.index, chosen, std=self.basic.std
            )
        if self.has_negative:
            other = batch.clips[self.negative_clip]
            params = disturbed.draw(other.sizes, generator)
            views["negative"] = self._negative(batch, params, generator)
        return views

    def _beside(self, batch: Batch, params: ViewParameters) -> dict[str, Tensor]:
        """Further views that share the anchor's parameters."""
        return {}

    def refuses(self, video: Video) -> str | None:
        info, s = video.info, self.settings
        assert info is not None
        if s.flow_scaling and s.flow == "codec" and info.without_vectors:
            return f"{info.without_vectors}: `unscene prepare`, or --flow auto"
        return None

    def _negative(self, batch: Batch, params: ViewParameters, generator: torch.Generator) -> Tensor:
        s, clip = self.settings, batch.clips[self.negative_clip]
        phi = (
            draw_phi(len(clip), clip.frames, generator, maximum=s.flow_max)
            if s.flow_scaling
            else None
        )
        return make_view(clip, params, size=s.size, phi=phi)

    def _crop_only(self) -> BasicAugmentation:
        """The random crop that c2 and c3 get, and nothing else of the basic augmentation."""
        none = (0.0, 0.0, 0.0, 0.0)
        return replace(self.basic, rotation=0.0, flip=0.0, jitter=none, gray_p=0.0, blur_p=0.0)


class DSM(TripletViews, MoCo):
    """DSM, eq. 7."""


class DSMTriplet(TripletViews):
    """DSM (Triplet), eq. 5: intra-video only, one network, gradient through all three."""

    embedder: Embedder

    def __init__(self, encoder: VideoEncoder, settings: Settings) -> None:
        super().__init__(encoder, settings)
        if not self.has_negative:
            raise UnsceneError("dsm-triplet needs a negative: --flow_scaling true or --shift true")

    def loss(self, batch: Batch, views: dict[str, Tensor]) -> StepResult:
        # One pass for all three, so that batch norm sees them alike.
        a, p, n = self.embedder(torch.cat(list(views.values()))).chunk(3)
        loss = triplet(a, p, n, margin=self.settings.margin)
        return StepResult(loss, similarities(a, p, n))
