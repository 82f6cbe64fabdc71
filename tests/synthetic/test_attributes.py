"""Numbers of a motion: they follow what a body does, and not how it is seen."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from unscene.synthetic.actions import draw_action, draw_view_around
from unscene.synthetic.attributes import ATTRIBUTES, describe_motion
from unscene.synthetic.figures import KINDS, Change, Kind, MotionProgram, make_still_program

TIMES = (np.arange(25) - 12) / 15
STILL = make_still_program("person")


def _describe(program: MotionProgram, **how: object) -> dict[str, float]:
    seen = draw_view_around(np.random.default_rng(0), program.kind)
    plain = {"pace": 1.0, "start": 0.0, "swapped": False, "yaw": 0.3}
    seen = replace(seen, **{**plain, **how})  # type: ignore[arg-type]
    return dict(zip(ATTRIBUTES, describe_motion(program, seen, TIMES), strict=True))


@pytest.mark.parametrize("kind", KINDS)
def test_numbers_do_not_depend_on_where_a_body_is_seen_from(kind: Kind) -> None:
    rng = np.random.default_rng(1)
    for _ in range(10):
        program = draw_action(rng, 1.6, kind)
        first = _describe(program, yaw=0.0, height=0.5)
        other = _describe(program, yaw=2.0, height=2.0, elevation=0.5, place=(0.4, 0.1))
        assert first == pytest.approx(other, abs=1e-9)
        swapped = _describe(program, swapped=True)
        assert all(np.isfinite(list(swapped.values())))


def test_who_stands_does_nothing_and_is_a_person() -> None:
    numbers = _describe(STILL)
    assert numbers.pop("person") == 1
    assert not any(numbers.values())


def test_raised_arms_crouching_going_and_turning_have_their_numbers() -> None:
    angle, still = np.zeros(10), np.zeros(10)
    angle[[2, 4]] = 2.0
    raised = _describe(replace(STILL, changes=(Change(angle, still, -0.4, 0.5),)))
    assert raised["upper arms: first half"] > 0.8
    assert abs(raised["upper arms: second half"]) < 0.1
    assert raised["upper arms: together"] > 0.9
    assert raised["upper legs: speed"] == 0
    bent = np.zeros(10)
    bent[[6, 8]], bent[[7, 9]] = 1.2, -2.4
    crouched = _describe(replace(STILL, changes=(Change(bent, still, 0.4, 0.5),)))
    assert crouched["down, second half"] > 0.3
    assert abs(crouched["down, first half"]) < 0.05
    goes = _describe(replace(STILL, speed=1.0))
    assert goes["forward"] == pytest.approx(np.log(4))
    assert _describe(replace(STILL, speed=-1.0))["forward"] == pytest.approx(-np.log(4))
    halts = _describe(replace(STILL, speed=1.0, halt=0.0))
    assert halts["going, second half"] == pytest.approx(0)
    assert _describe(replace(STILL, whirl=2.0))["turning, first half"] == pytest.approx(np.log(3))


def test_legs_in_turn_or_together() -> None:
    swing, phase = np.zeros(10), np.zeros(10)
    swing[[6, 8]] = 0.5
    assert _describe(replace(STILL, swing=swing))["upper legs: together"] > 0.9
    phase[8] = np.pi
    assert _describe(replace(STILL, swing=swing, phase=phase))["upper legs: together"] < -0.9
