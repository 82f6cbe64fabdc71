"""A camera that moves is followed: the scene behind, what moves before it, and what is refused."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from media import texture
from unscene.views import geometry
from unscene.views.background_swap import film_scene, paste_motion, segment_motion
from unscene.views.moving_camera import build_plate, find_reach

PLAIN = (1.0, 1.0, 1.0)
SIZE, FRAMES, WIDE = 112, 16, 336  # the known scene is three frames wide and high
PIXEL = 2 / SIZE


def known_scene(seed: int = 0) -> Tensor:
    """Coarse and fine texture in three colors, (3, 336, 336), RGB in 0..1."""
    layers = [
        torch.from_numpy(texture(WIDE // k + 1, WIDE // k + 1, seed + k)).float() / 255
        for k in (1, 3, 6)
    ]
    whole = [F.interpolate(one[None, None], (WIDE, WIDE), mode="bicubic")[0, 0] for one in layers]
    mean = torch.stack(whole).mean(dim=0)
    return torch.stack([mean, 0.3 + 0.5 * whole[2], (mean + whole[1]) / 2]).clamp(0, 1)


def camera(kind: str) -> Tensor:
    """Maps (T, 3, 3) from the middle frame to frame t, normalized units."""
    maps = torch.eye(3).repeat(FRAMES, 1, 1)
    shake = torch.randn(FRAMES, 2, generator=torch.Generator().manual_seed(0))
    for t in range(FRAMES):
        step = t - FRAMES // 2
        if kind == "pan":
            maps[t, 0, 2], maps[t, 1, 2] = 2.7 * PIXEL * step, 0.6 * PIXEL * step
        elif kind == "zoom":
            maps[t, :2, :2] *= 1.02**step
        elif kind == "rotation":
            cos, sin = math.cos(math.radians(1.5 * step)), math.sin(math.radians(1.5 * step))
            maps[t, :2, :2] = torch.tensor([[cos, -sin], [sin, cos]])
        elif kind == "shake" and step:
            maps[t, :2, 2] = 2.5 * PIXEL * shake[t]
    return maps


def film(maps: Tensor, *, thing: bool = True) -> tuple[Tensor, Tensor, Tensor]:
    """The clip (3, T, h, w), the object's mask (T, h, w) and the scene of the middle frame."""
    scene, patch = known_scene(), 1 - known_scene(50)[:, :24, :24]
    ground, covered = scene.repeat(FRAMES, 1, 1, 1), torch.zeros(FRAMES, 1, WIDE, WIDE)
    for t in range(FRAMES if thing else 0):
        rows, columns = slice(150, 174), slice(120 + 5 * t, 144 + 5 * t)  # moves over the scene
        ground[t, :, rows, columns], covered[t, :, rows, columns] = patch, 1
    wide = torch.eye(3)
    wide[:2] /= WIDE / SIZE

    def look(pictures: Tensor, at: Tensor) -> Tensor:
        grid = geometry.grid(wide @ torch.linalg.inv(at), (SIZE, SIZE))
        return F.grid_sample(pictures, grid, "bicubic", align_corners=False)

    clip = look(ground, maps).transpose(0, 1)
    noise = 0.01 * torch.randn(clip.shape, generator=torch.Generator().manual_seed(1))
    middle = look(scene[None], torch.eye(3)[None])[0]
    return (clip + noise).clamp(0, 1), look(covered, maps)[:, 0].clamp(0, 1), middle


@pytest.mark.parametrize("kind", ["pan", "zoom", "rotation", "shake"])
def test_a_known_camera_is_followed(kind: str) -> None:
    maps = camera(kind)
    clip, covered, scene = film(maps)
    plain = segment_motion(clip[None], std=PLAIN)
    assert plain.fixed.tolist() == plain.known.tolist() == [False]
    found = segment_motion(clip[None], std=PLAIN, follow_camera=True)
    assert found.fixed.tolist() == [False]
    assert found.known.tolist() == [True]
    grid, true = (geometry.grid(one, (SIZE, SIZE)) for one in (found.maps[0], maps))
    off = (grid - true).norm(dim=-1).mean(dim=(1, 2)) / PIXEL
    assert off.max() < 0.25
    error = (found.scene[0, :, 0] - scene).abs().mean(dim=0)
    assert error.mean() < 0.006
    assert error.quantile(0.99) < 0.02
    mask, there = found.mask[0, 0] > 0.5, covered > 0.5
    overlap = (mask & there).sum() / (mask | there).sum()
    assert overlap > 0.8


