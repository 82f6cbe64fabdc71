"""Models of transformers: the real classes, with random weights."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from foreign_parts import SIZE, T, clips, tiny
from unscene.encoders.foreign import ForeignEncoder, adapt
from unscene.encoders.transformers_models import read_normalization
from unscene.errors import UnsceneError

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
        UnsceneError, match="videomae, timesformer, vivit, vjepa2 are supported, not vit"
    ):
        adapt(transformers.ViTModel(config))


def test_options_that_a_transformer_does_not_need_are_refused() -> None:
    transformers = pytest.importorskip("transformers")
    config = transformers.TimesformerConfig(
        hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8
    )
    model = transformers.TimesformerModel(config)
    for option in ({"axes": "BTCHW"}, {"head": ""}, {"layer": "layernorm"}, {"grid": (1, 1, 1)}):
        with pytest.raises(UnsceneError, match=f"{next(iter(option))} is for other modules"):
            adapt(model, **option)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("settings", "low", "high"),
    [
        ({"image_mean": [0.5] * 3, "image_std": [0.5] * 3}, -1, 1),
        ({"rescale_factor": 1 / 127.5, "offset": True, "do_normalize": False}, -1, 1),
        ({"rescale_factor": 1 / 127.5, "offset": True}, -3, 1),
        ({"do_rescale": False, "do_normalize": False}, 0, 255),
    ],
)
def test_normalization_of_processors(settings: dict[str, Any], low: float, high: float) -> None:
    found = read_normalization(settings)
    (mean, *_), (std, *_) = found["mean"], found["std"]
    assert (0 - mean) / std == pytest.approx(low)
    assert (1 - mean) / std == pytest.approx(high)


def test_the_normalization_of_vivit_is_its_processors() -> None:
    """Its processor's defaults, written out, give the mean and std that `adapt` assumes."""
    found = read_normalization({"rescale_factor": 1 / 127.5, "offset": True})
    spec = adapt(tiny("vivit")).spec
    assert spec.mean == pytest.approx(found["mean"])
    assert spec.std == pytest.approx(found["std"])
