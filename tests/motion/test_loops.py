"""Compiled loops do what torch does: vectors chained, cameras fitted, directions counted."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from unscene.motion import camera
from unscene.motion.camera import CameraMotion, estimate_camera
from unscene.motion.flow import (
    accumulate_vectors,
    codec_flow,
    fill_keyframes,
    view_vectors,
)
from unscene.motion.histograms import BINS, orientation_histogram
from unscene.video.clip import Motion, MotionBatch
from unscene.views import geometry
from unscene.views.flow import view_flow


def motion(frames: tuple[int, ...], seed: int = 0, size: tuple[int, int] = (96, 128)) -> Motion:
    """Smooth vectors in quarter pixels, some blocks and one frame without any."""
    generator = torch.Generator().manual_seed(seed)
    length, rows, columns = frames[-1] + 1, size[0] // 8, size[1] // 8
    coarse = torch.randn(length, 2, 3, 4, generator=generator) * 6
    vectors = F.interpolate(coarse, size=(rows, columns), mode="bilinear").movedim(1, -1)
    valid = torch.rand(length, rows, columns, generator=generator) > 0.1
    valid[length // 2] = False
    vectors = (vectors * 4).round() / 4 * valid[..., None]
    return Motion(vectors.contiguous(), valid, torch.tensor(frames), size, 8, True)


@pytest.mark.parametrize("frames", [(0, 2, 4, 6), (0, 1, 5, 9), (2, 3)])
def test_vectors_are_chained_as_torch_chains_them(frames: tuple[int, ...]) -> None:
    one = motion(frames)
    filled = fill_keyframes(one)
    assert not torch.equal(filled.valid, one.valid)
    total, known = accumulate_vectors(MotionBatch.of([filled]))
    expected = total[0] * (2 / torch.tensor([128.0, 96.0]))
    height, width = one.valid.shape[1:]
    for stabilize in (False, True):
        flow = codec_flow(one, 48, stabilize=stabilize).float()
        if stabilize:
            maps = estimate_camera(expected, weight=known[0].float(), aspect=128 / 96)
            expected = (expected - maps.flow((height, width))) * known[0][..., None]
        smooth = F.interpolate(expected.movedim(-1, 1), size=(48, 48), mode="bilinear")
        assert torch.allclose(flow, smooth.movedim(1, -1), atol=2e-3)
        assert flow.abs().max() > 0.02


@pytest.mark.parametrize("weighted", [False, True])
def test_cameras_are_fitted_as_torch_fits_them(weighted: bool) -> None:
    generator = torch.Generator().manual_seed(1)
    numbers = torch.randn(6, 4, generator=generator) * torch.tensor([0.1, 0.1, 0.03, 0.03])
    flow = CameraMotion(camera._matrix(numbers, "similarity"), torch.ones(6)).flow((30, 40))
    flow += 0.003 * torch.randn(flow.shape, generator=generator)
    flow[:, 8:20, 5:25] += 0.2  # an object
    weight = (torch.rand(6, 30, 40, generator=generator) > 0.3).float() if weighted else None
    fast = estimate_camera(flow, weight=weight, aspect=4 / 3)
    slow = estimate_camera(flow.requires_grad_(), weight=weight, aspect=4 / 3)  # in torch
    assert torch.allclose(fast.matrix, slow.matrix, atol=2e-4)
    assert torch.allclose(fast.followed, slow.followed, atol=0.01)
    assert 0.5 < float(fast.followed.min()) < 0.95
    nothing = estimate_camera(flow.detach(), weight=torch.zeros(6, 30, 40))
    assert not nothing.matrix.any()


def test_directions_are_counted_as_torch_counts_them() -> None:
    generator = torch.Generator().manual_seed(2)
    vectors = torch.randn(3, 2, 24, 40, 2, generator=generator)
    vectors[0, 0, 0, :4] = torch.tensor([[0.0, -0.0], [-1.0, -0.0], [-1.0, 0.0], [0.5, -1e-9]])
    fast = orientation_histogram(vectors, (4, 5), still=0.7)
    u, v = vectors.unbind(-1)
    length, place = torch.hypot(u, v), torch.atan2(v, u) * (BINS / (2 * torch.pi)) % BINS
    rests, parts = length < 0.7, []
    for k in range(BINS):
        distance = torch.minimum((place - k).abs(), BINS - (place - k).abs())
        parts.append(length.masked_fill(rests, 0) * (1 - distance).clamp(min=0))
    whole = torch.stack([*parts, rests.float()], dim=2).flatten(0, 1)
    expected = F.adaptive_avg_pool2d(whole, (4, 5)).view(3, 2, BINS + 1, 4, 5)
    assert torch.allclose(fast, expected, atol=1e-5)
    uneven = orientation_histogram(vectors, (5, 5), still=0.7)  # cells that share rows: in torch
    assert uneven.sum().item() == pytest.approx(fast.sum().item() / 20 * 25, rel=0.05)


def test_a_view_in_one_step_is_the_view_in_two() -> None:
    smooth = motion((0, 2, 4), size=(120, 160))
    box = (0.6, 0.8)
    at_once = view_vectors(smooth, box, 24)
    crop = geometry.crop(torch.tensor([[-0.6, -0.8, 0.6, 0.8]]))
    in_two = view_flow(codec_flow(smooth, 64, stabilize=True)[None], crop, (24, 24))[0]
    assert at_once.shape == (2, 24, 24, 2)
    off = (at_once - in_two).norm(dim=-1)  # interpolated once and twice
    assert off.mean() < 0.15 * in_two.norm(dim=-1).mean()
    assert np.isfinite(at_once.numpy()).all()
