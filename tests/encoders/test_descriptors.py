"""Descriptors: encoders without weights, used like every other one."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from unscene.encoders import create_encoder, known_descriptors, load_encoder, resolve_encoder
from unscene.errors import UnsceneError
from unscene.results.rows import DESCRIPTORS

SIZE = 80


def texture(generator: torch.Generator, side: int) -> Tensor:
    coarse = torch.rand(1, 3, side // 4, side // 4, generator=generator)
    return torch.nn.functional.interpolate(coarse, size=(side, side), mode="bicubic")[0].clamp(0, 1)


def clip(object_step: tuple[int, int], camera_step: tuple[int, int] = (0, 0)) -> Tensor:
    """A textured square over a texture, both moving by some px (x, y) a frame."""
    generator = torch.Generator().manual_seed(0)
    scene, square = texture(generator, 160), texture(generator, 28)
    frames = []
    for t in range(8):
        x, y = (40 + camera_step[i] * t for i in range(2))
        frame = scene[:, y : y + SIZE, x : x + SIZE].clone()
        x, y = (26 + object_step[i] * t for i in range(2))
        frame[:, y : y + 28, x : x + 28] = square
        frames.append(frame)
    return torch.stack(frames, dim=1)[None]


@pytest.mark.parametrize("name", known_descriptors())
def test_descriptors_are_encoders(name: str) -> None:
    resolved = resolve_encoder(name)
    encoder, spec = resolved.encoder, resolved.encoder.spec
    assert resolved.trained is None
    assert spec.name == name
    assert spec.trained_on == {"method": name}
    assert not list(encoder.parameters())
    views = torch.rand(2, 3, spec.frames, spec.size, spec.size)
    features = encoder(views)
    assert features.shape == (2, encoder.dim)
    assert features.isfinite().all()
    assert encoder.forward_maps(views).shape[:2] == (2, encoder.stage_dims[-1])


def test_the_flow_of_an_object_is_found_behind_a_moving_camera() -> None:
    encoder = load_encoder("hof")
    fixed, panned = (encoder(clip((3, 0), camera))[0] for camera in ((0, 0), (2, 1)))
    # Flow points back: an object that moves to the right has flow to the left, bin 4 of 8.
    assert int(fixed[:8].argmax()) == 4
    assert int(panned[:8].argmax()) == 4
    still = encoder(clip((0, 0), (0, 0)))[0]
    assert still[8] == pytest.approx(1, abs=1e-3)


def test_a_camera_that_moves_alone_is_no_motion() -> None:
    generator = torch.Generator().manual_seed(0)
    scene = texture(generator, 160)
    pan = torch.stack([scene[:, 20 : 20 + SIZE, 3 * t : 3 * t + SIZE] for t in range(8)], dim=1)
    share_at_rest = load_encoder("hof")(pan[None])[0, 8].square()
    assert share_at_rest > 0.9


def test_dark_footage_has_the_features_of_bright_footage() -> None:
    encoder, bright = load_encoder("hof+mbh"), clip((3, 0))
    dark = encoder(0.1 + 0.12 * bright)
    assert torch.nn.functional.cosine_similarity(dark, encoder(bright)) > 0.98


def test_color_is_blind_to_the_order_of_frames_and_energy_is_not_told_by_color() -> None:
    color, view = load_encoder("color"), clip((3, 0))
    assert torch.allclose(color(view), color(view.flip(2)), atol=1e-6)
    energy = load_encoder("energy")
    assert energy(clip((3, 0))).sum() > 4 * energy(clip((0, 0))).sum()


def test_tables_know_all_descriptors() -> None:
    assert sorted(DESCRIPTORS) == known_descriptors()


def test_descriptors_cannot_be_trained() -> None:
    with pytest.raises(UnsceneError, match="hof: it has no weights"):
        resolve_encoder("hof", to_train=True)
    with pytest.raises(UnsceneError, match=r"did you mean 'hof'\?"):
        create_encoder("hoff")
    with pytest.raises(UnsceneError, match="no option width"):
        create_encoder("hof", width=3)
