"""Maps of coordinates: against pictures, against each other and against kornia."""

from __future__ import annotations

import kornia.geometry.transform as kornia_transform
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.interpolate import RBFInterpolator
from torch import Tensor

from unscene.views import geometry


def sample(picture: Tensor, grid: Tensor) -> Tensor:
    return F.grid_sample(picture, grid, padding_mode="border", align_corners=False)


@pytest.fixture
def picture() -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return F.interpolate(
        torch.rand(2, 1, 8, 10, generator=generator), size=(48, 60), mode="bicubic"
    )


def test_identity_reproduces_the_picture(picture: Tensor) -> None:
    grid = geometry.grid(geometry.identity(2), (48, 60))
    torch.testing.assert_close(sample(picture, grid), picture, atol=1e-5, rtol=0)


def test_crop_is_a_slice(picture: Tensor) -> None:
    # Columns 10..39, rows 8..31 of 60 x 48.
    box = torch.tensor([[10, 8, 40, 32]]) / torch.tensor([30, 24, 30, 24]) - 1
    grid = geometry.grid(geometry.crop(box.repeat(2, 1)), (24, 30))
    torch.testing.assert_close(sample(picture, grid), picture[..., 8:32, 10:40], atol=1e-5, rtol=0)


def test_crop_refuses_what_is_no_box() -> None:
    with pytest.raises(ValueError, match="right > left"):
        geometry.crop(torch.tensor([[0.5, 0.0, 0.5, 1.0]]))
    with pytest.raises(ValueError, match=r"must be \(B, 4\)"):
        geometry.crop(torch.zeros(4))


def test_flip_mirrors_only_where_the_mask_is_true(picture: Tensor) -> None:
    grid = geometry.grid(geometry.flip(torch.tensor([True, False])), (48, 60))
    shown = sample(picture, grid)
    torch.testing.assert_close(shown[0], picture[0].flip(-1), atol=1e-5, rtol=0)
    torch.testing.assert_close(shown[1], picture[1], atol=1e-5, rtol=0)


def test_flip_negates_x() -> None:
    points = torch.randn(3, 7, 2)
    flipped = geometry.apply(geometry.flip(torch.ones(3)), points)
    torch.testing.assert_close(flipped, points * torch.tensor([-1.0, 1.0]))


@pytest.mark.parametrize("angle", [-10.0, 30.0, 90.0])
def test_rotation_equals_kornia(picture: Tensor, angle: float) -> None:
    degrees = torch.full((2,), angle)
    ours = sample(picture, geometry.grid(geometry.rotate(degrees, torch.tensor(60 / 48)), (48, 60)))
    # kornia turns pixel coordinates about (w - 1) / 2, which is the same center.
    theirs = kornia_transform.rotate(picture, degrees, padding_mode="border", align_corners=True)
    torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=0)


def test_affine_equals_kornia(picture: Tensor) -> None:
    # kornia's matrix takes source pixels to output pixels, ours output to source, normalized.
    pixels = torch.tensor([[[1.1, 0.2, -4.0], [-0.1, 0.9, 3.0]]]).repeat(2, 1, 1)
    theirs = kornia_transform.warp_affine(
        picture, pixels, (48, 60), padding_mode="border", align_corners=True
    )
    whole = torch.cat([pixels, torch.tensor([[[0.0, 0.0, 1.0]]]).repeat(2, 1, 1)], dim=1)
    to_pixels = torch.tensor([[30.0, 0.0, 29.5], [0.0, 24.0, 23.5], [0.0, 0.0, 1.0]])
    ours = torch.linalg.inv(to_pixels) @ torch.linalg.inv(whole) @ to_pixels
    shown = sample(picture, geometry.grid(ours, (48, 60)))
    torch.testing.assert_close(shown, theirs, atol=1e-4, rtol=0)


def test_composed_map_equals_maps_one_after_another(picture: Tensor) -> None:
    turn = geometry.rotate(torch.tensor([7.0, -4.0]), torch.tensor(60 / 48))
    box = geometry.crop(torch.tensor([[-0.5, -0.6, 0.5, 0.4]]).repeat(2, 1))
    once = sample(picture, geometry.grid(geometry.compose(turn, box), (40, 40)))
    first = sample(picture, geometry.grid(turn, (192, 240)))
    twice = sample(first, geometry.grid(box, (40, 40)))
    torch.testing.assert_close(once, twice, atol=0.03, rtol=0)


@settings(max_examples=25, deadline=None)
@given(angle=st.floats(-180, 180), x=st.floats(-0.5, 0.5), half=st.floats(0.1, 0.5))
def test_compose_is_application_in_order(angle: float, x: float, half: float) -> None:
    outer = geometry.rotate(torch.tensor([angle]), torch.tensor(1.5))
    inner = geometry.crop(torch.tensor([[x - half, -half, x + half, half]]))
    points = torch.rand(1, 9, 2) * 2 - 1
    torch.testing.assert_close(
        geometry.apply(geometry.compose(outer, inner), points),
        geometry.apply(outer, geometry.apply(inner, points)),
        atol=1e-5,
        rtol=0,
    )


