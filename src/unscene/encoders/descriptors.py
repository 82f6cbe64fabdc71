"""Encoders that need no training: histograms of flow, motion energy, color.

    hof        9 numbers: directions of the flow and the share of pixels that stay
    mbh        18 numbers: directions of the flow's derivatives
    hof+mbh    both, 27 numbers
    hof-vectors  hof of the codec's motion vectors: files are read without their pixels
    energy     how much moves in each of 4 x 4 cells
    color      mean color of each of 4 x 4 cells; blind to motion

They have no weights. In every table they are what a trained encoder must beat: histograms of flow
tell what trivial statistics of motion reach, `color` what the scene alone gives away.

Histograms often gain by `evaluate retrieve --standardize`: the share of pixels that stay is far
larger than their other numbers.

Sources: see `motion.histograms`. The number of cells, frames, stride and size are ours.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from unscene.encoders.base import EncoderSpec, VideoEncoder
from unscene.encoders.flow_input import read_flow
from unscene.motion import histograms
from unscene.motion.flow import Preset

Describe = Callable[[Tensor, tuple[int, int]], Tensor]
_CELLS = (4, 4)
_NO_MEAN, _NO_STD = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)


class Descriptor(VideoEncoder):
    """An encoder without weights, whose maps are histograms or means of cells.

    Args:
        name: of the encoder.
        dim: numbers per cell.
        cells: rows and columns of cells.
        layout: the feature holds every cell, and not the mean over them.
        frames, stride, size: of a clip.

    Shape:
        forward: (B, 3, T, H, W) -> (B, D).
        forward_maps: (B, 3, T, H, W) -> (B, dim, T', rows, columns).
    """

    def __init__(
        self,
        name: str,
        dim: int,
        *,
        cells: tuple[int, int] = _CELLS,
        layout: bool = False,
        frames: int = 16,
        stride: int = 2,
        size: int = 80,
    ) -> None:
        features = dim * cells[0] * cells[1] if layout else dim
        spec = EncoderSpec(
            name,
            {},
            features,
            frames,
            stride,
            size,
            mean=_NO_MEAN,
            std=_NO_STD,
            trained_on={"method": name},  # its name in rows and tables
        )
        super().__init__(spec, stage_dims=(dim,), minimum=(2, 32, 32))
        self.cells, self.layout = cells, layout

    @property
    def dim(self) -> int:
        """D, length of a feature."""
        return self.spec.dim

    def forward(self, clip_BCTHW: Tensor) -> Tensor:
        """Compute the features of a batch of clips, (B, D)."""
        maps = self.forward_maps(clip_BCTHW)
        if self.layout:
            return maps.mean(dim=2).flatten(1)
        # Maps are square roots of means: the feature is the square root of the mean of them all.
        return maps.square().mean(dim=(2, 3, 4)).sqrt()


class FlowDescriptor(Descriptor):
    """A histogram of the flow between consecutive frames, without the camera's motion.

    Args:
        name: of the encoder.
        dim: numbers of `describe`.
        describe: makes (..., dim, rows, columns) of flow (..., h, w, 2).
        stabilize: take the camera's motion out of the flow.
        preset: of DIS.
        grid: read the codec's vectors on a grid of so many cells along each side, where there are
            some (`VideoEncoder.input`); None: always compute flow.

    >>> encoder = FlowDescriptor("hof", 9, histograms.hof)
    >>> encoder(torch.zeros(1, 3, 4, 32, 32)).tolist()  # nothing moves
    [[0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0]]
    """

    def __init__(
        self,
        name: str,
        dim: int,
        describe: Describe,
        *,
        stabilize: bool = True,
        preset: Preset = "medium",
        grid: int | None = None,
        **layout: int,
    ) -> None:
        super().__init__(name, dim, **layout)  # type: ignore[arg-type]
        self.describe, self.stabilize, self.preset = describe, stabilize, preset
        if grid is not None:
            self.input, self.flow_grid = "vectors", grid

    def _stages(self, clip_BCTHW: Tensor) -> list[Tensor]:
        flow = read_flow(
            clip_BCTHW,
            self.spec.mean,
            self.spec.std,
            preset=self.preset,
            stabilize=self.stabilize,
        )
        return self._stages_of_flow(flow)

    def _stages_of_flow(self, flow_BPHW2: Tensor) -> list[Tensor]:
        return [self.describe(flow_BPHW2, self.cells).transpose(1, 2)]


class ColorGrid(Descriptor):
    """The mean color of each cell.

    >>> encoder = ColorGrid("color")
    >>> encoder(torch.full((1, 3, 2, 32, 32), 0.5)).shape
    torch.Size([1, 48])
    """

    def __init__(self, name: str) -> None:
        super().__init__(name, 3, layout=True, frames=2, stride=8, size=32)

    def _stages(self, clip_BCTHW: Tensor) -> list[Tensor]:
        return [F.adaptive_avg_pool3d(clip_BCTHW, (clip_BCTHW.shape[2], *self.cells))]


def _hof_mbh(flow: Tensor, cells: tuple[int, int]) -> Tensor:
    return torch.cat([histograms.hof(flow, cells), histograms.mbh(flow, cells)], dim=-3)


def _energy(flow: Tensor, cells: tuple[int, int]) -> Tensor:
    """The square root of the mean length of the flow in each cell, (..., 1, rows, columns)."""
    length = flow.norm(dim=-1)
    lead, size = length.shape[:-2], length.shape[-2:]
    means = F.adaptive_avg_pool2d(length.reshape(-1, 1, *size), cells)
    return means.sqrt().view(*lead, 1, *cells)


def hof() -> Descriptor:
    """Histogram of stabilized flow (Laptev et al. 2008)."""
    return FlowDescriptor("hof", histograms.BINS + 1, histograms.hof)


def hof_vectors() -> Descriptor:
    """`hof` of the codec's motion vectors instead of DIS flow; the grid of 32 cells is ours."""
    return FlowDescriptor("hof-vectors", histograms.BINS + 1, histograms.hof, grid=32)


def mbh() -> Descriptor:
    """Motion boundary histograms (Dalal et al. 2006)."""
    return FlowDescriptor("mbh", 2 * (histograms.BINS + 1), histograms.mbh)


def hof_mbh() -> Descriptor:
    """Both histograms (Wang and Schmid 2013, without their trajectories)."""
    return FlowDescriptor("hof+mbh", 3 * (histograms.BINS + 1), _hof_mbh)


def energy() -> Descriptor:
    """How much moves in each cell, whatever its direction."""
    return FlowDescriptor("energy", 1, _energy, layout=True)


def color() -> Descriptor:
    """Mean color of each cell: what the scene gives away without motion."""
    return ColorGrid("color")
