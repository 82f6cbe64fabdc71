"""What a program is compared with: positives keep the motion, negatives break it."""

from __future__ import annotations

import math

import numpy as np
import pytest

from unscene.synthetic import contrasts
from unscene.synthetic.contrasts import Flow, Negatives, draw_contrast
from unscene.synthetic.figures import (
    Floats,
    MotionProgram,
    Viewing,
    draw_program,
    draw_viewing,
)

TIMES = (np.arange(13) - 6) / 15
ALL = Negatives(shift=(0.5, 1.0), pace=(1.6, 2.5), parts=3, mirrored=True)


def test_every_viewing_shows_something_and_the_negatives_come_by_name() -> None:
    rng = np.random.default_rng(0)
    for _ in range(5):
        flows = draw_contrast(rng, TIMES, 32, negatives=ALL).flows
        assert list(flows) == ["anchor", "positive", "shifted", "retimed", "mirrored", "shuffled"]
        assert all(flow.shape == (12, 32, 32, 2) for flow in flows.values())
        assert all(np.abs(flows[name]).max() > 0.02 for name in ("anchor", "positive"))
        others = [flow for name, flow in flows.items() if name != "anchor"]
        assert not any(np.array_equal(flows["anchor"], other) for other in others)


def test_negatives_do_not_change_what_they_are_compared_with() -> None:
    plain = draw_contrast(np.random.default_rng(1), TIMES, 32).flows
    more = draw_contrast(np.random.default_rng(1), TIMES, 32, negatives=ALL).flows
    assert list(plain) == ["anchor", "positive"]
    assert all(np.array_equal(plain[name], more[name]) for name in plain)


def test_a_shuffled_clip_has_the_same_steps_in_another_order() -> None:
    for seed in range(5):
        rng = np.random.default_rng(seed)
        flows = draw_contrast(rng, TIMES, 32, negatives=Negatives(parts=3)).flows
        anchor, shuffled = flows["anchor"], flows["shuffled"]
        order = [next(i for i in range(12) if np.array_equal(anchor[i], one)) for one in shuffled]
        if len({one.tobytes() for one in anchor}) == 12:  # no step twice
            assert sorted(order) == list(range(12))
            assert order != sorted(order)
            assert {order[i] // 4 for i in range(4)} == {order[0] // 4}  # parts stay whole


def test_a_mirrored_figure_moves_to_the_other_side() -> None:
    rng = np.random.default_rng(3)
    program = draw_program(rng, "person")
    anchor = draw_viewing(rng, "person", mirrored=False)
    changed = contrasts._change_viewing(rng, anchor, Negatives(mirrored=True))["mirrored"]
    first, other = (contrasts._paint(program, seen, TIMES, 64) for seen in (anchor, changed))
    # Mirrored about the root, which stays in its place.
    center = round((anchor.place[0] + 1) * 32)
    half = min(center, 64 - center)
    left, right = (flow[:, :, center - half : center + half] for flow in (first, other))
    flipped = right[:, :, ::-1] * [-1, 1]
    both = (np.abs(left).sum(-1) > 0) & (np.abs(flipped).sum(-1) > 0)
    either = (np.abs(left).sum(-1) > 0) | (np.abs(flipped).sum(-1) > 0)
    assert both.sum() > 0.7 * either.sum()  # cells of the border differ
    assert np.corrcoef(left[both].ravel(), flipped[both].ravel())[0, 1] > 0.9


def test_on_the_same_side_both_figures_face_it(monkeypatch: pytest.MonkeyPatch) -> None:
    sides: list[bool] = []

    def paint(program: MotionProgram, viewing: Viewing, times: Floats, grid: int) -> Flow:
        sides.append(math.cos(viewing.yaw) < 0)
        return np.ones((12, grid, grid, 2), np.float32)

    monkeypatch.setattr(contrasts, "_paint", paint)
    for same, agree in ((True, 1.0), (False, 0.5)):
        sides.clear()
        rng = np.random.default_rng(0)
        for _ in range(60):
            draw_contrast(rng, TIMES, 8, same_side=same)
        found = np.mean([a == b for a, b in zip(sides[::2], sides[1::2], strict=True)])
        assert abs(found - agree) < 0.2
        assert 0.2 < np.mean(sides) < 0.8


def test_simple_programs_and_profiles_are_drawn_on_demand(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[tuple[MotionProgram, Viewing]] = []

    def paint(program: MotionProgram, viewing: Viewing, times: Floats, grid: int) -> Flow:
        drawn.append((program, viewing))
        return np.ones((12, grid, grid, 2), np.float32)

    monkeypatch.setattr(contrasts, "_paint", paint)
    rng = np.random.default_rng(0)
    for _ in range(40):
        draw_contrast(rng, TIMES, 8, actions="simple", sides="profile")
    assert all(not program.changes and program.spread is None for program, _ in drawn)
    assert all(abs(math.cos(viewing.yaw)) > 0.3 for _, viewing in drawn)
    drawn.clear()
    for _ in range(40):
        draw_contrast(rng, TIMES, 8)
    assert any(program.changes for program, _ in drawn)
    assert sum(abs(math.cos(viewing.yaw)) < 0.3 for _, viewing in drawn) > 5
