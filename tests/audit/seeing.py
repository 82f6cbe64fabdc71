"""Encoders whose maps are known by construction, and footage in which what moves is known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from unscene.audit.extractor import FeatureExtractor
from unscene.audit.footage import Footage
from unscene.audit.measures.base import Measure
from unscene.audit.result import Measured
from unscene.data.listing import open_catalog
from unscene.data.loading import Batch
from unscene.encoders import EncoderSpec, VideoEncoder
from unscene.encoders.foreign import NoMapsError
from unscene.synthetic.generate import MovingScenes, generate

Maps = Callable[[Tensor], Tensor]


class Known(VideoEncoder):
    """An encoder that is a function: (B, 3, T, h, w) -> maps (B, D, T', H', W')."""

    def __init__(self, maps: Maps, *, size: int = 64, frames: int = 8, stride: int = 2) -> None:
        spec = EncoderSpec("known", {}, dim=1, size=size, frames=frames, stride=stride)
        super().__init__(spec, stage_dims=(1,), minimum=(1, 1, 1))
        self.maps = maps

    def _stages(self, clip_BCTHW: Tensor) -> list[Tensor]:
        return [self.maps(clip_BCTHW)]


def _length(colors: Tensor) -> Tensor:
    return colors.square().sum(dim=1, keepdim=True).sqrt()


def motion(clip: Tensor) -> Tensor:
    """How much a pixel differs from what it mostly is, more than compression makes it: blind to
    what does not move."""
    scene = clip.contiguous().median(dim=2, keepdim=True).values
    return (_length(clip - scene) - 0.15).clamp(min=0)


def brightness(clip: Tensor) -> Tensor:
    """Blind to time."""
    return clip.mean(dim=1, keepdim=True) + 10


def edges(clip: Tensor) -> Tensor:
    """Contrast, frame by frame: sees a thing whether it moves or not."""
    frames = clip.transpose(1, 2).flatten(0, 1)
    soft = F.interpolate(F.avg_pool2d(frames, 8), size=frames.shape[-2:], mode="bilinear")
    return _length((frames - soft).view(len(clip), -1, *frames.shape[1:]).transpose(1, 2))


def constant(clip: Tensor) -> Tensor:
    return torch.ones_like(clip[:, :1])


def noise(clip: Tensor) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.rand(clip[:, :1, ::2, ::4, ::4].shape, generator=generator)


def layout(clip: Tensor) -> Tensor:
    """What lies where, on average over time: (B, 48, 1, 1, 1). A feature of the scene."""
    return F.adaptive_avg_pool3d(clip, (1, 4, 4)).flatten(1)[:, :, None, None, None]


def changes(clip: Tensor) -> Tensor:
    """How much a pixel changes from frame to frame."""
    return _length(clip.diff(dim=2))


def traffic(clip: Tensor) -> Tensor:
    """How much changes where: (B, 16, 1, 1, 1). A feature of the motion."""
    where = F.adaptive_avg_pool3d(changes(clip), (1, 4, 4))
    return where.flatten(1)[:, :, None, None, None]


def no_maps(clip: Tensor) -> Tensor:
    raise NoMapsError("this model has no maps")


def measured(measure: Measure, footage: Footage, extractor: FeatureExtractor) -> Measured:
    for batch in read(footage, extractor.spec):
        measure.update(batch)
    return replace(measure.compute(), forwards=extractor.forwards)


_RESULTS: dict[tuple[Any, ...], Measured] = {}


def measure_once(
    kind: Callable[[FeatureExtractor, Footage], Measure], maps: Maps, footage: Footage, **known: int
) -> Measured:
    """What a measure finds about an encoder with known maps, once for all tests of a session."""
    key = (kind, maps, footage.catalog.source, *known.items())
    if key not in _RESULTS:
        extractor = FeatureExtractor(Known(maps, **known))
        _RESULTS[key] = measured(kind(extractor, footage), footage, extractor)
    return _RESULTS[key]


_KEPT: dict[tuple[str, int, int, int], list[Batch]] = {}


def read(footage: Footage, spec: EncoderSpec) -> list[Batch]:
    """Its batches, read once for all tests of a session."""
    key = (footage.catalog.source, spec.size, spec.frames, spec.stride)
    if key not in _KEPT:
        _KEPT[key] = list(footage.batches(spec))
    return _KEPT[key]


@pytest.fixture(scope="session")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Footage:
    """Sixteen moving scenes of 64 x 64: eight motions, fixed cameras."""
    spec = MovingScenes(train_videos=16, seen_videos=0, unseen_videos=0, frames=20)
    made = generate(tmp_path_factory.mktemp("seeing") / "scenes", spec)
    return Footage(open_catalog(made.train), label="motion", batch_size=4)
