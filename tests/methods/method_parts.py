"""What tests of every method share: a small one, batches that no file holds, their views."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from noise import vectors
from torch import Tensor

from unscene.data.loading import Batch, ClipDataset
from unscene.encoders import VideoEncoder, create_encoder
from unscene.methods.base import Method
from unscene.methods.registry import create_method, generates, keep_read, resolve
from unscene.video.clip import ClipBatch

SMALL: dict[str, Any] = {
    "size": 32, "frames": 4, "stride": 1, "dim": 8, "queue": 6, "batch_size": 3,
    "shift_range": [1, 3], "stages": 2, "side_encoders": "narrow", "predictor_dim": 16,
    "predictor_hidden": 12, "motion_frames": 4,
}  # fmt: skip
B, T = 3, 4


def method(name: str, preset: str = "default", **changes: Any) -> Method:
    encoder = small_encoder(name)
    settings = resolve(name, preset, keep_read(name, SMALL) | changes)
    return create_method(name, encoder, settings)


def small_encoder(name: str) -> VideoEncoder:
    """A small encoder, of what a method trains: of flow, if the method generates that."""
    torch.manual_seed(0)
    reads = "flow" if generates(name) else "rgb"
    return create_encoder("r3d-narrow", width=8, stages=2, input=reads)


def batch_for(model: Method) -> Batch:
    """A batch that no file holds, or one that the method generates."""
    dataset = model.dataset([])
    if isinstance(dataset, ClipDataset):
        return batch()
    return Batch.of([dataset[draw, draw] for draw in range(B)])


def clips(seed: int, *, still: bool = False, level: int | None = None) -> ClipBatch:
    generator = torch.Generator().manual_seed(seed)

    def plane(side: int) -> Tensor:
        if level is not None:
            return torch.full((B, T, side, side), level, dtype=torch.uint8)
        drawn = torch.randint(40, 200, (B, T, side, side), dtype=torch.uint8, generator=generator)
        return drawn[:, :1].expand(-1, T, -1, -1).contiguous() if still else drawn

    flow = torch.randn(B, T - 1, 32, 32, 2, generator=generator) * 0.05
    flags = torch.zeros(B, dtype=torch.bool)
    sizes = torch.tensor([[40, 40]] * B)
    return ClipBatch(plane(40), plane(20), plane(20), sizes, flags, flags, flow.half())


def batch(**named: ClipBatch) -> Batch:
    drawn = {"clip": clips(1), "shifted": clips(2), "second": clips(3), "key": clips(4)}
    for seed, name in enumerate(("motion", "other0", "other1", "other2")):
        drawn[name] = replace(clips(seed), motion=vectors(seed, B, T, 40))
    return Batch(named or drawn, torch.arange(B))


def views(model: Method, data: Batch, seed: int = 0) -> dict[str, Tensor]:
    return model.views(data, torch.Generator().manual_seed(seed))
