"""Other people's models: real classes of transformers, and the shapes of torchvision's and timm's.

torchvision is not installed (see docs/architecture.md): what is used here has its structure.
"""

from __future__ import annotations

import builtins
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unscene.encoders import create_encoder, load_encoder, save_encoder
from unscene.encoders.foreign import ForeignEncoder, NoMapsError, adapt
from unscene.encoders.opening import open_encoder
from unscene.encoders.transformers_models import normalisation
from unscene.errors import UnsceneError

T, SIZE = 4, 32
SMALL: dict[str, Any] = {"frames": T, "size": SIZE}


def clips(frames: int = T, size: int = SIZE, batch: int = 2) -> Tensor:
    return torch.randn(batch, 3, frames, size, size, generator=torch.Generator().manual_seed(0))


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


def moves_with(maps: Callable[[Tensor], Tensor]) -> None:
    """A change at one time and place is in the map at that time and place, and nowhere else."""
    clip, other = clips(), clips()
    other[:, :, 2:4, 16:24, 8:16] += 3  # second tubelet, third row, second column
    changed = (maps(clip) - maps(other)).abs().amax(dim=(0, 1)) > 1e-6
    assert changed.nonzero().tolist() == [[1, 2, 1]]


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


def test_torchvisions_models_are_normalised_as_they_were_trained() -> None:
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
        (3, {}, "no model: give a torch module"),
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


def test_one_of_ours_stays_what_it_is() -> None:
    encoder = create_encoder("r3d-narrow", width=4)
    assert adapt(encoder) is encoder


def tiny(kind: str, **options: Any) -> Any:
    """A model of transformers with random weights, as small as its class permits."""
    transformers = pytest.importorskip("transformers")
    common = {
        "hidden_size": 24, "num_hidden_layers": 1, "num_attention_heads": 2, "num_labels": 5,
    }  # fmt: skip
    sizes: dict[str, Any] = {"image_size": SIZE, "patch_size": 8, "num_frames": T}
    name = {"videomae": "VideoMAE", "timesformer": "Timesformer", "vivit": "Vivit"}.get(
        kind, "VJEPA2"
    )
    if kind == "vivit":
        sizes = {"image_size": SIZE, "tubelet_size": [2, 8, 8], "num_frames": T}
    if kind == "vjepa2":
        sizes = {
            "crop_size": SIZE, "patch_size": 8, "frames_per_clip": T, "pred_hidden_size": 24,
            "pred_num_attention_heads": 2, "pred_num_hidden_layers": 1, "num_pooler_layers": 1,
            "mlp_ratio": 1.0,
        }  # fmt: skip
    else:
        sizes["intermediate_size"] = 24
    torch.manual_seed(0)
    config = getattr(transformers, f"{name}Config")(**common, **sizes, **options)
    made = getattr(transformers, f"{name}ForVideoClassification")(config)
    with torch.no_grad():  # as drawn, all is so small that tokens hardly differ
        for parameter in made.parameters():
            if parameter.ndim > 1:
                parameter.mul_(10)
    return made.eval()


_ALL = ("videomae", "timesformer", "vivit", "vjepa2")
_PIXELS = {"vjepa2": "pixel_values_videos"}


@pytest.mark.parametrize("kind", _ALL)
def test_transformers_logits_are_those_of_the_model(kind: str) -> None:
    model, clip = tiny(kind), clips()
    encoder = adapt(model)
    assert isinstance(encoder, ForeignEncoder)
    assert (encoder.spec.frames, encoder.spec.size, encoder.dim) == (T, SIZE, 24)
    with torch.no_grad():
        theirs = model(**{_PIXELS.get(kind, "pixel_values"): clip.transpose(1, 2)}).logits
        assert torch.allclose(encoder.logits(clip), theirs, atol=1e-5)
        assert encoder(clip).shape == (2, 24)
    assert encoder.has_logits


@pytest.mark.parametrize("kind", _ALL)
def test_transformers_maps_show_where_and_when(kind: str) -> None:
    """The change is felt everywhere through attention, and most where it is."""
    encoder, clip, other = adapt(tiny(kind)), clips(), clips()
    other[:, :, 2:4, 16:24, 8:16] += 3
    with torch.no_grad():
        maps, others = encoder.forward_maps(clip), encoder.forward_maps(other)
    steps = T if kind == "timesformer" else T // 2
    assert maps.shape == (2, 24, steps, 4, 4)
    changed = (maps - others).norm(dim=1).mean(dim=0)
    highest = changed.flatten().topk(2 if kind == "timesformer" else 1).indices
    found = {tuple(int(i) for i in torch.unravel_index(k, changed.shape)) for k in highest}
    times = (2, 3) if kind == "timesformer" else (1,)
    assert found == {(t, 2, 1) for t in times}


def test_transformers_without_classifier() -> None:
    model = tiny("vjepa2").vjepa2
    encoder, clip = adapt(model), clips()
    assert isinstance(encoder, ForeignEncoder)
    with torch.no_grad():
        tokens = model(pixel_values_videos=clip.transpose(1, 2), skip_predictor=True)[0]
        assert torch.allclose(encoder(clip), tokens.mean(dim=1), atol=1e-6)
    assert not encoder.has_logits


