"""Architectures: weights counted against the literature."""

from __future__ import annotations

import pytest
from networks import on_meta
from torch import nn

from unscene.encoders.blocks import conv2plus1d

# Szegedy et al. 2015, table 1: inputs, 1x1, 3x3 reduce, 3x3, "5x5" reduce, "5x5", pool projection.
INCEPTION = (
    (192, 64, 96, 128, 16, 32, 32),
    (256, 128, 128, 192, 32, 96, 64),
    (480, 192, 96, 208, 16, 48, 64),
    (512, 160, 112, 224, 24, 64, 64),
    (512, 128, 128, 256, 24, 64, 64),
    (512, 112, 144, 288, 32, 64, 64),
    (528, 256, 160, 320, 32, 128, 128),
    (832, 256, 160, 320, 32, 128, 128),
    (832, 384, 192, 384, 48, 128, 128),
)


def inception_weights(conv: object, gated: bool) -> int:
    """Weights of an Inception-v1 over time and space; `conv(i, o, k)` counts one k x k x k."""
    total = conv(3, 64, 7) + conv(64, 64, 1) + conv(64, 192, 3)
    ends = [192]
    for i, point, reduce1, wide1, reduce2, wide2, pooled in INCEPTION:
        total += conv(i, point, 1) + conv(i, reduce1, 1) + conv(reduce1, wide1, 3)
        total += conv(i, reduce2, 1) + conv(reduce2, wide2, 3) + conv(i, pooled, 1)
        ends += [point, wide1, wide2, pooled]
    return total + gated * sum(c * c + c for c in ends)


def full(i: int, o: int, k: int) -> int:
    return i * o * k**3 + 2 * o


def bottlenecks(conv: object) -> int:
    """Weights of two bottlenecks a stage, He et al. 2016, without the stem; `conv(i, o, k)`."""
    total, inputs = 0, 64
    for width in (256, 512, 1024, 2048):
        for first in (True, False):
            narrow = width // 4
            total += full(inputs, narrow, 1) + conv(narrow, narrow, 3) + full(narrow, width, 1)
            total += first * full(inputs, width, 1)  # the shortcut's projection
            inputs = width
    return total


def factorized(i: int, o: int, k: int) -> int:
    middle = k * k * k * i * o // (k * k * i + k * o)
    return middle * (k * k * i + 2 + k * o) + 2 * o


def separable(i: int, o: int, k: int) -> int:
    return full(i, o, 1) if k == 1 else i * o * k**2 + 2 * o + o * o * k + 2 * o


COUNTS = {
    # Tran 2015: 27,655,936 with biases (27.7 M); less 2,752 biases, plus 2 x 2,752 of batch norm.
    "c3d": 27_655_936 - 2_752 + 2 * 2_752,
    # Carreira & Zisserman 2017, table 1: 25 M for two streams = 2 x (12.29 M + 0.41 M).
    "i3d": inception_weights(full, gated=False),
    # S3D without gates is 8,320,048 in torchvision, 410,000 of them its 400-class classifier;
    # gates add c * c + c for each of their 37 inputs. MIL-NCE (Miech 2020) reports 9.1 M.
    "s3dg": 8_320_048 - 410_000 + 1_225_008,
    # torchvision's R3D-18 is 33,371,472, of which 512 * 400 + 400 are the classifier; Hara's stem
    # is 7x7x7 where that one has 3x7x7.
    "r3d18": 33_371_472 - 205_200 + 3 * 64 * (7 - 3) * 49,
    # A block at width c has 2 * 27 c c + 4 c; R3D-10 has one fewer a stage, R3D-34 1, 2, 4, 1 more.
    "r3d10": 33_203_904 - sum(54 * c * c + 4 * c for c in (64, 128, 256, 512)),
    "r3d34": 33_203_904
    + sum(n * (54 * c * c + 4 * c) for c, n in ((64, 1), (128, 2), (256, 4), (512, 1))),
    # torchvision's resnet18 is 11,689,512 with 513,000 for its 1,000 classes.
    "r2d18": 11_689_512 - 513_000,
    "r2d10": 11_689_512 - 513_000 - sum(18 * c * c + 4 * c for c in (64, 128, 256, 512)),
    "r3d26": 3 * 64 * 3 * 49 + 2 * 64 + bottlenecks(full),
    "r2plus1d26": 83 * (3 * 49 + 2 + 3 * 64) + 2 * 64 + bottlenecks(factorized),
}


# (architecture, options) -> `num_params` of torchvision's documentation, less 512 x 400 + 400 or
# 1024 x 400 + 400 of the classifier; the differences to Hara's and VCOP's networks are explained.
VARIANTS = {
    ("r3d18", (("stem", "tran"),)): 33_371_472 - 205_200,
    ("mc3-18", ()): 11_695_440 - 205_200,
    ("r2plus1d18", (("layout", "torchvision"),)): 31_505_325 - 205_200,
    ("s3dg", (("gating", "none"),)): 8_320_048 - 410_000,
    # Without the three projections: c / 2 x c weights and the 2 c of their norm.
    ("r3d18", (("shortcut", "A"),)): 33_203_904 - sum(c * c // 2 + 2 * c for c in (128, 256, 512)),
    # A stem of M = 83, blocks by the rule, and projections i -> M -> o with M = i o / (i + o).
    ("r2plus1d10", (("layout", "vcop"),)): 83 * (3 * 49 + 2 + 3 * 64)
    + 2 * 64
    + sum(
        factorized(i, o, 3) + factorized(o, o, 3) + (i != o) * factorized(i, o, 1)
        for i, o in ((64, 64), (64, 128), (128, 256), (256, 512))
    ),
}


@pytest.mark.parametrize(("name", "options"), VARIANTS)
def test_variants_have_the_published_number(
    name: str, options: tuple[tuple[str, object], ...]
) -> None:
    counted = sum(p.numel() for p in on_meta(name, **dict(options)).parameters())
    assert counted == VARIANTS[name, options]


@pytest.mark.parametrize("name", COUNTS)
def test_has_the_published_number_of_weights(name: str) -> None:
    assert sum(p.numel() for p in on_meta(name).parameters()) == COUNTS[name]


def test_s3dg_has_the_weights_of_inception_with_separable_convolutions_and_gates() -> None:
    assert inception_weights(separable, gated=True) == COUNTS["s3dg"]
    assert round(COUNTS["i3d"] / 1e6, 2) == 12.29


def test_r2plus1d18_has_the_papers_33_3_million_weights() -> None:
    # Tran 2018, table 1, counts convolutions and a classifier of 400 classes: R(2+1)D 33.3 M.
    encoder = on_meta("r2plus1d18")
    convolutions = sum(m.weight.numel() for m in encoder.modules() if isinstance(m, nn.Conv3d))
    assert round((convolutions + 512 * 400 + 400) / 1e6, 1) == 33.3


def test_every_factorized_convolution_keeps_the_number_of_weights() -> None:
    for inputs, outputs in ((64, 64), (64, 128), (256, 512)):
        pair = conv2plus1d(inputs, outputs, (3, 3, 3), (1, 1, 1))
        count = sum(m.weight.numel() for m in pair if isinstance(m, nn.Conv3d))
        wanted = 27 * inputs * outputs
        assert wanted - (9 * inputs + 3 * outputs) < count <= wanted  # M is rounded down
    assert conv2plus1d(64, 64, (3, 3, 3), (1, 1, 1))[0].out_channels == 144  # as the paper says


def test_r3d_narrow_is_a_few_hundred_thousand_weights() -> None:
    assert 1e5 < sum(p.numel() for p in on_meta("r3d-narrow").parameters()) < 5e5
