"""Residual networks over time and space: R3D, R(2+1)D and a narrow R3D for CPUs.

R3D (Hara et al., "Can Spatiotemporal 3D CNNs Retrace the History of 2D CNNs and ImageNet?",
CVPR 2018, table 1): 7x7x7 stem of stride 1x2x2, max-pool, four stages of basic blocks. Shortcuts
are projections (type B) in all of them; the paper has zero padding (type A) in R3D-18 and R3D-34.

R(2+1)D (Tran et al., "A Closer Look at Spatiotemporal Convolutions for Action Recognition",
CVPR 2018, section 3.5): every txkxk convolution is 1xkxk to M channels, batch norm, ReLU, then
tx1x1, with M chosen so that the two hold as many weights as the one. M is computed for every
convolution, as in the paper (33.3 M weights for R(2+1)D-18 with 400 classes); torchvision shares
one M between the two of a block and has 31.5 M. The stem has M = 45, as in the authors' code.

The two families differ in the stem; `stem` overrides it. Maps of a 16x112x112 clip:

    stem     convolution    max-pool   layer1    layer2    layer3    layer4    default of
    "hara"   7x7x7 /1x2x2   3x3x3 /2   8x28x28   4x14x14   2x7x7     1x4x4     R3D
    "tran"   3x7x7 /1x2x2   none       16x56x56  8x28x28   4x14x14   2x7x7     R(2+1)D
    "space"  7x7x7 /1x2x2   1x3x3 /2   16x28x28  8x14x14   4x7x7     2x4x4     CMD's layer3 (ours)

Names of depth: 10 is one basic block a stage, 18 two, 34 three-four-six-three. 26 and 50 need a
bottleneck block beside BasicBlock and a row in the table of depths each.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

from torch import Tensor, nn

from unscene.encoders.base import EncoderSpec, Pool, VideoEncoder
from unscene.errors import UnsceneError

Triple = tuple[int, int, int]
StemName = Literal["hara", "tran", "space"]


@dataclass(frozen=True)
class Stem:
    """The layers before the first block: a convolution, then a max-pool unless `pool` is None."""

    kernel: Triple
    stride: Triple = (1, 2, 2)
    pool: Triple | None = None
    pool_stride: Triple = (1, 2, 2)


_STEMS: dict[StemName, Stem] = {
    "hara": Stem((7, 7, 7), pool=(3, 3, 3), pool_stride=(2, 2, 2)),
    "tran": Stem((3, 7, 7)),
    "space": Stem((7, 7, 7), pool=(1, 3, 3)),
}
_BLOCKS = {10: (1, 1, 1, 1), 18: (2, 2, 2, 2), 34: (3, 4, 6, 3)}
_WIDTHS = (64, 128, 256, 512)
_STRIDES: tuple[Triple, ...] = ((1, 1, 1), (2, 2, 2), (2, 2, 2), (2, 2, 2))
_TRAN_STEM_MIDDLE = 45


def _conv3d(inputs: int, outputs: int, kernel: Triple, stride: Triple) -> nn.Conv3d:
    return nn.Conv3d(inputs, outputs, kernel, stride, _half(kernel), bias=False)


def _half(kernel: Triple) -> Triple:
    """The padding that keeps the size under an odd kernel."""
    t, h, w = kernel
    return t // 2, h // 2, w // 2


def conv2plus1d(
    inputs: int, outputs: int, kernel: Triple, stride: Triple, middle: int | None = None
) -> nn.Sequential:
    """A txhxw convolution as one over space, batch norm, ReLU and one over time (Tran et al.).

    `middle` is M, the channels between the two; by default the paper's, which keeps the number of
    weights: floor(t h w inputs outputs / (h w inputs + t outputs)).
    """
    t, h, w = kernel
    if middle is None:
        middle = t * h * w * inputs * outputs // (h * w * inputs + t * outputs)
    return nn.Sequential(
        _conv3d(inputs, middle, (1, h, w), (1, *stride[1:])),
        nn.BatchNorm3d(middle),
        nn.ReLU(inplace=True),
        _conv3d(middle, outputs, (t, 1, 1), (stride[0], 1, 1)),
    )


class BasicBlock(nn.Module):
    """Two 3x3x3 convolutions and a shortcut, projected where the shape changes (type B)."""

    def __init__(self, inputs: int, outputs: int, stride: Triple, *, factorised: bool) -> None:
        super().__init__()
        conv = conv2plus1d if factorised else _conv3d
        self.residual = nn.Sequential(
            conv(inputs, outputs, (3, 3, 3), stride),
            nn.BatchNorm3d(outputs),
            nn.ReLU(inplace=True),
            conv(outputs, outputs, (3, 3, 3), (1, 1, 1)),
            nn.BatchNorm3d(outputs),
        )
        self.shortcut: nn.Module = nn.Identity()
        if inputs != outputs or stride != (1, 1, 1):
            self.shortcut = nn.Sequential(
                _conv3d(inputs, outputs, (1, 1, 1), stride), nn.BatchNorm3d(outputs)
            )
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x_BCTHW: Tensor) -> Tensor:
        return self.relu(self.residual(x_BCTHW) + self.shortcut(x_BCTHW))


class ResNet3D(VideoEncoder):
    """A stem and stages of basic blocks. Stages of `forward_stages`: layer1, layer2, ...

    Padding lets any length through, so a clip may have 1 frame; its height and width must cover
    one cell of the last map.

    Args:
        spec: the encoder's spec; its channels are the first convolution's.
        stem: see Stem.
        widths, blocks, strides: of each stage: channels, number of blocks, stride of its first.
        factorised: R(2+1)D's convolutions instead of full ones.
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
        factorised: bool = False,
        pool: Pool = "avg",
    ) -> None:
        cell = stem.stride[1] * (stem.pool_stride[1] if stem.pool else 1)
        for stride in strides:
            cell *= stride[1]
        super().__init__(spec, stage_dims=widths, minimum=(1, cell, cell), pool=pool)

        first = widths[0]
        layers: list[nn.Module] = [
            conv2plus1d(spec.channels, first, stem.kernel, stem.stride, _TRAN_STEM_MIDDLE)
            if factorised
            else _conv3d(spec.channels, first, stem.kernel, stem.stride),
            nn.BatchNorm3d(first),
            nn.ReLU(inplace=True),
        ]
        if stem.pool:
            layers.append(nn.MaxPool3d(stem.pool, stem.pool_stride, _half(stem.pool)))
        self.stem = nn.Sequential(*layers)

        self.layers = nn.ModuleList()
        inputs = first
        for width, count, stride in zip(widths, blocks, strides, strict=True):
            head = BasicBlock(inputs, width, stride, factorised=factorised)
            tail = (
                BasicBlock(width, width, (1, 1, 1), factorised=factorised) for _ in range(count - 1)
            )
            self.layers.append(nn.Sequential(head, *tail))
            inputs = width
        self.initialise()

    def _stages(self, clip_BCTHW: Tensor) -> list[Tensor]:
        x = self.stem(clip_BCTHW)
        maps = []
        for layer in self.layers:
            x = layer(x)
            maps.append(x)
        return maps


