"""Building blocks of residual networks over time and space: stem, convolutions, blocks.

There are three kinds of convolutions: "3d" over time and space together, "2+1d" over space and then
over time (R(2+1)D, Tran et al. 2018), "2d" over space only, frame by frame. There are three kinds
of shortcuts where a block changes the shape of its input:

    "B"    a 1x1x1 convolution and batch norm (He et al. 2016)
    "A"    every second position, and channels of zeros in addition; no weights (He et al. 2016)
    "2+1d" like "B", the convolution in two: over space, batch norm, ReLU, over time
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

Triple = tuple[int, int, int]
Kind = Literal["3d", "2+1d", "2d"]
Shortcut = Literal["A", "B", "2+1d"]
Convolution = Callable[[int, int, Triple, Triple], nn.Module]


@dataclass(frozen=True)
class Stem:
    """The layers before the first block: a convolution, then a max-pool unless `pool` is None.

    `middle` is M of a "2+1d" stem; None: the paper's rule (see `conv2plus1d`).
    """

    kernel: Triple
    stride: Triple = (1, 2, 2)
    pool: Triple | None = None
    pool_stride: Triple = (1, 2, 2)
    middle: int | None = None


def conv3d(inputs: int, outputs: int, kernel: Triple, stride: Triple) -> nn.Conv3d:
    """Make a convolution without bias that keeps the size up to its stride (odd kernels)."""
    return nn.Conv3d(inputs, outputs, kernel, stride, half(kernel), bias=False)


def conv2d(inputs: int, outputs: int, kernel: Triple, stride: Triple) -> nn.Conv3d:
    """Make a convolution over space only, frame by frame."""
    return conv3d(inputs, outputs, (1, *kernel[1:]), (1, *stride[1:]))


def conv2plus1d(
    inputs: int, outputs: int, kernel: Triple, stride: Triple, middle: int | None = None
) -> nn.Sequential:
    """Factor a txhxw convolution into one over space, batch norm, ReLU and one over time.

    `middle` is M, the number of channels between the two; the default is `count_middle`.

    >>> conv2plus1d(64, 64, (3, 3, 3), (1, 1, 1))[0].out_channels
    144
    """
    t, h, w = kernel
    middle = middle or count_middle(inputs, outputs, kernel)
    return nn.Sequential(
        conv3d(inputs, middle, (1, h, w), (1, *stride[1:])),
        nn.BatchNorm3d(middle),
        nn.ReLU(inplace=True),
        conv3d(middle, outputs, (t, 1, 1), (stride[0], 1, 1)),
    )


def count_middle(inputs: int, outputs: int, kernel: Triple) -> int:
    """Return the M that keeps the number of weights, t h w i o / (h w i + t o), rounded down.

    Source: Tran et al. 2018, section 3.5.
    """
    t, h, w = kernel
    return t * h * w * inputs * outputs // (h * w * inputs + t * outputs)


def half(kernel: Triple) -> Triple:
    """Return the padding that keeps the size with an odd kernel."""
    t, h, w = kernel
    return t // 2, h // 2, w // 2


CONVOLUTIONS: dict[Kind, Convolution] = {"3d": conv3d, "2+1d": conv2plus1d, "2d": conv2d}


@dataclass(frozen=True)
class Layout:
    """How the blocks of one stage are built.

    Attributes:
        kind: of the convolutions.
        shortcut: of the blocks that change the shape; see the header of this file.
        shared: of "2+1d" basic blocks: the second convolution has the M of the first, as in
            torchvision, instead of its own by the paper's rule.
    """

    kind: Kind = "3d"
    shortcut: Shortcut = "B"
    shared: bool = False


class Block(nn.Module):
    """Convolutions and a shortcut.

    Args:
        inputs, outputs: channels.
        stride: of the block.
        layout: see Layout.
    """

    def __init__(self, inputs: int, outputs: int, stride: Triple, layout: Layout) -> None:
        super().__init__()
        if layout.kind == "2d":
            stride = (1, *stride[1:])
        self.residual = self._residual(inputs, outputs, stride, layout)
        self.shortcut: nn.Module = nn.Identity()
        if inputs != outputs or stride != (1, 1, 1):
            self.shortcut = _make_shortcut(inputs, outputs, stride, layout.shortcut)
        self.relu = nn.ReLU(inplace=True)

    def _residual(self, inputs: int, outputs: int, stride: Triple, layout: Layout) -> nn.Sequential:
        raise NotImplementedError

    def forward(self, x_BCTHW: Tensor) -> Tensor:
        return self.relu(self.residual(x_BCTHW) + self.shortcut(x_BCTHW))


class ZeroPadding(nn.Module):
    """Shortcut "A": takes every stride-th position and appends `extra` channels of zeros."""

    def __init__(self, extra: int, stride: Triple) -> None:
        super().__init__()
        self.extra, self.stride = extra, stride

    def forward(self, x_BCTHW: Tensor) -> Tensor:
        t, h, w = self.stride
        return F.pad(x_BCTHW[:, :, ::t, ::h, ::w], (0, 0, 0, 0, 0, 0, 0, self.extra))


def _make_shortcut(inputs: int, outputs: int, stride: Triple, shortcut: Shortcut) -> nn.Module:
    if shortcut == "A":
        return ZeroPadding(outputs - inputs, stride)
    project = conv2plus1d if shortcut == "2+1d" else conv3d
    return nn.Sequential(project(inputs, outputs, (1, 1, 1), stride), nn.BatchNorm3d(outputs))


class BasicBlock(Block):
    """Two 3x3x3 convolutions."""

    def _residual(self, inputs: int, outputs: int, stride: Triple, layout: Layout) -> nn.Sequential:
        conv, kernel = CONVOLUTIONS[layout.kind], (3, 3, 3)
        first = conv(inputs, outputs, kernel, stride)
        if layout.shared:
            middle = count_middle(inputs, outputs, kernel)
            second: nn.Module = conv2plus1d(outputs, outputs, kernel, (1, 1, 1), middle)
        else:
            second = conv(outputs, outputs, kernel, (1, 1, 1))
        return nn.Sequential(
            first,
            nn.BatchNorm3d(outputs),
            nn.ReLU(inplace=True),
            second,
            nn.BatchNorm3d(outputs),
        )


class Bottleneck(Block):
    """A 3x3x3 convolution between two of 1x1x1, with a quarter of the block's channels.

    In a ResNet3D it is initialized to its shortcut, see `ResNet3D.initialize`.
    """

    def _residual(self, inputs: int, outputs: int, stride: Triple, layout: Layout) -> nn.Sequential:
        narrow = outputs // 4
        return nn.Sequential(
            conv3d(inputs, narrow, (1, 1, 1), (1, 1, 1)),
            nn.BatchNorm3d(narrow),
            nn.ReLU(inplace=True),
            CONVOLUTIONS[layout.kind](narrow, narrow, (3, 3, 3), stride),
            nn.BatchNorm3d(narrow),
            nn.ReLU(inplace=True),
            conv3d(narrow, outputs, (1, 1, 1), (1, 1, 1)),
            nn.BatchNorm3d(outputs),
        )
