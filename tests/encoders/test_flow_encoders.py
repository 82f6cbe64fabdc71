"""Encoders that read flow instead of RGB: any architecture, saved and trained like the others."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from unscene.encoders import create_encoder, load_encoder, make_untrained_twin, save_encoder
from unscene.encoders.flow_input import encode_flow, read_flow
from unscene.errors import UnsceneError


def views(frames: int, size: int = 40) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    coarse = torch.randn(2, 3, frames, 10, 10, generator=generator)
    return torch.nn.functional.interpolate(coarse, size=(frames, size, size), mode="trilinear")


@pytest.mark.parametrize("name", ["r3d-narrow", "motion-net", "r2plus1d10"])
def test_any_architecture_reads_flow(name: str) -> None:
    torch.manual_seed(0)
    encoder = create_encoder(name, input="flow").eval()
    usual = create_encoder(name)
    if name != "motion-net":  # T flows lie between T + 1 frames
        assert encoder.spec.frames == usual.spec.frames + 1
    assert encoder.spec.options["input"] == "flow"
    clip = views(encoder.spec.frames)
    flow = read_flow(clip, encoder.spec.mean, encoder.spec.std)
    with torch.no_grad():
        features = encoder(clip)
        by_hand = encoder._stages(encode_flow(flow, encoder.flow_grid))[-1]
        maps = encoder.forward_maps(clip)
    assert features.shape == (2, encoder.dim)
    assert torch.allclose(maps, by_hand, atol=1e-5)
    assert torch.allclose(maps, encoder.forward_flow(flow)[-1], atol=1e-5)


def test_a_flow_encoder_is_blind_to_color_and_brightness() -> None:
    encoder = load_encoder("motion-net")
    clip = views(13, 80).sigmoid()
    darker = 0.1 + 0.3 * clip
    with torch.no_grad():
        same = torch.nn.functional.cosine_similarity(encoder(clip), encoder(darker))
    assert (same > 0.98).all()


def test_it_is_saved_and_loaded_with_its_input(tmp_path: Path) -> None:
    torch.manual_seed(3)
    encoder = create_encoder("r3d-narrow", input="flow", width=8).eval()
    save_encoder(encoder, tmp_path / "saved")
    loaded = load_encoder(tmp_path / "saved")
    assert (loaded.input, loaded.spec) == ("flow", encoder.spec)
    clip = views(9)
    with torch.no_grad():
        assert torch.equal(loaded(clip), encoder(clip))
        twin = make_untrained_twin(loaded)
        assert twin.input == "flow"
        assert twin(clip).shape == encoder(clip).shape


def test_gradients_reach_all_weights() -> None:
    encoder = create_encoder("motion-net")
    encoder(views(13, 80)).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in encoder.parameters())


def test_wrong_inputs_are_refused() -> None:
    with pytest.raises(UnsceneError, match="input must be one of rgb, flow, vectors, got 'depth'"):
        create_encoder("r3d-narrow", input="depth")
    with pytest.raises(UnsceneError, match="it reads flow only"):
        create_encoder("motion-net", input="rgb")
    with pytest.raises(UnsceneError, match="hof has no option input"):
        create_encoder("hof", input="flow")
    with pytest.raises(UnsceneError, match="at least 3x2x32x32"):
        create_encoder("r3d-narrow", input="flow")(torch.zeros(1, 3, 8, 24, 24))
    with pytest.raises(UnsceneError, match="reads RGB, not flow"):
        create_encoder("r3d-narrow").forward_flow(torch.zeros(1, 8, 36, 36, 2))
