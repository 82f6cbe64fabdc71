"""What is drawn at random: how far it reaches, how it is spread, in which order maps act."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from unscene.views import BasicAugmentation, draw_offsets, draw_phi, geometry


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def check_uniform(values: Tensor, low: float, high: float) -> None:
    """Both ends are reached and not passed, the mean and the spread are a uniform's."""
    width = high - low
    assert low <= values.min() < low + 0.01 * width
    assert high - 0.01 * width < values.max() <= high
    assert abs(float(values.mean()) - (low + high) / 2) < 0.02 * width
    assert abs(float(values.std()) - width / 12**0.5) < 0.02 * width


def test_phi_is_uniform_from_standing_still_to_five_times_the_motion() -> None:
    """Equation 3: U[0, M], with the paper's M = 5."""
    check_uniform(draw_phi(5000, 3, seeded()), 0, 5)
    check_uniform(draw_phi(5000, 3, seeded(), maximum=2.0), 0, 2)


def test_offsets_are_uniform_to_both_sides_in_x_and_in_y() -> None:
    offsets, far = draw_offsets(400, seeded()), draw_offsets(2500, seeded(), points=2, reach=0.5)
    assert (offsets.shape, far.shape) == ((400, 25, 2), (2500, 4, 2))
    for axis in (0, 1):
        check_uniform(offsets[..., axis], -0.2, 0.2)
        check_uniform(far[..., axis], -0.5, 0.5)


@pytest.mark.parametrize("size", [(240, 320), (320, 240), (200, 200)])
def test_the_frame_turns_in_pixels_before_it_is_cropped(size: tuple[int, int]) -> None:
    height, width = size
    augmentation = BasicAugmentation(112, rotation=30.0, short_side=1.6)
    affine = augmentation.draw(torch.tensor([size]).repeat(500, 1), seeded()).affine
    pixels = torch.tensor([width / 2, height / 2])
    linear = affine[:, :2, :2] * pixels[:, None]
    # A similarity: nothing is sheared, whatever the frame's aspect.
    side = min(size) / 1.6 / 2
    expected = side**2 * torch.eye(2).expand(500, 2, 2)
    torch.testing.assert_close(linear.mT @ linear, expected, rtol=1e-4, atol=0.1)
    # y points downwards, so that counter-clockwise is negative.
    check_uniform(torch.rad2deg(torch.atan2(linear[:, 1, 0], linear[:, 0, 0])), -30, 30)
    # With the turn undone the crop is upright and lies in the frame, up to its very edges.
    square = torch.tensor([[-1.0, -1], [1, -1], [1, 1], [-1, 1]]).expand(500, 4, 2)
    upright = geometry.apply(affine, square) * pixels @ (linear / side)
    reached = (upright / pixels).abs().amax(dim=(0, 1))
    assert (reached <= 1 + 1e-4).all()
    assert (reached > 0.98).all()
