"""Transplants: what is carried, what is left, and which clips have nothing to give."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from media import texture
from unscene.synthetic import draw as scene_art
from unscene.synthetic.plan import MovingScenes, get_labels, get_truth, render_video
from unscene.views.background_swap import (
    Segmentation,
    correlate_scenes,
    paste_motion,
    segment_motion,
    swap_background,
)

PLAIN = (1.0, 1.0, 1.0)  # std of RGB that was not normalized
SPEC = MovingScenes(train_videos=16, size=64)
FRAMES, STRIDE = 8, 2


def scenes(first: int = 0, count: int = 16) -> Tensor:
    """Moving scenes as drawn, (B, 3, T, 64, 64), RGB in 0..1; all eight motions."""
    clips = [render_video(SPEC, "train", i)[0] for i in range(first, first + count)]
    frames = torch.from_numpy(np.stack(clips)[:, : FRAMES * STRIDE : STRIDE])
    return frames.permute(0, 4, 1, 2, 3).float() / 255


def cover(index: int) -> Tensor:
    """How much of each pixel the object (and its soft shadow) takes, (T, 64, 64), 0..1."""
    labels, truth = get_labels(SPEC, "train", index), get_truth(SPEC, "train", index)
    sprite = scene_art.draw_sprite(
        str(labels["shape"]), str(labels["texture"]), np.random.default_rng(0)
    )
    sizes = truth.scale * np.float32(labels["size"])
    black = np.zeros((SPEC.frames, SPEC.size, SPEC.size, 3), np.float32)
    white = np.full_like(black, 255)
    for ground in (black, white):
        scene_art.paint_object(ground, sprite, truth.center, truth.angle, sizes)
    taken = 1 - (white - black)[..., 0] / 255
    return torch.from_numpy(taken[: FRAMES * STRIDE : STRIDE])


def pan(step: float, noise: float = 0.0, frames: int = 8) -> Tensor:
    """A textured picture that moves `step` px a frame, (1, 3, T, 112, 112), RGB in 0..1."""
    generator = torch.Generator().manual_seed(0)
    wide = torch.from_numpy(texture(112, 112 + 64)).float() / 255
    x = (torch.arange(112) + step * torch.arange(frames)[:, None]).float().clamp(0, 174)
    low = x.floor().long()
    moved = torch.lerp(wide[:, low], wide[:, low + 1], x - low).permute(1, 0, 2)
    moved = moved + noise * torch.randn(moved.shape, generator=generator)
    return moved.expand(1, 3, -1, -1, -1).clone()


def test_objects_are_carried_and_their_scenes_are_not() -> None:
    view, scene = scenes(), segment_motion(scenes().roll(1, 0), std=PLAIN).scene
    segmentation = segment_motion(view, std=PLAIN)
    result = paste_motion(view, segmentation.mask, scene)
    carried, spared = [], []
    for i in range(len(view)):
        taken = cover(i)
        mask = segmentation.mask[i, 0]
        carried.append(float(mask[taken > 0.9].mean()))
        # 6 px from any trace of the object
        near = torch.nn.functional.max_pool2d(taken[:, None], 13, stride=1, padding=6)[:, 0]
        far = near < 0.01
        spared.append(float(1 - mask[far].mean()))
        object_ = (taken > 0.9) & (mask > 0.99)
        assert object_.sum() > 50
        torch.testing.assert_close(result[i][:, object_], view[i][:, object_], rtol=0, atol=0.01)
        outside = mask == 0
        foreign = scene[i].expand_as(view[i])
        assert torch.equal(result[i][:, outside], foreign[:, outside])
    assert np.mean(carried) > 0.98
    assert min(carried) > 0.85  # small things that grow or shrink on the spot are the hardest
    assert np.mean(spared) > 0.97
    assert bool(segmentation.fixed.all())
    assert (segmentation.share < 0.35).all()
    assert (segmentation.share > 0.01).all()


def test_over_itself_a_clip_is_itself() -> None:
    view = scenes(count=4)
    segmentation = segment_motion(view, std=PLAIN)
    assert torch.equal(paste_motion(view, segmentation.mask, view), view)
    # Over its own still scene it lacks no more than what passes for noise.
    own = paste_motion(view, segmentation.mask, segmentation.scene)
    assert (own - view).norm(dim=1).mean() < 0.01
    ones, zeros = torch.ones_like(segmentation.mask), torch.zeros_like(segmentation.mask)
    assert torch.equal(paste_motion(view, ones, segmentation.scene), view)
    assert torch.equal(
        paste_motion(view, zeros, segmentation.scene), segmentation.scene.expand_as(view)
    )


def test_a_still_clip_has_nothing_to_give() -> None:
    view = pan(0)
    segmentation = segment_motion(view, std=PLAIN)
    assert segmentation.mask.shape == (1, 1, 8, 112, 112)
    assert segmentation.mask.abs().max() == 0
    assert segmentation.share.tolist() == [0]
    assert segmentation.fixed.tolist() == [True]
    assert torch.equal(segmentation.scene, view[:, :, :1])
    repeated = segment_motion(view[:, :, :1].expand_as(view), std=PLAIN)
    assert torch.equal(repeated.scene, segmentation.scene)
    assert repeated.mask.abs().max() == 0


@pytest.mark.parametrize("noise", [0.003, 0.02, 0.08])
def test_noise_does_not_move(noise: float) -> None:
    segmentation = segment_motion(pan(0, noise, frames=16), std=PLAIN)
    assert float(segmentation.share) < 2e-4
    assert segmentation.fixed.tolist() == [noise < 0.08]  # heavy noise hides whether edges stay


@pytest.mark.parametrize("step", [1.0, 2.5, 8.0])
def test_a_moving_camera_is_detected(step: float) -> None:
    view = pan(step, 0.003)
    segmentation = segment_motion(view, std=PLAIN)
    assert segmentation.fixed.tolist() == [False]
    assert torch.equal(segmentation.scene, view[:, :, 4:5])  # a frame, not the blur of a median


def test_a_large_thing_before_a_fixed_camera() -> None:
    """A third of the picture moves to and fro over a still rest."""
    view, thing = pan(0, 0.003, frames=16), torch.from_numpy(texture(70, 50, seed=5)) / 255
    for t in range(16):
        left = 20 + 2 * min(t, 16 - t)
        view[:, :, t, 20:90, left : left + 50] = 1 - thing
    segmentation = segment_motion(view, std=PLAIN)
    assert segmentation.fixed.tolist() == [True]
    assert 0.1 < float(segmentation.share) < 0.5


def test_a_pause_is_bridged_and_the_ends_are_not_blurred() -> None:
    view = pan(0)
    spot = torch.zeros(8, dtype=torch.bool)
    spot[[2, 3, 5]] = True  # away for one frame
    view[:, :, spot, 40:60, 40:60] += 0.5
    middle = segment_motion(view, std=PLAIN).mask[0, 0, :, 50, 50]
    assert (middle > 0.99).tolist() == [False, False, True, True, True, True, False, False]
    view = pan(0)
    view[:, :, [0, 7], 40:60, 40:60] += 0.5
    middle = segment_motion(view, std=PLAIN).mask[0, 0, :, 50, 50]
    assert (middle > 0).tolist() == [True, *[False] * 6, True]


def test_normalization_and_batch_do_not_matter() -> None:
    view = scenes(count=4)
    plain = segment_motion(view, std=PLAIN)
    mean, std = (torch.tensor(v).view(3, 1, 1, 1) for v in ((0.4, 0.5, 0.6), (0.2, 0.3, 0.4)))
    normal = segment_motion((view - mean) / std, std=(0.2, 0.3, 0.4))
    torch.testing.assert_close(normal.mask, plain.mask, atol=1e-3, rtol=0)
    torch.testing.assert_close(normal.scene * std + mean, plain.scene)
    alone = [segment_motion(view[i : i + 1], std=PLAIN) for i in range(4)]
    for name in Segmentation.__dataclass_fields__:
        together = getattr(plain, name)
        torch.testing.assert_close(torch.cat([getattr(one, name) for one in alone]), together)


def test_dim_footage_is_segmented_too() -> None:
    """A night shot: everything at a tenth of its brightness, with little noise."""
    bright = segment_motion(scenes(count=4), std=PLAIN)
    dark = segment_motion(scenes(count=4) / 10, std=PLAIN)
    both = (bright.mask > 0.5) & (dark.mask > 0.5)
    assert both.sum() > 0.8 * (bright.mask > 0.5).sum()
    assert bool(dark.fixed.all())


def test_where_most_of_the_picture_changes_the_camera_counts_as_moving() -> None:
    """A wall of changing light beside a texture whose edges stay where they are."""
    for width, fixed in ((45, True), (70, False)):
        view = pan(0, frames=16)
        view[..., :width] = torch.linspace(0.2, 0.8, 16).view(16, 1, 1)
        segmentation = segment_motion(view, std=PLAIN)
        assert float(segmentation.share) == pytest.approx(width / 112 * 15 / 16, abs=0.05)
        assert segmentation.fixed.tolist() == [fixed]
        assert torch.equal(segmentation.scene, view[:, :, 8:9]) != fixed


@pytest.mark.parametrize(("step", "fixed"), [(0.3, True), (0.75, False), (1.0, False)])
def test_a_slow_pan_is_detected_whatever_the_normalization(step: float, fixed: bool) -> None:
    view = pan(step, 0.003)
    for std in (PLAIN, (0.2, 0.3, 0.4), (5.0, 5.0, 5.0)):
        normal = (view - 0.5) / torch.tensor(std).view(3, 1, 1, 1)
        assert segment_motion(normal, std=std).fixed.tolist() == [fixed]


def test_in_the_dark_a_change_nobody_sees_is_no_motion() -> None:
    """A black scene has no contrast to measure a change by: it counts as having a little."""
    for change, moves in ((0.003, False), (0.02, True)):
        view = torch.zeros(1, 3, 8, 112, 112)
        for t in range(8):
            view[:, :, t, 40:60, 10 * t : 10 * t + 20] += change
        assert (float(segment_motion(view, std=PLAIN).share) > 0.02) == moves


@pytest.mark.parametrize("size", [56, 112, 224])
def test_distances_grow_with_the_view(size: int) -> None:
    """Between two bars that flash a gap is closed if it is narrow for the size of the view."""
    unit = size / 112
    closed = []
    for gap in (7, 16):
        view = torch.nn.functional.interpolate(pan(0)[0], size=(size, size))[None]
        for left in (40 - 12, 40 + gap):
            bar = slice(round(left * unit), round((left + 12) * unit))
            view[:, :, 3:5, round(20 * unit) : round(80 * unit), bar] += 0.5
        at = round((40 + gap / 2) * unit)
        closed.append(float(segment_motion(view, std=PLAIN).mask[0, 0, 3, round(50 * unit), at]))
    assert closed == pytest.approx([1, 0], abs=0.01)


def test_elsewhere_is_over_the_scene_of_the_clip_before() -> None:
    view = torch.cat([scenes(count=3), pan(3.0)[..., 24:88, 24:88], scenes(4, 1)])
    segmentation = segment_motion(view, std=PLAIN)
    assert segmentation.fixed.tolist() == [True, True, True, False, True]
    index, every = torch.tensor([0, 0, 1, 2, 3]), torch.ones(5, dtype=torch.bool)
    found = swap_background(view, index, every, std=PLAIN)
    # Clip 1 has a neighbor of its own video, clip 3 a moving camera (but it can be a donor).
    for i, before in enumerate((4, None, 1, None, 3)):
        expected = view[i : i + 1]
        if before is not None:
            ground = segmentation.scene[before : before + 1]
            expected = paste_motion(expected, segmentation.mask[i : i + 1], ground)
            assert (expected - view[i]).abs().mean() > 0.05
        torch.testing.assert_close(found[i : i + 1], expected)
    some = torch.tensor([False, True, True, True, False])
    chosen = swap_background(view, index, some, std=PLAIN)
    assert torch.equal(chosen[[0, 1, 3, 4]], view[[0, 1, 3, 4]])
    assert torch.equal(chosen[2], found[2])


def test_swap_background_must_know_the_normalization() -> None:
    view, index, every = scenes(count=4), torch.arange(4), torch.ones(4, dtype=torch.bool)
    plain = swap_background(view, index, every, std=PLAIN)
    for std in ((0.02, 0.03, 0.04), (5.0, 4.0, 3.0)):
        by = torch.tensor(std).view(3, 1, 1, 1)
        found = swap_background((view - 0.4) / by, index, every, std=std) * by + 0.4
        torch.testing.assert_close(found, plain, atol=2e-3, rtol=0)
        assumed = swap_background((view - 0.4) / by, index, every) * by + 0.4
        assert (assumed - plain).abs().max() > 0.1


def test_likeness() -> None:
    stills = segment_motion(scenes(count=5), std=PLAIN).scene
    found = correlate_scenes(stills[:1], torch.cat([stills, 0.2 + stills[:1] / 3]))
    torch.testing.assert_close(found[[0, 5]], torch.ones(2))
    assert (found[1:5] < 0.8).all()
    assert correlate_scenes(stills[:1], torch.full_like(stills[:1], 0.3)).abs() < 1e-3


def test_mistakes() -> None:
    view = torch.rand(2, 3, 4, 16, 16)
    mask = torch.ones(2, 1, 4, 16, 16)
    with pytest.raises(ValueError, match="std has 1 values for 3 channels"):
        segment_motion(view, std=(1.0,))
    with pytest.raises(ValueError, match="a view is float"):
        segment_motion((view * 255).byte())
    with pytest.raises(ValueError, match="a view is float"):
        segment_motion(view[0])
    for scene in (view[:1, :, :1], view[:, :, :2]):
        with pytest.raises(ValueError, match="a scene of 1 or 4 frames"):
            paste_motion(view, mask, scene)
    with pytest.raises(ValueError, match="needs a mask"):
        paste_motion(view, mask[:, :, :1], view)
