"""The disturbances of DSM: a spatial warp for the positive, flow scaling for the negative.

Random parameters are drawn first and grids are made from them, so that a view can be repeated.

Convention
----------
Grids and flow are normalized (x, y), as in `geometry`. Flow points back in time (DSM paper, eq. 2):
I(x, y, t+1) = I(x + Vx, y + Vy, t). The other temporal disturbance, temporal shift (eq. 4), chooses
other frames, so it belongs to the sampler: see `unscene.video.sampling`.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from unscene.views import geometry
from unscene.views.sample import gather_pairs


def draw_offsets(
    batch: int, generator: torch.Generator, *, points: int = 5, reach: float = 0.2
) -> Tensor:
    """Draw the offsets of the spline's source points from U[-reach, reach].

    Args:
        batch: B.
        generator: a CPU generator.
        points: points per side; 5 in the authors' code.
        reach: C in normalized units; the paper's tenth of the frame is 0.2.

    Returns:
        float32 (B, points * points, 2), for `geometry.tps_grid`.

    Source:
        DSM paper, "Spatial Local Disturbance".

    >>> offsets = draw_offsets(2, torch.Generator().manual_seed(0))
    >>> offsets.shape, bool(offsets.abs().max() <= 0.2)
    (torch.Size([2, 25, 2]), True)
    """
    return (torch.rand(batch, points * points, 2, generator=generator) * 2 - 1) * reach


def draw_phi(
    batch: int, frames: int, generator: torch.Generator, *, maximum: float = 5.0
) -> Tensor:
    """Draw phi(t) ~ U[0, M] of DSM's eq. 3 for every frame but the first: float32 (B, T-1)."""
    return torch.rand(batch, frames - 1, generator=generator) * maximum


def warp(affine: Tensor, offsets: Tensor, size: geometry.Size) -> Tensor:
    """Make the grid of a warped crop, p(u) = affine(TPS(u)), the same for every frame.

    Args:
        affine: (B, 3, 3), from the warped view to the source.
        offsets: (B, N, 2).
        size: (h, w).

    Returns:
        float32 (B, h, w, 2), positions in the source.
    """
    return geometry.apply(affine, geometry.tps_grid(offsets, size))


def draw_bumps(batch: int, generator: torch.Generator, *, most: int = 3) -> Tensor:
    """Draw the local bumps of the warp in DSM's public code.

    Args:
        batch: B.
        generator: a CPU generator.
        most: N; a sample has one bump to N.

    Returns:
        float32 (B, N, 5), for `warp_bumps`: the center (x, y), the radius (x, y), and 1 or 0 for a
        bump that is there or not. The code's numbers, in pixels of a view of 224: a center from 60
        to 140 and a radius from 10 to 20. Deviation: every sample has bumps of its own; there, the
        batch shares them.
    """
    center = torch.rand(batch, most, 2, generator=generator) * (80 / 112) + (60 / 112 - 1)
    radius = torch.rand(batch, most, 2, generator=generator) * (10 / 112) + 10 / 112
    count = torch.randint(1, most + 1, (batch, 1), generator=generator)
    there = (torch.arange(most) < count).float()
    return torch.cat([center, radius, there[..., None]], dim=-1)


def warp_bumps(affine: Tensor, bumps: Tensor, size: geometry.Size) -> Tensor:
    """Make the grid of a crop with local bumps, the same for every frame.

    Around its center + radius a bump shifts the picture by up to half its radius; three radii from
    the center it ends. The arguments but `bumps` are those of `warp`. Deviation from DSM's public
    code: shifts are not cut to whole pixels.
    """
    at = geometry.pixel_centers(size, bumps.device)[None]
    for center, radius, there in (
        (one[:, None, None, :2], one[:, None, None, 2:4], one[:, None, None, 4:])
        for one in bumps.unbind(dim=1)
    ):
        far = (at - center - radius).square().sum(-1, keepdim=True)
        share = 0.5 / (3 * (far / radius.square().sum(-1, keepdim=True)).square() + 1)
        near = ((at - center).abs() < 3 * radius).all(dim=-1, keepdim=True)
        at = at - share * radius * near * there
    return geometry.apply(affine, at)


