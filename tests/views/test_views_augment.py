"""Whole views: anchors, warped positives, flow-scaled negatives, and the draws behind them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from unscene.video.clip import Clip, ClipBatch
from unscene.views import (
    BasicAugmentation,
    ViewParameters,
    draw_offsets,
    draw_phi,
    geometry,
    make_view,
    scale_flow,
    warp,
)
from unscene.views.disturb import _flow_clips, _flow_dense, sample_flow
from unscene.views.flow import find_camera, take_out

MakeClip = Callable[..., Clip]
SIZES = torch.tensor([[240, 320], [320, 240], [112, 112], [90, 400]])


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def corners(params: ViewParameters) -> Tensor:
    """Source positions (B, 4, 2) of the view's corners."""
    square = torch.tensor([[-1.0, -1], [1, -1], [1, 1], [-1, 1]])
    return geometry.apply(params.affine, square.expand(len(params), 4, 2))


def pan(make_clip: MakeClip, *, v: int = 2, frames: int = 5) -> ClipBatch:
    """Content moves v pixels to the right a frame; flow is the true one."""
    clip = make_clip(frames=frames, size=(64, 96), step=(v, 0))
    flow = torch.zeros(frames - 1, 32, 32, 2)
    flow[..., 0] = -2 * v / 96
    return ClipBatch.of([clip.replace(flow=flow.half())])


def middle(size: tuple[int, int] = (64, 96)) -> ViewParameters:
    """The center 48 x 48 pixels without jitter."""
    params = BasicAugmentation(48, short_side=64 / 48).center(torch.tensor([size]))
    return dataclasses.replace(params, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))


def test_center_is_the_center_pixels(make_clip: MakeClip) -> None:
    batch = pan(make_clip)
    view = make_view(batch, middle(), size=48)
    expected = (batch.y[0, :, 8:56, 24:72].float() - 16) / 219
    assert view.shape == (1, 3, 5, 48, 48)
    for channel in range(3):
        torch.testing.assert_close(view[0, channel], expected, atol=2e-4, rtol=0)


def test_phi_0_is_frame_t_and_phi_1_is_frame_t_plus_1(make_clip: MakeClip) -> None:
    batch, params = pan(make_clip), middle()
    plain = make_view(batch, params, size=48)
    repeated = make_view(batch, params, size=48, phi=torch.zeros(1, 4))
    torch.testing.assert_close(repeated[:, :, 0], plain[:, :, 0], atol=1e-3, rtol=0)
    torch.testing.assert_close(repeated[:, :, 1:], plain[:, :, :-1], atol=1e-3, rtol=0)
    same = make_view(batch, params, size=48, phi=torch.ones(1, 4))
    torch.testing.assert_close(same, plain, atol=3e-3, rtol=0)


def test_phi_exaggerates_the_motion(make_clip: MakeClip) -> None:
    """phi = 3 on frame t shows what t + 3 shows, as long as the pan goes on."""
    batch, params = pan(make_clip), middle()
    plain = make_view(batch, params, size=48)
    fast = make_view(batch, params, size=48, phi=torch.full((1, 4), 3.0))
    torch.testing.assert_close(fast[:, :, 1:3], plain[:, :, 3:5], atol=6e-3, rtol=0)


def test_flow_scaling_follows_crop_flip_and_rotation(make_clip: MakeClip) -> None:
    batch = pan(make_clip)
    augmentation = BasicAugmentation(40, rotation=10.0, short_side=1.8, flip=1.0)
    params = augmentation.draw(batch.sizes, seeded(4))
    plain = make_view(batch, params, size=40)
    same = make_view(batch, params, size=40, phi=torch.ones(1, 4))
    torch.testing.assert_close(same, plain, atol=0.03, rtol=0)


