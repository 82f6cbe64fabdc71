"""CMD: context and motion decoupling (arXiv 2104.00862, CVPR 2021).

    views     anchor    a window, augmented
              key       a key frame near it, augmented by itself
              motion    the codec's vectors of F = 8 frames that follow the anchor, cropped and
                        flipped as it was; and of three other moments of the video
    encoder   any (R3D-26, R(2+1)D-26, C3D in the paper); a motion and a key-frame encoder beside it
    head      four, two layers with batch norm, D = 512, L2; a transformer predicts the motion
              (motion_prediction.py)
    loss      motion: each predicted position must find the true motion's feature at that position
              among all positions of it and of the other moments of the batch's videos;
              context: the clip must find its key frame among those of the batch. Both InfoNCE,
              query -> key, negatives from all processes, keys with gradient. Their sum, weighed by
              `task_weights`.

Each ablation is one flag away: `--tasks context` or motion; `--motion_at present`; `--motion_loss
l2`; `--predictor linear`; `--context_from any`; `--motion_from flow`, difference or
vectors+residual (the vectors, and as third channel what they leave unexplained).

Sources: the summary of the paper, the authors' public code (read for what it does) and model card.
Where methods.md, section 3, leaves something open, the code decides: the maps of two scales are
added, the form of the transformer (predictor.py), other moments have crops of their own, and those
of every video are negatives for all. Deviations from the paper and its code:
- A flip negates the x of a vector, a crop rescales vectors, the key frame is RGB. `--preset
  official-code` repeats the authors' slips in the first two.
- The key frame is the last one at or before a frame drawn from within 5 of the clip.
- The other moments start within `motion_reach` frames of the clip; where a video has no room for
  three separate ones, they overlap each other, never the true motion.
- With `--motion_at present`, the motion is that of the last F frames that the clip spans.
- l2: the mean vector of each position (over F and the pixels that fall there), without a feature;
  the squared error as a share of the batch's mean squared motion, or of a quarter of the usual
  where less moves.
- Another sample of the same video in a batch is no negative.
- Videos shorter than the clip and the motion after it (71 frames with the authors' numbers) are
  counted and skipped.
- Vectors of I-frames and of intra blocks are zero, as with the authors. Streams with B-frames are
  used with the vectors that they have (`unscene prepare` makes files with one reference and no
  B-frames).
- SyncBN, which the authors have, is a flag of the training (`--sync_batchnorm`); recipes set it.
- The cosine runs from the first step on, times the warm-up, instead of starting after it.
- The default preset takes AdamW with 1e-3 and batches of 32, and starts the last norms of the
  motion and key-frame encoders at one; the authors, and the other presets, start them at zero.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from unscene.config import require
from unscene.data.catalog import Video
from unscene.data.loading import Batch
from unscene.encoders import VideoEncoder
from unscene.methods.base import Method, Network, StepResult
from unscene.methods.contrastive import (
    compute_rank1,
    gather_with_gradient,
    info_nce,
    same_sample_mask,
)
from unscene.methods.motion_prediction import (
    MotionPrediction,
    MotionSettings,
    combine_scales,
    compute_map_shape,
    create_side_encoder,
    describe_motion,
    explain_refusal,
    make_future_sampler,
    make_motion_view,
    motion_transforms,
    name_motion_clips,
    reads_vectors,
)
from unscene.methods.predictor import NormHead
from unscene.methods.settings import OURS
from unscene.video.clip import Clip
from unscene.video.sampling import FutureClipSampler
from unscene.views.augment import make_view

TITLE = "CMD"


@dataclass(frozen=True, kw_only=True)
class Settings(MotionSettings):
    """Context matching and motion prediction.

    Attributes:
        tasks: "context" (which key frame belongs to the clip), "motion" (what moves where,
            `motion_gap` frames later), or "both".
        task_weights: weights of the two losses, the context's and the motion's.
        context_from: what the context is: a "key" frame of the stream, or "any" frame.
    """

    drawn: ClassVar[tuple[str, ...]] = ("tasks", "context_from")

    tasks: Literal["both", "context", "motion"] = "both"
    task_weights: tuple[float, float] = (1.0, 1.0)
    context_from: Literal["key", "any"] = "key"

    def __post_init__(self) -> None:
        super().__post_init__()
        remedy = "must be two numbers above 0; see --tasks"
        require(self, ("task_weights",), lambda v: all(weight > 0 for weight in v), remedy)


# The authors' code and model card (methods.md 3.2 to 3.4); lr is 5e-4 times the batch.
_PAPER: dict[str, Any] = {
    "augmentation": "cmd",
    "dim": 512,
    "temperature": 0.1,
    "lr": 5e-4 * 64,
    "nesterov": True,
    "weight_decay": 5e-3,
    "clip_gradient": 15.0,
    "side_norms_zero": True,
    "schedule": "cosine",
    "warmup": 5 / 120,
    "epochs": 120,
    "batch_size": 64,
}
# What ours has instead.
_OWN = {name: OURS[name] for name in ("optimizer", "lr", "weight_decay", "batch_size")}
_OWN["side_norms_zero"] = False
PRESETS: dict[str, dict[str, Any]] = {
    "default": _PAPER | _OWN,
    "paper": _PAPER,
    "official-code": _PAPER | {"weight_decay": 1e-3, "motion_corrected": False},
}


class ContextMatching(nn.Module):
    """Key-frame encoder and two heads: clips' maps and key frames -> (B, dim) each, normalized."""

    def __init__(self, channels: int, settings: Settings) -> None:
        super().__init__()
        s = settings
        self.encoder = create_side_encoder(s, "r2d-narrow", "r2d10", in_channels=3)
        self.query = NormHead(channels, s.dim, s.predictor_hidden)
        self.key = NormHead(self.encoder.dim, s.dim, s.predictor_hidden)

    def forward(self, maps_BCTHW: Tensor, key_BCTHW: Tensor) -> tuple[Tensor, Tensor]:
        return self.query(maps_BCTHW.mean(dim=(2, 3, 4))), self.key(self.encoder(key_BCTHW))


