"""Exact flow of figures -> flow as an estimator would measure it in real footage.

    blur             an estimator spreads motion over its patches
    gain             and shortens it
    noise            smooth in space, partly lasting in time, stronger in a few spots
    camera           what is left of it after it was taken out
    lost frames      a frame is shown twice: no motion, then twice as much

Amounts were set by comparing pictures and quantiles of lengths with those of DIS flow on ARID's
training videos; no label was used.

Source: ours, after the prototype of methods.md, section 6.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

_BLUR = (0.6, 2.5)  # standard deviation in cells, of a grid of 32
_REACH = 6  # cells
_GAIN = (0.7, 1.2)
_NOISE, _SPREAD = math.log(0.0022), 0.8  # normalized units; of the noise's size, and of its log
_SPOTS, _STRONGER = 0.06, 5.0  # share of the picture and time, and how much more noise there is
_LEFT = (0.006, 0.006, 0.003, 0.003)  # shift x and y, zoom, rotation that are left of the camera
_LOST = 0.25  # share of the clips


def measure_flow(flow: Tensor, generator: torch.Generator, *, noise: float = 1.0) -> Tensor:
    """Make exact flow what an estimator would measure.

    Args:
        flow: float32 (B, T, G, G, 2), exact, normalized units; T at least 2.
        generator: of all random amounts.
        noise: factor of noise and of what is left of the camera; 0: only blur, gain, lost frames.

    Returns:
        Shape of flow.

    >>> flow = torch.zeros(2, 4, 32, 32, 2)
    >>> still = measure_flow(flow, torch.Generator().manual_seed(0), noise=0.0)
    >>> float(still.abs().max())
    0.0
    """
    batch, steps, grid = flow.shape[:3]

    def uniform(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=generator)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    low, high = _BLUR
    sigma = (low + (high - low) * uniform(1)) * (grid / 32)
    seen = _blur(flow.movedim(-1, 2), float(sigma))  # (B, T, 2, G, G)
    seen = seen * (_GAIN[0] + (_GAIN[1] - _GAIN[0]) * uniform(batch, 1, 1, 1, 1))
    passing = _enlarge(normal(batch, steps, 2, 6, 6), grid)
    lasting = _enlarge(normal(batch, 1, 2, 5, 5), grid)
    spots = (uniform(batch, 1, 4, 6, 6) < _SPOTS).float()
    spots = F.interpolate(spots, size=(steps, grid, grid), mode="trilinear").transpose(1, 2)
    level = noise * (_NOISE + _SPREAD * normal(batch, 1, 1, 1, 1)).exp()
    field = passing + lasting
    seen = seen + level * (field + _STRONGER * spots * field.roll(1, 0))
    left = normal(batch, steps, 4) * torch.tensor(_LEFT) * uniform(batch, 1, 1) * noise
    seen = seen + _camera(left, grid)
    for b in torch.nonzero(uniform(batch) < _LOST)[:, 0].tolist():
        t = int(uniform(1) * (steps - 1))
        seen[b, t + 1] = seen[b, t + 1] + seen[b, t]
        seen[b, t] = 0
    return seen.movedim(2, -1)


def _blur(field: Tensor, sigma: float) -> Tensor:
    """Blur (B, T, 2, G, G) by a Gaussian; sigma in cells. A product of matrices is the fastest."""
    at = torch.arange(field.shape[-1], dtype=torch.float32)
    reach = torch.arange(-_REACH, _REACH + 1)
    scale = (-(reach**2) / (2 * sigma**2)).exp().sum()
    apart = at[:, None] - at
    weights = (-(apart**2) / (2 * sigma**2)).exp() / scale
    return weights @ field @ weights


def _enlarge(field: Tensor, grid: int) -> Tensor:
    """Interpolate (..., n, n) bicubically to G x G, by matrices: smooth fields are all alike."""
    basis = torch.eye(field.shape[-1])[None, :, :, None]
    weights = F.interpolate(basis, size=(grid, 1), mode="bicubic")[0, :, :, 0]  # (n, G)
    return weights.T @ field @ weights


def _camera(numbers: Tensor, grid: int) -> Tensor:
    """Flow (B, T, 2, G, G) of a camera with shift x and y, zoom and rotation (B, T, 4)."""
    at = (torch.arange(grid) + 0.5) * (2 / grid) - 1
    y, x = at[:, None], at[None, :]
    across, down, zoom, turn = numbers[..., None, None].unbind(2)
    return torch.stack([across + zoom * x - turn * y, down + zoom * y + turn * x], dim=2)
