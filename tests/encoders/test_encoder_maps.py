"""Architectures: weights counted against the literature, map shapes, errors, gradients."""

from __future__ import annotations

import math
from functools import cache

import pytest
import torch
from torch import nn

from unscene.encoders import VideoEncoder, create_encoder, known_encoders
from unscene.encoders.blocks import BasicBlock, conv2plus1d
from unscene.encoders.s3dg import SelfGating
from unscene.errors import UnsceneError

# One of each kind of network with real weights; the deeper ones are the same code, and their
# shapes and counts are checked without memory on the "meta" device.
BUILT = ("c3d", "i3d", "r2plus1d10", "r3d-narrow", "r3d10", "s3dg")


@cache
def built(name: str) -> VideoEncoder:
    torch.manual_seed(0)
    return create_encoder(name)


@cache
def on_meta(name: str, **options: object) -> VideoEncoder:
    with torch.device("meta"):
        return create_encoder(name, **options)


def maps_of(encoder: VideoEncoder, t: int, h: int, w: int) -> list[tuple[int, ...]]:
    clip = torch.empty(2, encoder.spec.channels, t, h, w, device="meta")
    return [tuple(one.shape) for one in encoder.forward_stages(clip)]


def random_clip(encoder: VideoEncoder, t: int, h: int, w: int, batch: int = 2) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(batch, encoder.spec.channels, t, h, w, generator=generator)


# -- how many weights ----------------------------------------------------------------------------

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


def factorised(i: int, o: int, k: int) -> int:
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
    "r2plus1d26": 83 * (3 * 49 + 2 + 3 * 64) + 2 * 64 + bottlenecks(factorised),
}


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


def test_every_factorised_convolution_keeps_the_number_of_weights() -> None:
    for inputs, outputs in ((64, 64), (64, 128), (256, 512)):
        pair = conv2plus1d(inputs, outputs, (3, 3, 3), (1, 1, 1))
        count = sum(m.weight.numel() for m in pair if isinstance(m, nn.Conv3d))
        wanted = 27 * inputs * outputs
        assert wanted - (9 * inputs + 3 * outputs) < count <= wanted  # M is rounded down
    assert conv2plus1d(64, 64, (3, 3, 3), (1, 1, 1))[0].out_channels == 144  # as the paper says


def test_r3d_narrow_is_a_few_hundred_thousand_weights() -> None:
    assert 1e5 < sum(p.numel() for p in on_meta("r3d-narrow").parameters()) < 5e5


# -- shapes --------------------------------------------------------------------------------------

HARA = [(64, 8, 28, 28), (128, 4, 14, 14), (256, 2, 7, 7), (512, 1, 4, 4)]
TRAN = [(64, 16, 56, 56), (128, 8, 28, 28), (256, 4, 14, 14), (512, 2, 7, 7)]
CMD = [(64, 16, 28, 28), (128, 8, 14, 14), (256, 4, 7, 7), (512, 2, 4, 4)]
DEEP = [(c * 4, *rest) for c, *rest in CMD]
FRAMES = [(c, 16, h, w) for c, _, h, w in CMD]
INCEPTION_MAPS = [(480, 8, 28, 28), (832, 4, 14, 14), (1024, 2, 7, 7)]
CANONICAL = {
    "c3d": ((16, 112, 112), [(256, 8, 28, 28), (512, 4, 14, 14), (512, 2, 7, 7)]),
    "i3d": ((16, 224, 224), INCEPTION_MAPS),
    "s3dg": ((16, 224, 224), INCEPTION_MAPS),
    "r3d10": ((16, 112, 112), HARA),
    "r3d18": ((16, 112, 112), HARA),
    "r3d34": ((16, 112, 112), HARA),
    "r3d26": ((16, 112, 112), DEEP),
    "r2plus1d26": ((16, 112, 112), DEEP),
    "r2d10": ((16, 112, 112), FRAMES),
    "r2d18": ((16, 112, 112), FRAMES),
    "r2plus1d10": ((16, 112, 112), TRAN),
    "r2plus1d18": ((16, 112, 112), TRAN),
    "r3d-narrow": ((8, 36, 36), [(16, 8, 9, 9), (32, 8, 5, 5), (64, 4, 3, 3)]),
    "r2d-narrow": ((8, 36, 36), [(16, 8, 9, 9), (32, 8, 5, 5), (64, 8, 3, 3)]),
}


