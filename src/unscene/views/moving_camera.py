"""The camera of a view, followed: frames registered to the middle one, and the scene they show.

    frames  ->  flow between neighbors  ->  the camera's motion  ->  chained to the middle frame
            ->  canvas: the median of the registered frames
            ->  flow between each frame and its part of the canvas  ->  what the chain was off
            ->  canvas again                                        ->  "plate"

The canvas is larger than a frame, as the camera shows more than its middle frame does. A pixel of
it counts only if enough frames see it. The second round takes out what small errors add up to over
the clip; it fits an affine map, which also takes part of what depth does.

Convention
----------
A map (3, 3) takes (x, y, 1) in the middle frame to its position in frame t, normalized units of the
frame (`motion.camera.register_frames`). Views are (B, C, T, h, w), as in `background_swap`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from unscene.device import fp32_context
from unscene.encoders.flow_input import read_flow
from unscene.motion.camera import estimate_camera, register_frames
from unscene.motion.flow import DIS_LEAST
from unscene.views import geometry

_MARGIN = 0.5  # frames; the canvas reaches at most so far beyond the middle frame on every side
_NEAREST = 2.0  # times that anything may be enlarged or shrunk within a clip
_SEEN = 0.25  # share of the frames that must see a pixel of the canvas, and at least ...
_FEWEST = 3  # ... so many
_EDGE = 0.02  # RGB in 0..1 between neighbors; flow is believed fully where edges are that strong


@dataclass(frozen=True)
class Plate:
    """The scene of one clip whose camera moves.

    Attributes:
        maps: float32 (T, 3, 3), from the middle frame to frame t.
        canvas: float32 (C, H, W), the median of the registered frames, larger than a frame; nan
            where too few frames see it.
        spread: float32 (H, W), mean distance of the frames from the canvas, over those that see it.
        top: row and column of the canvas where the middle frame begins.
    """

    maps: Tensor
    canvas: Tensor
    spread: Tensor
    top: tuple[int, int]

    def view(self, size: tuple[int, int]) -> Tensor:
        """The plate as each frame's camera sees it, (C, T, h, w); nan beyond it."""
        height, width = self.canvas.shape[-2:]
        place = torch.linalg.inv(_to_middle(self.top, size, (height, width)))
        maps = place.to(self.maps) @ torch.linalg.inv(self.maps)
        canvas = self.canvas.expand(len(maps), -1, -1, -1)
        return sample(canvas, maps, size).transpose(0, 1)

    def in_middle(self, size: tuple[int, int]) -> Tensor:
        """The canvas within the middle frame, (C, h, w)."""
        rows, columns = (slice(a, a + side) for a, side in zip(self.top, size, strict=True))
        return self.canvas[:, rows, columns]


