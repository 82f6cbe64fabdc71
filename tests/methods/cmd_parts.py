"""What the tests of CMD share: a small one, and batches as its sampler would read them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from noise import noise, vectors
from torch import Tensor

from unscene.data.loading import Batch
from unscene.encoders import create_encoder
from unscene.methods.cmd import CMD
from unscene.methods.registry import create_method, resolve
from unscene.video.clip import ClipBatch

SMALL: dict[str, Any] = {
    "size": 32, "frames": 4, "stride": 1, "dim": 8, "batch_size": 4, "predictor_dim": 16,
    "predictor_hidden": 12, "side_encoders": "narrow", "motion_frames": 4, "motion_negatives": 2,
}  # fmt: skip
B, SIDE = 4, 40
INDEX = (0, 1, 2, 1)  # the second and the fourth are of the same video


def method(**changes: Any) -> CMD:
    torch.manual_seed(0)
    encoder = create_encoder("r3d-narrow", width=8)
    made = create_method("cmd", encoder, resolve("cmd", "default", SMALL | changes))
    assert isinstance(made, CMD)
    return made


def pixels(seed: int, frames: int, flow: bool = False) -> ClipBatch:
    clip = noise(seed, B, frames, SIDE)
    if not flow:
        return clip
    generator = torch.Generator().manual_seed(seed)
    moved = torch.randn(B, frames - 1, 32, 32, 2, generator=generator).half() * 0.05
    return replace(clip, flow=moved)


def moving_only(seed: int) -> ClipBatch:
    """Vectors without pixels, as `Request.motion_only` reads them."""
    whole = pixels(seed, 1)
    none = {name: getattr(whole, name)[:, :0] for name in ("y", "u", "v")}
    return replace(whole, motion=vectors(seed, B, 4, SIDE), **none)


def batch(model: CMD, index: tuple[int, ...] = INDEX) -> Batch:
    """What the sampler of the method would have read."""
    clips = {"clip": pixels(1, 4)}
    if model.settings.tasks != "motion":
        clips["key"] = pixels(2, 1)
    source = model.settings.motion_from
    for seed, name in enumerate(model.motion_names, 3):
        clips[name] = (
            moving_only(seed) if source == "vectors" else pixels(seed, 5, source == "flow")
        )
    return Batch(clips, torch.tensor(index))


def run(model: CMD, data: Batch) -> Any:
    return model(data, torch.Generator().manual_seed(7))


def unit(*shape: int, seed: int) -> Tensor:
    return F.normalize(torch.randn(*shape, generator=torch.Generator().manual_seed(seed)), dim=-1)
