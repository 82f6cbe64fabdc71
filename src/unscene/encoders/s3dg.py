"""S3D-G: I3D with separable convolutions and feature gating (Xie et al., "Rethinking
Spatiotemporal Feature Learning", ECCV 2018, sections 4.3 and 5).

Every kxkxk convolution is a 1xkxk one over space, then a kx1x1 one over time, batch norm and ReLU
after each. Gating multiplies x by sigmoid(W mean(x) + b), where the mean is over time and space. It
follows conv2c and all four branches of every block, as in the authors' TensorFlow code (the text of
the paper mentions only the temporal convolutions). The stem is separable as in the paper (the later
default of that code is a full 3x7x7). The paper trains on 64 frames; sizes are those of I3D.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from unscene.encoders.i3d import Inception3D, conv_unit


class SelfGating(nn.Module):
    """Weights every channel by a function of the whole clip; keeps the shape (B, C, T, H, W)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weigh = nn.Conv3d(channels, channels, 1)

    def forward(self, x_BCTHW: Tensor) -> Tensor:
        return x_BCTHW * torch.sigmoid(self.weigh(x_BCTHW.mean(dim=(2, 3, 4), keepdim=True)))


def separable_unit(inputs: int, outputs: int, kernel: int, stride: int) -> nn.Module:
    """Make 1xkxk over space, then kx1x1 over time; a 1x1x1 convolution stays one."""
    if kernel == 1:
        return conv_unit(inputs, outputs, (1, 1, 1), (stride, stride, stride))
    return nn.Sequential(
        conv_unit(inputs, outputs, (1, kernel, kernel), (1, stride, stride)),
        conv_unit(outputs, outputs, (kernel, 1, 1), (stride, 1, 1)),
    )


class S3DG(Inception3D):
    """S3D-G without the classifier. See the header of this file and Inception3D."""

    def __init__(self) -> None:
        super().__init__("s3dg", frames=64, conv=separable_unit, gate=SelfGating)
