"""Other people's models: modules and functions of the shapes of torchvision's and timm's.

torchvision is not installed (see docs/architecture.md): what is used here has its structure.
"""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from foreign_parts import SIZE, SMALL, T, clips, moves_with
from unscene.encoders import create_encoder
from unscene.encoders.foreign import ForeignEncoder, NoMapsError, adapt
from unscene.errors import UnsceneError


class Convolutions(nn.Module):
    """As torchvision's VideoResNet: stem, layers, avgpool, flatten, fc."""

    def __init__(self, classes: int = 5) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv3d(3, 6, 3, (1, 2, 2), 1), nn.BatchNorm3d(6), nn.ReLU(True)
        )
        self.layer1 = nn.Sequential(nn.Conv3d(6, 8, 3, 2, 1), nn.BatchNorm3d(8), nn.ReLU(True))
        self.avgpool = nn.AdaptiveAvgPool3d(1)
        self.fc = nn.Linear(8, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.avgpool(self.layer1(self.stem(x))).flatten(1))


class Swin(nn.Module):
    """As torchvision's swin3d: maps with channels last, a norm, a permutation, a head."""

    def __init__(self) -> None:
        super().__init__()
        self.patch_embed = nn.Conv3d(3, 8, (2, 8, 8), (2, 8, 8))
        self.features = nn.Linear(8, 12)
        self.norm = nn.LayerNorm(12)
        self.head = nn.Linear(12, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.features(self.patch_embed(x).movedim(1, -1)))
        return self.head(x.movedim(-1, 1).mean(dim=(2, 3, 4)))


class Tokens(nn.Module):
    """As torchvision's MViT and most video transformers: a patch embedding, a class token."""

    def __init__(self, *, pooled: bool = False, classes: int = 1) -> None:
        super().__init__()
        self.conv_proj = nn.Conv3d(3, 8, (2, 8, 8), (2, 8, 8))
        self.token = nn.Parameter(torch.randn(1, classes, 8))
        self.block = nn.Linear(8, 8)
        self.norm = nn.LayerNorm(8)
        self.head = nn.Sequential(nn.Dropout(0.5), nn.Linear(8, 5))
        self.pooled = pooled

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.conv_proj(x).flatten(2).transpose(1, 2)
        if self.pooled:  # queries are fewer than places
            tokens = tokens.unflatten(1, (2, 4, 4)).movedim(-1, 1)
            tokens = F.avg_pool3d(tokens, (1, 2, 2)).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.token.expand(len(x), -1, -1), tokens], dim=1)
        return self.head(self.norm(self.block(tokens))[:, 0])


class Image(nn.Module):
    """As a model of timm: forward_features, a head that pools, pretrained_cfg."""

    def __init__(self) -> None:
        super().__init__()
        shape = (3, SIZE, SIZE)
        self.pretrained_cfg = {"input_size": shape, "mean": (0.4,) * 3, "std": (0.3,) * 3}
        self.conv = nn.Conv2d(3, 8, 8, 8)
        self.num_features = 8
        self.head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 5))

    def forward_features(self, x: Tensor) -> Tensor:
        return self.conv(x)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.forward_features(x))


class ImageTokens(nn.Module):
    """As timm's ViT."""

    def __init__(self) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, 8, 8, 8)
        self.norm = nn.LayerNorm(8)
        self.head = nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.proj(x).flatten(2).transpose(1, 2)
        tokens = torch.cat([tokens.mean(dim=1, keepdim=True), tokens], dim=1)
        return self.head(self.norm(tokens)[:, 0])


def adapted(model: object, **options: Any) -> ForeignEncoder:
    encoder = adapt(model, **(SMALL | options))
    assert isinstance(encoder, ForeignEncoder)
    assert not encoder.training
    return encoder


def test_a_convolutional_module() -> None:
    torch.manual_seed(0)
    model = Convolutions()
    encoder, clip = adapted(model), clips()
    expected = model.layer1(model.stem(clip))
    assert torch.equal(encoder.forward_maps(clip), expected)
    assert torch.allclose(encoder(clip), expected.mean(dim=(2, 3, 4)), atol=1e-6)
    assert torch.equal(encoder.logits(clip), model(clip))
    assert encoder.has_logits
    assert (encoder.dim, encoder.spec.dim, encoder.spec.name) == (8, 8, "Convolutions")
    encoder.forward_maps(clip).sum().backward()  # Grad-CAM needs the way back
    assert model.stem[0].weight.grad is not None
    assert not model.stem[0]._forward_hooks


