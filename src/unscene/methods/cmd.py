"""CMD: context and motion decoupling (arXiv 2104.00862, CVPR 2021).

    views     anchor    a window, augmented
              key       a key frame near it, augmented by itself
              motion    the codec's vectors of F = 8 frames that follow the anchor, cropped and
                        flipped as it was; and of three other moments of the video
    encoder   any (R3D-26, R(2+1)D-26, C3D in the paper); a motion and a key-frame encoder beside it
    head      four, two layers with batch norm, D = 512, L2; a transformer predicts the motion
              (cmd_network.py)
    loss      motion: each predicted position must find the true motion's feature at that position
              among all positions of it, of the other moments and of the batch's other videos;
              context: the clip must find its key frame among those of the batch. Both InfoNCE,
              query -> key, negatives from all processes, keys with gradient. Their sum.

Each ablation is one flag away: `--tasks context` or motion; `--motion_at present`; `--motion_loss
l2`; `--predictor linear`; `--context_from any`; `--motion_from flow` or difference.

Sources: the summary of the paper, the authors' public code and model card as methods.md, section 3,
describes them. What is ours:
- A flip negates the x of a vector, a crop rescales vectors, the key frame is RGB. `--preset
  official-code` repeats the authors' slips in the first two.
- The key frame is the last one at or before a frame drawn from within 5 of the clip.
- The other moments begin within `motion_reach` frames of the clip; where a video has no room for
  three windows apart, they overlap each other, never the true motion.
- The present, where it is asked for, are the last F frames that the clip spans.
- l2: the mean vector of each position (over F and the pixels that fall there), without a feature.
- A window of the same video that is in a batch twice is no negative.
- Vectors of I-frames and of intra blocks are zero, as with the authors; streams with B-frames are
  taken with the vectors they have (`unscene prepare` makes exact ones).
- The default preset takes AdamW with 1e-3 and batches of 32.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from unscene.encoders import VideoEncoder
from unscene.methods.base import Method, StepResult
from unscene.methods.cmd_network import CMDNetwork, at_positions
from unscene.methods.contrast import gather_with_gradient, info_nce, rank, same_video
from unscene.methods.moco import rank1
from unscene.methods.settings import Settings
from unscene.video.catalog import Video
from unscene.video.clip import Clip
from unscene.video.loading import Batch
from unscene.video.sampling_future import FutureWindows
from unscene.views.augment import BasicAugmentation, ViewParameters, make_view
from unscene.views.flow import add_flow, view_flow
from unscene.views.motion import motion_maps


class CMD(Method):
    """Context matching and motion prediction."""

    embedder: CMDNetwork

    def __init__(self, encoder: VideoEncoder, settings: Settings) -> None:
        super().__init__(encoder, settings)
        self.basic = BasicAugmentation.of(settings.augmentation, settings.size)

    def _network(self, encoder: VideoEncoder) -> CMDNetwork:
        return CMDNetwork(encoder, self.settings)

    @property
    def windows(self) -> tuple[str, ...]:
        """Names of the motion windows, the true one first."""
        s = self.settings
        if s.tasks == "context":
            return ()
        others = s.motion_negatives if s.motion_loss == "nce" else 0
        return ("motion", *(f"other{k}" for k in range(others)))

    def sampler(self) -> FutureWindows:
        s = self.settings
        return FutureWindows(
            s.frames,
            s.stride,
            motion_frames=s.motion_frames,
            gap=s.motion_gap if s.motion_at == "future" else None,
            others=max(0, len(self.windows) - 1),
            reach=s.motion_reach,
            key_only=s.context_from == "key",
            context=s.tasks != "motion",
            motion=s.tasks != "context",
            pixels=s.motion_from != "vectors",
        )

    def transforms(self) -> dict[str, Callable[[Clip], Clip]]:
        if self.settings.motion_from != "flow":
            return {}
        flow = partial(add_flow, source="dis", grid=max(32, self.settings.size))
        return dict.fromkeys(self.windows, flow)

    def refuses(self, video: Video) -> str | None:
        assert video.info is not None
        least = self.sampler().least
        frames = int(video.duration * video.info.fps + 1e-3)
        if frames < least:
            return f"{frames} frames, and CMD needs {least}: lower --frames or --stride"
        wanted = self.settings.tasks != "context" and self.settings.motion_from == "vectors"
        if wanted and not video.info.vectors:
            codec = video.info.codec
            return f"{codec} carries no motion vectors: `unscene prepare`, or --motion_from flow"
        return None

    def views(self, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        s, clip = self.settings, batch.clips["clip"]
        params = self.basic.draw(clip.sizes, generator)
        views = {"anchor": make_view(clip, params, size=s.size)}
        if s.tasks != "motion":
            key = batch.clips["key"]
            views["key"] = make_view(key, self.basic.draw(key.sizes, generator), size=s.size)
        return views | {name: self._motion(batch, name, params) for name in self.windows}

    def _motion(self, batch: Batch, name: str, params: ViewParameters) -> Tensor:
        """float32 (B, 2, F, size, size), forward motion in `motion_limit`; 3 channels of
        differences, of the clip's view of the frames."""
        s, clip = self.settings, batch.clips[name]
        if s.motion_from == "difference":
            return make_view(clip, params, size=s.size).diff(dim=2)
        affine, size = params.affine.to(clip.device), (s.size, s.size)
        if s.motion_from == "flow":
            assert clip.flow is not None
            pixels = view_flow(clip.flow, affine, size) * (s.size / 2)
            forward = -pixels.clamp(-s.motion_limit, s.motion_limit) / s.motion_limit
            return forward.permute(0, 4, 1, 2, 3)
        assert clip.motion is not None
        corrected = s.motion_corrected
        return motion_maps(clip.motion, affine, size, limit=s.motion_limit, corrected=corrected)[0]

    def forward(self, batch: Batch, generator: torch.Generator) -> StepResult:
        views = self.views(batch, generator)
        own = same_video(batch.index.to(views["anchor"].device))
        maps = self.embedder.clip_maps(views["anchor"])
        losses: list[Tensor] = []
        metrics: dict[str, Tensor] = {}
        if "key" in views:
            query, key = self.embedder.context(maps, views["key"])
            keys, tau = gather_with_gradient(key), self.settings.temperature
            losses.append(info_nce(query, key, keys, temperature=tau, hidden=own))
            metrics["context_rank1"] = rank1(query, key, keys, own)
            metrics["context"] = losses[-1].detach()
        if self.windows:
            predicted = self.embedder.predicted(maps)
            if self.settings.motion_loss == "l2":
                losses.append(self._regression(predicted, views["motion"]))
            else:
                found = self._prediction(predicted, [views[name] for name in self.windows], own)
                losses.append(found[0])
                metrics["motion_rank1"] = found[1]
            metrics["motion"] = losses[-1].detach()
        return StepResult(torch.stack(losses).sum(), metrics)

    def _prediction(
        self, predicted: Tensor, windows: list[Tensor], own: Tensor
    ) -> tuple[Tensor, Tensor]:
        query = self.embedder.motion_query(predicted)
        # One pass for all windows, so that batch norm sees them alike.
        features = self.embedder.motion_features(torch.cat(windows)).chunk(len(windows))
        others = torch.stack(features[1:], dim=1) if len(windows) > 1 else None
        return position_nce(query, features[0], others, own, self.settings.temperature)

    def _regression(self, predicted: Tensor, motion: Tensor) -> Tensor:
        target = at_positions(motion, self.embedder.positions)
        return F.mse_loss(self.embedder.motion_values(predicted).float(), target)


