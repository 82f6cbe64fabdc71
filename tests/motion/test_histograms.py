"""Histograms of flow, against a direct count over pixels."""

from __future__ import annotations

import math

import numpy as np
import torch

from unscene.motion.histograms import hof, mbh, orientation_histogram


def counted(vectors: np.ndarray, still: float) -> np.ndarray:
    """The definition, pixel by pixel."""
    bins = np.zeros(9)
    for u, v in vectors.reshape(-1, 2):
        length = math.hypot(u, v)
        if length < still:
            bins[8] += 1
            continue
        place = (math.atan2(v, u) % (2 * math.pi)) / (2 * math.pi) * 8
        low = math.floor(place)
        bins[low % 8] += length * (1 - (place - low))
        bins[(low + 1) % 8] += length * (place - low)
    return bins / (vectors.size / 2)


def test_the_histogram_is_the_count_over_pixels() -> None:
    vectors = torch.randn(2, 6, 8, 2, generator=torch.Generator().manual_seed(0))
    found = orientation_histogram(vectors, (1, 2), still=0.7)
    assert found.shape == (2, 9, 1, 2)
    for i in range(2):
        for column in range(2):
            part = vectors[i, :, 4 * column : 4 * column + 4].numpy()
            np.testing.assert_allclose(found[i, :, 0, column], counted(part, 0.7), rtol=1e-4)


def test_every_direction_has_its_bin() -> None:
    for k in range(8):
        angle = 2 * math.pi * k / 8
        flow = 0.1 * torch.tensor([math.cos(angle), math.sin(angle)]).expand(4, 4, 2)
        found = hof(flow).flatten()
        assert int(found.argmax()) == k
        # 0.1 in normalized units is 5.6 px of a frame 112 px wide.
        assert math.isclose(float(found[k]), math.sqrt(5.6), rel_tol=1e-3)


def test_motion_boundaries_are_blind_to_a_pan_and_see_an_object() -> None:
    pan = torch.full((16, 16, 2), 0.3)
    still = mbh(pan).flatten()
    assert still.view(2, 9)[:, :8].abs().max() == 0
    assert still.view(2, 9)[:, 8].tolist() == [1, 1]
    pan[4:12, 4:12, 0] += 0.2
    assert mbh(pan).flatten()[0] > 0.1


def test_a_derivative_is_a_pure_number() -> None:
    x = (torch.arange(16) + 0.5) / 8 - 1
    flow = torch.stack([0.5 * x.expand(16, 16), torch.zeros(16, 16)], dim=-1)  # du/dx = 0.5
    assert math.isclose(float(mbh(flow).flatten()[0]), math.sqrt(0.5), rel_tol=1e-3)
