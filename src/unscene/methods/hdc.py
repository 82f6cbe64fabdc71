"""HDC: hierarchically decoupled spatial-temporal contrast (arXiv 2011.11261, WACV 2022).

    views     anchor    a window of the video, augmented
              positive  the same window, augmented anew: the other side of the spatial contrast (SC)
              second    another window of the video, cut first and then augmented: the other side of
                        the temporal contrast (TC)
    encoder   any; one for all views (Siamese), no twin, no queue; its last three stages
    head      one for every contrast and stage: two layers, D = 128, L2
    loss      HD-NCE: sum over stages k of alpha_k L_SC^k + beta_k L_TC^k, each InfoNCE among the
              videos of the batch. SC pools over H and W and pairs the time steps of its two views;
              TC pools over time as well.

Each ablation is one flag away: `--contrasts` spatial, temporal or entangled; `--stages 1`, or a
weight of 0 for any stage; `--stage_weights [1,1,1]`; `--crop_first false`; `--sc_pool 3d`.

Sources. There is no public code, and of the paper we have a summary. It says: the two contrasts and
what is augmented in each, 2D and 3D pooling, several layers with losses weighed less where lower
layers are less invariant, and the Siamese network without memory bank or momentum. 16 frames and
which ablations there are stand in methods.md (section 2). All else is ours:
- Stages, weights (0.25, 0.5, 1 for both contrasts), heads, temperature, augmentation, optimiser.
- The anchor serves both contrasts: three views a video are encoded instead of four.
- InfoNCE goes both ways, and its negatives are the other view of the batch's other videos, in SC at
  the same time step: another step of the same video is no negative (SC is not to tell steps apart),
  and steps of other videos are compared like with like, as the padding of the convolutions makes
  the first and the last step known by themselves. A video that is in a batch twice is not its own.
- Negatives come from all processes, with gradient: keys are the network's own here, and without
  what the other processes' losses ask of them, several processes would train otherwise than one
  with the same batch.
- Pooling over space is the encoder's own: the mean, or the maximum for one built with pool "max".
- The two windows begin `crop_reach` frames apart at most, and may overlap.
- "Temporal crop after augmentation" (`--crop_first false`): parameters are drawn once for the whole
  video, so both windows get the same crop and colours, and TC's views differ in time only.
- "Entangled": one contrast, 3D pooling, of views that differ in time and in space. Cut first, these
  are the views of TC: as far as the summary goes, the two rows are one and the same.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from unscene.data.loading import Batch
from unscene.encoders import VideoEncoder
from unscene.errors import UnsceneError
from unscene.methods.base import Method, Network, StepResult
from unscene.methods.contrastive import Head, gather_with_gradient, info_nce, same_video
from unscene.methods.progress import rank1
from unscene.methods.settings import Settings
from unscene.video.sampling import ClipSampler, RandomClipSampler, TwoClipSampler
from unscene.views.augment import make_view

# The view that each contrast compares the anchor with.
_PARTNER = {"spatial": "positive", "temporal": "second", "entangled": "second"}


class StageEmbedder(Network):
    """The encoder, and a head for every contrast and every contrasted stage.

    Args:
        encoder: what is to be trained.
        settings: resolved settings.
        contrasts: their names.
        stepwise: of those the ones that compare time steps, not whole clips.

    Raises:
        UnsceneError: the encoder has fewer stages than are asked for.
    """

    def __init__(
        self,
        encoder: VideoEncoder,
        settings: Settings,
        contrasts: tuple[str, ...],
        stepwise: Iterable[str] = (),
    ) -> None:
        super().__init__(encoder)
        if settings.stages > len(encoder.stage_dims):
            raise UnsceneError(
                f"stages {settings.stages}: encoder {encoder.spec.name} has "
                f"{len(encoder.stage_dims)}; pass --stages {len(encoder.stage_dims)}"
            )
        self.stages = settings.stages
        self.stepwise = frozenset(stepwise)
        self.heads = nn.ModuleDict(
            {
                f"{contrast}{stage}": Head(dim, settings.dim, settings.head)
                for contrast in contrasts
                for stage, dim in enumerate(encoder.stage_dims[-settings.stages :])
            }
        )

    def forward(self, clip_BCTHW: Tensor) -> list[Tensor]:
        """Clips -> for each stage, shallow to deep, its features over time (B, T_k, D_k)."""
        maps = self.encoder.forward_stages(clip_BCTHW)[-self.stages :]
        return [self.over_time(m) for m in maps]

    def over_time(self, map_BDTHW: Tensor) -> Tensor:
        """A map -> its features over time (B, T, D), pooled over space as the encoder does."""
        if self.encoder.pool == "max":
            return map_BDTHW.amax(dim=(3, 4)).mT
        return map_BDTHW.mean(dim=(3, 4)).mT

    def embed(self, contrast: str, stage: int, features_BTD: Tensor) -> Tensor:
        """Features over time -> what a contrast compares, (B, R, D): R time steps, or one row."""
        if contrast not in self.stepwise:
            features_BTD = features_BTD.mean(dim=1, keepdim=True)
        embedded: Tensor = self.heads[f"{contrast}{stage}"](features_BTD.flatten(0, 1))
        return embedded.unflatten(0, features_BTD.shape[:2])


class HDC(Method):
    """Spatial and temporal contrast at several stages.

    Raises:
        UnsceneError: the encoder has fewer stages than are asked for, or the flags contradict.
    """

    embedder: StageEmbedder

    def _network(self, encoder: VideoEncoder) -> StageEmbedder:
        s = self.settings
        if s.contrasts == "entangled" and not s.crop_first:
            raise UnsceneError(
                "contrasts 'entangled': its views differ in space too, and under --crop_first "
                "false they would not; pass --contrasts temporal"
            )
        stepwise = ("spatial",) if s.sc_pool == "2d" else ()
        return StageEmbedder(encoder, s, self.contrasts, stepwise)

    @property
    def contrasts(self) -> tuple[str, ...]:
        """The names of the contrasts."""
        one = self.settings.contrasts
        return ("spatial", "temporal") if one == "both" else (one,)

    def sampler(self) -> ClipSampler:
        s = self.settings
        if self.contrasts == ("spatial",):
            return RandomClipSampler(s.frames, s.stride)
        return TwoClipSampler(s.frames, s.stride, s.crop_reach)

    def views(self, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        clip, size = batch.clips["clip"], self.settings.size
        params = self.basic.draw(clip.sizes, generator)
        views = {"anchor": make_view(clip, params, size=size)}
        if "spatial" in self.contrasts:
            anew = self.basic.draw(clip.sizes, generator)
            views["positive"] = make_view(clip, anew, size=size)
        if self.contrasts != ("spatial",):
            second = batch.clips["second"]
            if self.settings.crop_first:
                params = self.basic.draw(second.sizes, generator)
            views["second"] = make_view(second, params, size=size)
        return views

    def loss(self, batch: Batch, views: dict[str, Tensor]) -> StepResult:
        own = same_video(batch.index.to(views["anchor"].device))
        # One pass for all views, so that batch norm sees them alike.
        seen = self.embedder(torch.cat(list(views.values())))
        stages = [dict(zip(views, features.chunk(len(views)), strict=True)) for features in seen]
        weights = self.settings.stage_weights[-len(stages) :]
        losses: list[Tensor] = []
        metrics: dict[str, Tensor] = {}
        for contrast in self.contrasts:
            of_contrast = []
            for stage, (weight, features) in enumerate(zip(weights, stages, strict=True)):
                first, second = (
                    self.embedder.embed(contrast, stage, features[view])
                    for view in ("anchor", _PARTNER[contrast])
                )
                loss, nearest = self._contrast(first, second, own)
                of_contrast.append(weight * loss)
                if weight:  # in the end that of the deepest stage that learns
                    metrics[f"{contrast}_rank1"] = nearest
            losses.append(torch.stack(of_contrast).sum())
            metrics[contrast] = losses[-1].detach()
        return StepResult(torch.stack(losses).sum(), metrics)

    def _contrast(self, first: Tensor, second: Tensor, own: Tensor) -> tuple[Tensor, Tensor]:
        """InfoNCE, both ways, of the two sides of a contrast (B, R, D), and its rank1."""
        sides_B2RD = torch.stack([first, second], dim=1)
        a, b = sides_B2RD.permute(1, 2, 0, 3)
        every_a, every_b = gather_with_gradient(sides_B2RD).permute(1, 2, 0, 3)
        tau = self.settings.temperature
        forth = info_nce(a, b, every_b, temperature=tau, hidden=own)
        back = info_nce(b, a, every_a, temperature=tau, hidden=own)
        return (forth + back) / 2, rank1(a.mean(0), b.mean(0), every_b.mean(0), own)