class CMDNetwork(Network):
    """The clip encoder, and the networks of each task."""

    def __init__(self, encoder: VideoEncoder, settings: Settings) -> None:
        super().__init__(encoder)
        shape = compute_map_shape(encoder, settings.frames, settings.size, settings.scales)
        self.scales = settings.scales
        if settings.tasks != "motion":
            self.context = ContextMatching(shape[0], settings)
        if settings.tasks != "context":
            self.motion = MotionPrediction(shape, settings)

    def clip_maps(self, clip_BCTHW: Tensor) -> Tensor:
        """Clips -> (B, C, T', H', W') of two scales."""
        return combine_scales(self.encoder, self.encoder.forward_stages(clip_BCTHW), self.scales)


class CMD(Method):
    """Context matching and motion prediction."""

    settings: Settings
    embedder: CMDNetwork

    def _network(self, encoder: VideoEncoder) -> CMDNetwork:
        return CMDNetwork(encoder, self.settings)

    @property
    def motion_names(self) -> tuple[str, ...]:
        """Names of the motion clips, the true one first."""
        return () if self.settings.tasks == "context" else name_motion_clips(self.settings)

    def sampler(self) -> FutureClipSampler:
        s = self.settings
        context = None if s.tasks == "motion" else s.context_from
        return make_future_sampler(s, context=context, motion=s.tasks != "context")

    def transforms(self) -> dict[str, Callable[[Clip], Clip]]:
        return motion_transforms(self.motion_names, self.settings)

    def refuses(self, video: Video) -> str | None:
        s = self.settings
        vectors = s.tasks != "context" and reads_vectors(s)
        return explain_refusal(video, self.sampler().least, vectors=vectors)

    def views(self, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        s, clip = self.settings, batch.clips["clip"]
        params = self.basic.draw(clip.sizes, generator)
        views = {"anchor": make_view(clip, params, size=s.size)}
        if s.tasks != "motion":
            key = batch.clips["key"]
            views["key"] = make_view(key, self.basic.draw(key.sizes, generator), size=s.size)
        for name in self.motion_names:
            if name != self.motion_names[0]:
                # Other moments are cropped and flipped by themselves, as with the authors.
                params = self.basic.draw(clip.sizes, generator)
            views[name] = make_motion_view(batch, name, params, s)
        return views

    def captions(self) -> dict[str, str]:
        key = "a key frame, to be matched with its clip"
        return {"anchor": "the clip", "key": key, "motion": describe_motion(self.settings)}

    def aim(self) -> str:
        tasks = {"motion": "predicts the motion", "context": "matches the clip with its key frame"}
        parts = [text for task, text in tasks.items() if self.settings.tasks in (task, "both")]
        return f"From the anchor, training {' and '.join(parts)}."

    def loss(self, batch: Batch, views: dict[str, Tensor]) -> StepResult:
        # The motion task has negatives in the video itself.
        device = views["anchor"].device
        mask = same_sample_mask(batch.index.to(device), needs_others="key" in views)
        maps = self.embedder.clip_maps(views["anchor"])
        losses: list[Tensor] = []
        weights = self.settings.task_weights
        metrics: dict[str, Tensor] = {}
        if "key" in views:
            query, key = self.embedder.context(maps, views["key"])
            keys, tau = gather_with_gradient(key), self.settings.temperature
            context = info_nce(query, key, keys, temperature=tau, mask=mask)
            losses.append(weights[0] * context)
            metrics["context"] = context.detach()
            metrics["context_rank1"] = compute_rank1(query, key, keys, mask)
        if self.motion_names:
            windows = [views[name] for name in self.motion_names]
            loss, found = self.embedder.motion(maps, windows, mask)
            losses.append(weights[1] * loss)
            metrics |= found
        return StepResult(torch.stack(losses).sum(), metrics)
