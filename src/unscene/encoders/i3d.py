"""I3D: Inception-v1 inflated to 3D (Carreira & Zisserman, "Quo Vadis, Action Recognition?",
CVPR 2017, section 2.4 and figure 3), and the base class that it shares with S3D-G.

As in the paper: 7x7x7 stem of stride 2, no pooling over time in the first two poolings, 3x3x3
instead of Inception-v1's 5x5, batch norm and ReLU after every convolution.

Padding is symmetric; `padding="same"` is TensorFlow's "SAME", with which the published weights were
trained: the odd pixel comes at the end. Maps have the same sizes, ceil(n / 2) at every stride of 2.
Batch norm has a learned scale, which the published TensorFlow models fix at 1.

    clip      3x16x224x224
    conv1a   64x8x112x112   pool2a 1x3x3
    conv2c  192x8x56x56     pool3a 1x3x3
    mixed3c 480x8x28x28     pool4a 3x3x3     stage 0
    mixed4f 832x4x14x14     pool5a 2x2x2     stage 1
    mixed5c 1024x2x7x7                       stage 2
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unscene.encoders.base import EncoderSpec, VideoEncoder
from unscene.errors import UnsceneError

# Called with (inputs, outputs, kernel, stride); kernel and stride apply to all three axes.
Conv = Callable[[int, int, int, int], nn.Module]
Gate = Callable[[int], nn.Module]
Widths = tuple[int, tuple[int, int], tuple[int, int], int]
Triple = tuple[int, int, int]
Padding = Literal["symmetric", "same"]

# Widths of the branches, Szegedy et al. 2015, table 1: 1x1 | 1x1 -> 3x3 | 1x1 -> 3x3 | pool -> 1x1.
_MIXED: tuple[dict[str, Widths], ...] = (
    {
        "3b": (64, (96, 128), (16, 32), 32),
        "3c": (128, (128, 192), (32, 96), 64),
    },
    {
        "4b": (192, (96, 208), (16, 48), 64),
        "4c": (160, (112, 224), (24, 64), 64),
        "4d": (128, (128, 256), (24, 64), 64),
        "4e": (112, (144, 288), (32, 64), 64),
        "4f": (256, (160, 320), (32, 128), 128),
    },
    {
        "5b": (256, (160, 320), (32, 128), 128),
        "5c": (384, (192, 384), (48, 128), 128),
    },
)
_STAGE_DIMS = (480, 832, 1024)
BATCH_NORM_EPS = 1e-3  # as in the code of both papers; torch's default is 1e-5


class SameConv3d(nn.Conv3d):
    """A convolution with TensorFlow's "SAME" padding; torch has it for a stride of 1 only."""

    def forward(self, x_BCTHW: Tensor) -> Tensor:
        return super().forward(_pad_same(x_BCTHW, self.kernel_size, self.stride))


class SameMaxPool3d(nn.MaxPool3d):
    """A max-pool with TensorFlow's "SAME" padding, for inputs that are not negative."""

    def forward(self, x_BCTHW: Tensor) -> Tensor:
        return super().forward(_pad_same(x_BCTHW, self.kernel_size, self.stride))  # type: ignore[arg-type]


