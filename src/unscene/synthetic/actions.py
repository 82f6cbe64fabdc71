"""Motion programs like whole actions, seen from all sides: what a motion encoder is taught by.

    gait       legs and arms swing as in walking or running; speed, rate and posture go together
    swings     any joint, in the middle plane or away from it
    changes    one to three changes of pose: crouching, rising, reaching; taken back or not
    leaps      or bobbing
    turns      once, or all the time

`figures.draw_program` draws simpler programs for footage: one change, and bodies seen from the
side. Here bodies are seen from all sides and heights, near or far.

Source: ours. Proportions of speed, rate and swing are rough values of human gait; no footage was
used.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from unscene.synthetic.figures import (
    KINDS,
    SKELETONS,
    Change,
    Floats,
    Kind,
    MotionProgram,
    Skeleton,
    Viewing,
    draw_viewing,
    make_still_program,
)

_PI = math.pi
_KINDS = (0.6, 0.25, 0.15)  # people, animals, machines
_PARTS = (0.55, 0.6, 0.45, 0.25, 0.25)  # shares with swings, changes, travel, leaps, turns
_HEIGHT = (0.45, 2.2)  # of a body, normalized units


def draw_action(rng: np.random.Generator, span: float, kind: Kind | None = None) -> MotionProgram:
    """Draw a motion program of several parts.

    Args:
        rng: is advanced.
        span: seconds that are shown; changes of pose lie within them.
        kind: of the body; drawn if it is None.

    >>> action = draw_action(np.random.default_rng(0), 1.6, "person")
    >>> action.swing.shape
    (10,)
    """
    kind = kind or KINDS[int(rng.choice(len(KINDS), p=_KINDS))]
    skeleton = SKELETONS[kind]
    limbs = len(skeleton.parents)
    swings, changes, travels, leaps, turns = rng.random(5) < _PARTS
    if not (swings or changes or travels or leaps or turns):
        swings = True
    free = _free_limbs(skeleton)
    program = replace(
        make_still_program(kind),
        rate=float(np.exp(rng.uniform(math.log(0.5), math.log(2.5)))),
        phase=rng.uniform(0, 2 * _PI, limbs),
        held=_draw_posture(rng, limbs),
        spread=np.zeros(limbs),
        apart=np.abs(rng.normal(0, 0.12, limbs)) * free,
    )
    if swings:
        program = _swing(rng, program, free)
    program = _pair_limbs(rng, program)
    if travels:
        program = _travel(rng, program, skeleton, span)
    if leaps and not program.bob:
        drop = rng.choice((1, -1, -1)) * rng.uniform(0.04, 0.4)
        program = replace(program, drop=float(drop))
    if changes:
        program = _change_pose(rng, program, skeleton, span, free)
    return _turn(rng, program, span) if turns else program


def draw_view_around(rng: np.random.Generator, kind: Kind) -> Viewing:
    """Draw a viewing from any side, from above or level, from near or far.

    Args:
        rng: is advanced.
        kind: of the body.
    """
    level = rng.random() < 0.8
    return replace(
        draw_viewing(rng, kind),
        yaw=float(rng.uniform(0, 2 * _PI)),
        height=float(np.exp(rng.uniform(*np.log(_HEIGHT)))),
        elevation=float(abs(rng.normal(0, 0.25)) if level else rng.uniform(0, 0.9)),
        distance=float(rng.uniform(2.0, 8.0)),
    )


def _free_limbs(skeleton: Skeleton) -> Floats:
    """1 for upper arms and thighs, which can leave the middle plane."""
    free: Floats = np.zeros(len(skeleton.parents))
    for pair in skeleton.pairs:
        for limb in pair:
            free[limb] = skeleton.parents[limb] <= 0
    return free


def _draw_posture(rng: np.random.Generator, limbs: int) -> Floats:
    held: Floats = rng.normal(0, 0.15, limbs)
    if rng.random() < 0.4:
        held += (rng.random(limbs) < 0.3) * rng.normal(0, 0.9, limbs)
    held[0] = rng.normal(0, 0.12 if rng.random() < 0.8 else 0.6)
    return held


def _swing(rng: np.random.Generator, program: MotionProgram, free: Floats) -> MotionProgram:
    """Some joints swing; some of them away from the middle plane too."""
    limbs = len(program.swing)
    moves = rng.random(limbs) < rng.uniform(0.2, 0.8)
    moves[int(rng.integers(limbs))] = True
    swing = moves * rng.gamma(3.0, 0.17, limbs).clip(0, 1.3)
    swing[0] *= 0.2  # a trunk rocks little
    spread: Floats = np.zeros(limbs)
    if rng.random() < 0.35:
        spread = (rng.random(limbs) < 0.5) * free * rng.gamma(3.0, 0.15, limbs).clip(0, 1.1)
    harmonic: Floats = np.where(rng.random(limbs) < 0.15, 2.0, 1.0)
    return replace(program, swing=swing, spread=spread, harmonic=harmonic)


def _pair_limbs(rng: np.random.Generator, program: MotionProgram) -> MotionProgram:
    """Left and right swing in antiphase, together, or only one of them as drawn."""
    mode = rng.random()
    if mode > 0.85:
        return program
    rows = {name: getattr(program, name).copy() for name in ("held", "apart", "swing", "spread")}
    harmonic, phase = program.harmonic.copy(), program.phase.copy()
    for left, right in SKELETONS[program.kind].pairs:
        for row in (*rows.values(), harmonic):
            row[right] = row[left]
        phase[right] = phase[left] + (_PI if mode < 0.55 else 0.0)
    return replace(program, harmonic=harmonic, phase=phase, **rows)


def _travel(
    rng: np.random.Generator, program: MotionProgram, skeleton: Skeleton, span: float
) -> MotionProgram:
    """Go somewhere: with the limbs of a gait most of the time."""
    sidestep = float(rng.normal(0, 0.5)) * (rng.random() < 0.15)
    halt = float(rng.uniform(-0.3, 0.3) * span) if rng.random() < 0.15 else math.inf
    program = replace(program, sidestep=sidestep, halt=halt)
    if not skeleton.pairs or rng.random() > 0.8:
        speed = float(rng.choice((1, 1, 1, -1)) * rng.uniform(0.15, 2.0))
        return replace(program, speed=speed)
    runs = rng.random() < 0.45
    speed = rng.uniform(1.1, 2.8) if runs else rng.uniform(0.3, 1.1)
    rate = rng.uniform(1.15, 1.7) if runs else rng.uniform(0.55, 0.8) + 0.35 * speed
    backwards = rng.random() < 0.08
    return replace(
        _walk(rng, program, skeleton, float(speed), runs),
        speed=float(-speed if backwards else speed),
        rate=float(rate * (1.15 if program.kind == "animal" else 1.0)),
        sidestep=0.3 * sidestep,
        bob=float(rng.uniform(0.02, 0.06)) * runs,
    )


def _walk(
    rng: np.random.Generator,
    program: MotionProgram,
    skeleton: Skeleton,
    speed: float,
    runs: bool,
) -> MotionProgram:
    """Legs swing in antiphase, knees a little later; arms swing against the legs."""
    swing, held, phase = program.swing.copy(), program.held.copy(), program.phase.copy()
    spread, harmonic = program.spread, program.harmonic.copy()
    assert spread is not None
    spread = spread.copy()
    wide = 0.55 * rng.uniform(0.8, 1.35) if runs else (0.22 + 0.28 * speed) * rng.uniform(0.8, 1.25)
    busy = rng.random() < 0.25  # the arms do something else
    if program.kind == "person":
        held[0] = rng.normal(0, 0.05) - rng.uniform(0.05, 0.3) * runs  # leans forward
    feet = set(skeleton.feet)
    for left, right in skeleton.pairs:
        parent = skeleton.parents[left]
        if left in feet:  # a lower leg
            swing[left] = (0.75 if runs else 0.35) * rng.uniform(0.7, 1.3)
            phase[left] = phase[parent] - rng.uniform(1.2, 2.2)
            held[left] = rng.normal(0, 0.1)
        elif any(skeleton.parents[foot] == left for foot in feet):  # an upper one
            swing[left] = wide * rng.uniform(0.85, 1.15)
            phase[left] = 0.0 if program.kind == "person" else _PI * rng.random()
            held[left] = rng.normal(0.1 * runs, 0.08)
        elif busy:
            continue
        elif parent == 0:  # an upper arm
            swing[left] = wide * rng.uniform(0.5, 1.1)
            phase[left], held[left] = _PI, rng.normal(0, 0.1)
        else:
            swing[left] = 0.15 * rng.random()
            held[left] = rng.uniform(1.0, 1.7) if runs else rng.uniform(0.1, 0.5)
        spread[[left, right]], harmonic[[left, right]] = 0.0, 1.0
        swing[right], held[right] = swing[left], held[left]
        phase[right] = phase[left] + _PI
    return replace(program, swing=swing, held=held, phase=phase, spread=spread, harmonic=harmonic)


def _change_pose(
    rng: np.random.Generator,
    program: MotionProgram,
    skeleton: Skeleton,
    span: float,
    free: Floats,
) -> MotionProgram:
    """One to three changes of pose; half of the later ones take the last one back."""
    count = int(rng.choice((1, 1, 2, 3)))
    moments = np.sort(rng.uniform(-0.45, 0.45, count)) * span
    held = program.held.copy()
    changes: list[Change] = []
    for moment in moments if count > 1 else moments / 2:
        if changes and rng.random() < 0.5:
            last = changes[-1]
            change = replace(last, angle=-last.angle, spread=-last.spread)
        else:
            change = _draw_change(rng, skeleton, free)
            if program.kind == "person" and rng.random() < 0.4:
                change, bent = _crouch(rng, skeleton, change)
                held += bent
        duration = float(rng.uniform(0.25, 1.1))
        changes.append(replace(change, moment=float(moment), duration=duration))
    return replace(program, held=held, changes=tuple(changes))


def _draw_change(rng: np.random.Generator, skeleton: Skeleton, free: Floats) -> Change:
    limbs = len(free)
    angle = (rng.random(limbs) < rng.uniform(0.2, 0.8)) * rng.normal(0, 1.0, limbs)
    angle[0] *= 0.35
    spread = (rng.random(limbs) < 0.4) * free * np.abs(rng.normal(0, 0.8, limbs))
    spread *= rng.random() < 0.5
    if rng.random() < 0.75:
        for left, right in skeleton.pairs:
            angle[right], spread[right] = angle[left], spread[left]
    return Change(angle, spread, 0.0, 1.0)


def _crouch(rng: np.random.Generator, skeleton: Skeleton, change: Change) -> tuple[Change, Floats]:
    """Make a change one that crouches, or rises; and the posture that it needs before."""
    depth = float(rng.uniform(0.5, 1.6))
    rises = rng.random() < 0.5
    bent: Floats = np.zeros(len(change.angle))
    for shank in skeleton.feet:
        bent[skeleton.parents[shank]] = depth
        bent[shank] = -2 * depth * rng.uniform(0.8, 1.1)
    bent[0] = -rng.uniform(0, 0.4) * depth
    angle = np.where(bent != 0, -bent if rises else bent, change.angle)
    return replace(change, angle=angle), bent if rises else np.zeros_like(bent)


def _turn(rng: np.random.Generator, program: MotionProgram, span: float) -> MotionProgram:
    """Turn once, or all the time; who turns all the time goes slowly."""
    if rng.random() < 0.4:
        return replace(program, whirl=float(rng.normal(0, 2.5)), speed=0.3 * program.speed)
    limbs = len(program.held)
    turn = Change(
        np.zeros(limbs),
        np.zeros(limbs),
        moment=float(rng.uniform(-0.25, 0.25) * span),
        duration=float(rng.uniform(0.4, 1.3)),
        turn=float(rng.choice((-1, 1)) * rng.uniform(0.8, _PI)),
    )
    return replace(program, changes=(*program.changes, turn))
