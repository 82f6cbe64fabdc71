"""Under autocast networks compute in bf16; views, and the cosines of losses, do not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from noise import noise, vectors

from unscene.data.loading import Batch
from unscene.encoders import create_encoder
from unscene.methods.contrastive import info_nce
from unscene.methods.registry import create_method, keep_read, resolve
from unscene.video.clip import ClipBatch
from unscene.views import geometry, render, view_flow
from unscene.views.augment import BasicAugmentation, make_view
from unscene.views.codec_motion import motion_maps, residual_maps

SMALL: dict[str, Any] = {
    "size": 32, "frames": 4, "stride": 1, "dim": 8, "queue": 6, "batch_size": 3, "stages": 2,
    "side_encoders": "narrow", "predictor_dim": 16, "predictor_hidden": 12, "motion_frames": 4,
    "augmentation": "modern",
}  # fmt: skip
B, T, SIDE = 3, 4, 40


def clip(seed: int, frames: int = T) -> ClipBatch:
    generator = torch.Generator().manual_seed(seed)
    flow = torch.randn(B, frames - 1, 32, 32, 2, generator=generator).half() * 0.05
    return replace(noise(seed, B, frames, SIDE), flow=flow)


def batch() -> Batch:
    clips = {name: clip(seed) for seed, name in enumerate(("clip", "shifted", "second", "key"))}
    for seed, name in enumerate(("motion", "other0", "other1", "other2"), 4):
        clips[name] = replace(clip(seed), motion=vectors(seed, B, T, SIDE))
    return Batch(clips, torch.arange(B))


@pytest.mark.parametrize("name", ["moco", "dsm", "dsm-triplet", "hdc", "cmd", "unscene"])
def test_views_are_those_without_autocast(name: str) -> None:
    torch.manual_seed(0)
    encoder = create_encoder("r3d-narrow", width=8, stages=2)
    changes = {"other_scene": 1.0} if name == "unscene" else {}
    method = create_method(
        name, encoder, resolve(name, "default", keep_read(name, SMALL | changes))
    )
    wanted = method.views(batch(), torch.Generator().manual_seed(1))
    seen: dict[str, torch.Tensor] = {}
    loss = method.loss

    def look(data: Batch, views: dict[str, torch.Tensor]) -> Any:
        seen.update(views)
        return loss(data, views)

    method.loss = look  # type: ignore[method-assign]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        result = method(batch(), torch.Generator().manual_seed(1))
    assert set(seen) == set(wanted)
    for view, one in seen.items():
        assert torch.equal(one, wanted[view]), view
    assert torch.isfinite(result.loss)
    result.loss.backward()


def test_a_view_alone_is_exact_too() -> None:
    basic = replace(BasicAugmentation.modern(32), blur_p=1.0)
    params = basic.draw(clip(0).sizes, torch.Generator().manual_seed(0))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        seen = make_view(clip(0), params, size=32)
    assert torch.equal(seen, make_view(clip(0), params, size=32))


def test_maps_flow_and_pixels_alone_are_exact_too() -> None:
    data = clip(0)
    params = BasicAugmentation.modern(32).draw(data.sizes, torch.Generator().manual_seed(0))
    motion, grid = vectors(1, B, T, SIDE), geometry.grid(params.affine, (32, 32))
    colors, sigma = torch.eye(3, 4).repeat(B, 1, 1) / 255, torch.full((B,), 1.5)

    def shown() -> dict[str, torch.Tensor]:
        maps, valid = motion_maps(motion, params.affine, (32, 32), limit=10)
        moving = replace(data, motion=motion)
        return {
            "maps": maps,
            "valid": valid,
            "residual": residual_maps(moving, params.affine, (16, 16)),
            "flow": view_flow(data.flow, params.affine, (20, 24)),
            "pixels": render(data, grid, colors, blur_sigma=sigma),
        }

    wanted = shown()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        for name, seen in shown().items():
            assert torch.equal(seen, wanted[name]), name


def test_cosines_of_a_loss_are_exact() -> None:
    query, key, queue = (
        torch.nn.functional.normalize(torch.randn(rows, 64), dim=1) for rows in (4, 4, 50)
    )
    exact = info_nce(query, key, queue, temperature=0.01)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(info_nce(query, key, queue, temperature=0.01), exact)