def position_nce(
    query: Tensor, true: Tensor, others: Tensor | None, own: Tensor, temperature: float
) -> tuple[Tensor, Tensor]:
    """InfoNCE of every position against all positions of many windows (methods.md 3.3).

    Args:
        query: predicted features (B, N, D), normalised.
        true: features of the true motion (B, N, D).
        others: of H other moments of the same video (B, H, N, D), or None.
        own: bool (B, world B), from `same_video`.
        temperature: tau > 0.

    Returns:
        The mean loss over videos and positions, and how often a position finds its feature first.
    """
    batch, positions, _ = query.shape
    every = gather_with_gradient(true)
    logits = torch.einsum("bnd,cmd->bncm", query, every)
    place = torch.arange(batch, device=query.device) + rank() * batch
    twin = own.clone()
    twin[torch.arange(batch, device=query.device), place] = False
    logits = logits.masked_fill(twin[:, None, :, None], -torch.inf).flatten(2)
    if others is not None:
        hard = torch.einsum("bnd,bhmd->bnhm", query, others).flatten(2)
        logits = torch.cat([logits, hard], dim=2)
    at = torch.arange(positions, device=query.device)
    target = place[:, None] * positions + at[None]
    loss = F.cross_entropy((logits / temperature).flatten(0, 1), target.flatten())
    found = (logits.detach().argmax(dim=2) == target).float().mean()
    return loss, found