def test_timesformer_in_space_only() -> None:
    encoder = adapt(tiny("timesformer", attention_type="space_only").timesformer)
    clip = clips()
    with torch.no_grad():
        assert encoder.forward_maps(clip).shape == (2, 24, T, 4, 4)
        turned = encoder(clip.flip(2))
        assert torch.allclose(encoder(clip), turned, atol=1e-5)


def test_an_unknown_transformer_is_refused() -> None:
    transformers = pytest.importorskip("transformers")
    config = transformers.ViTConfig(
        hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8
    )
    with pytest.raises(
        UnsceneError, match="videomae, timesformer, vivit, vjepa2 are known, not vit"
    ):
        adapt(transformers.ViTModel(config))


@pytest.mark.parametrize(
    ("settings", "low", "high"),
    [
        ({"image_mean": [0.5] * 3, "image_std": [0.5] * 3}, -1, 1),
        ({"rescale_factor": 1 / 127.5, "offset": True, "do_normalize": False}, -1, 1),
        ({"rescale_factor": 1 / 127.5, "offset": True}, -3, 1),
        ({"do_rescale": False, "do_normalize": False}, 0, 255),
    ],
)
def test_normalisation_of_processors(settings: dict[str, Any], low: float, high: float) -> None:
    found = normalisation(settings)
    (mean, *_), (std, *_) = found["mean"], found["std"]
    assert (0 - mean) / std == pytest.approx(low)
    assert (1 - mean) / std == pytest.approx(high)


def test_the_normalisation_of_vivit_is_its_processors() -> None:
    """Its processor's defaults, written out, give the mean and std that `adapt` assumes."""
    found = normalisation({"rescale_factor": 1 / 127.5, "offset": True})
    spec = adapt(tiny("vivit")).spec
    assert spec.mean == pytest.approx(found["mean"])
    assert spec.std == pytest.approx(found["std"])


def test_opening_pretrained_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny("videomae")
    model.save_pretrained(tmp_path / "mae")
    settings = {"image_mean": [0.1, 0.2, 0.3], "image_std": [1, 2, 3]}
    (tmp_path / "mae" / "preprocessor_config.json").write_text(json.dumps(settings))
    opened = open_encoder(f"hf:{tmp_path / 'mae'}")
    with torch.no_grad():
        assert torch.allclose(opened.encoder(clips()), adapt(model)(clips()), atol=1e-6)
    assert (opened.name, opened.trained) == ("mae", True)
    assert opened.encoder.spec.mean == pytest.approx((0.1, 0.2, 0.3))
    with pytest.raises(UnsceneError, match=r"hf:.*nothing"):
        open_encoder(f"hf:{tmp_path / 'nothing'}")

    def refuse(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.startswith("transformers"):
            raise ImportError(name)
        return real(name, *args, **kwargs)

    real = builtins.__import__
    for name in [name for name in sys.modules if name.split(".")[0] == "transformers"]:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(UnsceneError, match="pip install transformers"):
        open_encoder("hf:anything")


def test_opening_one_of_ours(tmp_path: Path) -> None:
    first, second = (open_encoder("r3d-narrow", seed=0) for _ in range(2))
    assert (first.name, first.trained) == ("r3d-narrow", False)
    assert "randomly initialised" in first.note
    for one, two in zip(first.encoder.parameters(), second.encoder.parameters(), strict=True):
        assert torch.equal(one, two)
    save_encoder(first.encoder, tmp_path / "saved")
    opened = open_encoder(str(tmp_path / "saved"))
    assert (opened.name, opened.trained) == ("saved", False)
    first.encoder.spec.trained_on.update({"method": "dsm", "steps": 7, "seed": 1})
    save_encoder(first.encoder, tmp_path / "saved")
    opened = open_encoder(f"mine={tmp_path / 'saved'}")
    assert (opened.name, opened.trained) == ("mine", True)
    assert "dsm, 7 steps, seed 1" in opened.note
    clip = clips(size=36)
    expected = load_encoder(tmp_path / "saved").eval()(clip)
    assert torch.equal(opened.encoder(clip), expected)


def test_opening_a_factory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mymodels.py").write_text(
        "from torch import nn\n"
        "def plain():\n    return lambda x: x.mean(dim=(2, 3, 4))\n"
        "def chosen():\n    return plain(), {'frames': 3, 'size': 20, 'name': 'mine'}\n"
        "def wrong():\n    return 1, 2, 3\n"
    )
    monkeypatch.chdir(tmp_path)
    before = list(sys.path)
    opened = open_encoder("mymodels:plain")
    assert sys.path == before
    assert (opened.name, opened.encoder.spec.frames) == ("plain", 16)
    spec = open_encoder("mymodels:chosen").encoder.spec
    assert (spec.frames, spec.size, spec.name) == (3, 20, "mine")
    with pytest.raises(UnsceneError, match="returned a tuple"):
        open_encoder("mymodels:wrong")
    for text in ("mymodels:nothing", "nosuchmodule:factory", ":x"):
        with pytest.raises(UnsceneError, match=r"package\.module:factory"):
            open_encoder(text)


@pytest.mark.parametrize("text", ["r3d180", "no/such/folder"])
def test_opening_nothing(text: str) -> None:
    with pytest.raises(UnsceneError, match=r"no such file or folder.*r3d18.*hf:FOLDER"):
        open_encoder(text)