def test_scale_flow_is_equation_3() -> None:
    generator = seeded()
    flow = torch.rand(2, 3, 16, 16, 2, generator=generator) - 0.5
    grid = torch.rand(2, 6, 7, 2, generator=generator) * 1.8 - 0.9
    phi = draw_phi(2, 4, generator)
    grids, frames = scale_flow(grid, flow, phi)
    assert frames.tolist() == [0, 0, 1, 2]
    assert torch.equal(grids[:, 0], grid)
    for t in range(3):
        reference = torch.nn.functional.grid_sample(
            flow[:, t].permute(0, 3, 1, 2), grid, padding_mode="border", align_corners=False
        ).permute(0, 2, 3, 1)
        expected = grid + phi[:, t, None, None, None] * reference
        torch.testing.assert_close(grids[:, t + 1], expected, atol=1e-5, rtol=0)


def test_flow_scaling_leaves_a_camera_as_it_is() -> None:
    generator = seeded()
    flow = torch.rand(2, 3, 16, 16, 2, generator=generator) - 0.5
    grid = torch.rand(2, 6, 7, 2, generator=generator) * 1.8 - 0.9
    camera, phi = torch.rand(2, 3, 2, 3, generator=generator) - 0.5, draw_phi(2, 4, generator)
    grids, _ = scale_flow(grid, flow, phi, camera)
    everything, _ = scale_flow(grid, flow, phi)
    for b, t in ((0, 0), (1, 2)):
        scene = grid[b] @ camera[b, t, :, :2].T + camera[b, t, :, 2]
        moved = (everything[b, t + 1] - grid[b]) / phi[b, t]
        expected = grid[b] + scene + phi[b, t] * (moved - scene)
        torch.testing.assert_close(grids[b, t + 1], expected, atol=1e-4, rtol=0)
    torch.testing.assert_close(scale_flow(grid, flow, phi, camera * 0)[0], everything)


def test_a_pan_stays_a_pan_whatever_phi_is_if_the_camera_is_taken_out(make_clip: MakeClip) -> None:
    batch, params = pan(make_clip), middle()
    camera, phi = find_camera(batch), torch.tensor([[0.0, 1, 3, 5]])
    plain = make_view(batch, params, size=48)
    torch.testing.assert_close(
        make_view(batch, params, size=48, phi=phi, camera=camera), plain, atol=6e-3, rtol=0
    )
    assert (make_view(batch, params, size=48, phi=phi) - plain).abs().max() > 0.1
    # Of a camera that is known to stand still nothing is taken out.
    fixed = find_camera(batch, torch.tensor([True]))
    assert not fixed.any()
    same = make_view(batch, params, size=48, phi=phi, camera=fixed)
    assert torch.equal(same, make_view(batch, params, size=48, phi=phi))
    assert batch.flow is not None
    assert take_out(batch.flow, camera).abs().max() < 1e-4


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_flow_is_sampled_alike_in_any_precision_and_beyond_the_frame(dtype: torch.dtype) -> None:
    flow = (torch.rand(2, 3, 9, 9, 2, generator=seeded()) - 0.5).to(dtype)
    grid = torch.tensor([[[[-3.0, -3.0], [3.0, 3.0]]]]).repeat(2, 1, 1, 1)
    sampled = sample_flow(flow, grid)
    torch.testing.assert_close(sampled, sample_flow(flow.float(), grid))
    torch.testing.assert_close(sampled[:, :, 0, 0], flow[:, :, 0, 0].float())
    torch.testing.assert_close(sampled[:, :, 0, 1], flow[:, :, -1, -1].float())


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("size", [(16, 16), (9, 13)])
def test_a_gpus_flow_equals_the_loops(dtype: torch.dtype, size: tuple[int, int]) -> None:
    flow = (torch.rand(3, 4, *size, 2, generator=seeded()) - 0.5).to(dtype)
    grid = torch.rand(3, 7, 5, 2, generator=seeded(1)) * 2.6 - 1.3  # beyond the frame too
    dense = _flow_dense(flow, grid)
    assert dense.dtype == torch.float32
    torch.testing.assert_close(dense, _flow_clips(flow, grid), atol=1e-5, rtol=0)