def _pad_same(x: Tensor, kernel: Sequence[int], stride: Sequence[int]) -> Tensor:
    """Pad time, height and width with zeros so that a stride of s gives ceil(n / s) positions."""
    pads: list[int] = []
    for size, k, s in zip(x.shape[2:], kernel, stride, strict=True):
        total = max(k - (size % s or s), 0)
        pads = [total // 2, total - total // 2, *pads]  # F.pad begins with the last axis
    return F.pad(x, pads)


def conv_unit(
    inputs: int,
    outputs: int,
    kernel: Triple,
    stride: Triple,
    *,
    norm_eps: float = BATCH_NORM_EPS,
    padding: Padding = "symmetric",
) -> nn.Sequential:
    """Make a convolution with an odd kernel that keeps the size, then batch norm and ReLU."""
    if padding == "same":
        conv: nn.Module = SameConv3d(inputs, outputs, kernel, stride, bias=False)
    else:
        t, h, w = kernel
        conv = nn.Conv3d(inputs, outputs, kernel, stride, (t // 2, h // 2, w // 2), bias=False)
    return nn.Sequential(conv, nn.BatchNorm3d(outputs, eps=norm_eps), nn.ReLU(inplace=True))


def max_pool(kernel: Triple, padding: Padding) -> nn.Module:
    """Make a max-pool that halves the axes on which its kernel is above 1."""
    stride = tuple(min(side, 2) for side in kernel)
    if padding == "same":
        return SameMaxPool3d(kernel, stride)
    t, h, w = kernel
    around = (t // 2 * (t % 2), h // 2 * (h % 2), w // 2 * (w % 2))
    # ceil_mode keeps the last frame, row and column of odd sizes, like "SAME" padding.
    return nn.MaxPool3d(kernel, stride, around, ceil_mode=h % 2 == 0)


class InceptionBlock(nn.Module):
    """Four parallel branches, concatenated: (B, inputs, T, H, W) -> (B, dim, T, H, W)."""

    def __init__(
        self,
        inputs: int,
        widths: Widths,
        conv: Conv,
        gate: Gate,
    ) -> None:
        super().__init__()
        point, (reduce1, wide1), (reduce2, wide2), pooled = widths
        self.dim = point + wide1 + wide2 + pooled
        self.branches = nn.ModuleList(
            (
                nn.Sequential(conv(inputs, point, 1, 1), gate(point)),
                nn.Sequential(conv(inputs, reduce1, 1, 1), conv(reduce1, wide1, 3, 1), gate(wide1)),
                nn.Sequential(conv(inputs, reduce2, 1, 1), conv(reduce2, wide2, 3, 1), gate(wide2)),
                nn.Sequential(
                    nn.MaxPool3d(3, stride=1, padding=1), conv(inputs, pooled, 1, 1), gate(pooled)
                ),
            )
        )

    def forward(self, x_BCTHW: Tensor) -> Tensor:
        return torch.cat([branch(x_BCTHW) for branch in self.branches], dim=1)


def _stage(inputs: int, rows: dict[str, Widths], conv: Conv, gate: Gate) -> nn.Sequential:
    stage = nn.Sequential()
    for name, widths in rows.items():
        block = InceptionBlock(inputs, widths, conv, gate)
        stage.add_module(name, block)
        inputs = block.dim
    return stage


class Inception3D(VideoEncoder):
    """Inception-v1 over time and space; the kind of convolution and the gate are arguments.

    Stages: mixed3c, mixed4f, mixed5c; D = 1024. Takes clips of at least 1 frame of 32x32 pixels,
    which is one cell of the last map.

    Args:
        name, options: of the architecture, for the spec.
        frames: T of the spec.
        conv: makes a convolution with batch norm and ReLU.
        gate: makes the layer after every branch of a block, from the number of channels.
        stem_gate: makes the layer after conv2c.
        padding: of the max-pools.
    """

    def __init__(
        self,
        name: str,
        options: dict[str, Any],
        *,
        frames: int,
        conv: Conv,
        gate: Gate,
        stem_gate: Gate,
        padding: Padding = "symmetric",
    ) -> None:
        super().__init__(
            EncoderSpec(name, options, dim=1024, frames=frames, size=224),
            stage_dims=_STAGE_DIMS,
            minimum=(1, 32, 32),
        )
        self.stem = nn.Sequential(
            conv(3, 64, 7, 2),
            max_pool((1, 3, 3), padding),
            conv(64, 64, 1, 1),
            conv(64, 192, 3, 1),
            stem_gate(192),
            max_pool((1, 3, 3), padding),
        )
        self.pool4a = max_pool((3, 3, 3), padding)
        self.pool5a = max_pool((2, 2, 2), padding)
        self.mixed3 = _stage(192, _MIXED[0], conv, gate)
        self.mixed4 = _stage(_STAGE_DIMS[0], _MIXED[1], conv, gate)
        self.mixed5 = _stage(_STAGE_DIMS[1], _MIXED[2], conv, gate)
        self.initialize()

    def _stages(self, clip_BCTHW: Tensor) -> list[Tensor]:
        mixed3c = self.mixed3(self.stem(clip_BCTHW))
        mixed4f = self.mixed4(self.pool4a(mixed3c))
        mixed5c = self.mixed5(self.pool5a(mixed4f))
        return [mixed3c, mixed4f, mixed5c]


class I3D(Inception3D):
    """The RGB stream of I3D without the classifier. See the header of this file.

    Args:
        padding: "symmetric", or "same" as in TensorFlow.

    Raises:
        UnsceneError: another padding.
    """

    def __init__(self, *, padding: Padding = "symmetric") -> None:
        if padding not in get_args(Padding):
            raise UnsceneError(
                f"i3d: padding must be one of {list(get_args(Padding))}, got {padding!r}"
            )
        super().__init__(
            "i3d",
            {} if padding == "symmetric" else {"padding": padding},
            frames=16,
            conv=partial(_cubic_unit, padding=padding),
            gate=no_gate,
            stem_gate=no_gate,
            padding=padding,
        )


def _cubic_unit(
    inputs: int, outputs: int, kernel: int, stride: int, *, padding: Padding
) -> nn.Module:
    return conv_unit(inputs, outputs, (kernel,) * 3, (stride,) * 3, padding=padding)


def no_gate(channels: int) -> nn.Module:
    """Make a gate that lets everything pass."""
    return nn.Identity()
