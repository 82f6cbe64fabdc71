"""Residual networks over time and space: R3D, R(2+1)D and a narrow R3D for CPUs.

R3D (Hara et al., "Can Spatiotemporal 3D CNNs Retrace the History of 2D CNNs and ImageNet?",
CVPR 2018, table 1): 7x7x7 stem of stride 1x2x2, max-pool, four stages of basic blocks. Deviation:
all shortcuts are projections (type B); the paper has zero padding (type A) in R3D-18 and R3D-34.

R(2+1)D (Tran et al., "A Closer Look at Spatiotemporal Convolutions for Action Recognition",
CVPR 2018, section 3.5): every txkxk convolution becomes 1xkxk to M channels, batch norm, ReLU, then
tx1x1; M keeps the number of weights. M is computed for every convolution, as in the paper (33.3 M
weights for R(2+1)D-18 with 400 classes); torchvision uses one M for both convolutions of a block
and has 31.5 M. The stem has M = 45, as in the authors' code.

R3D-26 and R(2+1)D-26 are those of CMD (arXiv 2104.00862, built like its authors' public model): two
bottleneck blocks per stage. R2D is the network of He et al. 2016, applied to every frame.

The families have different stems; the option `stem` selects another. Maps of a 16x112x112 clip:

    stem     convolution    max-pool   layer1    layer2    layer3    layer4    default of
    "hara"   7x7x7 /1x2x2   3x3x3 /2   8x28x28   4x14x14   2x7x7     1x4x4     R3D
    "tran"   3x7x7 /1x2x2   none       16x56x56  8x28x28   4x14x14   2x7x7     R(2+1)D
    "cmd"    3x7x7 /1x2x2   1x3x3 /2   16x28x28  8x14x14   4x7x7     2x4x4     depth 26
    "motion" 3x7x7 /1       1x3x3 /2   16x56x56  8x28x28   4x14x14   2x7x7     CMD's motion encoder
    "frame"  1x7x7 /1x2x2   1x3x3 /2   16x28x28  16x14x14  16x7x7    16x4x4    R2D

Depths: 10 has one basic block per stage, 18 two, 34 three-four-six-three; 26 has two bottlenecks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal, get_args

from torch import Tensor, nn

from unscene.encoders.base import EncoderSpec, Pool, VideoEncoder
from unscene.encoders.blocks import (
    CONVOLUTIONS,
    BasicBlock,
    Block,
    Bottleneck,
    Kind,
    Stem,
    Triple,
    conv2plus1d,
    half,
)
from unscene.errors import UnsceneError

StemName = Literal["hara", "tran", "cmd", "motion", "frame"]


_STEMS: dict[StemName, Stem] = {
    "hara": Stem((7, 7, 7), pool=(3, 3, 3), pool_stride=(2, 2, 2)),
    "tran": Stem((3, 7, 7), middle=45),
    "cmd": Stem((3, 7, 7), pool=(1, 3, 3)),
    "motion": Stem((3, 7, 7), (1, 1, 1), pool=(1, 3, 3)),
    "frame": Stem((1, 7, 7), pool=(1, 3, 3)),
}
_BASIC, _BOTTLENECK = (64, 128, 256, 512), (256, 512, 1024, 2048)
# Depth -> block, channels and number of blocks of each stage.
_DEPTHS: dict[int, tuple[type[Block], tuple[int, ...], tuple[int, ...]]] = {
    10: (BasicBlock, _BASIC, (1, 1, 1, 1)),
    18: (BasicBlock, _BASIC, (2, 2, 2, 2)),
    26: (Bottleneck, _BOTTLENECK, (2, 2, 2, 2)),
    34: (BasicBlock, _BASIC, (3, 4, 6, 3)),
}
_STRIDES: tuple[Triple, ...] = ((1, 1, 1), (2, 2, 2), (2, 2, 2), (2, 2, 2))


class ResNet3D(VideoEncoder):
    """A stem and stages of residual blocks. Stages of `forward_stages`: layer1, layer2, ...

    Takes clips of at least 1 frame; height and width must cover one cell of the last map.

    Args:
        spec: the encoder's spec; it sets the number of input channels.
        stem: see Stem.
        widths, blocks, strides: per stage: channels, number of blocks, stride of the first block.
        kind: kind of the convolutions.
        block: BasicBlock or Bottleneck.
        first: channels of the stem; None: those of the first stage.
        pool: see VideoEncoder.
    """

    def __init__(
        self,
        spec: EncoderSpec,
        *,
        stem: Stem,
        widths: Sequence[int],
        blocks: Sequence[int],
        strides: Sequence[Triple],
        kind: Kind = "3d",
        block: type[Block] = BasicBlock,
        first: int | None = None,
        pool: Pool = "avg",
    ) -> None:
        cell = stem.stride[1] * (stem.pool_stride[1] if stem.pool else 1)
        for stride in strides:
            cell *= stride[1]
        super().__init__(spec, stage_dims=widths, minimum=(1, cell, cell), pool=pool)

        inputs = first or widths[0]
        conv = CONVOLUTIONS[kind](spec.channels, inputs, stem.kernel, stem.stride)
        if kind == "2+1d":
            conv = conv2plus1d(spec.channels, inputs, stem.kernel, stem.stride, stem.middle)
        layers = [conv, nn.BatchNorm3d(inputs), nn.ReLU(inplace=True)]
        if stem.pool:
            layers.append(nn.MaxPool3d(stem.pool, stem.pool_stride, half(stem.pool)))
        self.stem = nn.Sequential(*layers)

        self.layers = nn.ModuleList()
        for width, count, stride in zip(widths, blocks, strides, strict=True):
            steps: list[Triple] = [stride] + [(1, 1, 1)] * (count - 1)
            stage = []
            for step in steps:
                stage.append(block(inputs, width, step, kind))
                inputs = width
            self.layers.append(nn.Sequential(*stage))
        self.initialize()

    def initialize(self) -> None:
        """Draw all weights as any VideoEncoder, and set the scale of the last norm of Bottlenecks
        to 0, as in the public model of CMD's authors: they start as their shortcut."""
        super().initialize()
        for module in self.modules():
            if isinstance(module, Bottleneck):
                last = module.residual[-1]
                assert isinstance(last, nn.BatchNorm3d)
                nn.init.zeros_(last.weight)

    def _stages(self, clip_BCTHW: Tensor) -> list[Tensor]:
        x = self.stem(clip_BCTHW)
        maps = []
        for layer in self.layers:
            x = layer(x)
            maps.append(x)
        return maps


