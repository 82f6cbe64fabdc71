"""An untrained network of the same architecture: all weights are new, all else is the same."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from foreign_parts import SMALL, clips, tiny
from unscene.encoders import create_encoder, load_encoder, make_untrained_twin
from unscene.encoders.base import EncoderSpec, VideoEncoder
from unscene.encoders.foreign import ForeignEncoder, adapt
from unscene.encoders.resolving import resolve_encoder
from unscene.errors import UnsceneError


class Attention(nn.Module):
    """A class token, a table of positions, attention and a norm, as in most transformers."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Conv3d(3, 8, (2, 8, 8), (2, 8, 8))
        self.token = nn.Parameter(torch.randn(1, 1, 8))
        self.scale = nn.Parameter(torch.ones(8))
        self.temperature = nn.Parameter(torch.tensor(0.5))
        self.register_buffer("positions", torch.linspace(0, 1, 33 * 8).view(1, 33, 8))
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.norm = nn.LayerNorm(8)
        self.head = nn.Linear(8, 5)

    def forward(self, clip: Tensor) -> Tensor:
        x = self.embed(clip).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(len(x), -1, -1), x], 1) + self.positions
        x = self.norm(x + self.scale * self.attention(x, x, x)[0] * self.temperature)
        return self.head(x[:, 0])


class Frozen(nn.Module):
    """A norm whose trained values are buffers, as torchvision's FrozenBatchNorm2d."""

    def __init__(self) -> None:
        super().__init__()
        for name in ("weight", "bias", "running_mean", "running_var"):
            self.register_buffer(name, torch.rand(6) + 3)

    def forward(self, x: Tensor) -> Tensor:
        shape = (1, -1, 1, 1, 1)
        x = (x - self.running_mean.view(shape)) / self.running_var.view(shape).sqrt()
        return x * self.weight.view(shape) + self.bias.view(shape)


def trained(module: nn.Module) -> Any:
    """The module with weights and statistics that no new network has."""
    with torch.no_grad():
        for tensor in [*module.parameters(), *module.buffers()]:
            if tensor.is_floating_point() and tensor.ndim:
                tensor.add_(torch.rand(tensor.shape) + 2)
    return module


def same_weights(one: nn.Module, other: nn.Module) -> list[str]:
    others = dict(other.named_parameters())
    return [n for n, p in one.named_parameters() if torch.equal(p.cpu(), others[n].cpu())]


def test_an_encoder_of_ours_is_the_new_one_of_its_options_and_clips() -> None:
    encoder = trained(create_encoder("r3d-narrow", width=8, pool="avg"))
    history = {"method": "dsm", "steps": 3}
    encoder.spec = replace(encoder.spec, frames=4, stride=3, size=20, trained_on=history)
    before = copy.deepcopy(encoder.state_dict())
    twin = make_untrained_twin(encoder, seed=5)
    assert twin.spec == replace(encoder.spec, trained_on={})
    assert encoder.spec.trained_on == history
    assert not twin.training
    torch.manual_seed(5)
    new = create_encoder("r3d-narrow", width=8, pool="avg").state_dict()
    assert all(torch.equal(value, new[key]) for key, value in twin.state_dict().items())
    assert all(torch.equal(value, before[key]) for key, value in encoder.state_dict().items())


def test_the_seed_decides_and_the_global_generator_stays() -> None:
    encoder = adapt(trained(Attention()), **SMALL)
    torch.manual_seed(11)
    one = make_untrained_twin(encoder, seed=1)
    drawn = torch.rand(1)
    torch.manual_seed(11)
    assert torch.equal(drawn, torch.rand(1))
    again, other = make_untrained_twin(encoder, seed=1), make_untrained_twin(encoder, seed=2)
    clip = clips()
    assert torch.equal(one(clip), again(clip))
    assert not torch.allclose(one(clip), other(clip))


def test_a_module_keeps_nothing_that_was_learned() -> None:
    model = trained(Attention())
    encoder = adapt(model, **SMALL)
    features = encoder(clips())
    twin = make_untrained_twin(encoder)
    assert isinstance(twin, ForeignEncoder)
    assert isinstance(twin.model, Attention)
    # A single number is kept. All else is new, or in another order.
    assert same_weights(twin, encoder) == ["model.temperature"]
    assert torch.equal(twin.model.token.sort().values, model.token.sort().values)
    assert torch.equal(twin.model.norm.weight, torch.ones(8))
    assert torch.equal(twin.model.positions, model.positions)  # no one learned it
    assert twin(clips()).shape == features.shape
    assert twin.forward_maps(clips()).shape == encoder.forward_maps(clips()).shape
    assert twin.has_logits
    assert twin.spec == encoder.spec
    assert torch.equal(encoder(clips()), features)


def test_statistics_of_norms_are_those_of_a_new_network() -> None:
    model = trained(nn.Sequential(nn.Conv3d(3, 6, 3), Frozen(), nn.BatchNorm3d(6)))
    twin = make_untrained_twin(adapt(model, **SMALL))
    for norm in (twin.model[1], twin.model[2]):  # type: ignore[index]
        assert torch.equal(norm.running_mean, torch.zeros(6))
        assert torch.equal(norm.running_var, torch.ones(6))
        assert torch.equal(norm.weight, torch.ones(6))
        assert torch.equal(norm.bias, torch.zeros(6))