def test_a_foreign_scene_is_filmed_with_the_same_motion() -> None:
    maps = camera("pan")
    clip, covered, _ = film(maps)
    found = segment_motion(clip[None], std=PLAIN, follow_camera=True)
    other = known_scene(9)[None, :, None, :SIZE, :SIZE]
    filmed = film_scene(other, found.maps)
    swapped = paste_motion(clip[None], found.mask, filmed)
    assert swapped.shape == clip[None].shape
    # The new clip has the camera of the old one.
    plate = build_plate(swapped[0], PLAIN)
    assert plate is not None
    grid, true = (geometry.grid(one, (SIZE, SIZE)) for one in (plate.maps, maps))
    off = (grid - true).norm(dim=-1).mean(dim=(1, 2)) / PIXEL
    assert off.max() < 1
    # What moves is still there, and the old scene is not.
    there = (covered > 0.99) & (found.mask[0, 0] > 0.99)
    assert torch.allclose(swapped[0][:, there], clip[:, there], atol=0.01)
    gone = found.mask[0, 0] == 0
    assert (swapped[0] - clip).abs().mean(dim=0)[gone].mean() > 0.05


def test_what_is_filmed_stays_on_the_scene() -> None:
    scene = torch.rand(2, 3, 1, 32, 32)
    still = torch.eye(3).repeat(2, 4, 1, 1)
    assert torch.equal(film_scene(scene, still), scene.expand(-1, -1, 4, -1, -1))
    panned = still.clone()
    panned[1, :, 0, 2] = torch.tensor([-0.2, 0.0, 0.2, 0.4])
    low, high = find_reach(panned[1])
    assert torch.allclose(low, torch.tensor([-1.4, -1.0]))
    assert torch.allclose(high, torch.tensor([1.2, 1.0]))
    ramp = torch.linspace(0, 1, 32).expand(2, 3, 1, 32, 32)
    filmed = film_scene(ramp, panned)
    assert torch.equal(filmed[0], ramp[0].expand(-1, 4, -1, -1))
    # The camera sees all of the scene, once, enlarged by 1.3.
    assert filmed[1].min() < 0.03
    assert filmed[1].max() > 0.97
    assert (filmed[1, 0].diff(dim=-1) > 0)[..., 1:-1].all()


def test_a_fixed_camera_is_as_before() -> None:
    fixed = film(torch.eye(3).repeat(FRAMES, 1, 1))[0]
    both = torch.stack([fixed, film(camera("pan"))[0]])
    before = segment_motion(both, std=PLAIN)
    after = segment_motion(both, std=PLAIN, follow_camera=True)
    assert before.fixed.tolist() == after.fixed.tolist() == [True, False]
    assert after.known.tolist() == [True, True]
    for name in ("mask", "scene", "share", "maps"):
        assert torch.equal(getattr(before, name)[0], getattr(after, name)[0])
        assert not torch.equal(getattr(before, name)[1], getattr(after, name)[1])


def test_a_camera_alone_moves_nothing() -> None:
    clip = film(camera("rotation"), thing=False)[0]
    found = segment_motion(clip[None], std=PLAIN, follow_camera=True)
    assert found.known.tolist() == [True]
    assert float(found.share) < 0.0005


def test_what_cannot_be_followed_stays_unknown() -> None:
    clip = film(camera("pan"))[0]
    other = known_scene(7)[:, None, 100 : 100 + SIZE, 100 : 100 + SIZE].expand_as(clip)
    half = torch.arange(FRAMES) % 8 < 4
    cuts = torch.where(half[None, :, None, None], clip, other)  # back and forth between two places
    noise = torch.rand(clip.shape, generator=torch.Generator().manual_seed(0))
    tiny = F.interpolate(clip, (24, 24))
    far = torch.stack([known_scene()[:, 100:212, 14 * t : 14 * t + SIZE] for t in range(FRAMES)], 1)
    dark = torch.zeros_like(clip)
    dark[..., :70] = torch.linspace(0, 0.3, FRAMES).view(-1, 1, 1)  # nothing to see, and a light
    for view in (cuts, noise, tiny, far, dark):
        before = segment_motion(view[None], std=PLAIN)
        after = segment_motion(view[None], std=PLAIN, follow_camera=True)
        assert after.known.tolist() == [False]
        assert torch.equal(before.mask, after.mask)
        assert torch.equal(before.scene, after.scene)
    assert build_plate(tiny, PLAIN) is None
    assert build_plate(clip[:, :2], PLAIN) is None
