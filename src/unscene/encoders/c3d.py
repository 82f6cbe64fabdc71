"""C3D: eight 3x3x3 convolutions (Tran et al., "Learning Spatiotemporal Features with 3D
Convolutional Networks", ICCV 2015, section 3.3 and figure 3).

As in the paper: widths 64-128-256-256-512-512-512-512, pool1 1x2x2, pool2 to pool4 2x2x2.
Deviations, as in self-supervised work since Clip Order (Xu et al., CVPR 2019): batch norm between
every convolution and its ReLU (so the convolutions have no bias); no pool5, fc6 and fc7.

    clip    3x16x112x112
    conv1a  64x16x112x112   pool1
    conv2a 128x16x56x56     pool2
    conv3b 256x8x28x28      pool3     stage 0
    conv4b 512x4x14x14      pool4     stage 1
    conv5b 512x2x7x7                  stage 2
"""

from __future__ import annotations

from torch import Tensor, nn

from unscene.encoders.base import EncoderSpec, VideoEncoder


def _conv(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv3d(inputs, outputs, 3, padding=1, bias=False),
        nn.BatchNorm3d(outputs),
        nn.ReLU(inplace=True),
    )


class C3D(VideoEncoder):
    """The convolutions of C3D with batch norm. Stages: conv3b, conv4b, conv5b; D = 512.

    Takes clips of at least 8 frames of 16x16 pixels. The poolings drop the last frame, row and
    column of odd sizes.
    """

    def __init__(self) -> None:
        super().__init__(
            EncoderSpec("c3d", {}, dim=512), stage_dims=(256, 512, 512), minimum=(8, 16, 16)
        )
        self.conv1a = _conv(3, 64)
        self.pool1 = nn.MaxPool3d((1, 2, 2))
        self.conv2a = _conv(64, 128)
        self.pool2 = nn.MaxPool3d(2)
        self.conv3a = _conv(128, 256)
        self.conv3b = _conv(256, 256)
        self.pool3 = nn.MaxPool3d(2)
        self.conv4a = _conv(256, 512)
        self.conv4b = _conv(512, 512)
        self.pool4 = nn.MaxPool3d(2)
        self.conv5a = _conv(512, 512)
        self.conv5b = _conv(512, 512)
        self.initialize()

    def _stages(self, clip_BCTHW: Tensor) -> list[Tensor]:
        x = self.pool1(self.conv1a(clip_BCTHW))
        x = self.pool2(self.conv2a(x))
        conv3b = self.conv3b(self.conv3a(x))
        conv4b = self.conv4b(self.conv4a(self.pool3(conv3b)))
        conv5b = self.conv5b(self.conv5a(self.pool4(conv4b)))
        return [conv3b, conv4b, conv5b]
