"""`--preset official-code` of MoCo, DSM and DSM (Triplet) does what the DSM authors' code does."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from method_parts import B, batch, clips, method, views

from unscene.data.loading import Batch
from unscene.errors import UnsceneError
from unscene.methods.moco import MoCo
from unscene.methods.registry import resolve
from unscene.video.sampling import RandomClipSampler
from unscene.views import BasicAugmentation, geometry, make_view
from unscene.views.disturb import draw_bumps, draw_phi, scale_flow, warp_bumps


@pytest.mark.parametrize("name", ["moco", "dsm"])
def test_the_trained_network_embeds_the_negative_with_gradient(name: str) -> None:
    """A pass each for anchor and negative; the momentum encoder sees the positive alone."""
    model = method(name, "official-code", temperature=0.3).train()
    assert isinstance(model, MoCo)
    data = batch()
    shown = views(model, data)
    embedder, follower = copy.deepcopy(model.embedder), copy.deepcopy(model.momentum_encoder)
    queue = model.queue.features.clone()
    result = model.loss(data, shown)
    anchor, positive = embedder(shown["anchor"]), follower(shown["positive"])
    negative = embedder(shown["negative"])
    near = [(anchor * one).sum(dim=1, keepdim=True) for one in (positive, negative)]
    logits = torch.cat([*near, anchor @ queue.T], dim=1) / 0.3
    want = F.cross_entropy(logits, torch.zeros(B, dtype=torch.long))
    torch.testing.assert_close(result.loss, want)
    result.loss.backward()
    want.backward()  # through the negative, too
    for mine, theirs in zip(model.embedder.parameters(), embedder.parameters(), strict=True):
        torch.testing.assert_close(mine.grad, theirs.grad, rtol=1e-4, atol=1e-6)
    model.after_step()
    torch.testing.assert_close(model.queue.features[:B], positive)  # the queue holds keys


def test_the_negative_of_moco_is_a_clip_of_another_video() -> None:
    model = method("moco", "official-code", augmentation="none")
    data = Batch({"clip": clips(1)}, torch.arange(B))
    shown = views(model, data)
    torch.testing.assert_close(shown["negative"], shown["anchor"].roll(1, 0))
    with pytest.raises(UnsceneError, match="this batch holds a single video"):
        views(model, Batch({"clip": clips(1)}, torch.zeros(B, dtype=torch.long)))
    assert "negative" not in views(method("moco"), data)


def test_the_triplet_adds_the_negatives_in_reverse_order_and_passes_three_times() -> None:
    model = method("dsm-triplet", "official-code").train()
    shown = views(model, batch())
    network = copy.deepcopy(model.embedder)
    a, p, n = (network(shown[name]) for name in ("anchor", "positive", "negative"))
    loss = torch.nn.TripletMarginLoss(margin=0.5, eps=0.0)
    want = loss(a, p, n) + loss(a, p, n.flip(0))
    torch.testing.assert_close(model.loss(batch(), shown).loss, want)


@pytest.mark.parametrize("name", ["dsm", "dsm-triplet"])
def test_the_anchor_is_bumped_and_the_negative_is_a_plain_clip(name: str) -> None:
    data = batch()
    plain = views(method(name, "official-code", augmentation="none", warp=False), data)
    bumped = views(method(name, "official-code", augmentation="none"), data)
    torch.testing.assert_close(plain["positive"], plain["anchor"])  # of the same clip
    torch.testing.assert_close(bumped["positive"], plain["positive"])
    torch.testing.assert_close(bumped["negative"], plain["negative"])
    changed = (bumped["anchor"] - plain["anchor"]).abs().flatten(1).amax(1)
    assert (changed > 0.1).all()
    params = BasicAugmentation.none(32).center(data.clips["shifted"].sizes)
    whole = make_view(data.clips["shifted"], params, size=32)  # neither scaled nor warped
    torch.testing.assert_close(plain["negative"], whole)


def test_a_bump_moves_what_lies_around_its_center() -> None:
    """Point by point, in pixels of a view of 224, as the authors' code counts."""
    bumps = draw_bumps(3, torch.Generator().manual_seed(3))
    bumps[:, 1:, 4] = 0  # one each
    side = 224
    found = warp_bumps(geometry.identity(3), bumps, (side, side))
    rows = torch.arange(0, side, 7).tolist()
    for one, grid in zip(bumps, found, strict=True):
        center, radius = (one[0, 2 * k : 2 * k + 2] * 112 for k in (0, 1))
        center = center + 112 - 0.5  # the index of a pixel whose center is there
        assert bool((center + 0.5 >= 60).all())
        assert bool((center + 0.5 < 140).all())
        assert bool((radius >= 10).all())
        assert bool((radius < 20).all())
        moved = 0
        for y in rows:
            for x in rows:
                point, want = torch.tensor([x, y]), torch.zeros(2)
                if bool(((point - center).abs() < 3 * radius).all()):
                    away = float((point - center - radius).norm() / radius.norm())
                    want = -radius * 0.5 / (3 * away**4 + 1)
                    moved += 1
                shift = (grid[y, x] - geometry.pixel_centers((side, side))[y, x]) * 112
                torch.testing.assert_close(shift, want, rtol=1e-3, atol=1e-3)
        assert moved > 10


