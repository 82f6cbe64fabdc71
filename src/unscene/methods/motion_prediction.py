"""Predict future motion from a clip: CMD's task, for any method that encodes clips (methods.md 3).

    motion    (B, 2, F, H, W)    R3D-10, stem of stride 1    (B, 512, 1, 7, 7): 49 positions
    clip      (B, 3, T, H, W)    encoder, two scales         (B, C, 2, 7, 7): 98 tokens
              tokens -> transformer, a learned query for every position -> head (predictor.py)
              each position must find the true motion's feature there, among all others

(Sizes of a 16x112x112 clip and F = 8.) Two scales: a ResNet's last map, upsampled (nearest) to the
size of the map before it, and the even and odd time steps of that map, concatenated. They are added
(2048 channels of R3D-26) or concatenated (`scales`). Other encoders give their last map.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unscene.config import require
from unscene.data.catalog import Video
from unscene.data.loading import Batch
from unscene.device import fp32_context
from unscene.encoders import VideoEncoder, create_encoder
from unscene.encoders.resnet3d import ResNet3D
from unscene.methods.contrastive import average_over_processes, gather_with_gradient, rank
from unscene.methods.predictor import (
    HEADS,
    LinearPredictor,
    NormHead,
    TransformerPredictor,
    at_positions,
)
from unscene.methods.settings import CommonSettings
from unscene.motion.camera import stabilize_vectors
from unscene.motion.flow import make_flow_transform
from unscene.video.clip import Clip
from unscene.video.sampling import FutureClipSampler
from unscene.views.augment import ViewParameters, make_view
from unscene.views.codec_motion import motion_maps, residual_maps
from unscene.views.flow import find_camera, take_out, view_flow

_LEAST = 1e-5  # of mean squared motion, where hardly anything moves
_STILL = 0.25  # of the usual, which a batch in which less moves is taken to have
_MEMORY = 100  # batches that the usual is a mean of
_CHANNELS = {"vectors": 2, "vectors+residual": 3, "flow": 2, "difference": 3}
_READ_AS: dict[str, Literal["vectors", "both"]] = {"vectors": "vectors", "vectors+residual": "both"}


@dataclass(frozen=True, kw_only=True)
class MotionSettings(CommonSettings):
    """The motion that is predicted, and the networks that predict it.

    Attributes:
        temperature: tau of InfoNCE.
        motion_at: predict the motion of the "future", or of the "present" (the clip's end).
        motion_from: what the motion is: "vectors" (motion vectors), "vectors+residual" (vectors,
            and what they leave unexplained), "flow" (DIS), or the "difference" of neighboring
            frames.
        motion_loss: what is predicted: "nce" (match the motion's feature), or "l2" (the values; the
            squared error as a share of the mean squared motion).
        predictor: network that predicts the motion from the clip.
        scales: how a ResNet's last two maps are combined for the predictor: "sum" or "concat".
        predictor_dim: width of the predictor; a multiple of 8 for the transformer.
        predictor_hidden: width of the hidden layer of the heads.
        motion_frames: F, number of frames of the predicted motion.
        motion_gap: frames from the clip's last to the motion's first.
        motion_negatives: motion clips of the same video at other times, as negatives.
        motion_reach: how far the `motion_negatives` start from the clip, in frames of the video.
        motion_limit: motion is clamped to so many pixels per frame, and divided by it.
        motion_corrected: false repeats two slips of CMD's authors: a flip does not negate the x of
            a vector, and a crop does not rescale it.
        camera: the motion that is predicted has the camera's motion in it ("in", CMD), or is what
            moves against the scene ("out"). A "difference" of frames has it in it.
        side_encoders: the motion and key-frame encoders of CMD: "full" (R3D-10, ResNet-10) or
            "narrow".
        side_norms_zero: the scale of the last norm of every block of the side encoders begins at
            zero, as in CMD's authors' code.
    """

    drawn: ClassVar[tuple[str, ...]] = (
        *("motion_at", "motion_from", "motion_frames", "motion_gap", "motion_limit"),
        *("motion_corrected", "camera"),
    )

    temperature: float = 0.07
    motion_at: Literal["future", "present"] = "future"
    motion_from: Literal["vectors", "vectors+residual", "flow", "difference"] = "vectors"
    motion_loss: Literal["nce", "l2"] = "nce"
    predictor: Literal["transformer", "linear"] = "transformer"
    scales: Literal["sum", "concat"] = "sum"
    predictor_dim: int = 512
    predictor_hidden: int = 2048
    motion_frames: int = 8
    motion_gap: int = 3
    motion_negatives: int = 3
    motion_reach: int = 64
    motion_limit: float = 10.0
    motion_corrected: bool = True
    camera: Literal["in", "out"] = "in"
    side_encoders: Literal["full", "narrow"] = "full"
    side_norms_zero: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        counts = ("predictor_dim", "predictor_hidden", "motion_frames", "motion_gap")
        require(self, counts, lambda v: v >= 1, "must be at least 1")
        require(self, ("temperature", "motion_limit"), lambda v: v > 0, "must be above 0")
        from_zero = ("motion_negatives", "motion_reach")
        require(self, from_zero, lambda v: v >= 0, "must not be negative")
        divisor = HEADS if self.predictor == "transformer" else 1
        remedy = f"must be a multiple of {HEADS}, the transformer's heads"
        require(self, ("predictor_dim",), lambda v: v % divisor == 0, remedy)


class MotionPrediction(nn.Module):
    """Predictor, motion encoder and heads; the encoder of clips is the caller's.

    Args:
        shape: (C, T', H', W') of the clips' maps of two scales, from `compute_map_shape`.
        settings: resolved; `size` and `motion_frames` decide how many positions there are.

    Attributes:
        positions: (T', H', W') of the future motion.
    """

    def __init__(self, shape: tuple[int, ...], settings: MotionSettings) -> None:
        super().__init__()
        self.settings = s = settings
        channels, *tokens = shape
        channels_in = _CHANNELS[s.motion_from]
        motion_encoder = create_side_encoder(
            s, "r3d-narrow", "r3d10", stem="motion", in_channels=channels_in
        )
        of_motion, *positions = compute_map_shape(motion_encoder, s.motion_frames, s.size)
        self.tokens, self.positions = tuple(tokens), tuple(positions)
        kind = TransformerPredictor if s.predictor == "transformer" else LinearPredictor
        self.predictor = kind(channels, s.predictor_dim, self.tokens, self.positions)
        if s.motion_loss == "nce":
            self.motion_encoder = motion_encoder
            self.query = NormHead(s.predictor_dim, s.dim, s.predictor_hidden)
            self.key = NormHead(of_motion, s.dim, s.predictor_hidden)
        else:
            self.values = nn.Linear(s.predictor_dim, _CHANNELS[s.motion_from])
            # Begins by predicting nothing: chance values are far larger than most motion, and
            # unlearning them is all that an encoder would do at first.
            nn.init.zeros_(self.values.weight)
            nn.init.zeros_(self.values.bias)
            self.usual: Tensor
            self.batches: Tensor
            self.register_buffer("usual", torch.zeros(()))  # mean squared motion of batches
            self.register_buffer("batches", torch.zeros(()))
            self.register_load_state_dict_pre_hook(_add_missing_buffers)

    def features(self, motion_BCTHW: Tensor) -> Tensor:
        """Motion windows -> their features at every position, (B, N, dim), normalized."""
        maps = self.motion_encoder.forward_maps(motion_BCTHW).flatten(2).mT
        features: Tensor = self.key(maps)
        return features

    def forward(
        self, maps_BCTHW: Tensor, windows: list[Tensor], mask: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss of predicting `windows[0]`, and numbers to log.

        Args:
            maps_BCTHW: of the clips, from `combine_scales`.
            windows: motion clips (B, C, F, H, W): the true one, then those of other moments.
            mask: bool (B, world B), from `same_sample_mask`.
        """
        predicted = self.predictor(maps_BCTHW)
        if self.settings.motion_loss == "l2":
            target = at_positions(windows[0], self.positions)
            # A share of the motion that there is, 1 for a prediction of zero: the error of a few
            # pixels in a few blocks would weigh next to nothing beside another loss.
            error = F.mse_loss(self.values(predicted).float(), target)
            loss = error / self._moved(target)
            return loss, {"motion": loss.detach()}
        # One pass for all windows, so that batch norm treats them alike.
        true, *others = self.features(torch.cat(windows)).chunk(len(windows))
        hard = torch.stack(others, dim=1) if others else None
        tau = self.settings.temperature
        loss, found = position_nce(self.query(predicted), true, hard, mask, tau)
        return loss, {"motion": loss.detach(), "motion_rank1": found}

    def _moved(self, target: Tensor) -> Tensor:
        """The mean squared motion that an error is a share of, a scalar.

        It is that of the batch in all processes, or a part of the running mean if next to nothing
        moves in the batch. Without that floor, an error of the usual size would be many times the
        batch's motion, and a few such batches would dominate a training on calm footage.
        """
        moved = average_over_processes(target.square().mean())
        if self.training:
            self.batches += 1
            self.usual += (moved - self.usual) / self.batches.clamp(max=_MEMORY)
        return moved.maximum(_STILL * self.usual).clamp(min=_LEAST)


def _add_missing_buffers(
    module: nn.Module, saved: dict[str, Tensor], prefix: str, *_: object
) -> None:
    """Checkpoints from before the running mean existed continue as if nothing had been seen."""
    for name in ("usual", "batches"):
        saved.setdefault(prefix + name, torch.zeros_like(module.get_buffer(name)))


def position_nce(
    query: Tensor, true: Tensor, others: Tensor | None, mask: Tensor, temperature: float
) -> tuple[Tensor, Tensor]:
    """InfoNCE of every position against all positions of many windows (methods.md 3.3).

    Args:
        query: predicted features (B, N, D), normalized.
        true: features of the true motion (B, N, D).
        others: of H other moments of the same videos (B, H, N, D), or None.
        mask: bool (B, world B), from `same_sample_mask`: nothing of another sample of the same
            video is a negative.
        temperature: tau > 0.

    Returns:
        The mean loss over videos and positions, and how often a position finds its feature first.
        Candidates are all positions of all windows of all processes' videos.
    """
    batch, positions, _ = query.shape
    windows = true[:, None] if others is None else torch.cat([true[:, None], others], dim=1)
    here = torch.arange(batch, device=query.device)
    place = here + rank() * batch
    other_sample = mask.clone()
    other_sample[here, place] = False
    with fp32_context(query.device):
        every = gather_with_gradient(windows)  # (world B, 1 + H, N, D)
        logits = torch.einsum("bnd,chmd->bnchm", query, every)
        logits = logits.masked_fill(other_sample[:, None, :, None, None], -torch.inf).flatten(2)
        first = place[:, None] * windows.shape[1] * positions
        target = first + torch.arange(positions, device=query.device)
        loss = F.cross_entropy((logits / temperature).flatten(0, 1), target.flatten())
    found = (logits.detach().argmax(dim=2) == target).float().mean()
    return loss, found


def combine_scales(encoder: VideoEncoder, stages: list[Tensor], scales: str = "sum") -> Tensor:
    """An encoder's maps (`forward_stages`) -> what the predictor reads, (B, C, T', H', W').

    Args:
        encoder: that made them.
        stages: shallow to deep.
        scales: "sum" (CMD's authors) or "concat".
    """
    coarse = stages[-1]
    if len(stages) < 2 or not isinstance(encoder, ResNet3D):
        return coarse
    fine = stages[-2]
    # As many steps of time as make up for the channels: two, as a stage has twice those before it.
    each, length = coarse.shape[1] // fine.shape[1], fine.shape[2]
    begin = torch.arange(coarse.shape[2], device=fine.device) * (length // coarse.shape[2])
    steps = torch.cat([fine[:, :, (begin + k).clamp(max=length - 1)] for k in range(each)], dim=1)
    whole = F.interpolate(coarse, size=steps.shape[2:])
    return whole + steps if scales == "sum" else torch.cat([whole, steps], dim=1)


def compute_map_shape(
    encoder: VideoEncoder, frames: int, size: int, scales: str | None = None
) -> tuple[int, ...]:
    """(C, T', H', W') of an encoder's last map, or of two scales, without computing them."""
    shadow = copy.deepcopy(encoder).to("meta")
    channels = encoder.spec.channels
    if encoder.input != "rgb":
        channels, frames = 2, frames - 1  # of flow
    clip = torch.empty(2, channels, frames, size, size, device="meta")
    stages = shadow.forward_stages(clip)
    return tuple((combine_scales(shadow, stages, scales) if scales else stages[-1]).shape[1:])


def name_motion_clips(settings: MotionSettings) -> tuple[str, ...]:
    """Names of the motion clips, the true one first."""
    others = settings.motion_negatives if settings.motion_loss == "nce" else 0
    return ("motion", *(f"other{k}" for k in range(others)))


def make_future_sampler(
    settings: MotionSettings,
    *,
    context: Literal["key", "any"] | None = None,
    motion: bool = True,
    shift: tuple[int, int] | None = None,
    loops: bool = True,
    vectors: tuple[str, ...] = (),
) -> FutureClipSampler:
    """The sampler of the clip, the motion clips and the key frame that settings ask for."""
    s = settings
    return FutureClipSampler(
        s.frames,
        s.stride,
        motion_frames=s.motion_frames,
        gap=s.motion_gap if s.motion_at == "future" else None,
        others=len(name_motion_clips(s)) - 1,
        reach=s.motion_reach,
        key_only=context == "key",
        context=context is not None,
        motion=motion,
        motion_as=_READ_AS.get(s.motion_from, "frames"),
        shift=shift,
        loops=loops,
        vectors=vectors,
    )


def describe_motion(settings: MotionSettings) -> str:
    """Say which motion is predicted, for the picture of `unscene views`."""
    s = settings
    when = {"future": f"{s.motion_gap} frames after", "present": "at the end of"}[s.motion_at]
    without = ", the camera taken out" if s.camera == "out" else ""
    return f"motion to be predicted: {s.motion_frames} frames, {when} the clip{without}"


def reads_vectors(settings: MotionSettings) -> bool:
    """Whether the motion is motion vectors, so that a video must have some."""
    return settings.motion_from in _READ_AS


def explain_refusal(video: Video, least: int, *, vectors: bool) -> str | None:
    """Why a video has no motion to predict: shorter than `least` frames, or without vectors."""
    assert video.info is not None
    if video.frames < least:
        return f"{video.frames} frames, and {least} are needed: lower --frames or --stride"
    if vectors and video.info.without_vectors:
        return f"{video.info.without_vectors}: `unscene prepare`, or --motion_from flow"
    return None


def motion_transforms(
    windows: Iterable[str], settings: MotionSettings
) -> dict[str, Callable[[Clip], Clip]]:
    """What a worker adds to motion clips: optical flow, where that is the motion."""
    if settings.motion_from != "flow":
        return {}
    return dict.fromkeys(windows, make_flow_transform(settings.size))


def make_motion_view(
    batch: Batch, name: str, params: ViewParameters, settings: MotionSettings
) -> Tensor:
    """A motion clip as the clip's view crops and flips it.

    Args:
        batch: with the clip `name`: vectors, frames with vectors or with flow, or frames
            (`motion_from`).
        params: of the view of the clip that the motion belongs to.

    Returns:
        float32 (B, 2, F, size, size), forward motion as a share of `motion_limit`; with residuals a
        third channel (`views.residual_maps`); of differences of frames 3 channels.
    """
    s, clip = settings, batch.clips[name]
    if s.motion_from == "difference":
        return make_view(clip, params, size=s.size).diff(dim=2)
    affine, size = params.affine.to(clip.device), (s.size, s.size)
    if s.motion_from == "flow":
        assert clip.flow is not None
        flow = take_out(clip.flow, find_camera(clip)) if s.camera == "out" else clip.flow
        pixels = view_flow(flow, affine, size) * (s.size / 2)
        forward = -pixels.clamp(-s.motion_limit, s.motion_limit) / s.motion_limit
        return forward.permute(0, 4, 1, 2, 3)
    assert clip.motion is not None
    limit, corrected = s.motion_limit, s.motion_corrected
    motion = stabilize_vectors(clip.motion) if s.camera == "out" else clip.motion
    maps = motion_maps(motion, affine, size, limit=limit, corrected=corrected)[0]
    if s.motion_from == "vectors":
        return maps
    # The frame in front is there for the first residual only.
    return torch.cat([maps[:, :, 1:], residual_maps(clip, affine, size)[:, None]], dim=1)


def create_side_encoder(s: MotionSettings, narrow: str, full: str, **options: Any) -> VideoEncoder:
    """Make a network beside the encoder of clips: the narrow or the full one."""
    if s.side_encoders == "narrow":
        encoder = create_encoder(narrow, in_channels=options["in_channels"])
    else:
        encoder = create_encoder(full, **options)
    if s.side_norms_zero:
        assert isinstance(encoder, ResNet3D)
        encoder.zero_last_norms()
    return encoder