def r3d(depth: int, *, in_channels: int = 3, stem: StemName = "hara") -> ResNet3D:
    """R3D of depth 10, 18 or 34, D = 512. With two input channels and stem "tran", R3D-10 is CMD's
    motion encoder: 8x112x112 -> 512x1x7x7."""
    return _full_width(f"r3d{depth}", depth, in_channels, stem, "hara", factorised=False)


def r2plus1d(depth: int, *, in_channels: int = 3, stem: StemName = "tran") -> ResNet3D:
    """R(2+1)D of depth 10 or 18, D = 512."""
    return _full_width(f"r2plus1d{depth}", depth, in_channels, stem, "tran", factorised=True)


def r3d_narrow(
    *, width: int = 16, stages: int = 3, pool: Pool = "max", in_channels: int = 3
) -> ResNet3D:
    """A narrow R3D for CPUs and small frames: one basic block a stage, D = width * 2**(stages - 1).

    Ours, not from a paper. Time keeps its full length until the last stage halves it, so that slow
    motion survives; space is left to a 3x3x3 stem and a max-pool: 8x36x36 -> 64x4x3x3. In trials
    on the direction of small discs the pool cost nothing and halved the time of a step. Faster
    still in channels-last memory: `encoder.to(memory_format=torch.channels_last_3d)`, clips alike.

    Args:
        width: channels of the stem and the first stage.
        stages: number of stages; every one after the first doubles the channels and halves space.
        pool: see VideoEncoder; "max" because the frames are small and what moves is smaller.
        in_channels: channels of a clip.
    """
    _check_counts(width=width, stages=stages)
    return ResNet3D(
        _spec(
            "r3d-narrow",
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
        pool=pool,
    )


def _full_width(
    name: str,
    depth: int,
    in_channels: int,
    stem: StemName,
    default_stem: StemName,
    *,
    factorised: bool,
) -> ResNet3D:
    if stem not in _STEMS:
        raise UnsceneError(f"{name}: stem must be one of {list(get_args(StemName))}, got {stem!r}")
    return ResNet3D(
        _spec(name, {} if stem == default_stem else {"stem": stem}, in_channels, dim=_WIDTHS[-1]),
        stem=_STEMS[stem],
        widths=_WIDTHS,
        blocks=_BLOCKS[depth],
        strides=_STRIDES,
        factorised=factorised,
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
    """A spec whose normalisation is ImageNet's for RGB and the identity for anything else."""
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
