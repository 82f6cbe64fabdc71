"""Bodies seen from all sides: perspective, depth, gaits, and programs that stay themselves."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from unscene.synthetic.actions import draw_action, draw_view_around
from unscene.synthetic.figures import (
    KINDS,
    Change,
    Kind,
    Viewing,
    draw_viewing,
    make_still_program,
    pose_figure,
)
from unscene.synthetic.raster import paint_flow

TIMES = (np.arange(25) - 12) / 15
STILL = make_still_program("person")


def _view(**how: object) -> Viewing:
    seen = draw_viewing(np.random.default_rng(0), "person", mirrored=False)
    plain = replace(
        seen,
        proportions=np.ones_like(seen.proportions),
        yaw=0.0,
        place=(0.0, 0.0),
        pace=1.0,
        start=0.0,
        swapped=False,
        height=1.0,
    )
    return replace(plain, **how)  # type: ignore[arg-type]


def _extent(ends: np.ndarray) -> np.ndarray:
    """Height of the figure in every frame, (T,)."""
    return np.ptp(ends[..., 1].reshape(len(ends), -1), axis=1)


@pytest.mark.parametrize("kind", KINDS)
def test_actions_of_all_bodies_are_finite_and_many_are_seen(kind: Kind) -> None:
    rng, seen = np.random.default_rng(0), 0
    for _ in range(60):
        program = draw_action(rng, 1.6, kind)
        ends, radius = pose_figure(program, draw_view_around(rng, kind), TIMES)
        assert np.isfinite(ends).all()
        assert (radius > 0).all()
        assert radius.shape == ends.shape[:2]
        flow = paint_flow(ends, radius, 32)
        assert np.isfinite(flow).all()
        seen += np.abs(flow).max() > 0.02
    assert seen > 35


def test_who_comes_towards_a_near_camera_grows_and_its_flow_points_outwards() -> None:
    program = replace(STILL, speed=1.0)
    towards, away = (_view(yaw=yaw, distance=4.0) for yaw in (-np.pi / 2, np.pi / 2))
    ends, radius = pose_figure(program, towards, TIMES)
    assert _extent(ends)[-1] > 1.3 * _extent(ends)[0]
    assert (radius[-1] > 1.3 * radius[0]).all()
    farther, _ = pose_figure(program, away, TIMES)
    assert _extent(farther)[-1] < 0.8 * _extent(farther)[0]
    flow = paint_flow(ends, radius, 64)[12]
    at = (np.arange(64) + 0.5) / 32 - 1
    moving = np.abs(flow).sum(-1) > 0
    outwards = (flow[..., 0] * at)[moving]  # flow points back, so inwards
    assert np.corrcoef(flow[moving][:, 0], np.broadcast_to(at, (64, 64))[moving])[0, 1] < -0.5
    assert outwards.mean() < 0


def test_who_comes_closer_to_a_camera_that_looks_down_sinks_in_the_frame() -> None:
    ends, _ = pose_figure(replace(STILL, speed=1.0), _view(yaw=-np.pi / 2, elevation=0.5), TIMES)
    middle = ends[..., 1].mean(axis=(1, 2))
    assert (np.diff(middle) > 0).all()


def test_a_swing_of_the_legs_is_hardly_seen_from_the_front() -> None:
    swing = np.zeros(10)
    swing[[6, 8]] = 0.6
    program = replace(STILL, swing=swing)
    side, _ = pose_figure(program, _view(), TIMES)
    front, _ = pose_figure(program, _view(yaw=-np.pi / 2), TIMES)
    moved, of_it_seen = (np.ptp(ends[..., 0], axis=0).max() for ends in (side, front))
    assert moved > 0.3
    assert of_it_seen < 0.01


def test_arms_spread_to_both_sides() -> None:
    spread = np.zeros(10)
    spread[[2, 4]] = 1.2
    rising = Change(np.zeros(10), spread, 0.0, 0.5)
    ends, _ = pose_figure(replace(STILL, changes=(rising,)), _view(yaw=-np.pi / 2), TIMES)
    width = np.ptp(ends[..., 0].reshape(25, -1), axis=1)
    assert width[-1] > width[0] + 0.4
    middle = ends[..., 0].reshape(25, -1)
    assert middle[-1].max() + middle[-1].min() == pytest.approx(0, abs=0.05)


@pytest.mark.parametrize(("yaw", "painted"), [(0.0, 8), (np.pi, 0)])
def test_nearer_limbs_are_painted_last(yaw: float, painted: int) -> None:
    seen = _view(distance=3.0, yaw=yaw)
    seen.proportions[[2, 3], 1] = 6.0  # the left arm, upper and lower, is the widest limb
    _, radius = pose_figure(STILL, seen, TIMES[:2])
    assert set(np.argsort(radius[0])[-2:]) == {painted, painted + 1}


def test_backwards_is_the_same_way_back() -> None:
    program = draw_action(np.random.default_rng(3), 1.6, "person")
    seen = _view(yaw=1.0, distance=4.0, elevation=0.2)
    onwards, _ = pose_figure(program, seen, TIMES)
    back, _ = pose_figure(replace(program, tempo=-1.0), seen, TIMES)
    np.testing.assert_allclose(back[::-1], onwards, atol=1e-9)


def test_runs_are_faster_than_walks_and_leap() -> None:
    rng = np.random.default_rng(0)
    drawn = [draw_action(rng, 1.6, "person") for _ in range(600)]
    runs = [p for p in drawn if p.bob and not p.whirl]
    walks = [p for p in drawn if p.speed and not p.bob and not p.whirl]
    assert len(runs) > 40
    assert len(walks) > 40
    assert min(abs(p.speed) for p in runs) > 1.0
    assert np.median([p.rate for p in runs]) > np.median([p.rate for p in walks])
