"""HDC: hierarchically decoupled spatial-temporal contrast (arXiv 2011.11261, WACV 2022).

    views     anchor    a window of the video, augmented
              positive  the same window, augmented anew: the other side of the spatial contrast (SC)
              second    another window of the video, cut first and then augmented: the other side of
                        the temporal contrast (TC)
    encoder   any; one for all views (Siamese), no momentum encoder, no queue; its last three stages
    head      one for every contrast and stage: two layers, D = 128, L2
    loss      HD-NCE: sum over stages k of alpha_k L_SC^k + beta_k L_TC^k, each InfoNCE among the
              videos of the batch. SC pools over H and W and pairs the time steps of its two views;
              TC pools over time as well.

Each ablation is one flag away: `--contrasts` spatial, temporal or entangled; `--stages 1`, or a
weight of 0 for any stage; `--stage_weights [1,1,1]`; `--crop_first false`; `--sc_pool 3d`.

Sources: there is no public code, and we have only a summary of the paper. It states the two
contrasts and what is augmented in each, 2D and 3D pooling, losses at several layers that weigh less
where lower layers are less invariant, and the Siamese network without memory bank or momentum. 16
frames and the ablations stand in methods.md (section 2). Everything else is a choice of ours:
- Stages, weights (0.25, 0.5, 1 for both contrasts), heads, temperature, augmentation, optimizer.
- The anchor serves both contrasts: three views per video are encoded instead of four.
- InfoNCE goes both ways. Its negatives are the other view of the batch's other videos, in SC at the
  same time step. Another step of the same video is no negative: SC should not tell steps apart.
  Steps of other videos are compared at the same position, because the padding of the convolutions
  makes the first and the last step recognizable. A video that is in a batch twice is masked.
- Negatives come from all processes, with gradient: keys are the network's own, and without the
  gradient of the other processes' losses, several processes would not train as one does with the
  same batch.
- Pooling over space is the encoder's: the mean, or the maximum for one built with pool "max".
- The two clips start at most `crop_reach` frames apart, and may overlap.
- "Temporal crop after augmentation" (`--crop_first false`): parameters are drawn once for the whole
  video, so both clips get the same crop and colors, and TC's views differ in time only.
- "Entangled": one contrast, 3D pooling, of views that differ in time and in space. Cut first, these
  are the views of TC: as far as the summary goes, the two rows are one and the same.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from unscene.config import require
from unscene.data.loading import Batch
from unscene.encoders import VideoEncoder
from unscene.errors import UnsceneError
from unscene.methods.base import Method, Network, StepResult
from unscene.methods.contrastive import (
    Head,
    compute_rank1,
    gather_with_gradient,
    info_nce,
    same_sample_mask,
)
from unscene.methods.settings import OURS, CommonSettings
from unscene.video.sampling import ClipSampler, RandomClipSampler, TwoClipSampler

TITLE = "HDC"


@dataclass(frozen=True, kw_only=True)
class StageSettings(CommonSettings):
    """Losses at several stages of the encoder.

    Attributes:
        head: "linear" or "mlp" (two layers).
        stages: number of the encoder's last stages that have a loss; 1 is no hierarchy.
        stage_weights: weight of each stage's loss, shallow to deep (HDC: alpha_k = beta_k); the
            last `stages` count, and 0 leaves a stage out.
    """

    head: Literal["linear", "mlp"] = "linear"
    stages: int = 3
    stage_weights: tuple[float, ...] = (0.25, 0.5, 1.0)

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self, ("stages",), lambda v: v >= 1, "must be at least 1")
        weights = self.stage_weights[-self.stages :]
        valid = len(weights) == self.stages and all(weight >= 0 for weight in weights)
        remedy = f"the last {self.stages}, as many as --stages, must be 0 or more, and not all 0"
        require(self, ("stage_weights",), lambda _: valid and any(weights), remedy)


@dataclass(frozen=True, kw_only=True)
class Settings(StageSettings):
    """The spatial and the temporal contrast.

    Attributes:
        temperature: tau of InfoNCE.
        contrasts: "spatial" (two views of one clip), "temporal" (of two clips of a video), "both",
            or "entangled" (one contrast of views that differ in time and in space).
        sc_pool: "2d" pools H and W for the spatial contrast, which then pairs time steps; "3d"
            pools everything.
        crop_first: cut the two clips first and augment each by itself; false: augment the video,
            both clips alike, and cut then.
        crop_reach: the two clips start at most so many frames of the video apart.
    """

    drawn: ClassVar[tuple[str, ...]] = ("contrasts", "crop_first", "crop_reach")

    temperature: float = 0.07
    contrasts: Literal["both", "spatial", "temporal", "entangled"] = "both"
    sc_pool: Literal["2d", "3d"] = "2d"
    crop_first: bool = True
    crop_reach: int = 250

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self, ("temperature",), lambda v: v > 0, "must be above 0")
        require(self, ("crop_reach",), lambda v: v >= 0, "must not be negative")


# Nothing we have of HDC's paper names optimizer, schedule, temperature or head: the first two are
# DSM's, the others ours.
PRESETS: dict[str, dict[str, Any]] = {
    "default": OURS | {"head": "mlp", "temperature": 0.1},
    "paper": {"head": "mlp"},
}

# The view that each contrast compares the anchor with.
_PARTNER = {"spatial": "positive", "temporal": "second", "entangled": "second"}


class StageEmbedder(Network):
    """The encoder, and a head for every contrast and every contrasted stage.

    Args:
        encoder: what is to be trained.
        settings: resolved settings.
        contrasts: names of the contrasts.
        stepwise: those of them that compare time steps, not whole clips.

    Raises:
        UnsceneError: the encoder has fewer stages than requested.
    """

    def __init__(
        self,
        encoder: VideoEncoder,
        settings: StageSettings,
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
        UnsceneError: the encoder has fewer stages than requested, or the flags contradict.
    """

    settings: Settings
    embedder: StageEmbedder
    takes_vectors = True

    def _network(self, encoder: VideoEncoder) -> StageEmbedder:
        s = self.settings
        if s.contrasts == "entangled" and not s.crop_first:
            raise UnsceneError(
                "contrasts 'entangled': its views must differ in space, and with --crop_first "
                "false they do not; pass --contrasts temporal"
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
        clip = batch.clips["clip"]
        params = self.basic.draw(clip.sizes, generator)
        views = {"anchor": self.show(clip, params)}
        if "spatial" in self.contrasts:
            anew = self.basic.draw(clip.sizes, generator)
            views["positive"] = self.show(clip, anew)
        if self.contrasts != ("spatial",):
            second = batch.clips["second"]
            if self.settings.crop_first:
                params = self.basic.draw(second.sizes, generator)
            views["second"] = self.show(second, params)
        return views

    def captions(self) -> dict[str, str]:
        how = "its own" if self.settings.crop_first else "the same"
        return super().captions() | {"second": f"another moment with {how} crop and color"}

    def aim(self) -> str:
        pulled = {"spatial": "the positive", "temporal": "the second", "entangled": "the second"}
        views = [pulled[contrast] for contrast in self.contrasts]
        which = views[0] if len(views) == 1 else "both other views"
        return f"Training pulls {which} to the anchor and pushes other videos away."

    def loss(self, batch: Batch, views: dict[str, Tensor]) -> StepResult:
        mask = same_sample_mask(batch.index.to(views["anchor"].device))
        # One pass for all views, so that batch norm treats them alike.
        embedded = self.embedder(torch.cat(list(views.values())))
        stages = [dict(zip(views, stage.chunk(len(views)), strict=True)) for stage in embedded]
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
                loss, nearest = self._contrast(first, second, mask)
                of_contrast.append(weight * loss)
                if weight:  # in the end that of the deepest stage that learns
                    metrics[f"{contrast}_rank1"] = nearest
            losses.append(torch.stack(of_contrast).sum())
            metrics[contrast] = losses[-1].detach()
        return StepResult(torch.stack(losses).sum(), metrics)

    def _contrast(self, first: Tensor, second: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """InfoNCE, both ways, of the two sides of a contrast (B, R, D), and its rank1."""
        sides_B2RD = torch.stack([first, second], dim=1)
        a, b = sides_B2RD.permute(1, 2, 0, 3)
        every_a, every_b = gather_with_gradient(sides_B2RD).permute(1, 2, 0, 3)
        tau = self.settings.temperature
        forth = info_nce(a, b, every_b, temperature=tau, mask=mask)
        back = info_nce(b, a, every_a, temperature=tau, mask=mask)
        return (forth + back) / 2, compute_rank1(a.mean(0), b.mean(0), every_b.mean(0), mask)