def sample_flow(flow: Tensor, grid: Tensor) -> Tensor:
    """Sample flow bilinearly at positions in the source; beyond the frame its border repeats.

    Args:
        flow: (B, P, G, G, 2), normalized, any float dtype.
        grid: (B, h, w, 2).

    Returns:
        float32 (B, P, h, w, 2).
    """
    return (_flow_clips if flow.device.type == "cpu" else _flow_dense)(flow, grid)


def _flow_clips(flow: Tensor, grid: Tensor) -> Tensor:
    """On the CPU: clip by clip in compiled loops."""
    moved = [gather_pairs(*both) for both in zip(flow, grid, strict=True)]
    return torch.stack(moved) if len(moved) > 1 else moved[0][None]


def _flow_dense(flow: Tensor, grid: Tensor) -> Tensor:
    """On any device: torch's grid_sample."""
    batch, pairs, rows, columns, _ = flow.shape
    channels = flow.permute(0, 1, 4, 2, 3).reshape(batch, pairs * 2, rows, columns).float()
    sampled = F.grid_sample(channels, grid, padding_mode="border", align_corners=False)
    return sampled.view(batch, pairs, 2, *grid.shape[1:3]).permute(0, 1, 3, 4, 2)


def scale_flow(
    grid: Tensor, flow: Tensor, phi: Tensor, camera: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Scale the motion between frames: I^(x, t+1) = I(x + phi(t) V_t(x), t), on original frames.

    With `camera`, what moves against the scene is scaled and the camera moves as it did:
    I^(x, t+1) = I(x + C_t(x) + phi(t) (V_t(x) - C_t(x)), t) (ours).

    Args:
        grid: (B, h, w, 2), positions x in the source, after the crop.
        flow: (B, T-1, G, G, 2), flow of the source frames.
        phi: (B, T-1); 0 repeats frame t, 1 gives frame t+1, more exaggerates the motion.
        camera: (B, T-1, 2, 3), C: the scene's flow at (x, y) is matrix @ (x, y, 1), see
            `motion.camera`.

    Returns:
        Grids float32 (B, T, h, w, 2) and the source frames int64 (T,) = 0, 0, 1, ..., T-2 that
        they sample: the first frame stays, output frame t+1 samples source frame t.

    Raises:
        ValueError: flow and phi disagree about T or B.

    Source:
        DSM paper, eq. 3.
    """
    if phi.shape != flow.shape[:2] or len(grid) != len(flow):
        raise ValueError(
            f"phi must be (B, T-1) = {list(flow.shape[:2])} with a grid for each of B, "
            f"got phi {list(phi.shape)} and grid {list(grid.shape)}"
        )
    batch, pairs = phi.shape
    grids = torch.empty(batch, pairs + 1, *grid.shape[1:], device=grid.device)
    grids[:, 0] = grid
    scale = phi.to(grid)[:, :, None, None, None]
    chunk = 1 if grid.device.type == "cpu" else batch  # one clip fits into a CPU's cache
    for start in range(0, batch, chunk):
        part = slice(start, start + chunk)
        moved = sample_flow(flow[part], grid[part])
        torch.addcmul(grid[part, None], moved, scale[part], out=grids[part, 1:])
        if camera is not None:
            maps, at = camera[part].to(grid), grid[part]
            scene = torch.einsum("bpij,bhwj->bphwi", maps[..., :2], at)
            scene += maps[:, :, None, None, :, 2]
            grids[part, 1:].addcmul_(scene, 1 - scale[part])
    frames = torch.arange(-1, pairs, device=grid.device).clamp_(min=0)
    return grids, frames