def test_torchvisions_models_are_normalized_as_they_were_trained() -> None:
    like = type("VideoResNet", (Convolutions,), {"__module__": "torchvision.models.video.resnet"})
    assert adapted(like()).spec.mean == (0.43216, 0.394666, 0.37645)
    assert adapted(like(), mean=(0, 0, 0), std=(1, 1, 1)).spec.std == (1, 1, 1)
    assert adapted(Convolutions()).spec.mean == (0.485, 0.456, 0.406)


def test_maps_with_channels_last() -> None:
    torch.manual_seed(0)
    model = Swin()
    encoder, clip = adapted(model), clips()
    assert encoder.forward_maps(clip).shape == (2, 12, 2, 4, 4)
    assert torch.allclose(encoder.forward_maps(clip).mean(dim=(2, 3, 4)), encoder(clip), atol=1e-6)
    moves_with(encoder.forward_maps)


@pytest.mark.parametrize("classes", [0, 1, 5])
def test_tokens_lie_as_the_patch_embedding_has_them(classes: int) -> None:
    torch.manual_seed(0)
    encoder = adapted(Tokens(classes=classes))
    assert encoder.forward_maps(clips()).shape == (2, 8, 2, 4, 4)
    moves_with(encoder.forward_maps)
    assert torch.equal(encoder.logits(clips()), encoder.model(clips()))  # type: ignore[operator]


def test_tokens_that_lie_otherwise_need_a_grid() -> None:
    torch.manual_seed(0)
    model = Tokens(pooled=True)
    encoder = adapted(model)
    assert encoder(clips()).shape == (2, 8)
    with pytest.raises(NoMapsError, match=r"Tokens: 9 tokens, .*pass grid="):
        encoder.forward_maps(clips())
    assert adapted(model, grid=(2, 2, 2)).forward_maps(clips()).shape == (2, 8, 2, 2, 2)


def test_an_image_model_sees_frame_by_frame() -> None:
    torch.manual_seed(0)
    model = Image()
    encoder = adapt(model, frames=T)
    assert isinstance(encoder, ForeignEncoder)
    assert (encoder.spec.size, encoder.spec.mean, encoder.spec.std) == (
        SIZE,
        (0.4,) * 3,
        (0.3,) * 3,
    )
    clip = clips()
    each = torch.stack([model.conv(clip[:, :, t]) for t in range(T)], dim=2)
    assert torch.allclose(encoder.forward_maps(clip), each, atol=1e-6)
    assert torch.allclose(encoder(clip), each.mean(dim=(2, 3, 4)), atol=1e-6)
    logits = torch.stack([model(clip[:, :, t]) for t in range(T)]).mean(dim=0)
    assert torch.allclose(encoder.logits(clip), logits, atol=1e-6)


def test_an_image_model_of_tokens() -> None:
    torch.manual_seed(0)
    encoder, clip = adapted(ImageTokens(), axes="BCHW"), clips()
    assert encoder.forward_maps(clip).shape == (2, 8, T, 4, 4)
    assert encoder(clip).shape == (2, 8)
    assert not encoder.has_logits
    other = clip.clone()
    other[:, :, 2, 16:24, 8:16] += 3
    changed = (encoder.forward_maps(clip) - encoder.forward_maps(other)).abs().amax(dim=(0, 1))
    assert (changed > 1e-6).nonzero().tolist() == [[2, 2, 1]]


def test_head_and_layer_can_be_named() -> None:
    torch.manual_seed(0)
    model, clip = Convolutions(), clips()
    encoder = adapted(model, head="", layer="stem")
    assert torch.equal(encoder(clip), model(clip))
    assert not encoder.has_logits
    assert torch.equal(encoder.forward_maps(clip), model.stem(clip))
    for wrong in ("head", "layer"):
        with pytest.raises(UnsceneError, match="no submodule is called 'nothing'"):
            adapted(model, **{wrong: "nothing"})


