"""Encoders whose behavior is known by construction, and footage to evaluate them on."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from unscene.audit.extractor import FeatureExtractor
from unscene.audit.footage import Footage
from unscene.audit.registry import known_measures
from unscene.audit.result import Measured
from unscene.data.listing import open_catalog
from unscene.data.loading import Batch
from unscene.encoders import EncoderSpec, VideoEncoder
from unscene.encoders.foreign import NoMapsError
from unscene.synthetic.generate import MovingScenes, generate

FRAMES, STRIDE, SIZE = 8, 2, 48
Function = Callable[[Tensor], Tensor]


class Control(VideoEncoder):
    """An encoder that is one function: (B, 3, T, h, w), RGB in 0..1 -> (B, D). It has no maps."""

    def __init__(
        self, function: Function, *, frames: int = FRAMES, stride: int = STRIDE, size: int = SIZE
    ) -> None:
        spec = EncoderSpec(
            function.__name__, {}, 1, frames, stride, size, mean=(0.0,) * 3, std=(1.0,) * 3
        )
        super().__init__(spec, stage_dims=(1,), minimum=(1, 1, 1))
        self.function = function

    def forward(self, clip_BCTHW: Tensor) -> Tensor:
        return self.function(clip_BCTHW)

    def _stages(self, clip_BCTHW: Tensor) -> list[Tensor]:
        raise NoMapsError("a control has no maps")


def averaged_frames(clip: Tensor) -> Tensor:
    """2D features of every frame, averaged: blind to order, whatever the features are."""
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(32, 3, 5, 5, generator=generator)
    frames = clip.transpose(1, 2)
    found = F.conv2d(frames.flatten(0, 1) - 0.5, weight, stride=2).relu()
    return F.adaptive_avg_pool2d(found, 3).flatten(1).unflatten(0, frames.shape[:2]).mean(dim=1)


def looks(clip: Tensor) -> Tensor:
    """The colors of what moves, in no order: blind to how it moves, and to where."""
    change = (clip - clip.contiguous().median(dim=2, keepdim=True).values).norm(dim=1, keepdim=True)
    weight = F.relu(change - 0.15)
    total = weight.sum(dim=(2, 3, 4)) + 1e-6
    mean = (clip * weight).sum(dim=(2, 3, 4)) / total
    return torch.cat([mean - 0.5, 0.05 * torch.ones_like(mean)], dim=1)


def place(clip: Tensor) -> Tensor:
    """The scene without what moves in it, about its mean."""
    still = F.adaptive_avg_pool2d(clip.contiguous().median(dim=2).values, 8).flatten(1)
    return still - still.mean(dim=1, keepdim=True)


def flow(clip: Tensor, bins: int = 8) -> Tensor:
    """Statistics of normal flow and nothing else: (B, (T-1) * bins), for every step how much moves
    in each of 8 directions. From gradients: I_t = -v . grad I."""
    luma = clip.mean(dim=1)
    batch, frames, h, w = luma.shape
    luma = F.avg_pool2d(luma.flatten(0, 1)[:, None], 3, 1, 1).view(batch, frames, h, w)
    rows, columns = torch.gradient(luma, dim=(2, 3))
    change = luma.diff(dim=1)
    rows, columns = ((g[:, 1:] + g[:, :-1]) / 2 for g in (rows, columns))
    weight = F.relu(change.abs() - 0.03) * (rows**2 + columns**2).sqrt()
    angle = torch.atan2(-change.sign() * rows, -change.sign() * columns)
    # Shared between the two nearest bins, so that a small turn changes little.
    turn = (angle / (2 * torch.pi) * bins) % bins
    low, rest = turn.floor(), turn % 1
    found = torch.zeros(batch, frames - 1, bins)
    for near, share in ((low, 1 - rest), (low + 1, rest)):
        index = (near.long() % bins).flatten(2)
        found.scatter_add_(2, index, (weight * share).flatten(2))
    return found.flatten(1)


_SEEN: dict[bytes, int] = {}


def hashed(clip: Tensor) -> Tensor:
    """Noise that only an identical clip gets again.

    It is that of the clip's number, not of its bytes: these hang on the processor, and with them
    would whether a score at chance happens to lie outside of its interval.
    """
    found = []
    for one in clip:
        digest = hashlib.sha256((one * 255).round().to(torch.uint8).numpy().tobytes()).digest()
        number = _SEEN.setdefault(digest, len(_SEEN))
        found.append(torch.randn(64, generator=torch.Generator().manual_seed(number)))
    return torch.stack(found)


def constant(clip: Tensor) -> Tensor:
    return torch.ones(len(clip), 4)


def scenes(
    folder: Path, videos: int = 24, size: int = 64, seed: int = 3, **more: object
) -> Footage:
    """Objects that move in four directions, every video in a place of its own."""
    settings: dict[str, object] = {
        "frames": 32, "motions": ("left", "right", "up", "down"), "scenes": 8, "correlation": 0.0,
        "object_size": (size / 4, size / 3), "speed": (size / 32, size / 24), "own_place": True,
    }  # fmt: skip
    spec = MovingScenes(
        train_videos=videos, seen_videos=0, unseen_videos=0, size=size, seed=seed, **settings | more
    )
    made = generate(folder / "scenes", spec)
    return Footage(open_catalog(made.train), label="motion")


_READ: dict[tuple[str, int, int, int, str], list[Batch]] = {}


def run_control(
    function: Function, footage: Footage, names: Sequence[str] = ("swap", "time"), **clip: int
) -> dict[str, Measured]:
    """What measures find about a control; footage is decoded once for all of a session."""
    encoder = Control(function, **clip)
    spec = encoder.spec
    key = (footage.catalog.source, spec.size, spec.frames, spec.stride, str(footage))
    if key not in _READ:
        _READ[key] = list(footage.batches(spec))
    _SEEN.clear()
    extractor = FeatureExtractor(encoder)
    measures = {name: known_measures()[name](extractor, footage) for name in names}
    for batch in _READ[key]:
        for measure in measures.values():
            measure.update(batch)
    return {
        name: replace(measure.compute(), forwards=extractor.forwards)
        for name, measure in measures.items()
    }


@pytest.fixture(scope="session")
def places(tmp_path_factory: pytest.TempPathFactory) -> Footage:
    return scenes(tmp_path_factory.mktemp("controls"))