def test_flow_scaling_needs_flow(make_clip: MakeClip) -> None:
    batch = ClipBatch.of([make_clip()])
    with pytest.raises(ValueError, match="add_flow"):
        make_view(batch, middle(), size=48, phi=torch.ones(1, 3))
    with pytest.raises(ValueError, match="phi must be"):
        scale_flow(torch.zeros(1, 4, 4, 2), torch.zeros(1, 3, 8, 8, 2), torch.zeros(1, 4))


def test_every_frame_of_a_positive_gets_the_same_map(make_clip: MakeClip) -> None:
    batch = ClipBatch.of([make_clip(step=(0, 0)), make_clip(step=(0, 0))])
    params = BasicAugmentation.paper(40).draw(batch.sizes, seeded())
    offsets = draw_offsets(2, seeded(1))
    view = make_view(batch, params, size=40, warp_offsets=offsets)
    assert torch.equal(view, view[:, :, :1].expand_as(view))
    assert not torch.allclose(view[0], view[1]), "each sample has a warp of its own"
    assert not torch.allclose(view, make_view(batch, params, size=40))


def test_no_offsets_are_no_warp(make_clip: MakeClip) -> None:
    batch = pan(make_clip)
    plain = make_view(batch, middle(), size=48)
    warped = make_view(batch, middle(), size=48, warp_offsets=torch.zeros(1, 25, 2))
    assert torch.equal(plain, warped)


def test_warp_is_crop_of_spline() -> None:
    offsets = draw_offsets(2, seeded(2))
    affine = BasicAugmentation.paper().draw(SIZES[:2], seeded()).affine
    expected = geometry.apply(affine, geometry.tps_grid(offsets, (20, 20)))
    assert torch.equal(warp(affine, offsets, (20, 20)), expected)
    assert offsets.abs().max() <= 0.2
    assert offsets.abs().max() > 0.15


@pytest.mark.parametrize("preset", ["paper", "mild", "modern", "none"])
def test_same_seed_same_bytes(make_clip: MakeClip, preset: str) -> None:
    batch = ClipBatch.of([make_clip(size=(64, 96)), make_clip(size=(48, 80))])
    augmentation = BasicAugmentation.of(preset, 32)  # type: ignore[arg-type]

    def draw(seed: int) -> Tensor:
        return make_view(batch, augmentation.draw(batch.sizes, seeded(seed)), size=32)

    assert draw(7).numpy().tobytes() == draw(7).numpy().tobytes()
    assert torch.equal(draw(7), draw(8)) == (preset == "none")


def test_draws_leave_the_global_generator_alone() -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    BasicAugmentation.modern().draw(SIZES, seeded())
    draw_offsets(2, seeded())
    draw_phi(2, 4, seeded())
    assert torch.equal(before, torch.get_rng_state())


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_crops_stay_inside_the_frame(seed: int) -> None:
    for augmentation in (
        BasicAugmentation(112),
        BasicAugmentation.modern(),
        BasicAugmentation(flip=0.5, scale=(0.05, 1.0), ratio=(0.2, 5.0)),
    ):
        params = augmentation.draw(SIZES, seeded(seed))
        assert corners(params).abs().max() <= 1 + 1e-5


def test_paper_cuts_a_square_of_seven_eighths() -> None:
    params = dataclasses.replace(BasicAugmentation.paper(), rotation=0.0).draw(SIZES, seeded())
    pixels = corners(params) * SIZES.flip(1)[:, None] / 2
    side = SIZES.amin(dim=1) * 7 / 8
    torch.testing.assert_close(pixels[:, 1, 0] - pixels[:, 0, 0], side.float())
    torch.testing.assert_close(pixels[:, 3, 1] - pixels[:, 0, 1], side.float())


