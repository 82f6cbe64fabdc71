"""Building blocks of residual networks over time and space: stem, convolutions, blocks.

There are three kinds of convolutions: "3d" over time and space together, "2+1d" over space and then
over time (R(2+1)D, Tran et al. 2018), "2d" over space only, frame by frame.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn

Triple = tuple[int, int, int]
Kind = Literal["3d", "2+1d", "2d"]
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

    `middle` is M, the number of channels between the two. The default keeps the number of weights:
    floor(t h w inputs outputs / (h w inputs + t outputs)).

    Source: Tran et al. 2018, section 3.5.

    >>> conv2plus1d(64, 64, (3, 3, 3), (1, 1, 1))[0].out_channels
    144
    """
    t, h, w = kernel
    if middle is None:
        middle = t * h * w * inputs * outputs // (h * w * inputs + t * outputs)
    return nn.Sequential(
        conv3d(inputs, middle, (1, h, w), (1, *stride[1:])),
        nn.BatchNorm3d(middle),
        nn.ReLU(inplace=True),
        conv3d(middle, outputs, (t, 1, 1), (stride[0], 1, 1)),
    )


def half(kernel: Triple) -> Triple:
    """Return the padding that keeps the size with an odd kernel."""
    t, h, w = kernel
    return t // 2, h // 2, w // 2


CONVOLUTIONS: dict[Kind, Convolution] = {"3d": conv3d, "2+1d": conv2plus1d, "2d": conv2d}


class Block(nn.Module):
    """Convolutions and a shortcut, which is a projection if the shape changes (type B).

    Args:
        inputs, outputs: channels.
        stride: of the block.
        kind: of its convolutions.
    """

    def __init__(self, inputs: int, outputs: int, stride: Triple, kind: Kind) -> None:
        super().__init__()
        if kind == "2d":
            stride = (1, *stride[1:])
        self.residual = self._residual(inputs, outputs, stride, CONVOLUTIONS[kind])
        self.shortcut: nn.Module = nn.Identity()
        if inputs != outputs or stride != (1, 1, 1):
            self.shortcut = nn.Sequential(
                conv3d(inputs, outputs, (1, 1, 1), stride), nn.BatchNorm3d(outputs)
            )
        self.relu = nn.ReLU(inplace=True)

    def _residual(
        self, inputs: int, outputs: int, stride: Triple, conv: Convolution
    ) -> nn.Sequential:
        raise NotImplementedError

    def forward(self, x_BCTHW: Tensor) -> Tensor:
        return self.relu(self.residual(x_BCTHW) + self.shortcut(x_BCTHW))


class BasicBlock(Block):
    """Two 3x3x3 convolutions."""

    def _residual(
        self, inputs: int, outputs: int, stride: Triple, conv: Convolution
    ) -> nn.Sequential:
        return nn.Sequential(
            conv(inputs, outputs, (3, 3, 3), stride),
            nn.BatchNorm3d(outputs),
            nn.ReLU(inplace=True),
            conv(outputs, outputs, (3, 3, 3), (1, 1, 1)),
            nn.BatchNorm3d(outputs),
        )


class Bottleneck(Block):
    """A 3x3x3 convolution between two of 1x1x1, with a quarter of the block's channels.

    In a ResNet3D it is initialized to its shortcut, see `ResNet3D.initialize`.
    """

    def _residual(
        self, inputs: int, outputs: int, stride: Triple, conv: Convolution
    ) -> nn.Sequential:
        narrow = outputs // 4
        return nn.Sequential(
            conv3d(inputs, narrow, (1, 1, 1), (1, 1, 1)),
            nn.BatchNorm3d(narrow),
            nn.ReLU(inplace=True),
            conv(narrow, narrow, (3, 3, 3), stride),
            nn.BatchNorm3d(narrow),
            nn.ReLU(inplace=True),
            conv3d(narrow, outputs, (1, 1, 1), (1, 1, 1)),
            nn.BatchNorm3d(outputs),
        )
