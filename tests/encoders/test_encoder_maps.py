"""Architectures: map shapes, errors, gradients, and the parts."""

from __future__ import annotations

import math

import pytest
import torch
from networks import BUILT, built, maps_of, on_meta, random_clip
from torch import nn

from unscene.encoders import create_encoder, known_encoders
from unscene.encoders.blocks import BasicBlock, Block, Bottleneck, Layout
from unscene.encoders.i3d import SameConv3d
from unscene.encoders.s3dg import SelfGating
from unscene.errors import UnsceneError

pytestmark = pytest.mark.slow

# -- shapes --------------------------------------------------------------------------------------

HARA = [(64, 8, 28, 28), (128, 4, 14, 14), (256, 2, 7, 7), (512, 1, 4, 4)]
TRAN = [(64, 16, 56, 56), (128, 8, 28, 28), (256, 4, 14, 14), (512, 2, 7, 7)]
CMD = [(64, 16, 28, 28), (128, 8, 14, 14), (256, 4, 7, 7), (512, 2, 4, 4)]
DEEP = [(c * 4, *rest) for c, *rest in CMD]
HARA_DEEP = [(c * 4, *rest) for c, *rest in HARA]
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
    **{f"r3d{depth}": ((16, 112, 112), HARA_DEEP) for depth in (50, 101, 152, 200)},
    "mc3-18": ((16, 112, 112), [(c, 16, h, w) for c, _, h, w in TRAN]),
    "r2plus1d26": ((16, 112, 112), DEEP),
    "r2d10": ((16, 112, 112), FRAMES),
    "r2d18": ((16, 112, 112), FRAMES),
    "r2plus1d10": ((16, 112, 112), TRAN),
    "r2plus1d18": ((16, 112, 112), TRAN),
    "motion-net": (
        (13, 80, 80),
        [(24, 12, 16, 16), (48, 6, 8, 8), (96, 3, 4, 4), (192, 3, 4, 4)],
    ),
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


@pytest.mark.parametrize("size", [(8, 64, 64), (9, 65, 67), (1, 32, 32), (10, 66, 96)])
def test_same_padding_of_i3d_keeps_the_sizes(size: tuple[int, int, int]) -> None:
    assert maps_of(on_meta("i3d", padding="same"), *size) == maps_of(on_meta("i3d"), *size)


@pytest.mark.parametrize("size", [5, 6, 7, 8])
@pytest.mark.parametrize(("kernel", "stride"), [(7, 2), (3, 1), (1, 1)])
def test_same_padding_puts_the_odd_pixel_at_the_end(size: int, kernel: int, stride: int) -> None:
    """Window k of TensorFlow's "SAME" begins at k s - floor(total / 2) of the input."""
    outputs = -(-size // stride)
    before = max((outputs - 1) * stride + kernel - size, 0) // 2
    conv = SameConv3d(1, 1, (kernel, 1, 1), (stride, 1, 1), bias=False)
    weight, signal = torch.randn(kernel), torch.randn(size)
    with torch.no_grad():
        conv.weight.copy_(weight.view(1, 1, -1, 1, 1))
        found = conv(signal.view(1, 1, -1, 1, 1)).flatten()
    for k in range(outputs):
        places = [(k * stride - before + i, i) for i in range(kernel)]
        wanted = sum(signal[at] * weight[i] for at, i in places if 0 <= at < size)
        torch.testing.assert_close(found[k], wanted, rtol=1e-4, atol=1e-5)


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
        encoder.forward_stages(torch.empty(2, 3, *size, device="meta"))


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
    # Twice the minimum, so that batch norm has more than two values to normalize.
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
    block = BasicBlock(4, 4, (1, 1, 1), Layout("3d")).eval()
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


@pytest.mark.parametrize("name", ["r3d26", "r2plus1d26", "r3d10"])
def test_a_bottleneck_begins_as_its_shortcut_and_a_basic_block_does_not(name: str) -> None:
    blocks = [module for module in create_encoder(name).modules() if isinstance(module, Block)]
    assert len(blocks) == (4 if name == "r3d10" else 8)
    for block in blocks:
        begin = 0 if isinstance(block, Bottleneck) else 1
        assert isinstance(block, Bottleneck) == name.endswith("26")
        norms = [m for m in block.modules() if isinstance(m, nn.BatchNorm3d)]
        assert (block.residual[-1].weight == begin).all()
        assert all((n.weight == 1).all() for n in norms if n is not block.residual[-1])