@pytest.mark.parametrize("name", CANONICAL)
def test_maps_have_the_papers_shapes(name: str) -> None:
    size, maps = CANONICAL[name]
    encoder = on_meta(name)
    assert maps_of(encoder, *size) == [(2, *shape) for shape in maps]
    assert encoder.stage_dims == tuple(shape[0] for shape in maps)
    assert encoder.dim == encoder.spec.dim == maps[-1][0]


def test_every_encoder_is_checked_and_fits_its_own_spec() -> None:
    assert set(CANONICAL) == set(known_encoders())
    for name in known_encoders():
        spec = on_meta(name).spec
        assert spec.name == name
        assert all(
            have >= least
            for have, least in zip(
                (spec.frames, spec.size, spec.size), on_meta(name).minimum, strict=True
            )
        )


@pytest.mark.parametrize(("stem", "maps"), [("hara", HARA), ("tran", TRAN), ("cmd", CMD)])
@pytest.mark.parametrize("name", ["r3d18", "r2plus1d10"])
def test_stem_decides_the_shapes(name: str, stem: str, maps: list[tuple[int, ...]]) -> None:
    assert maps_of(on_meta(name, stem=stem), 16, 112, 112) == [(2, *shape) for shape in maps]


def test_r3d10_serves_as_cmds_motion_encoder() -> None:
    encoder = on_meta("r3d10", in_channels=2, stem="motion")
    assert maps_of(encoder, 8, 112, 112)[-1] == (2, 512, 1, 7, 7)
    assert encoder.spec.mean == (0.0, 0.0)
    assert encoder.spec.std == (1.0, 1.0)


def test_r2d_is_blind_to_the_order_of_frames() -> None:
    torch.manual_seed(0)
    encoder = create_encoder("r2d10").eval()
    clip = torch.randn(1, 3, 4, 32, 32)
    with torch.inference_mode():
        one, other = encoder(clip), encoder(clip[:, :, [2, 0, 3, 1]])
    torch.testing.assert_close(one, other)


@pytest.mark.parametrize(("width", "stages"), [(4, 1), (8, 2), (8, 4)])
def test_r3d_narrow_halves_time_in_the_last_stage_only(width: int, stages: int) -> None:
    encoder = on_meta("r3d-narrow", width=width, stages=stages)
    maps = maps_of(encoder, 8, 64, 32)
    assert [one[1] for one in maps] == [width * 2**i for i in range(stages)]
    assert [one[3:] for one in maps] == [(16 >> i, 8 >> i) for i in range(stages)]
    assert [one[2] for one in maps] == [8] * (stages - 1) + [4 if stages > 1 else 8]


@pytest.mark.parametrize("name", BUILT)
def test_smallest_and_odd_clips_give_finite_features(name: str) -> None:
    encoder = built(name).eval()
    t, h, w = encoder.minimum
    for size in ((t, h, w), (t + 3, h + 1, w + 5)):
        clip = random_clip(encoder, *size)
        with torch.inference_mode():
            stages = encoder.forward_stages(clip)
            feature = encoder(clip)
        assert all(0 not in one.shape for one in stages)
        assert feature.shape == (2, encoder.dim)
        assert feature.isfinite().all()
        maps = stages[-1]
        pooled = maps.mean((3, 4)) if encoder.pool == "avg" else maps.amax((3, 4))
        torch.testing.assert_close(feature, pooled.mean(2))


def test_pooling_is_an_option_of_the_narrow_network_that_travels_with_it() -> None:
    torch.manual_seed(0)
    largest = create_encoder("r3d-narrow")
    average = create_encoder("r3d-narrow", pool="avg")
    average.load_state_dict(largest.state_dict())
    clip = random_clip(largest, 8, 36, 36)
    with torch.inference_mode():
        assert (largest.eval()(clip) >= average.eval()(clip)).all()
    assert average.spec.options["pool"] == "avg"
    with pytest.raises(UnsceneError, match="pool must be one of"):
        create_encoder("r3d-narrow", pool="median")


@pytest.mark.parametrize("name", BUILT)
def test_order_of_frames_changes_the_feature(name: str) -> None:
    encoder = built(name).eval()
    _, h, w = encoder.minimum
    clip = random_clip(encoder, 8, h, w)
    with torch.inference_mode():
        forward, backward = encoder(clip), encoder(clip.flip(2))
    assert (forward - backward).abs().max() > 1e-3 * forward.abs().max()


