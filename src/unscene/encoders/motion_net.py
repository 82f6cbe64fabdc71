"""MotionNet: a small 3D network that reads optical flow and never sees a pixel.

    clip (B, 3, 25, 160, 160)  -> stabilized flow, averaged over 32 x 32 cells, 24 steps of 1/15 s
                              -> four 3D convolutions with batch norm and ReLU, 24 to 192 channels
                              -> mean over time and space, scaled to length 1, D = 192

Features of clips have length 1. Trained by a contrast of cosines, the length of the mean says how
much moves and how near, and not what: with it, recall@1 on ARID with one scene left out was .39
instead of .47 (experiments/LOG.md, 2026-11-29).

Flow of any source will do: `forward_flow`. Generated figures (`synthetic.figures`) have exact flow
without any video.

Source: ours, after the prototype of methods.md, section 6.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from unscene.encoders.base import EncoderSpec, VideoEncoder

_STRIDES = ((1, 2, 2), (2, 2, 2), (2, 2, 2), (1, 1, 1))
_GRID = 32


class MotionNet(VideoEncoder):
    """Four 3D convolutions over stabilized flow. See the header of this file.

    Args:
        width: channels of the first convolution; each one after it doubles them.

    >>> import torch
    >>> encoder = MotionNet().eval()
    >>> encoder(torch.zeros(1, 3, 25, 160, 160)).shape
    torch.Size([1, 192])
    >>> [tuple(stage.shape[1:]) for stage in encoder.forward_flow(torch.zeros(1, 24, 32, 32, 2))]
    [(24, 24, 16, 16), (48, 12, 8, 8), (96, 6, 4, 4), (192, 6, 4, 4)]
    """

    def __init__(self, *, width: int = 24) -> None:
        widths = [width * 2**i for i in range(len(_STRIDES))]
        options = {} if width == 24 else {"width": width}
        spec = EncoderSpec(
            "motion-net",
            options,
            widths[-1],
            frames=24,
            stride=2,
            size=160,
            mean=(0.0, 0.0, 0.0),
            std=(1.0, 1.0, 1.0),
        )
        super().__init__(spec, stage_dims=widths, minimum=(1, 1, 1))
        inputs = [3, *widths[:-1]]
        self.layers = nn.ModuleList(
            nn.Sequential(
                nn.Conv3d(before, after, 3, stride, padding=1, bias=False),
                nn.BatchNorm3d(after),
                nn.ReLU(),
            )
            for before, after, stride in zip(inputs, widths, _STRIDES, strict=True)
        )
        self.read_flow_of_clips(grid=_GRID)
        self.initialize()

    def forward(self, clip_BCTHW: Tensor) -> Tensor:
        """Compute the features of a batch of clips, (B, D), of length 1."""
        return F.normalize(super().forward(clip_BCTHW), dim=1)

    def _stages(self, clip_BCTHW: Tensor) -> list[Tensor]:
        x, maps = clip_BCTHW, []
        for layer in self.layers:
            x = layer(x)
            maps.append(x)
        return maps
