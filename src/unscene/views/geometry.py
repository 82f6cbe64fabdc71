"""Crop, flip, rotation and thin-plate spline: each a map of coordinates; maps compose.

Convention
----------
A map takes a position in the OUTPUT to the position in the SOURCE that is shown there. Positions
are normalised, in (x, y) order, -1 at the left/top edge and +1 at the right/bottom edge of the
frame (edges, not pixel centres: `align_corners=False`); x grows to the right and y downwards.
Affine maps are float32 (B, 3, 3) matrices that act on columns (x, y, 1). `compose(outer, inner)`
applies `inner` first: an output crop, then a rotation of the frame it was cut from, is
`compose(rotate(...), crop(...))`. A grid is float32 (B, h, w, 2): the map, evaluated at the centre
of every output pixel.
"""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from torch import Tensor

Size = tuple[int, int]


def identity(batch: int) -> Tensor:
    """The map that shows the source as it is, float32 (B, 3, 3)."""
    return torch.eye(3).repeat(batch, 1, 1)


def crop(boxes: Tensor) -> Tensor:
    """Show a box of the source.

    Args:
        boxes: (B, 4), left, top, right, bottom in normalised units (the frame is -1, -1, 1, 1).
            A resize to a short side S and a crop from it is nothing but a box as well.

    Returns:
        float32 (B, 3, 3).

    Raises:
        ValueError: if boxes are not (B, 4) or one of them is empty or inverted.
    """
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise ValueError(f"boxes must be (B, 4), got {list(boxes.shape)}")
    low, high = boxes[:, :2].float(), boxes[:, 2:].float()
    if not bool((high > low).all()):
        raise ValueError(f"boxes must have right > left and bottom > top, got {boxes.tolist()}")
    matrix = torch.zeros(len(boxes), 3, 3, device=boxes.device)
    matrix[:, [0, 1], [0, 1]] = (high - low) / 2
    matrix[:, :2, 2] = (high + low) / 2
    matrix[:, 2, 2] = 1.0
    return matrix


def flip(mask: Tensor) -> Tensor:
    """Mirror left and right where `mask` (B,) is true, float32 (B, 3, 3)."""
    matrix = identity(len(mask)).to(mask.device)
    matrix[:, 0, 0] = torch.where(mask.bool(), -1.0, 1.0)
    return matrix


def rotate(degrees: Tensor, aspect: Tensor) -> Tensor:
    """Turn the picture about its centre, counter-clockwise for positive angles (as PIL does).

    Args:
        degrees: (B,).
        aspect: (B,), width / height of the frame that turns. In normalised units a rotation of a
            frame that is not square is a shear; the aspect keeps right angles right.

    Returns:
        float32 (B, 3, 3). Corners that the turned frame leaves open repeat its border [ours; PIL
        paints them black].
    """
    angle = torch.deg2rad(degrees.float())
    cos, sin = angle.cos(), angle.sin()
    matrix = identity(len(angle)).to(angle.device)
    matrix[:, 0, 0] = cos
    matrix[:, 0, 1] = -sin / aspect
    matrix[:, 1, 0] = sin * aspect
    matrix[:, 1, 1] = cos
    return matrix


def compose(outer: Tensor, inner: Tensor) -> Tensor:
    """outer(inner(u)) of two affine maps (B, 3, 3): `inner` is nearer to the output."""
    return outer @ inner


def apply(affine: Tensor, points: Tensor) -> Tensor:
    """Push points (B, ..., 2) through affine maps (B, 3, 3); same shape and dtype as points."""
    lead = (len(affine),) + (1,) * (points.ndim - 2)
    columns = affine.to(points.dtype)
    x, y = points[..., 0], points[..., 1]
    out = torch.empty((len(affine), *points.shape[1:]), dtype=points.dtype, device=points.device)
    for axis in (0, 1):
        a, b, c = (columns[:, axis, k].view(lead) for k in range(3))
        torch.add(x * a, y * b, out=out[..., axis]).add_(c)
    return out


def pixel_centers(size: Size, device: torch.device | str = "cpu") -> Tensor:
    """Normalised centres of the pixels of an (h, w) output, float32 (h, w, 2)."""
    return _pixel_centres(size, str(device))


@lru_cache(maxsize=32)
def _pixel_centres(size: Size, device: str) -> Tensor:
    h, w = size
    y = (torch.arange(h, dtype=torch.float64) * 2 + 1) / h - 1
    x = (torch.arange(w, dtype=torch.float64) * 2 + 1) / w - 1
    grid = torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1)
    return grid.float().to(device)


def grid(affine: Tensor, size: Size) -> Tensor:
    """Evaluate affine maps (B, 3, 3) at every pixel centre of an (h, w) output: (B, h, w, 2)."""
    return apply(affine, pixel_centers(size, affine.device)[None].expand(len(affine), -1, -1, -1))


