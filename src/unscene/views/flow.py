"""Optical flow as a view shows it: sampled on the view and turned with it."""

from __future__ import annotations

import torch
from torch import Tensor

from unscene.device import fp32_context
from unscene.views import geometry
from unscene.views.disturb import sample_flow


def view_flow(flow: Tensor, affine: Tensor, size: tuple[int, int]) -> Tensor:
    """Show flow in an affine view of the frame: sample it there and turn the vectors with the view.

    A flip negates x; a crop to half the frame doubles the vectors in units of the view.

    Args:
        flow: (B, P, G, G, 2), normalized units of the source, for P pairs of frames.
        affine: (B, 3, 3), from the view to the source.
        size: (h, w) of the view.

    Returns:
        float32 (B, P, h, w, 2), normalized units of the view.

    >>> right = torch.tensor([0.1, 0.0]).expand(1, 1, 8, 8, 2)
    >>> mirrored = view_flow(right, geometry.flip(torch.tensor([True])), (4, 4))
    >>> [round(value, 3) for value in mirrored[0, 0, 0, 0].tolist()]
    [-0.1, 0.0]
    """
    with fp32_context(flow.device):
        sampled = sample_flow(flow, geometry.grid(affine, size))
        back = torch.linalg.inv(affine[:, :2, :2].float())
        return torch.einsum("bij,bphwj->bphwi", back, sampled)