def test_functions() -> None:
    clip = clips()
    flat = adapted(lambda x: x.mean(dim=(2, 3, 4)), name="mean")
    assert torch.equal(flat(clip), clip.mean(dim=(2, 3, 4)))
    with pytest.raises(NoMapsError, match="mean: puts out no feature map"):
        flat.forward_maps(clip)
    with pytest.raises(UnsceneError, match="no logits"):
        flat.logits(clip)
    maps = adapted(lambda x: F.avg_pool3d(x, 2))
    assert torch.equal(maps.forward_maps(clip), F.avg_pool3d(clip, 2))
    assert torch.allclose(maps(clip), clip.mean(dim=(2, 3, 4)), atol=1e-6)
    both = adapted(lambda x: {"features": x.mean((2, 3, 4)), "maps": x, "logits": x[:, :, 0, 0, 0]})
    assert torch.equal(both.forward_maps(clip), clip)
    assert torch.equal(both.logits(clip), clip[:, :, 0, 0, 0])
    turned = adapted(lambda x: x[:, 1, 2].flatten(1), axes="BTCHW")
    assert torch.equal(turned(clip), clip[:, 2, 1].flatten(1))


@pytest.mark.parametrize(
    ("model", "options", "message"),
    [
        (3, {}, "not a model: pass a torch module"),
        (Convolutions(), {"axes": "BTCHW"}, "does not take clips .*2x3x4x32x32"),
        (Convolutions(), {"axes": "TCHW"}, "axes 'TCHW': must be one of BCTHW, BTCHW, BCHW"),
        (lambda x: "nothing", {}, "returns str; it must return a tensor"),
        (lambda x: x.mean((2, 3, 4)).int(), {}, "floating point"),
        (lambda x: x.mean(), {}, "gave a feature of shape"),
    ],
)
def test_mistakes(model: object, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UnsceneError, match=message):
        adapted(model, **options)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_a_module_of_another_precision(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    model = Convolutions()
    exact, clip = adapted(copy.deepcopy(model)), clips().requires_grad_()
    encoder = adapted(model.to(dtype))
    found = encoder(clip), encoder.forward_maps(clip), encoder.logits(clip)
    for one, other in zip(
        found, (exact(clip), exact.forward_maps(clip), exact.logits(clip)), strict=True
    ):
        assert one.dtype == torch.float32
        torch.testing.assert_close(one, other, atol=0.05, rtol=0.05)
    (gradient,) = torch.autograd.grad(found[0].sum(), clip)
    assert gradient.abs().sum() > 0
    read = encoder.read(clip)  # and Grad-CAM's way from the logits back to the map
    assert read.source is not None
    assert read.logits is not None
    (gradient,) = torch.autograd.grad(read.logits.sum(), read.source)
    assert gradient.abs().sum() > 0


class Encoding(Convolutions):
    def encode(self, x: Tensor) -> Tensor:
        return self.layer1(self.stem(x)).mean(dim=(2, 3, 4))


def test_a_method_brings_its_module_along() -> None:
    torch.manual_seed(0)
    module = Encoding().train()
    before = copy.deepcopy(module.state_dict())
    encoder = adapted(module.encode)
    assert not module.training
    assert set(encoder.parameters()) == set(module.parameters())
    # A batch norm in training would have learned from the clip of zeros that adapt() runs.
    assert all(torch.equal(before[key], value) for key, value in module.state_dict().items())
    torch.testing.assert_close(encoder(clips()), module.encode(clips()))
    shadow = copy.deepcopy(encoder).to("meta")
    assert shadow(clips().to("meta")).is_meta
    assert not any(parameter.is_meta for parameter in module.parameters())
    encoder.to("meta")
    assert all(parameter.is_meta for parameter in module.parameters())


def test_one_of_ours_stays_what_it_is() -> None:
    encoder = create_encoder("r3d-narrow", width=4)
    spec = encoder.spec
    assert adapt(encoder) is encoder
    assert not encoder.training
    assert encoder.spec is spec


def test_one_of_ours_may_be_fed_other_clips() -> None:
    encoder = create_encoder("r3d-narrow", width=4)
    before = encoder.spec
    clip = {"frames": 4, "stride": 3, "size": 30, "mean": (0.0,) * 3, "std": (1.0,) * 3}
    assert adapt(encoder, **clip) is encoder
    assert encoder.spec == replace(before, **clip)
    assert before == create_encoder("r3d-narrow", width=4).spec
    for option in ({"axes": "BTCHW"}, {"head": ""}, {"layer": "stem"}, {"grid": (1, 1, 1)}):
        with pytest.raises(UnsceneError, match=f"r3d-narrow: {next(iter(option))} is for other"):
            adapt(encoder, **option)
    with pytest.raises(UnsceneError, match="r3d-narrow takes 3 channels"):
        adapt(encoder, mean=[0.5], std=[0.5])
    assert encoder.spec == replace(before, **clip)
