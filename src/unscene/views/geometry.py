"""Geometry of a view: crop, flip, rotation and thin-plate spline as coordinate maps that compose.

In: random parameters, one set per sample. Out: affine maps, and sampling grids for `render`.

Convention
----------
A map takes a position in the OUTPUT to the position in the SOURCE that is shown there. Positions
are normalized (x, y): -1 is the left or top edge of the frame and +1 the right or bottom edge
(edges, not pixel centers: `align_corners=False`); x grows to the right and y downwards. Affine maps
are float32 (B, 3, 3) matrices that act on columns (x, y, 1). `compose(outer, inner)` applies
`inner` first: to crop from a rotated frame, write `compose(rotate(...), crop(...))`. A grid is
float32 (B, h, w, 2): the map evaluated at the center of every output pixel.
"""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from torch import Tensor

Size = tuple[int, int]


def identity(batch: int) -> Tensor:
    """Return the map that shows the source unchanged, float32 (B, 3, 3)."""
    return torch.eye(3).repeat(batch, 1, 1)


def crop(boxes: Tensor) -> Tensor:
    """Map the output to a box of the source.

    A resize of the short side followed by a crop is a box as well.

    Args:
        boxes: (B, 4), left, top, right, bottom in normalized units (the frame is -1, -1, 1, 1).

    Returns:
        float32 (B, 3, 3).

    Raises:
        ValueError: boxes are not (B, 4), or one of them is empty or inverted.

    >>> left_half = crop(torch.tensor([[-1.0, -1.0, 0.0, 1.0]]))
    >>> apply(left_half, torch.tensor([[[1.0, 0.0]]])).tolist()  # the right edge shows the middle
    [[[0.0, 0.0]]]
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
    """Mirror left and right where `mask` (B,) is true; float32 (B, 3, 3)."""
    matrix = identity(len(mask)).to(mask.device)
    matrix[:, 0, 0] = torch.where(mask.bool(), -1.0, 1.0)
    return matrix


def rotate(degrees: Tensor, aspect: Tensor) -> Tensor:
    """Rotate the picture about its center, counter-clockwise for positive angles (as PIL does).

    Deviation from PIL: corners that the rotated frame does not cover repeat its border; PIL paints
    them black.

    Args:
        degrees: (B,).
        aspect: (B,), width / height of the frame. In normalized units the rotation of a frame that
            is not square is a shear; the aspect keeps right angles.

    Returns:
        float32 (B, 3, 3).
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
    """Compose two affine maps (B, 3, 3) to outer(inner(u)); `inner` is applied first.

    >>> both = compose(flip(torch.tensor([True])), crop(torch.tensor([[-1.0, -1.0, 0.0, 1.0]])))
    >>> apply(both, torch.tensor([[[-1.0, 0.0]]])).tolist()  # the right edge, mirrored
    [[[1.0, 0.0]]]
    """
    return outer @ inner


def apply(affine: Tensor, points: Tensor) -> Tensor:
    """Apply affine maps (B, 3, 3) to points (B, ..., 2); the result is like points."""
    lead = (len(affine),) + (1,) * (points.ndim - 2)
    columns = affine.to(points.dtype)
    x, y = points[..., 0], points[..., 1]
    out = torch.empty((len(affine), *points.shape[1:]), dtype=points.dtype, device=points.device)
    for axis in (0, 1):
        a, b, c = (columns[:, axis, k].view(lead) for k in range(3))
        torch.add(x * a, y * b, out=out[..., axis]).add_(c)
    return out


def pixel_centers(size: Size, device: torch.device | str = "cpu") -> Tensor:
    """Return the normalized centers of all pixels of an (h, w) output, float32 (h, w, 2).

    >>> pixel_centers((1, 4))[0, :, 0].tolist()
    [-0.75, -0.25, 0.25, 0.75]
    """
    return _pixel_centers(size, str(device))


@lru_cache(maxsize=32)
def _pixel_centers(size: Size, device: str) -> Tensor:
    h, w = size
    y = (torch.arange(h, dtype=torch.float64) * 2 + 1) / h - 1
    x = (torch.arange(w, dtype=torch.float64) * 2 + 1) / w - 1
    grid = torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1)
    return grid.float().to(device)


def grid(affine: Tensor, size: Size) -> Tensor:
    """Evaluate affine maps (B, 3, 3) at every pixel center of an (h, w) output: (B, h, w, 2)."""
    return apply(affine, pixel_centers(size, affine.device)[None].expand(len(affine), -1, -1, -1))


def shrinkage(affine: Tensor, sizes: Tensor, size: Size) -> Tensor:
    """Count source pixels per output pixel, in the output direction that has fewer of them.

    Args:
        affine: (B, 3, 3).
        sizes: (B, 2), (H, W) of the source frames.
        size: (h, w) of the output.

    Returns:
        float32 (B,); 2.0 means that one output pixel stands for two source pixels.
    """
    height, width = sizes[:, 0].float(), sizes[:, 1].float()
    steps = affine[:, :2, :2].float() * torch.stack([width, height], dim=1)[:, :, None]
    steps = steps / affine.new_tensor([size[1], size[0]], dtype=torch.float32)
    return steps.norm(dim=1).amin(dim=1)


def radial(squared_distance: Tensor) -> Tensor:
    """Radial basis U(r) = r^2 log r as a function of r^2, which saves the root; U(0) = 0."""
    return 0.5 * torch.xlogy(squared_distance, squared_distance)


class ThinPlateSpline:
    """The smoothest warp that takes fixed points of the output to given points of the source.

    The destination points form an even lattice over the output; the outermost points lie on the
    edge of the frame. They are the same for all samples, so the spline is linear in the source
    points: grid (hw x 2) = basis (hw x N) @ points (N x 2). The (N+3) x (N+3) system is solved
    once, in float64, when the object is made.

    Source: Bookstein 1989, "Principal Warps" (the spline); DSM paper, "Spatial Local Disturbance"
    (its use); N = 5 x 5 from the authors' code.

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
        """Evaluate the basis at positions (P, 2) of the output: float64 (P, N), rows sum to 1."""
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
        """Make the grids whose source points are destination + offsets.

        Args:
            offsets: (B, N, 2), normalized units.

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
    """Return a cached `ThinPlateSpline`: its system is solved once per size and process."""
    return ThinPlateSpline(points, size)


def tps_grid(offsets: Tensor, size: Size) -> Tensor:
    """Make thin-plate-spline sampling grids from offsets of a square lattice of points.

    Args:
        offsets: (B, N, 2) with N = 4, 9, 16, 25 ..., normalized units, row by row; see
            `disturb.draw_offsets`.
        size: (h, w) of the output.

    Returns:
        float32 (B, h, w, 2), positions in the source.

    Raises:
        ValueError: N is not the square of a whole number of at least 2.

    Source:
        Bookstein 1989, "Principal Warps"; see `ThinPlateSpline`.

    >>> grid = tps_grid(torch.zeros(1, 25, 2), (112, 112))
    >>> grid.shape, bool((grid[0] == pixel_centers((112, 112))).all())
    (torch.Size([1, 112, 112, 2]), True)
    """
    side = math.isqrt(offsets.shape[1])
    if offsets.ndim != 3 or side * side != offsets.shape[1]:
        raise ValueError(f"offsets must be (B, side * side, 2), got {list(offsets.shape)}")
    return spline((side, side), size)(offsets)


def _squared_distances(a: Tensor, b: Tensor) -> Tensor:
    return (a[:, None] - b[None]).square().sum(dim=-1)
