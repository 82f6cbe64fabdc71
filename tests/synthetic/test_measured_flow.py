"""Flow as it would be measured: known amounts of blur, noise and camera."""

from __future__ import annotations

import torch

from unscene.motion.camera import estimate_camera
from unscene.synthetic.measured_flow import measure_flow


def test_without_noise_what_moves_stays_where_it_is() -> None:
    flow = torch.zeros(1, 4, 32, 32, 2)
    flow[:, :, 12:20, 12:20, 0] = 0.1
    seen = measure_flow(flow, torch.Generator().manual_seed(1), noise=0.0)
    per_step = seen[0, ..., 0].sum(dim=(1, 2)) / flow[0, ..., 0].sum(dim=(1, 2))
    assert seen[..., 1].abs().max() == 0
    assert seen[0, :, :4].abs().max() < 1e-3  # far from the object
    # The gain, the same for all steps; a frame that was lost counts for the next one.
    gain = per_step.mean()
    assert 0.7 <= gain <= 1.2
    assert torch.allclose(per_step[per_step > 0].sum() / 4, gain)


def test_noise_grows_with_its_factor_and_is_the_same_for_a_seed() -> None:
    flow = torch.zeros(8, 6, 32, 32, 2)
    little, more = (
        measure_flow(flow, torch.Generator().manual_seed(2), noise=factor) for factor in (0.5, 1.0)
    )
    assert torch.allclose(2 * little, more, atol=1e-6)
    again = measure_flow(flow, torch.Generator().manual_seed(2))
    assert torch.equal(more, again)


def test_the_camera_that_is_left_is_a_camera() -> None:
    flow = torch.zeros(4, 2, 32, 32, 2)
    seen = measure_flow(flow, torch.Generator().manual_seed(3), noise=1.0)
    left = estimate_camera(seen).matrix[..., 2].abs()
    assert 0 < left.max() < 0.05
