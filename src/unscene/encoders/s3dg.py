"""S3D-G: I3D with separable convolutions and feature gating (Xie et al., "Rethinking
Spatiotemporal Feature Learning", ECCV 2018, sections 4.3 and 5).

Every kxkxk convolution is a 1xkxk one over space, then a kx1x1 one over time, batch norm and ReLU
after each. Gating multiplies x by sigmoid(W mean(x) + b), where the mean is over time and space. It
follows conv2c and all four branches of every block, as in the authors' TensorFlow code (the text of
the paper mentions only the temporal convolutions). The stem is separable as in the paper (the later
default of that code is a full 3x7x7). The paper trains on 64 frames; sizes are those of I3D.

`gating="none"` is S3D, the same network without gates. CoCLR (Han et al., NeurIPS 2020) has gates
in the blocks only, `gating="blocks"`, or none, and torch's batch norm, `norm_eps=1e-5`.
"""

from __future__ import annotations

from functools import partial
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from unscene.encoders.i3d import BATCH_NORM_EPS, Inception3D, conv_unit, no_gate
from unscene.errors import UnsceneError

Gating = Literal["all", "blocks", "none"]


class SelfGating(nn.Module):
    """Weights every channel by a function of the whole clip; keeps the shape (B, C, T, H, W)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weigh = nn.Conv3d(channels, channels, 1)

    def forward(self, x_BCTHW: Tensor) -> Tensor:
        return x_BCTHW * torch.sigmoid(self.weigh(x_BCTHW.mean(dim=(2, 3, 4), keepdim=True)))


def separable_unit(
    inputs: int, outputs: int, kernel: int, stride: int, *, norm_eps: float = BATCH_NORM_EPS
) -> nn.Module:
    """Make 1xkxk over space, then kx1x1 over time; a 1x1x1 convolution stays one."""
    unit = partial(conv_unit, norm_eps=norm_eps)
    if kernel == 1:
        return unit(inputs, outputs, (1, 1, 1), (stride, stride, stride))
    return nn.Sequential(
        unit(inputs, outputs, (1, kernel, kernel), (1, stride, stride)),
        unit(outputs, outputs, (kernel, 1, 1), (stride, 1, 1)),
    )


class S3DG(Inception3D):
    """S3D-G without the classifier. See the header of this file and Inception3D.

    Args:
        gating: where gates are: "all" as above, "blocks": not after conv2c, "none": S3D.
        norm_eps: what batch norm adds to the variance.

    Raises:
        UnsceneError: a value of another kind.
    """

    def __init__(self, *, gating: Gating = "all", norm_eps: float = BATCH_NORM_EPS) -> None:
        if gating not in get_args(Gating):
            raise UnsceneError(
                f"s3dg: gating must be one of {list(get_args(Gating))}, got {gating!r}"
            )
        if not isinstance(norm_eps, float) or norm_eps <= 0:
            raise UnsceneError(f"s3dg: norm_eps must be a number above 0, got {norm_eps!r}")
        options: dict[str, Any] = {} if gating == "all" else {"gating": gating}
        if norm_eps != BATCH_NORM_EPS:
            options["norm_eps"] = norm_eps
        super().__init__(
            "s3dg",
            options,
            frames=64,
            conv=partial(separable_unit, norm_eps=norm_eps),
            stem_gate=SelfGating if gating == "all" else no_gate,
            gate=no_gate if gating == "none" else SelfGating,
        )