def test_resized_crops_have_the_requested_areas_and_ratios() -> None:
    sizes = torch.tensor([[240, 320]]).repeat(4000, 1)
    params = BasicAugmentation.modern().draw(sizes, seeded())
    extent = params.affine[:, [0, 1], [0, 1]]
    area, ratio = extent.prod(dim=1), extent[:, 0] / extent[:, 1] * 320 / 240
    assert 0.2 <= area.min() < 0.22
    assert 0.9 < area.max() <= 1
    assert ratio.min() >= 3 / 4 - 1e-4
    assert ratio.max() <= 4 / 3 + 1e-4
    # Below the 0.6 of the range: the largest areas fit in few of the ratios.
    assert 0.45 < area.mean() < 0.6


def test_resized_crop_of_a_ribbon_falls_back_to_an_allowed_ratio() -> None:
    params = BasicAugmentation(scale=(0.9, 1.0)).draw(torch.tensor([[40, 4000]]), seeded())
    extent = params.affine[0, [0, 1], [0, 1]] * torch.tensor([4000, 40])
    torch.testing.assert_close(extent, torch.tensor([40 * 4 / 3, 40]))


def test_the_crop_of_a_ribbon_falls_anywhere_in_it() -> None:
    ribbons = torch.tensor([[40, 4000]]).repeat(500, 1)
    params = BasicAugmentation(scale=(0.9, 1.0)).draw(ribbons, seeded())
    left, right = (corners(params)[:, k, 0] for k in (0, 1))
    assert left.min() >= -1 - 1e-5
    assert right.max() <= 1 + 1e-5
    assert left.min() < -0.95  # torchvision would show the middle alone
    assert right.max() > 0.95


def test_jitter_stays_in_its_ranges() -> None:
    sizes = SIZES[:1].repeat(2000, 1)
    paper = BasicAugmentation.paper().draw(sizes, seeded()).color
    for values, low, high in (
        (paper.brightness, 0.5, 1.5),
        (paper.contrast, 0.5, 1.5),
        (paper.saturation, 0.75, 1.25),
        (paper.hue, -0.5, 0.5),
    ):
        assert low <= values.min() < low + 0.01
        assert high - 0.01 < values.max() <= high
    assert not paper.gray.any()
    modern = BasicAugmentation.modern().draw(sizes, seeded())
    assert 0.77 < (modern.color.hue != 0).float().mean() < 0.83
    assert 0.17 < modern.color.gray.float().mean() < 0.23
    assert 0.46 < (modern.blur_sigma > 0).float().mean() < 0.54
    assert modern.blur_sigma.max() <= 2
    assert (modern.affine[:, 0, 0] > 0).all(), "no flip by default"


def test_gray_views_are_gray(noise: Callable[..., ClipBatch]) -> None:
    batch = noise()
    augmentation = BasicAugmentation(
        24, gray_p=1.0, jitter=(0.4, 0.4, 0.4, 0.1), mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0)
    )
    view = make_view(batch, augmentation.draw(batch.sizes, seeded()), size=24)
    torch.testing.assert_close(view[:, 0], view[:, 1], atol=1e-5, rtol=0)
    torch.testing.assert_close(view[:, 0], view[:, 2], atol=1e-5, rtol=0)
    assert view.min() >= 0
    assert view.max() <= 1


def test_parameters_can_be_read() -> None:
    text = repr(BasicAugmentation.modern().draw(SIZES[:2], seeded()))
    assert text.startswith("ViewParameters(2 views")
    for word in ("affine", "brightness", "hue", "blur_sigma"):
        assert word in text


def test_bad_settings_are_refused(make_clip: MakeClip) -> None:
    with pytest.raises(ValueError, match="short_side"):
        BasicAugmentation(112, short_side=0.5)
    with pytest.raises(ValueError, match="hue"):
        BasicAugmentation(jitter=(0, 0, 0, 0.7))
    with pytest.raises(ValueError, match="augmentation must be one of"):
        BasicAugmentation.of("fancy")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="2 sets of parameters"):
        make_view(ClipBatch.of([make_clip()]), BasicAugmentation().center(SIZES[:2]), size=32)
