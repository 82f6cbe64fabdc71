"""CMD's motion with the residual as third channel, from files to a loss."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from unscene.data.listing import open_catalog
from unscene.data.loading import Batch
from unscene.encoders import create_encoder
from unscene.methods.registry import create_method, keep_read, resolve
from unscene.synthetic.generate import ScenesReport
from unscene.train.pretrain import pretrain
from unscene.views.augment import BasicAugmentation

SMALL: dict[str, Any] = {
    "size": 32, "frames": 4, "stride": 1, "dim": 8, "batch_size": 4, "predictor_dim": 16,
    "predictor_hidden": 12, "side_encoders": "narrow", "motion_frames": 3, "motion_gap": 1,
    "motion_negatives": 1, "tasks": "motion", "motion_from": "vectors+residual",
}  # fmt: skip


def read(method: str, moving: ScenesReport, **changes: Any) -> tuple[Any, Batch]:
    torch.manual_seed(0)
    encoder = create_encoder("r3d-narrow", width=8, stages=2)
    settings = resolve(method, "default", keep_read(method, SMALL | changes))
    model = create_method(method, encoder, settings)
    videos = open_catalog(str(moving.train)).videos
    dataset = model.dataset(videos)
    return model, Batch.of([dataset[0, index] for index in range(4)])


def test_the_third_channel_is_what_the_vectors_leave_unexplained(moving: ScenesReport) -> None:
    model, batch = read("cmd", moving)
    model.basic = BasicAugmentation(32, scale=(1.0, 1.0), ratio=(1.0, 1.0))
    seen = model.views(batch, torch.Generator().manual_seed(0))["motion"]
    assert seen.shape == (4, 3, 3, 32, 32)
    clip = batch.clips["motion"]
    assert clip.motion is not None
    assert clip.y.shape[1] == clip.motion.length == 4  # one in front
    # By hand, one pixel at a time: the frame minus the one before it, where its block came from.
    for b, t in ((0, 1), (1, 3), (2, 2)):
        field = clip.motion.vectors[b, t].float() * clip.motion.valid[b, t][..., None]
        for y, x in ((5, 9), (16, 16), (20, 27)):
            block = y // clip.motion.block, x // clip.motion.block
            vx, vy = field[block].tolist()
            before = bilinear(clip.y[b, t - 1], x + vx, y + vy)
            left = float(clip.y[b, t, y, x]) - before
            left *= float(clip.motion.valid[b, t][block])
            assert float(seen[b, 2, t - 1, y, x]) == pytest.approx(left / 64, abs=2e-3)


def bilinear(plane: torch.Tensor, x: float, y: float) -> float:
    height, width = plane.shape
    x, y = min(max(x, 0), width - 1), min(max(y, 0), height - 1)
    left, top = int(x), int(y)
    right, bottom = min(left + 1, width - 1), min(top + 1, height - 1)
    fx, fy = x - left, y - top
    corners = [float(plane[r, c]) for r in (top, bottom) for c in (left, right)]
    across = [corners[0] * (1 - fx) + corners[1] * fx, corners[2] * (1 - fx) + corners[3] * fx]
    return across[0] * (1 - fy) + across[1] * fy


def test_the_vectors_beside_it_are_those_read_alone(moving: ScenesReport) -> None:
    model, batch = read("cmd", moving)
    clip = batch.clips["motion"]
    assert clip.motion is not None
    model.basic = BasicAugmentation(32, scale=(1.0, 1.0), ratio=(1.0, 1.0))
    both = model.views(batch, torch.Generator().manual_seed(0))["motion"]
    alone = replace(clip.motion, vectors=clip.motion.vectors[:, 1:], valid=clip.motion.valid[:, 1:])
    batch.clips["motion"] = replace(clip, motion=alone)
    plain, _ = read("cmd", moving, motion_from="vectors")
    plain.basic = model.basic
    wanted = plain.views(batch, torch.Generator().manual_seed(0))["motion"]
    torch.testing.assert_close(both[:, :2], wanted)


@pytest.mark.parametrize("method", ["cmd", "unscene"])
def test_it_trains(method: str, moving: ScenesReport) -> None:
    model, batch = read(method, moving, shift_range=(1, 2), motion_loss="nce")
    result = model(batch, torch.Generator().manual_seed(0))
    result.loss.backward()
    assert torch.isfinite(result.loss)
    stem = next(model.embedder.motion.motion_encoder.parameters())
    assert stem.shape[1] == 3
    assert stem.grad is not None
    assert stem.grad[:, 2].abs().max() > 0


def test_from_a_folder_to_an_encoder(tiny: Callable[..., Any], tmp_path: Path) -> None:
    small = {k: v for k, v in SMALL.items() if k not in ("frames", "stride", "tasks")}
    config = tiny(tmp_path / "run", method="cmd", tasks="motion", **small)
    assert pretrain(config, report=lambda *_: None).finished
    assert (tmp_path / "run" / "encoder.safetensors").exists()