def test_bumps_are_one_to_three_and_the_same_in_all_frames() -> None:
    drawn = draw_bumps(3000, torch.Generator().manual_seed(0))
    counts = drawn[..., 4].sum(dim=1)
    for count in (1, 2, 3):
        assert 0.3 < (counts == count).float().mean() < 0.37


def test_a_negative_begins_anywhere_but_not_where_the_clip_does() -> None:
    sampler = RandomClipSampler(8, 2, shift=(2, 20), anywhere=True)
    rng, fps, duration = np.random.default_rng(0), 25.0, 12.0
    apart = []
    for _ in range(2000):
        request = sampler.draw(duration, fps, rng)
        clip, shifted = (request.offsets[name] for name in ("clip", "shifted"))
        assert min(clip[0], shifted[0]) == 0
        assert 0 <= request.at <= duration
        assert np.ptp(clip) == np.ptp(shifted) == 14
        apart.append(shifted[0] - clip[0])
    found = np.array(apart)
    assert found.min() < -200
    assert found.max() > 200
    assert (np.abs(found) > 20).mean() > 0.7
    assert 0 < abs(found.mean()) < 10  # neither is usually the earlier one


@pytest.mark.parametrize("name", ["moco", "dsm", "dsm-triplet"])
def test_one_factor_of_the_jitter_changes_a_clip(name: str) -> None:
    settings = resolve(name, "official-code")
    basic = BasicAugmentation.of(settings.augmentation)
    factors = basic.draw(torch.tensor([[240, 320]] * 4000), torch.Generator().manual_seed(0)).color
    neutral = {"brightness": 1.0, "contrast": 1.0, "saturation": 1.0, "hue": 0.0}
    changed = torch.stack([getattr(factors, key) != value for key, value in neutral.items()])
    assert (changed.sum(0) == 1).all()
    assert ((changed.float().mean(1) - 0.25).abs() < 0.03).all()
    assert (factors.brightness.max(), factors.hue.abs().max()) > (1.49, 0.49)
    assert not factors.gray.any()


def test_what_lies_outside_of_the_frame_is_black_or_repeats_the_border() -> None:
    """`--flow_border`; the authors' sampler and the paper's "black boundary" are black."""
    data = clips(1, level=150)
    data = replace(data, flow=torch.full_like(data.flow, -0.1))  # type: ignore[arg-type]
    generator = torch.Generator().manual_seed(0)
    phi = draw_phi(B, data.frames, generator)
    params = BasicAugmentation(32, mean=(0, 0, 0), std=(1, 1, 1), short_side=1.0).center(data.sizes)
    repeated = make_view(data, params, size=32, phi=phi)
    black = make_view(data, replace(params, black_outside=True), size=32, phi=phi)
    assert data.flow is not None
    grid, _ = scale_flow(geometry.grid(params.affine, (32, 32)), data.flow, phi)
    outside = (grid.abs() > 1).any(-1)[:, None].expand_as(black)
    assert 0.02 < outside.float().mean() < 0.5
    assert black[outside].abs().max() < 1e-6
    torch.testing.assert_close(black[~outside], repeated[~outside])
    assert repeated.min() > 0.1
    # The setting of DSM: black in the paper's preset, in ours the border.
    shown = {
        preset: views(method("dsm", preset, augmentation="none"), batch(clip=data, shifted=data))
        for preset in ("paper", "default")
    }
    darkest = {preset: view["negative"].amin() for preset, view in shown.items()}
    assert darkest["paper"] < darkest["default"] - 0.5
    assert shown["paper"]["anchor"].amin() > darkest["paper"] + 0.5


def test_unscene_keeps_the_papers_views() -> None:
    for changes in ({"warp_on": "anchor"}, {"shift_start": "anywhere"}):
        with pytest.raises(UnsceneError, match=next(iter(changes))):
            resolve("unscene", "default", changes)
