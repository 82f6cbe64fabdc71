"""Two streams: an encoder of RGB and one of motion, joined, saved, loaded, evaluated."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from unscene.encoders import (
    TwoStream,
    VideoEncoder,
    create_encoder,
    load_encoder,
    make_untrained_twin,
    read_spec,
    resolve_encoder,
    save_encoder,
)
from unscene.encoders.resolving import locate_encoder
from unscene.errors import UnsceneError


def parts(reads: str = "flow") -> tuple[VideoEncoder, VideoEncoder]:
    torch.manual_seed(0)
    rgb = create_encoder("r3d-narrow", width=8)
    return rgb.eval(), create_encoder("r3d-narrow", width=8, stages=2, input=reads).eval()


def clip(encoder: VideoEncoder, batch: int = 2) -> Tensor:
    s = encoder.spec
    coarse = torch.rand(batch, 3, 4, 9, 9, generator=torch.Generator().manual_seed(1))
    size = s.frames, s.size, s.size
    return torch.nn.functional.interpolate(coarse, size=size, mode="trilinear")


@pytest.mark.parametrize("reads", ["flow", "vectors"])
def test_both_streams_are_in_the_feature_and_weigh_alike(reads: str) -> None:
    rgb, motion = parts(reads)
    both = TwoStream(rgb, motion).eval()
    assert (both.spec.frames, both.spec.stride) == (9, 2)  # T flows need T + 1 frames
    view = clip(both)
    with torch.no_grad():
        feature, maps = both(view), both.forward_maps(view)
        alone = [rgb(view[:, :, :8]), motion(view)]
    assert feature.shape == (2, rgb.dim + motion.dim) == (2, both.dim)
    for half, one in zip(feature.split([rgb.dim, motion.dim], dim=1), alone, strict=True):
        assert torch.allclose(half, torch.nn.functional.normalize(one), atol=1e-5)
    assert maps.shape[:2] == (2, both.dim)
    color = view.clone()  # redder and less green: gray values, and so the motion, stay
    red, green, _ = rgb.spec.std
    color[:, 0] += 0.5
    color[:, 1] -= 0.5 * (0.299 * red) / (0.587 * green)
    with torch.no_grad():
        changed = (both(color) - feature).abs().split([rgb.dim, motion.dim], dim=1)
    assert changed[0].max() > 10 * changed[1].max()


def test_streams_of_other_clips_get_the_frames_that_they_take() -> None:
    rgb, motion = create_encoder("r3d-narrow"), create_encoder("motion-net")
    both = TwoStream(rgb, motion).eval()
    s = both.spec
    assert s.stride == 2
    assert s.size == max(rgb.spec.size, motion.spec.size)
    spans = [(one.spec.frames - 1) * one.spec.stride for one in (rgb, motion)]
    assert (s.frames - 1) * s.stride == max(spans)
    seen = []
    for one in (both.rgb, both.motion):
        one.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].shape[2:]))
    with torch.no_grad():
        both(clip(both, 1))
    wanted = [(one.spec.frames, one.spec.size, one.spec.size) for one in (rgb, motion)]
    assert [tuple(shape) for shape in seen] == wanted


def test_it_is_saved_loaded_and_has_an_untrained_twin(tmp_path: Path) -> None:
    both = TwoStream(*parts()).eval()
    view = clip(both)
    save_encoder(both, tmp_path / "both")
    assert read_spec(tmp_path / "both").name == "two-stream"
    loaded = load_encoder(tmp_path / "both")
    with torch.no_grad():
        assert torch.equal(loaded(view), both(view))
        twin = make_untrained_twin(loaded)
        assert not torch.allclose(twin(view), both(view))


def test_text_names_two_encoders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rgb, motion = parts()
    save_encoder(rgb, tmp_path / "rgb")
    save_encoder(motion, tmp_path / "moving")
    text = f"two-stream:{tmp_path / 'rgb'},{tmp_path / 'moving'}"
    found = resolve_encoder(f"both={text}")
    assert (found.name, found.encoder.spec.name) == ("both", "two-stream")
    view = clip(found.encoder)
    with torch.no_grad():
        assert torch.equal(found.encoder(view), TwoStream(rgb, motion).eval()(view))
    assert resolve_encoder("two-stream:r3d-narrow,motion-net").trained is False
    monkeypatch.chdir(tmp_path)
    assert locate_encoder("two-stream:rgb,moving") == text
    with pytest.raises(UnsceneError, match="r3d-narrow reads flow"):
        resolve_encoder("two-stream:moving,rgb")
    with pytest.raises(UnsceneError, match="write two-stream:RGB,MOTION"):
        resolve_encoder("two-stream:rgb")
    with pytest.raises(UnsceneError, match="each is trained alone"):
        resolve_encoder("two-stream:rgb,moving", to_train=True)
    with pytest.raises(UnsceneError, match="each is trained alone"):
        resolve_encoder(found.encoder, to_train=True)