def shrinkage(affine: Tensor, sizes: Tensor, size: Size) -> Tensor:
    """Source pixels per output pixel, the smaller of the two output directions.

    Args:
        affine: (B, 3, 3).
        sizes: (B, 2), (H, W) of the source frames.
        size: (h, w) of the output.

    Returns:
        float32 (B,); 2.0 means that every second source pixel is skipped.
    """
    height, width = sizes[:, 0].float(), sizes[:, 1].float()
    steps = affine[:, :2, :2].float() * torch.stack([width, height], dim=1)[:, :, None]
    steps = steps / affine.new_tensor([size[1], size[0]], dtype=torch.float32)
    return steps.norm(dim=1).amin(dim=1)


def radial(squared_distance: Tensor) -> Tensor:
    """U(r) = r^2 log r, written with r^2 so that no root is taken; U(0) = 0."""
    return 0.5 * torch.xlogy(squared_distance, squared_distance)


class ThinPlateSpline:
    """The smoothest warp that takes fixed points of the output to given points of the source.

    The destination points stand on an even lattice over the output, its outermost points on the
    frame's edge. As they never move, the whole spline is linear in the source points:
    grid (hw x 2) = basis (hw x N) @ points (N x 2). The (N+3)x(N+3) system is solved once, in
    float64, when the object is made. Source: DSM paper, "Spatial Local Disturbance"; N = 5 x 5
    from the authors' code.

    Args:
        points: (rows, columns) of the lattice, each at least 2.
        size: (h, w) of the output.

    Attributes:
        destination: float64 (N, 2), row by row.
        basis: float32 (h * w, N).
    """

    def __init__(self, points: Size = (5, 5), size: Size = (112, 112)) -> None:
        rows, columns = points
        if rows < 2 or columns < 2:
            raise ValueError(f"a thin-plate spline needs at least 2 x 2 points, got {points}")
        self.points, self.size = points, size
        x = torch.linspace(-1, 1, columns, dtype=torch.float64)
        y = torch.linspace(-1, 1, rows, dtype=torch.float64)
        self.destination = torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1).view(-1, 2)
        self.basis = self.at(pixel_centers(size).view(-1, 2).double()).float()

    def at(self, where: Tensor) -> Tensor:
        """Basis at positions (P, 2) of the output, float64 (P, N); rows sum to one."""
        fixed = self.destination
        number = len(fixed)
        system = torch.zeros(number + 3, number + 3, dtype=torch.float64)
        system[:number, :number] = radial(_squared_distances(fixed, fixed))
        system[:number, number] = 1.0
        system[:number, number + 1 :] = fixed
        system[number:, :number] = system[:number, number:].T
        # Only the first N right-hand sides are ever non-zero.
        weights = torch.linalg.solve(system, torch.eye(number + 3, number, dtype=torch.float64))
        ones = torch.ones(len(where), 1, dtype=torch.float64)
        return torch.cat([radial(_squared_distances(where, fixed)), ones, where], dim=1) @ weights

    def __call__(self, offsets: Tensor) -> Tensor:
        """Grids for source points = destination + offsets.

        Args:
            offsets: (B, N, 2), normalised units.

        Returns:
            float32 (B, h, w, 2); zero offsets give the identity exactly.
        """
        number = len(self.destination)
        if offsets.ndim != 3 or offsets.shape[1:] != (number, 2):
            raise ValueError(f"offsets must be (B, {number}, 2), got {list(offsets.shape)}")
        # The spline reproduces affine maps, so only what differs from the identity is computed.
        moved = self.basis.to(offsets.device) @ offsets.float()
        start = pixel_centers(self.size, offsets.device)
        return moved.view(len(offsets), *self.size, 2).add_(start)


@lru_cache(maxsize=16)
def spline(points: Size, size: Size) -> ThinPlateSpline:
    """A cached `ThinPlateSpline`: its system is solved once per output size and process."""
    return ThinPlateSpline(points, size)


def tps_grid(offsets: Tensor, size: Size) -> Tensor:
    """Warp grids (B, h, w, 2) from offsets (B, N, 2) of a square lattice, N = 4, 9, 16, 25 ...

    Raises:
        ValueError: if N is not the square of a whole number, at least 2.
    """
    side = math.isqrt(offsets.shape[1])
    if offsets.ndim != 3 or side * side != offsets.shape[1]:
        raise ValueError(f"offsets must be (B, side * side, 2), got {list(offsets.shape)}")
    return spline((side, side), size)(offsets)


def _squared_distances(a: Tensor, b: Tensor) -> Tensor:
    return (a[:, None] - b[None]).square().sum(dim=-1)