def build_plate(view: Tensor, std: Sequence[float]) -> Plate | None:
    """Follow the camera of one clip and find the scene behind what moves.

    Args:
        view: float (C, T, h, w), normalized.
        std: by which RGB in 0..1 was divided.

    Returns:
        None for views of less than 32 px or 3 frames, and where no camera moves like that.
    """
    frames, size = view.shape[1], (view.shape[2], view.shape[3])
    if frames < _FEWEST or min(size) < DIS_LEAST:
        return None
    weights = torch.tensor(std, device=view.device).view(-1, 1, 1, 1)
    view = view.float()
    with fp32_context(view.device):
        plain = view * weights
        edges = _edges(plain)
        flow = read_flow(view[None], (0.0,) * len(std), std, preset="medium", stabilize=False)[0]
        camera = estimate_camera(flow, weight=edges[1:], aspect=size[1] / size[0])
        try:
            maps = register_frames(camera, frames // 2)
            if not _is_possible(maps):
                return None
            maps = _refine(_paint(view, maps, weights), view, edges, std)
        except torch.linalg.LinAlgError:  # a map without an inverse
            return None
        return _paint(view, maps, weights) if _is_possible(maps) else None


def find_reach(maps: Tensor) -> tuple[Tensor, Tensor]:
    """The box that all frames cover: its lowest and highest (x, y) in units of the middle frame.

    >>> find_reach(torch.eye(3)[None])
    (tensor([-1., -1.]), tensor([1., 1.]))
    """
    corners = maps.new_tensor([[-1, -1, 1], [1, -1, 1], [-1, 1, 1], [1, 1, 1]]).T
    there = (torch.linalg.inv(maps) @ corners)[:, :2]
    return there.amin(dim=(0, 2)), there.amax(dim=(0, 2))


def sample(pictures: Tensor, maps: Tensor, size: tuple[int, int]) -> Tensor:
    """Show pictures (N, C, H, W) at maps (N, 3, 3) from the output to them: (N, C, h, w).

    What lies beyond a picture is nan.
    """
    grid = geometry.grid(maps, size)
    beyond = (grid.abs() > 1).any(dim=-1)[:, None]
    shown = F.grid_sample(pictures, grid, "bicubic", "border", align_corners=False)
    return shown.masked_fill(beyond, math.nan)


def _edges(plain: Tensor) -> Tensor:
    """How far flow is to be believed, (T, h, w) in 0..1: where nothing is seen, it is a guess."""
    slopes = torch.cat(torch.gradient(plain, dim=(2, 3))).square().sum(dim=0).sqrt()
    return (slopes / _EDGE).clamp(1e-3, 1)


def _is_possible(maps: Tensor) -> bool:
    """Whether a camera can move like that: not mirrored, enlarged by no more than `_NEAREST`."""
    sizes = torch.linalg.det(maps[:, :2, :2])
    return bool(((sizes >= _NEAREST**-2) & (sizes <= _NEAREST**2)).all())


def _paint(view: Tensor, maps: Tensor, weights: Tensor) -> Plate:
    """Register frames to the middle one, and take the median of those that see a pixel."""
    frames, size = view.shape[1], (view.shape[2], view.shape[3])
    top, extent = _lay_out(maps, size)
    place = _to_middle(top, size, extent).to(maps)
    found = sample(view.transpose(0, 1), maps @ place, extent)  # (T, C, H, W)
    seen = (~found[:, 0].isnan()).sum(dim=0)
    canvas = found.nanmedian(dim=0).values
    canvas = canvas.masked_fill(seen < max(_FEWEST, math.ceil(_SEEN * frames)), math.nan)
    off = ((found - canvas) * weights[:, 0]).square().sum(dim=1).sqrt()
    return Plate(maps, canvas, off.nanmean(dim=0), top)


def _lay_out(maps: Tensor, size: tuple[int, int]) -> tuple[tuple[int, int], tuple[int, int]]:
    """Margins above and left of the middle frame, and (H, W) of a canvas for all frames, in px."""
    low, high = find_reach(maps)
    height, width = size
    more = torch.stack([-1 - low, high - 1]).clamp(0, 2 * _MARGIN).tolist()
    (left, above), (right, below) = (
        (math.ceil(x * width / 2), math.ceil(y * height / 2)) for x, y in more
    )
    return (above, left), (above + height + below, left + width + right)


def _to_middle(top: tuple[int, int], size: tuple[int, int], extent: tuple[int, int]) -> Tensor:
    """The map (3, 3) from the canvas to the middle frame."""
    box = [
        edge * 2 / side - 1
        for start, end in ((0, 0), (1, 1))
        for edge, side in (
            (end * extent[1] - top[1], size[1]),
            (end * extent[0] - top[0], size[0]),
        )
    ]
    return geometry.crop(torch.tensor([box]))[0]


def _refine(plate: Plate, view: Tensor, edges: Tensor, std: Sequence[float]) -> Tensor:
    """Correct each frame's map by the flow between the frame and its part of the plate."""
    size = (view.shape[2], view.shape[3])
    shown = plate.view(size)
    known = ~shown[0].isnan()  # (T, h, w)
    pairs = torch.stack([torch.where(known, shown, view), view], dim=2).permute(1, 0, 2, 3, 4)
    flow = read_flow(pairs, (0.0,) * len(std), std, preset="medium", stabilize=False)[:, 0]
    off = estimate_camera(flow, weight=edges * known, model="affine", aspect=size[1] / size[0])
    steps = torch.eye(3, device=view.device).repeat(len(flow), 1, 1)
    steps[:, :2] += off.matrix  # from the frame to the plate as the chain has it
    maps = torch.linalg.inv(steps) @ plate.maps
    middle = len(maps) // 2
    return maps @ torch.linalg.inv(maps[middle])
