"""CMD's networks: clip, motion and key-frame encoder, predictor, four heads (methods.md 3.2).

    clip        (B, 3, T, H, W)    clip encoder, two scales      (B, C, 2, 7, 7): 98 tokens
    motion      (B, 2, F, H, W)    R3D-10, stem of stride 1      (B, 512, 1, 7, 7): 49 positions
    key frame   (B, 3, 1, H, W)    ResNet-10, mean               (B, 512)

    tokens  -> transformer, a learned query for every position -> head -> what will move there
    tokens  -> mean -> head -> which context                   (sizes of a 16x112x112 clip)

Two scales: a ResNet's last map, brought to the size of the one before (nearest), beside the even
and the odd time steps of that one; other encoders give their last map. methods.md counts 2048
channels there; with the bottlenecks of the authors' public model they are 2048 + 2 * 1024.
"""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unscene.encoders import VideoEncoder, create_encoder
from unscene.encoders.resnet3d import ResNet3D
from unscene.methods.base import Network
from unscene.methods.settings import Settings

_HEADS = 8  # of attention


class CMDNetwork(Network):
    """What CMD trains.

    Args:
        encoder: of clips, of any kind.
        settings: resolved; `frames` and `size` decide how many tokens and positions there are.

    Attributes:
        positions: (T', H', W') of the future motion.
    """

    def __init__(self, encoder: VideoEncoder, settings: Settings) -> None:
        super().__init__(encoder)
        s, dim = settings, settings.dim
        channels, *tokens = _shape(_two_scales, encoder, s.frames, s.size)
        self.tokens = tuple(tokens)
        if s.tasks != "motion":
            self.key_encoder = _key_encoder(s)
            self.context_query = Head(channels, dim, s.predictor_hidden)
            self.context_key = Head(self.key_encoder.dim, dim, s.predictor_hidden)
        if s.tasks != "context":
            motion_encoder = _motion_encoder(s)
            of_motion, *positions = _shape(_last, motion_encoder, s.motion_frames, s.size)
            self.positions = tuple(positions)
            kind = TransformerPredictor if s.predictor == "transformer" else LinearPredictor
            self.predictor = kind(channels, s.predictor_dim, self.tokens, self.positions)
            if s.motion_loss == "nce":
                self.motion_encoder = motion_encoder
                self.motion_query = Head(s.predictor_dim, dim, s.predictor_hidden)
                self.motion_key = Head(of_motion, dim, s.predictor_hidden)
            else:
                self.motion_values = nn.Linear(s.predictor_dim, motion_channels(s))

    def clip_maps(self, clip_BCTHW: Tensor) -> Tensor:
        """Clips -> (B, C, T', H', W') of two scales."""
        return _two_scales(self.encoder, clip_BCTHW)

    def context(self, maps_BCTHW: Tensor, key_BCTHW: Tensor) -> tuple[Tensor, Tensor]:
        """Of clips and of their key frames, (B, dim) each, normalised."""
        return (
            self.context_query(maps_BCTHW.mean(dim=(2, 3, 4))),
            self.context_key(self.key_encoder(key_BCTHW)),
        )

    def predicted(self, maps_BCTHW: Tensor) -> Tensor:
        """What will move at every position, (B, N, predictor_dim), before its head."""
        out: Tensor = self.predictor(maps_BCTHW)
        return out

    def motion_features(self, motion_BCTHW: Tensor) -> Tensor:
        """Motion windows -> their features at every position, (B, N, dim), normalised."""
        maps = _last(self.motion_encoder, motion_BCTHW).flatten(2).mT
        features: Tensor = self.motion_key(maps)
        return features


class Head(nn.Module):
    """(..., D_in) -> normalised (..., D_out): two layers, each with batch norm (over all rows)."""

    def __init__(self, dim_in: int, dim_out: int, hidden: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(dim_in, hidden, bias=False),
            nn.BatchNorm1d(hidden),
            nn.ReLU(inplace=True),
            nn.Linear(hidden, dim_out, bias=False),
            nn.BatchNorm1d(dim_out),
        )

    def forward(self, features: Tensor) -> Tensor:
        rows = self.layers(features.flatten(0, -2)).float()
        return F.normalize(rows, dim=1).unflatten(0, features.shape[:-1])


