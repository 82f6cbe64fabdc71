"""Networks that predict features of future motion from maps of a clip: CMD's transformer, a layer.

The transformer as the authors' public model builds it: positions are learned and added to queries
and keys in every layer, not to the values; the decoder starts from zeros, so that a future
position is known by its query alone; post-norm, no norm behind the last layer; 8 heads, a feed
forward part as wide as the model, dropout 0.1. Weights begin as theirs: Xavier in attention,
N(0, 0.01) in the other layers, U(0, 1) for positions, and He's normal (fan out) in heads.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

HEADS = 8  # of attention
_DROPOUT, _ENCODER, _DECODER = 0.1, 2, 4
_STD = 0.01


class TransformerPredictor(nn.Module):
    """Maps (B, C, T, H, W) -> features of the motion at N future positions, (B, N, D).

    Args:
        channels: C.
        dim: D, a multiple of 8.
        tokens: (T, H, W) of the maps.
        positions: (T', H', W') of the future motion, N in all.
    """

    def __init__(
        self, channels: int, dim: int, tokens: tuple[int, ...], positions: tuple[int, ...]
    ) -> None:
        super().__init__()
        self.project = nn.Linear(channels, dim, bias=False)
        self.places = nn.Parameter(torch.rand(math.prod(tokens), dim))
        self.queries = nn.Parameter(torch.rand(math.prod(positions), dim))
        self.encoder = nn.ModuleList(_Layer(dim) for _ in range(_ENCODER))
        self.decoder = nn.ModuleList(_Layer(dim, crossed=True) for _ in range(_DECODER))
        for layer in self.modules():
            if isinstance(layer, nn.Linear):
                nn.init.normal_(layer.weight, std=_STD)
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)

    def forward(self, maps_BCTHW: Tensor) -> Tensor:
        memory = self.project(maps_BCTHW.flatten(2).mT)
        for layer in self.encoder:
            memory = layer(memory, self.places)
        future = memory.new_zeros(len(memory), *self.queries.shape)
        for layer in self.decoder:
            future = layer(future, self.queries, memory, self.places)
        return future


class LinearPredictor(nn.Module):
    """Maps -> (B, N, D) without attention: the tokens at a position, projected."""

    def __init__(
        self, channels: int, dim: int, tokens: tuple[int, ...], positions: tuple[int, ...]
    ) -> None:
        super().__init__()
        self.positions = positions
        self.project = nn.Linear(channels, dim)

    def forward(self, maps_BCTHW: Tensor) -> Tensor:
        out: Tensor = self.project(at_positions(maps_BCTHW, self.positions))
        return out


class NormHead(nn.Module):
    """(..., D_in) -> normalized (..., D_out): two layers, each with batch norm (over all rows)."""

    def __init__(self, dim_in: int, dim_out: int, hidden: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(dim_in, hidden, bias=False),  # the batch norm has one
            nn.BatchNorm1d(hidden),
            nn.ReLU(inplace=True),
            nn.Linear(hidden, dim_out, bias=False),
            nn.BatchNorm1d(dim_out),
        )
        for layer in self.layers:
            if isinstance(layer, nn.Linear):
                nn.init.kaiming_normal_(layer.weight, mode="fan_out")

    def forward(self, features: Tensor) -> Tensor:
        rows = self.layers(features.flatten(0, -2)).float()
        return F.normalize(rows, dim=1).unflatten(0, features.shape[:-1])


def at_positions(maps_BCTHW: Tensor, positions: tuple[int, ...]) -> Tensor:
    """Maps, averaged over what falls to each of N = T' H' W' positions: (B, N, C)."""
    t, h, w = positions
    return F.adaptive_avg_pool3d(maps_BCTHW, (t, h, w)).flatten(2).mT


class _Attention(nn.Module):
    """x plus what it attends to, normalized."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(dim, HEADS, dropout=_DROPOUT, batch_first=True)
        self.dropout, self.norm = nn.Dropout(_DROPOUT), nn.LayerNorm(dim)

    def forward(self, x: Tensor, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        attended, _ = self.attention(query, key, value, need_weights=False)
        out: Tensor = self.norm(x + self.dropout(attended))
        return out


class _Layer(nn.Module):
    """Self-attention, in a decoder cross-attention to the encoder, and a feed forward part."""

    def __init__(self, dim: int, *, crossed: bool = False) -> None:
        super().__init__()
        self.own = _Attention(dim)
        self.crossed = _Attention(dim) if crossed else None
        self.forth = nn.Sequential(
            nn.Linear(dim, dim), nn.ReLU(), nn.Dropout(_DROPOUT), nn.Linear(dim, dim)
        )
        self.dropout, self.norm = nn.Dropout(_DROPOUT), nn.LayerNorm(dim)

    def forward(
        self, x: Tensor, place: Tensor, memory: Tensor | None = None, places: Tensor | None = None
    ) -> Tensor:
        x = self.own(x, x + place, x + place, x)
        if self.crossed is not None:
            assert memory is not None
            assert places is not None
            x = self.crossed(x, x + place, memory + places, memory)
        out: Tensor = self.norm(x + self.dropout(self.forth(x)))
        return out