# -- errors --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(CANONICAL))
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_too_small_a_clip_is_named_with_the_minimum(name: str, axis: int) -> None:
    encoder = on_meta(name)
    size = list(encoder.minimum)
    size[axis] -= 1
    smallest = "x".join(map(str, (3, *encoder.minimum)))
    given = "x".join(map(str, (2, 3, *size)))
    with pytest.raises(UnsceneError, match=rf"^{name} takes .* at least {smallest}, got {given}"):
        maps_of(encoder, *size)


@pytest.mark.parametrize("shape", [(3, 8, 36, 36), (2, 8, 3, 36, 36), (2, 8, 36, 36, 3)])
def test_wrong_axes_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(UnsceneError, match="r3d-narrow takes clips"):
        built("r3d-narrow")(torch.zeros(shape))


def test_bytes_are_refused() -> None:
    with pytest.raises(UnsceneError, match=r"float clips .* got torch.uint8"):
        built("r3d-narrow")(torch.zeros(2, 3, 8, 36, 36, dtype=torch.uint8))


# -- training ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", BUILT)
def test_gradient_reaches_every_weight(name: str) -> None:
    encoder = built(name).train()
    # Twice the minimum, so that batch norm has more than two values to tell apart.
    _, h, w = encoder.minimum
    feature = encoder(random_clip(encoder, 8, 2 * h, 2 * w))
    direction = torch.randn(feature.shape, generator=torch.Generator().manual_seed(2))
    (feature * direction).sum().backward()
    silent = [key for key, p in encoder.named_parameters() if p.grad is None or not p.grad.any()]
    encoder.zero_grad(set_to_none=True)
    assert silent == []


def test_seed_decides_the_weights() -> None:
    def weights(seed: int) -> torch.Tensor:
        torch.manual_seed(seed)
        encoder = create_encoder("r3d-narrow", width=4)
        return torch.cat([p.detach().flatten() for p in encoder.parameters()])

    assert torch.equal(weights(3), weights(3))
    assert not torch.equal(weights(3), weights(4))


@pytest.mark.parametrize("name", ["c3d", "s3dg"])
def test_convolutions_start_at_the_kaiming_scale(name: str) -> None:
    torch.manual_seed(5)
    for module in create_encoder(name).modules():
        if isinstance(module, nn.Conv3d) and module.weight.numel() > 100_000:
            wanted = math.sqrt(2 / (module.out_channels * math.prod(module.kernel_size)))
            assert module.weight.std().item() == pytest.approx(wanted, rel=0.02)
        elif isinstance(module, nn.BatchNorm3d):
            assert module.weight.eq(1).all()
            assert module.bias.eq(0).all()


def test_channels_last_memory_gives_the_same_feature() -> None:
    torch.manual_seed(0)
    encoder = create_encoder("r3d-narrow").eval()
    clip = random_clip(encoder, 8, 36, 36)
    with torch.inference_mode():
        plain = encoder(clip)
        last = encoder.to(memory_format=torch.channels_last_3d)(
            clip.contiguous(memory_format=torch.channels_last_3d)
        )
    torch.testing.assert_close(plain, last, rtol=1e-4, atol=1e-5)


# -- the parts -----------------------------------------------------------------------------------


def test_a_block_whose_residual_is_zero_is_its_shortcut() -> None:
    block = BasicBlock(4, 4, (1, 1, 1), "3d").eval()
    nn.init.zeros_(block.residual[-1].weight)
    nn.init.zeros_(block.residual[-1].bias)
    x = torch.randn(2, 4, 3, 5, 5, generator=torch.Generator().manual_seed(0))
    assert torch.equal(block(x), x.relu())


def test_gating_weighs_channels_by_the_mean_of_the_clip() -> None:
    torch.manual_seed(0)
    gate = SelfGating(3)
    x = torch.randn(2, 3, 4, 5, 6)
    matrix, bias = gate.weigh.weight.flatten(1), gate.weigh.bias
    slow = torch.empty_like(x)
    for b in range(2):
        mean = torch.stack([x[b, c].mean() for c in range(3)])
        for c in range(3):
            slow[b, c] = x[b, c] * torch.sigmoid(matrix[c] @ mean + bias[c])
    torch.testing.assert_close(gate(x), slow)


def test_s3dg_never_convolves_time_and_space_at_once() -> None:
    for module in on_meta("s3dg").modules():
        if isinstance(module, nn.Conv3d):
            t, h, w = module.kernel_size
            assert t == 1 or h == w == 1
