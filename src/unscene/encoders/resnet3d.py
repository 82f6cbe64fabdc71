"""Residual networks over time and space: R3D, R(2+1)D, MC3 and a narrow R3D for CPUs.

R3D (Hara et al., "Can Spatiotemporal 3D CNNs Retrace the History of 2D CNNs and ImageNet?",
CVPR 2018, table 1): 7x7x7 stem of stride 1x2x2, max-pool, four stages of blocks. Shortcuts are
projections (type B), as in the authors' models of 2020; `shortcut="A"` is the zero padding that the
paper has in R3D-18 and R3D-34.

R(2+1)D (Tran et al., "A Closer Look at Spatiotemporal Convolutions for Action Recognition",
CVPR 2018, section 3.5): every txkxk convolution becomes 1xkxk to M channels, batch norm, ReLU, then
tx1x1; M keeps the number of weights. Public code differs in details, which `layout` selects:

    layout         M of a block's convolutions        M of the stem   projections
    "paper"        each by the rule                   45              1x1x1
    "torchvision"  both by the rule of the first      45              1x1x1
    "vcop"         each by the rule                   83, the rule    1x1x1 in two, M by the rule

"paper" has the 33.3 M weights of the paper (depth 18, 400 classes) and the M = 45 of its authors'
code, "torchvision" 31.5 M. "vcop" is the R(2+1)D-10 of Clip Order (Xu et al., CVPR 2019).

MC3 (the same paper, section 3.3) convolves over time in the stem and in the first stage only.

R3D-26 and R(2+1)D-26 are those of CMD (arXiv 2104.00862, built like its authors' public model): two
bottleneck blocks per stage. R2D is the network of He et al. 2016, applied to every frame.

The families have different stems; the option `stem` selects another. Maps of a 16x112x112 clip:

    stem     convolution    max-pool   layer1    layer2    layer3    layer4    default of
    "hara"   7x7x7 /1x2x2   3x3x3 /2   8x28x28   4x14x14   2x7x7     1x4x4     R3D
    "tran"   3x7x7 /1x2x2   none       16x56x56  8x28x28   4x14x14   2x7x7     R(2+1)D
    "cmd"    3x7x7 /1x2x2   1x3x3 /2   16x28x28  8x14x14   4x7x7     2x4x4     depth 26
    "motion" 3x7x7 /1       1x3x3 /2   16x56x56  8x28x28   4x14x14   2x7x7     CMD's motion encoder
    "frame"  1x7x7 /1x2x2   1x3x3 /2   16x28x28  16x14x14  16x7x7    16x4x4    R2D
    "vcop"   like "tran", with M = 83 in R(2+1)D                               layout "vcop"

Depths: 10 has one basic block per stage, 18 two, 34 three-four-six-three; 26 has two bottlenecks
per stage, 50 three-four-six-three, 101, 152 and 200 as many as in the paper.
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
    Layout,
    Stem,
    Triple,
    conv2plus1d,
    half,
)
from unscene.errors import UnsceneError

StemName = Literal["hara", "tran", "cmd", "motion", "frame", "vcop"]
LayoutName = Literal["paper", "torchvision", "vcop"]

_STEMS: dict[StemName, Stem] = {
    "hara": Stem((7, 7, 7), pool=(3, 3, 3), pool_stride=(2, 2, 2)),
    "tran": Stem((3, 7, 7), middle=45),
    "cmd": Stem((3, 7, 7), pool=(1, 3, 3)),
    "motion": Stem((3, 7, 7), (1, 1, 1), pool=(1, 3, 3)),
    "frame": Stem((1, 7, 7), pool=(1, 3, 3)),
    "vcop": Stem((3, 7, 7)),
}
_LAYOUTS: dict[LayoutName, Layout] = {
    "paper": Layout("2+1d"),
    "torchvision": Layout("2+1d", shared=True),
    "vcop": Layout("2+1d", "2+1d"),
}
_BASIC, _BOTTLENECK = (64, 128, 256, 512), (256, 512, 1024, 2048)
# Depth -> block, channels and number of blocks of each stage.
_DEPTHS: dict[int, tuple[type[Block], tuple[int, ...], tuple[int, ...]]] = {
    10: (BasicBlock, _BASIC, (1, 1, 1, 1)),
    18: (BasicBlock, _BASIC, (2, 2, 2, 2)),
    26: (Bottleneck, _BOTTLENECK, (2, 2, 2, 2)),
    34: (BasicBlock, _BASIC, (3, 4, 6, 3)),
    50: (Bottleneck, _BOTTLENECK, (3, 4, 6, 3)),
    101: (Bottleneck, _BOTTLENECK, (3, 4, 23, 3)),
    152: (Bottleneck, _BOTTLENECK, (3, 8, 36, 3)),
    200: (Bottleneck, _BOTTLENECK, (3, 24, 36, 3)),
}
_STRIDES: tuple[Triple, ...] = ((1, 1, 1), (2, 2, 2), (2, 2, 2), (2, 2, 2))


class ResNet3D(VideoEncoder):
    """A stem and stages of residual blocks. Stages of `forward_stages`: layer1, layer2, ...

    Takes clips of at least 1 frame; height and width must cover one cell of the last map.

    Args:
        spec: the encoder's spec; it sets the number of input channels.
        stem: see Stem.
        widths, blocks, strides, layouts: per stage: channels, number of blocks, stride of the
            first block, and how blocks are built. The stem's convolution is of the first kind.
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
        layouts: Sequence[Layout],
        block: type[Block] = BasicBlock,
        first: int | None = None,
        pool: Pool = "avg",
    ) -> None:
        cell = stem.stride[1] * (stem.pool_stride[1] if stem.pool else 1)
        for stride in strides:
            cell *= stride[1]
        super().__init__(spec, stage_dims=widths, minimum=(1, cell, cell), pool=pool)

        inputs = first or widths[0]
        kind = layouts[0].kind
        conv = CONVOLUTIONS[kind](spec.channels, inputs, stem.kernel, stem.stride)
        if kind == "2+1d":
            conv = conv2plus1d(spec.channels, inputs, stem.kernel, stem.stride, stem.middle)
        layers = [conv, nn.BatchNorm3d(inputs), nn.ReLU(inplace=True)]
        if stem.pool:
            layers.append(nn.MaxPool3d(stem.pool, stem.pool_stride, half(stem.pool)))
        self.stem = nn.Sequential(*layers)

        self.layers = nn.ModuleList()
        for width, count, stride, layout in zip(widths, blocks, strides, layouts, strict=True):
            steps: list[Triple] = [stride] + [(1, 1, 1)] * (count - 1)
            stage = []
            for step in steps:
                stage.append(block(inputs, width, step, layout))
                inputs = width
            self.layers.append(nn.Sequential(*stage))
        self.initialize()

    def initialize(self) -> None:
        """Draw all weights as any VideoEncoder, and set the scale of the last norm of Bottlenecks
        to 0, as in the public model of CMD's authors."""
        super().initialize()
        self.zero_last_norms(Bottleneck)

    def zero_last_norms(self, kind: type[Block] = Block) -> None:
        """Set the scale of the last norm of all blocks of a kind to 0: they start as their
        shortcut."""
        for module in self.modules():
            if isinstance(module, kind):
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