def test_convolutions_beside_batch_norms_keep_the_scale_of_their_input() -> None:
    """torch's own rule for a convolution makes the scale smaller, layer after layer."""
    layers: list[nn.Module] = []
    for _ in range(10):
        layers += [nn.Conv3d(16, 16, 3, padding=1), nn.BatchNorm3d(16), nn.ReLU()]
    spec = {"mean": (0.0,) * 16, "std": (1.0,) * 16, "frames": 8, "size": 8}
    twin = make_untrained_twin(adapt(trained(nn.Sequential(*layers)), **spec))
    scale = twin.forward_maps(torch.randn(1, 16, 8, 8, 8)).square().mean()
    assert 0.01 < scale < 10  # zeros at the border take some away; torch's rule: below 1e-4


@pytest.mark.parametrize("norm", ["weight_norm", "spectral_norm", "old spectral_norm"])
def test_weights_that_a_layer_computes_from_others_are_new(norm: str) -> None:
    """`reset_parameters` of such a layer changes a temporary tensor, not its parameters."""
    convolution = nn.Conv3d(3, 8, 3)
    if norm == "old spectral_norm":
        torch.nn.utils.spectral_norm(convolution)
    else:
        getattr(torch.nn.utils.parametrizations, norm)(convolution)
    encoder = adapt(trained(convolution), frames=4, size=16)
    twin = make_untrained_twin(encoder)
    assert same_weights(twin, encoder) == []


def test_half_precision_and_methods_of_a_module() -> None:
    half = make_untrained_twin(adapt(nn.Conv3d(3, 8, 3).half(), frames=4, size=16))
    assert half.model.weight.dtype == torch.float16  # type: ignore[union-attr]
    assert half(clips(size=16)).isfinite().all()
    model = trained(Attention())
    encoder = adapt(model.forward, **SMALL)
    twin = make_untrained_twin(encoder)
    assert not torch.allclose(twin(clips()), encoder(clips()))
    assert twin.model.__self__ is not model  # type: ignore[union-attr]


@pytest.mark.parametrize("kind", ["videomae", "timesformer", "vivit", "vjepa2"])
def test_a_model_of_transformers_is_built_from_its_configuration(kind: str) -> None:
    model = tiny(kind)
    encoder = adapt(trained(model))
    twin = make_untrained_twin(encoder, seed=3)
    torch.manual_seed(3)
    new = type(model)(model.config).state_dict()
    assert all(torch.equal(v, new[k]) for k, v in twin.model.state_dict().items())  # type: ignore[union-attr]
    clip = clips()
    assert not torch.allclose(twin(clip), encoder(clip))
    assert twin.forward_maps(clip).shape == encoder.forward_maps(clip).shape


def test_an_encoder_of_the_caller_is_initialized_by_its_own_rule() -> None:
    class Own(VideoEncoder):
        def __init__(self) -> None:
            super().__init__(EncoderSpec("own", {}, dim=4), stage_dims=(4,), minimum=(1, 1, 1))
            self.convolution = nn.Conv3d(3, 4, 1)

        def initialize(self) -> None:
            nn.init.constant_(self.convolution.weight, 0.25)

        def _stages(self, clip_BCTHW: Tensor) -> list[Tensor]:
            return [self.convolution(clip_BCTHW)]

    twin = make_untrained_twin(resolve_encoder(trained(Own())).encoder)
    assert isinstance(twin, Own)
    assert twin.convolution.weight.unique().tolist() == [0.25]


def test_a_model_that_cannot_be_drawn_anew_says_why() -> None:
    network = nn.Conv3d(3, 8, 3)
    with pytest.raises(UnsceneError, match="it is a function, and its weights cannot be reached"):
        make_untrained_twin(adapt(lambda clip: network(clip), name="mine", **SMALL))
    with pytest.raises(UnsceneError, match=r"pool: no untrained network .* it has no weights"):
        make_untrained_twin(adapt(nn.AvgPool3d(2), name="pool", **SMALL))

    class Hidden(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.towers = [nn.Conv3d(3, 8, 3)]
            self.last = nn.Conv3d(8, 8, 1)

        def forward(self, clip: Tensor) -> Tensor:
            return self.last(self.towers[0](clip))

    with pytest.raises(UnsceneError, match=r"model.towers holds networks .* use nn.ModuleList"):
        make_untrained_twin(adapt(Hidden(), **SMALL))

    class Locked(nn.Conv3d):
        def __deepcopy__(self, memo: Any) -> None:
            raise RuntimeError("no copies")

    with pytest.raises(UnsceneError, match=r"it cannot be copied \(no copies\)"):
        make_untrained_twin(adapt(Locked(3, 8, 3), **SMALL))


def test_the_twin_of_an_untrained_encoder_is_that_encoder() -> None:
    encoder = load_encoder("r3d-narrow", seed=0)
    assert len(same_weights(make_untrained_twin(encoder), encoder)) == len([*encoder.parameters()])