def r3d(depth: int, *, in_channels: int = 3, stem: StemName | None = None) -> ResNet3D:
    """Make an R3D of depth 10, 18, 34 (D = 512) or 26 (D = 2048)."""
    usual: StemName = "cmd" if depth == 26 else "hara"
    return _full_width(f"r3d{depth}", depth, in_channels, stem, usual, "3d")


def r2plus1d(depth: int, *, in_channels: int = 3, stem: StemName | None = None) -> ResNet3D:
    """Make an R(2+1)D of depth 10, 18 (D = 512) or 26 (D = 2048)."""
    usual: StemName = "cmd" if depth == 26 else "tran"
    return _full_width(f"r2plus1d{depth}", depth, in_channels, stem, usual, "2+1d")


def r2d(depth: int, *, in_channels: int = 3) -> ResNet3D:
    """Make a 2D ResNet of depth 10 or 18 that is applied to every frame, D = 512.

    It is blind to the order of frames: CMD's key-frame encoder (depth 10), and the baseline that
    sees appearance but no motion.
    """
    return _full_width(f"r2d{depth}", depth, in_channels, None, "frame", "2d")


def narrow(
    kind: Kind, *, width: int = 16, stages: int = 3, pool: Pool = "max", in_channels: int = 3
) -> ResNet3D:
    """Make a narrow ResNet for CPUs and small frames: one basic block per stage.

    "r3d-narrow", and "r2d-narrow", which sees every frame alone. Our own design, not from a paper.
    D = width 2^(stages-1). Only the last stage halves time, which preserves slow motion; stem,
    max-pool and stages reduce space: 8x36x36 -> 64x4x3x3. In trials on the direction of small discs
    the max-pool cost no accuracy and halved the time of a step. Channels-last memory is faster:
    `encoder.to(memory_format=torch.channels_last_3d)`, and the same for clips.

    Args:
        kind: kind of the convolutions, "3d" or "2d".
        width: channels of the stem and the first stage.
        stages: number of stages; each one after the first doubles the channels and halves space.
        pool: see VideoEncoder; "max", because the frames are small and moving objects smaller.
        in_channels: channels of a clip.
    """
    _check_counts(width=width, stages=stages)
    return ResNet3D(
        _spec(
            f"r{kind}-narrow",
            {"width": width, "stages": stages, "pool": pool},
            in_channels,
            dim=width * 2 ** (stages - 1),
            frames=8,
            stride=2,
            size=36,
        ),
        stem=Stem((3, 3, 3), pool=(1, 3, 3)),
        widths=[width * 2**stage for stage in range(stages)],
        blocks=[1] * stages,
        strides=[(1, 1, 1), *[(1, 2, 2)] * (stages - 2), (2, 2, 2)][:stages],
        kind=kind,
        pool=pool,
    )


def _full_width(
    name: str, depth: int, in_channels: int, stem: StemName | None, usual: StemName, kind: Kind
) -> ResNet3D:
    if stem is not None and stem not in _STEMS:
        raise UnsceneError(f"{name}: stem must be one of {list(get_args(StemName))}, got {stem!r}")
    block, widths, blocks = _DEPTHS[depth]
    options = {} if stem in (None, usual) else {"stem": stem}
    return ResNet3D(
        _spec(name, options, in_channels, dim=widths[-1]),
        stem=_STEMS[stem or usual],
        widths=widths,
        blocks=blocks,
        strides=_STRIDES,
        kind=kind,
        block=block,
        first=64,
    )


def _spec(
    name: str,
    options: dict[str, Any],
    in_channels: int,
    *,
    dim: int,
    frames: int = 16,
    stride: int = 4,
    size: int = 112,
) -> EncoderSpec:
    """Make a spec with the normalization of ImageNet for RGB and none for other channels."""
    _check_counts(in_channels=in_channels)
    spec = EncoderSpec(name, options, dim=dim, frames=frames, stride=stride, size=size)
    if in_channels == 3:
        return spec
    return replace(
        spec,
        options={**options, "in_channels": in_channels},
        mean=(0.0,) * in_channels,
        std=(1.0,) * in_channels,
    )


def _check_counts(**counts: int) -> None:
    for name, value in counts.items():
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise UnsceneError(f"{name} must be a whole number > 0, got {value!r}")