@settings(max_examples=25, deadline=None)
@given(angle=st.floats(-180, 180), aspect=st.floats(0.3, 3.0))
def test_rotation_keeps_lengths_in_pixels(angle: float, aspect: float) -> None:
    matrix = geometry.rotate(torch.tensor([angle]), torch.tensor([aspect]))
    pixels = torch.tensor([[aspect], [1.0]])
    scaled = matrix[0, :2, :2] * pixels / pixels.T
    torch.testing.assert_close(scaled @ scaled.T, torch.eye(2), atol=1e-4, rtol=0)


def test_no_offsets_are_the_identity_fp32_context() -> None:
    grid = geometry.tps_grid(torch.zeros(2, 25, 2), (20, 30))
    assert torch.equal(grid, geometry.pixel_centers((20, 30)).expand(2, -1, -1, -1))


def test_spline_equals_scipy() -> None:
    offsets = (torch.rand(3, 25, 2, generator=torch.Generator().manual_seed(1)) - 0.5) * 0.4
    ours = geometry.tps_grid(offsets, (16, 24))
    fixed = geometry.spline((5, 5), (16, 24)).destination
    centers = geometry.pixel_centers((16, 24)).double().view(-1, 2).numpy()
    for b in range(3):
        points = (fixed + offsets[b]).numpy()
        theirs = RBFInterpolator(fixed.numpy(), points, kernel="thin_plate_spline", degree=1)
        expected = torch.from_numpy(theirs(centers)).float()
        torch.testing.assert_close(ours[b].view(-1, 2), expected, atol=1e-5, rtol=0)


def test_spline_equals_kornia() -> None:
    """On the same points and weights. kornia's own solver centers its kernels on the target
    points, a different spline; given the classical weights it evaluates to our grid."""
    offsets = (torch.rand(3, 25, 2, generator=torch.Generator().manual_seed(1)) - 0.5) * 0.4
    ours = geometry.tps_grid(offsets, (16, 24))
    fixed = geometry.spline((5, 5), (16, 24)).destination
    distance = torch.cdist(fixed, fixed)
    system = torch.zeros(28, 28, dtype=torch.float64)
    system[:25, :25] = distance.square() * distance.clamp(min=1e-12).log()
    system[:25, 25:] = torch.cat([torch.ones(25, 1), fixed], dim=1)
    system[25:, :25] = system[:25, 25:].T
    points = torch.cat([fixed + offsets, torch.zeros(3, 3, 2)], dim=1)
    weights = torch.linalg.solve(system.expand(3, -1, -1), points)
    theirs = kornia_transform.warp_points_tps(
        geometry.pixel_centers((16, 24)).double().view(1, -1, 2).expand(3, -1, -1),
        fixed.expand(3, -1, -1),
        weights[:, :25],
        weights[:, 25:],
    )
    torch.testing.assert_close(ours.view(3, -1, 2), theirs.float(), atol=1e-4, rtol=0)


def test_spline_passes_through_its_points() -> None:
    offsets = torch.randn(25, 2, dtype=torch.float64) * 0.1
    spline = geometry.ThinPlateSpline((5, 5), (8, 8))
    there = spline.at(spline.destination) @ (spline.destination + offsets)
    torch.testing.assert_close(there, spline.destination + offsets)


@settings(max_examples=20, deadline=None)
@given(x=st.floats(-0.3, 0.3), y=st.floats(-0.3, 0.3))
def test_spline_of_equal_offsets_is_a_shift(x: float, y: float) -> None:
    shift = torch.tensor([x, y])
    grid = geometry.tps_grid(shift.expand(1, 25, 2), (12, 12))
    torch.testing.assert_close(grid[0], geometry.pixel_centers((12, 12)) + shift, atol=1e-5, rtol=0)


def test_spline_refuses_wrong_offsets() -> None:
    with pytest.raises(ValueError, match="side"):
        geometry.tps_grid(torch.zeros(1, 24, 2), (8, 8))
    with pytest.raises(ValueError, match="at least 2 x 2"):
        geometry.ThinPlateSpline((1, 5))
    with pytest.raises(ValueError, match="offsets must be"):
        geometry.ThinPlateSpline((3, 4), (8, 8))(torch.zeros(1, 9, 2))


def test_shrinkage_counts_source_pixels() -> None:
    sizes = torch.tensor([[240, 320], [240, 320]])
    boxes = torch.tensor([[-1.0, -1.0, 1.0, 1.0], [-0.5, -0.5, 0.5, 0.5]])
    measured = geometry.shrinkage(geometry.crop(boxes), sizes, (60, 40))
    torch.testing.assert_close(measured, torch.tensor([4.0, 2.0]))
