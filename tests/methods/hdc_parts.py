"""A small HDC and clips for it."""

from __future__ import annotations

from typing import Any

import torch
from noise import noise
from torch import Tensor

from unscene.data.loading import Batch
from unscene.encoders import create_encoder
from unscene.methods.hdc import HDC
from unscene.methods.registry import create_method, resolve
from unscene.video.clip import ClipBatch

SMALL: dict[str, Any] = {
    "size": 32, "frames": 4, "stride": 1, "dim": 8, "stages": 2, "stage_weights": [0.3, 2.0],
    "batch_size": 4,
}  # fmt: skip
B, T, SIDE = 4, 4, 40


def method(*, pool: str = "max", **changes: Any) -> HDC:
    """Batch norm in evaluation mode, so that views may be encoded one by one."""
    torch.manual_seed(0)
    encoder = create_encoder("r3d-narrow", width=8, stages=2, pool=pool)
    made = create_method("hdc", encoder, resolve("hdc", "default", SMALL | changes)).eval()
    assert isinstance(made, HDC)
    return made


def clips(seed: int, count: int = B) -> ClipBatch:
    return noise(seed, count, T, SIDE)


def batch(index: tuple[int, ...] = (0, 1, 2, 1)) -> Batch:
    """Four clips; by default the second and the fourth are of the same video."""
    named = {"clip": clips(1, len(index)), "second": clips(2, len(index))}
    return Batch(named, torch.tensor(index))


def views(model: HDC, data: Batch) -> dict[str, Tensor]:
    return model.views(data, torch.Generator().manual_seed(7))


def result(model: HDC, data: Batch) -> Any:
    return model(data, torch.Generator().manual_seed(7))