class TransformerPredictor(nn.Module):
    """Maps (B, C, T, H, W) -> (B, N, D): 2 encoder and 4 decoder layers, post-norm, FFN as wide as
    the model, dropout 0.1; positions of the tokens and queries of the future are learned."""

    def __init__(
        self, channels: int, dim: int, tokens: tuple[int, ...], positions: tuple[int, ...]
    ) -> None:
        super().__init__()
        self.project = nn.Linear(channels, dim)
        self.places = nn.Parameter(torch.randn(_count(tokens), dim) * 0.02)
        self.queries = nn.Parameter(torch.randn(_count(positions), dim) * 0.02)
        self.transformer = nn.Transformer(dim, _HEADS, 2, 4, dim, 0.1, batch_first=True)

    def forward(self, maps_BCTHW: Tensor) -> Tensor:
        tokens = self.project(maps_BCTHW.flatten(2).mT) + self.places
        out: Tensor = self.transformer(tokens, self.queries.expand(len(tokens), -1, -1))
        return out


class LinearPredictor(nn.Module):
    """Maps -> (B, N, D) without looking around: the tokens that stand at a position, projected."""

    def __init__(
        self, channels: int, dim: int, tokens: tuple[int, ...], positions: tuple[int, ...]
    ) -> None:
        super().__init__()
        self.positions = positions
        self.project = nn.Linear(channels, dim)

    def forward(self, maps_BCTHW: Tensor) -> Tensor:
        pooled = at_positions(maps_BCTHW, self.positions)
        out: Tensor = self.project(pooled)
        return out


def at_positions(maps_BCTHW: Tensor, positions: tuple[int, ...]) -> Tensor:
    """Maps, averaged over what falls to each of N = T' H' W' positions: (B, N, C)."""
    t, h, w = positions
    return F.adaptive_avg_pool3d(maps_BCTHW, (t, h, w)).flatten(2).mT


def motion_channels(settings: Settings) -> int:
    """Channels of a motion window: x and y, or the colours of a difference of frames."""
    return 3 if settings.motion_from == "difference" else 2


def _motion_encoder(s: Settings) -> VideoEncoder:
    if s.side_encoders == "narrow":
        return create_encoder("r3d-narrow", in_channels=motion_channels(s))
    return create_encoder("r3d10", stem="motion", in_channels=motion_channels(s))


def _key_encoder(s: Settings) -> VideoEncoder:
    return create_encoder("r2d-narrow" if s.side_encoders == "narrow" else "r2d10")


def _two_scales(encoder: VideoEncoder, clip: Tensor) -> Tensor:
    *_, fine, coarse = [None, *encoder.forward_stages(clip)]
    if fine is None or not isinstance(encoder, ResNet3D):
        return coarse
    length, each = fine.shape[2], fine.shape[2] // coarse.shape[2]
    begin = torch.arange(coarse.shape[2], device=fine.device) * each
    steps = [fine[:, :, (begin + k).clamp(max=length - 1)] for k in range(max(1, each))]
    size = (coarse.shape[2], *fine.shape[3:])
    return torch.cat([F.interpolate(coarse, size=size), *steps], dim=1)


def _last(encoder: VideoEncoder, clip: Tensor) -> Tensor:
    return encoder.forward_maps(clip)


def _shape(
    maps: Callable[[VideoEncoder, Tensor], Tensor], encoder: VideoEncoder, frames: int, size: int
) -> tuple[int, ...]:
    """(C, T', H', W') of an encoder's maps, without computing them."""
    shadow = copy.deepcopy(encoder).to("meta")
    clip = torch.empty(2, encoder.spec.channels, frames, size, size, device="meta")
    return tuple(maps(shadow, clip).shape[1:])


def _count(shape: tuple[int, ...]) -> int:
    product = 1
    for side in shape:
        product *= side
    return product
