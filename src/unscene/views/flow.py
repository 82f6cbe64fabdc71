"""Flow as a view shows it."""

from __future__ import annotations

import torch
from torch import Tensor

from unscene.device import fp32_context
from unscene.views import geometry
from unscene.views.disturb import sample_flow


def view_flow(flow: Tensor, affine: Tensor, size: tuple[int, int]) -> Tensor:
    """Flow as an affine view of the frame shows it: sampled on the view, vectors turned with it.

    A flip negates x, a crop to half the frame doubles vectors in units of the view.

    Args:
        flow: (B, P, G, G, 2), normalised units of the source.
        affine: (B, 3, 3), from the view to the source.
        size: (h, w) of the result.

    Returns:
        float32 (B, P, h, w, 2), normalised units of the view.
    """
    with fp32_context(flow.device):
        sampled = sample_flow(flow, geometry.grid(affine, size))
        back = torch.linalg.inv(affine[:, :2, :2].float())
        return torch.einsum("bij,bphwj->bphwi", back, sampled)
