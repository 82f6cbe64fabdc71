"""Articulated figures: their flow is exact, and a program stays itself in every viewing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from unscene.synthetic.figures import (
    KINDS,
    SKELETONS,
    Kind,
    draw_program,
    draw_viewing,
    pose_figure,
)
from unscene.synthetic.raster import chain_limbs, paint_flow

TIMES = (np.arange(13) - 6) / 15


@pytest.mark.parametrize("kind", KINDS)
def test_skeletons_are_complete(kind: Kind) -> None:
    skeleton = SKELETONS[kind]
    count = len(skeleton.parents)
    rows = (skeleton.attached, skeleton.rest, skeleton.lengths, skeleton.widths, skeleton.sideways)
    assert all(len(row) == count for row in rows)
    assert all(parent < i for i, parent in enumerate(skeleton.parents))
    assert all(0 <= limb < count for pair in skeleton.pairs for limb in pair)


@pytest.mark.parametrize("kind", KINDS)
def test_limbs_hold_together_and_keep_their_length(kind: Kind) -> None:
    skeleton = SKELETONS[kind]
    rng = np.random.default_rng(0)
    count = len(skeleton.parents)
    ends = chain_limbs(
        rng.normal(size=(5, count)),
        rng.normal(size=(5, count)),
        np.array(skeleton.parents),
        np.array(skeleton.attached, float),
        np.array(skeleton.lengths),
        np.zeros(count),
    )
    lengths = np.linalg.norm(ends[:, :, 1] - ends[:, :, 0], axis=-1)
    np.testing.assert_allclose(lengths, np.broadcast_to(skeleton.lengths, lengths.shape))
    for i, (parent, share) in enumerate(zip(skeleton.parents, skeleton.attached, strict=True)):
        if parent >= 0:
            begin = (1 - share) * ends[:, parent, 0] + share * ends[:, parent, 1]
            np.testing.assert_allclose(ends[:, i, 0], begin, atol=1e-12)


def test_flow_of_a_limb_that_shifts_is_its_shift() -> None:
    ends = np.zeros((2, 1, 2, 2))
    ends[0, 0] = [[-0.3, 0.0], [0.3, 0.0]]
    ends[1, 0] = ends[0, 0] + [0.1, 0.05]
    flow = paint_flow(ends, np.array([0.2]), 32)
    moving = np.abs(flow[0]).sum(-1) > 0
    assert 0.05 < moving.mean() < 0.3
    np.testing.assert_allclose(flow[0][moving], [[-0.1, -0.05]] * moving.sum(), atol=1e-6)


def test_flow_of_a_limb_that_turns_leads_back_to_where_each_point_was() -> None:
    angle = 0.2
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    ends = np.zeros((2, 1, 2, 2))
    ends[0, 0] = [[0.0, 0.0], [0.8, 0.0]]
    ends[1, 0] = ends[0, 0] @ turn.T
    grid = 64
    flow = paint_flow(ends, np.array([0.1]), grid)[0]
    at = (np.arange(grid) + 0.5) * 2 / grid - 1
    points = np.stack(np.meshgrid(at, at), axis=-1)
    moving = np.abs(flow).sum(-1) > 1e-6
    np.testing.assert_allclose((points + flow)[moving], points[moving] @ turn, atol=1e-5)


def test_the_last_limb_covers_the_others() -> None:
    ends = np.zeros((2, 2, 2, 2))
    ends[0] = [[-0.5, 0.0], [0.5, 0.0]], [[0.0, -0.5], [0.0, 0.5]]
    ends[1] = ends[0]
    ends[1, 0] += [0.1, 0.0]
    ends[1, 1] += [0.0, 0.1]
    flow = paint_flow(ends, np.array([0.1, 0.1]), 32)[0]
    np.testing.assert_allclose(flow[16, 16], [0, -0.1], atol=1e-6)


def test_same_seed_same_figures() -> None:
    def make(seed: int) -> np.ndarray:
        rng = np.random.default_rng(seed)
        program = draw_program(rng)
        ends, radius = pose_figure(program, draw_viewing(rng, program.kind), TIMES)
        return paint_flow(ends, radius, 32)

    np.testing.assert_array_equal(make(4), make(4))
    assert not np.array_equal(make(4), make(5))


def test_a_mirrored_viewing_mirrors_the_motion() -> None:
    rng = np.random.default_rng(2)
    program = draw_program(rng, "person")
    viewing = draw_viewing(rng, "person", mirrored=False)
    right = replace(viewing, yaw=0.0, place=(0.0, 0.0))
    left = replace(right, yaw=np.pi)
    ends, _ = pose_figure(program, right, TIMES)
    mirrored, _ = pose_figure(program, left, TIMES)
    np.testing.assert_allclose(ends[..., 1], mirrored[..., 1], atol=1e-9)
    np.testing.assert_allclose(ends[..., 0], -mirrored[..., 0], atol=1e-9)


def test_most_programs_move_visibly_and_stay_in_sight() -> None:
    rng = np.random.default_rng(0)
    seen = 0
    for _ in range(100):
        program = draw_program(rng)
        ends, radius = pose_figure(program, draw_viewing(rng, program.kind), TIMES)
        flow = paint_flow(ends, radius, 32)
        assert np.isfinite(flow).all()
        assert np.abs(flow).max() < 2
        seen += np.abs(flow).max() > 0.01
    assert seen >= 90
