"""Optical flow as a view shows it: sampled on the view and turned with it; and the camera in it."""

from __future__ import annotations

import torch
from torch import Tensor

from unscene.device import fp32_context
from unscene.motion.camera import CameraMotion, estimate_cameras
from unscene.video.clip import ClipBatch
from unscene.views import geometry
from unscene.views.disturb import sample_flow

_FOLD = 0.05  # area in the source of a unit of the view; no crop has less


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


def warp_flow(flow: Tensor, grid: Tensor) -> Tensor:
    """Show flow in any view of the frame: sample it there, and turn and scale each vector.

    Args:
        flow: (B, P, G, G, 2), normalized units of the source.
        grid: (B, h, w, 2), positions in the source; h and w at least 2.

    Returns:
        float32 (B, P, h, w, 2), normalized units of the view.

    >>> right = torch.tensor([0.1, 0.0]).expand(1, 1, 8, 8, 2)
    >>> half = geometry.grid(geometry.crop(torch.tensor([[-0.5, -0.5, 0.5, 0.5]])), (4, 4))
    >>> [round(value, 3) for value in warp_flow(right, half)[0, 0, 0, 0].tolist()]
    [0.2, 0.0]
    """
    height, width = grid.shape[1:3]
    with fp32_context(flow.device):
        sampled = sample_flow(flow, grid)
        # How far a step across and down the view goes in the source.
        down, across = torch.gradient(grid, dim=(1, 2))
        (a, c), (b, d) = (across * (width / 2)).unbind(-1), (down * (height / 2)).unbind(-1)
        area = a * d - b * c
        # Where a strong warp folds the picture, vectors would be infinite.
        area = torch.where(area < 0, area.clamp(max=-_FOLD), area.clamp(min=_FOLD))
        x, y = sampled.unbind(-1)
        a, b, c, d, area = (one[:, None] for one in (a, b, c, d, area))
        return torch.stack([(d * x - b * y) / area, (a * y - c * x) / area], dim=-1)


def find_camera(clips: ClipBatch, fixed: Tensor | None = None) -> Tensor:
    """Find the camera's motion in the flow of clips, for `augment.make_view` and `take_out`.

    Args:
        clips: B clips of T frames with `flow`.
        fixed: bool (B,), clips whose camera is known to stand still: their motion is zero.

    Returns:
        float32 (B, T-1, 2, 3), see `motion.camera`, on the device of the clips.

    Raises:
        ValueError: the clips have no flow.
    """
    if clips.flow is None:
        raise ValueError("the camera is found in flow: see `unscene.motion.flow.add_flow`")
    matrix = estimate_cameras(clips.flow, clips.sizes).matrix
    return matrix if fixed is None else matrix.masked_fill(fixed[:, None, None, None], 0.0)


def take_out(flow: Tensor, camera: Tensor) -> Tensor:
    """Take a camera out of flow (B, P, G, G, 2), normalized units: float32, what moves against the
    scene.

    Args:
        camera: (B, P, 2, 3), from `find_camera`.
    """
    scene = CameraMotion(camera, torch.ones(camera.shape[:2])).flow((flow.shape[2], flow.shape[3]))
    return flow.float() - scene