def find_depth(blocks: Sequence[int], *, bottlenecks: bool) -> int | None:
    """Return the depth of the network with so many blocks in its stages; None if there is none.

    >>> find_depth((3, 4, 6, 3), bottlenecks=False), find_depth((3, 4, 6, 3), bottlenecks=True)
    (34, 50)
    """
    for depth, (block, _, counts) in _DEPTHS.items():
        if counts == tuple(blocks) and (block is Bottleneck) == bottlenecks:
            return depth
    return None


def r3d(
    depth: int,
    *,
    in_channels: int = 3,
    stem: StemName | None = None,
    shortcut: Literal["A", "B"] = "B",
) -> ResNet3D:
    """Make an R3D of depth 10, 18, 34 (D = 512), 26, 50, 101, 152 or 200 (D = 2048)."""
    name = f"r3d{depth}"
    _check_choice(name, "shortcut", shortcut, ("A", "B"))
    usual: StemName = "cmd" if depth == 26 else "hara"
    options = {} if shortcut == "B" else {"shortcut": shortcut}
    layouts = [Layout("3d", shortcut)] * 4
    return _full_width(name, depth, in_channels, stem, usual, layouts, options)


def r2plus1d(
    depth: int,
    *,
    in_channels: int = 3,
    stem: StemName | None = None,
    layout: LayoutName = "paper",
) -> ResNet3D:
    """Make an R(2+1)D of depth 10, 18 (D = 512) or 26 (D = 2048)."""
    name = f"r2plus1d{depth}"
    _check_choice(name, "layout", layout, get_args(LayoutName))
    usual: StemName = "cmd" if depth == 26 else "vcop" if layout == "vcop" else "tran"
    options = {} if layout == "paper" else {"layout": layout}
    return _full_width(name, depth, in_channels, stem, usual, [_LAYOUTS[layout]] * 4, options)


def mc3(depth: int, *, in_channels: int = 3) -> ResNet3D:
    """Make an MC3 of depth 18, D = 512: "3d" in the first stage, "2d" in the three after it."""
    layouts = [Layout("3d"), *[Layout("2d")] * 3]
    return _full_width(f"mc3-{depth}", depth, in_channels, None, "tran", layouts, {})


def r2d(depth: int, *, in_channels: int = 3) -> ResNet3D:
    """Make a 2D ResNet of depth 10 or 18 that is applied to every frame, D = 512.

    It is blind to the order of frames: CMD's key-frame encoder (depth 10), and the baseline that
    sees appearance but no motion.
    """
    return _full_width(f"r2d{depth}", depth, in_channels, None, "frame", [Layout("2d")] * 4, {})


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
        layouts=[Layout(kind)] * stages,
        pool=pool,
    )


def _full_width(
    name: str,
    depth: int,
    in_channels: int,
    stem: StemName | None,
    usual: StemName,
    layouts: Sequence[Layout],
    options: dict[str, Any],
) -> ResNet3D:
    if stem is not None:
        _check_choice(name, "stem", stem, get_args(StemName))
    block, widths, blocks = _DEPTHS[depth]
    if stem not in (None, usual):
        options = {**options, "stem": stem}
    return ResNet3D(
        _spec(name, options, in_channels, dim=widths[-1]),
        stem=_STEMS[stem or usual],
        widths=widths,
        blocks=blocks,
        strides=_STRIDES,
        layouts=layouts,
        block=block,
        first=64,
    )


def _check_choice(name: str, option: str, value: object, known: Sequence[str]) -> None:
    if value not in known:
        raise UnsceneError(f"{name}: {option} must be one of {list(known)}, got {value!r}")


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
