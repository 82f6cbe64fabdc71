"""Articulated figures that follow motion programs: footage that teaches motion.

    a program (what is done)        how each joint swings, turns or rests; where the figure goes
    a viewing (how it is seen)      body, size, place, direction, pace, beginning
    limbs of every frame            `pose_figure`
    flow                            `raster.paint_flow`: exact, and no video is needed

Two viewings of one program show the same motion of different bodies in different places. So a
program is a label, and its viewings are its positives.

Convention
----------
Coordinates are normalized: the frame is 2 wide and 2 high, x to the right, y down. Times are in
seconds. Lengths of bodies are shares of their height. Angles are in radians; a limb at 0 points
down, and positive is towards the side that the figure faces. Limbs may also point away from the
body's middle plane, by their `spread`. A body is solid: it is seen from any side.

Source: ours, after the prototype of methods.md, section 6. Related: Yu et al., "Learning Video
Representations without Natural Videos", 2024 (arXiv 2410.24213).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from unscene.synthetic.raster import chain_limbs

Floats = NDArray[np.float64]
Kind = Literal["person", "animal", "machine"]
KINDS: tuple[Kind, ...] = get_args(Kind)
_GAIT = (0.4, 2.2)  # Hz, of a swing that repeats
_PACE = 0.15  # a viewing is at most this much faster or slower than another
_EYE = 0.5  # body heights above the ground at which a camera looks at a body
_NEAREST = 0.4  # body heights; nothing comes closer to the camera


@dataclass(frozen=True)
class Skeleton:
    """The limbs of a body. A parent comes before its children.

    Attributes:
        parents: index of each limb's parent; -1 at the root.
        attached: where on its parent a limb begins, 0 to 1.
        rest: angle against the parent at rest.
        lengths, widths: shares of the body's height.
        sideways: offset to the left (positive) or right of the body's middle plane.
        pairs: (left, right) limbs, which swing alike or in antiphase.
        bends: limbs that bend to one side only (knees and elbows), and to which (+1 or -1).
        feet: limbs whose ends may stand on the ground.
    """

    parents: tuple[int, ...]
    attached: tuple[float, ...]
    rest: tuple[float, ...]
    lengths: tuple[float, ...]
    widths: tuple[float, ...]
    sideways: tuple[float, ...]
    pairs: tuple[tuple[int, int], ...]
    bends: dict[int, int]
    feet: tuple[int, ...]


_PI = math.pi
SKELETONS: dict[Kind, Skeleton] = {
    # torso, head, left upper arm and forearm, right ones, left thigh and shank, right ones
    "person": Skeleton(
        parents=(-1, 0, 0, 2, 0, 4, -1, 6, -1, 8),
        attached=(0, 1, 0.92, 1, 0.92, 1, 0, 1, 0, 1),
        rest=(_PI, 0, -_PI, 0, -_PI, 0, 0, 0, 0, 0),
        lengths=(0.30, 0.15, 0.17, 0.16, 0.17, 0.16, 0.24, 0.25, 0.24, 0.25),
        widths=(0.15, 0.11, 0.055, 0.05, 0.055, 0.05, 0.085, 0.065, 0.085, 0.065),
        sideways=(0, 0, 0.11, 0.11, -0.11, -0.11, 0.05, 0.05, -0.05, -0.05),
        pairs=((2, 4), (3, 5), (6, 8), (7, 9)),
        bends={3: 1, 5: 1, 7: -1, 9: -1},
        feet=(7, 9),
    ),
    # trunk (towards the head), neck, head, tail, then upper and lower legs: front left, front
    # right, hind left, hind right
    "animal": Skeleton(
        parents=(-1, 0, 1, -1, 0, 4, 0, 6, -1, 8, -1, 10),
        attached=(0, 1, 1, 0, 0.9, 1, 0.9, 1, 0, 1, 0, 1),
        rest=(_PI / 2, 0.9, -0.9, -1.2, -_PI / 2, 0, -_PI / 2, 0, 0, 0, 0, 0),
        lengths=(0.62, 0.22, 0.18, 0.3, 0.24, 0.24, 0.24, 0.24, 0.24, 0.24, 0.24, 0.24),
        widths=(0.2, 0.1, 0.11, 0.04, 0.08, 0.05, 0.08, 0.05, 0.09, 0.05, 0.09, 0.05),
        sideways=(0, 0, 0, 0, 0.07, 0.07, -0.07, -0.07, 0.07, 0.07, -0.07, -0.07),
        pairs=((4, 6), (5, 7), (8, 10), (9, 11)),
        bends={5: -1, 7: -1, 9: 1, 11: 1},
        feet=(5, 7, 9, 11),
    ),
    # base, mast, boom, arm, tool, counterweight
    "machine": Skeleton(
        parents=(-1, 0, 1, 2, 3, 1),
        attached=(0, 0.5, 1, 1, 1, 0.9),
        rest=(_PI / 2, _PI / 2, -0.9, -1.2, 0.3, 1.3),
        lengths=(0.5, 0.35, 0.45, 0.35, 0.16, 0.2),
        widths=(0.16, 0.12, 0.09, 0.07, 0.12, 0.14),
        sideways=(0, 0, 0, 0, 0, 0),
        pairs=(),
        bends={},
        feet=(0,),
    ),
}


@dataclass(frozen=True)
class Change:
    """A change of pose that stays.

    Attributes:
        angle: (L,) radians.
        spread: (L,) the same away from the middle plane, radians.
        moment, duration: its middle, seconds after the middle of the program; seconds.
        turn: change of the direction that the figure faces, radians.
    """

    angle: Floats
    spread: Floats
    moment: float
    duration: float
    turn: float = 0.0


@dataclass(frozen=True)
class MotionProgram:
    """What a figure does, whoever does it and wherever.

    Attributes:
        kind: of the body.
        rate: Hz of what repeats.
        swing: (L,) amplitude of each limb, radians.
        harmonic: (L,) times per period, 1 or 2.
        phase: (L,) radians.
        held: (L,) offset from rest all the time, radians.
        change: (L,) offset that sets in once, at `moment`.
        moment: (L,) seconds after the middle of the program, of each limb's change.
        duration: of a change, seconds.
        turn: change of the direction that the figure faces, together with the root's, radians.
        speed: forward, body heights a second.
        drop: vertical, body heights: bobbing with the period (negative: leaps off the ground).
        spin: whole body, radians a second.
        returns: a change is taken back at once: up and down again instead of up.
        changes: further changes of pose, each at its own time.
        spread: (L,) amplitude of swings away from the middle plane, radians.
        apart: (L,) offset away from the middle plane all the time, radians.
        sidestep: to the left, body heights a second.
        halt: when it stops going, seconds after the middle of the program.
        whirl: turns on the spot all the time, radians a second.
        bob: leaps twice a period, as in running, body heights.
        tempo: factor of all times; below 0 it runs backwards.
    """

    kind: Kind
    rate: float
    swing: Floats
    harmonic: Floats
    phase: Floats
    held: Floats
    change: Floats
    moment: Floats
    duration: float
    turn: float
    speed: float
    drop: float
    spin: float
    returns: bool = False
    changes: tuple[Change, ...] = ()
    spread: Floats | None = None
    apart: Floats | None = None
    sidestep: float = 0.0
    halt: float = math.inf
    whirl: float = 0.0
    bob: float = 0.0
    tempo: float = 1.0


@dataclass(frozen=True)
class Viewing:
    """How a program is seen.

    Attributes:
        proportions: (L, 2) factors of the lengths and widths of the limbs.
        height: of the body, normalized units.
        place: (x, y) of the root in the middle of the clip.
        yaw: direction that the figure faces at first, radians: 0 right, pi left.
        pace: factor of all times.
        start: seconds of the program at the middle of the clip.
        order: the order in which limbs are painted; a near camera paints the nearest limbs last.
        swapped: left and right limbs change roles.
        elevation: how steeply the camera looks down, radians.
        distance: of the camera, body heights; from a near one, what comes closer grows.
    """

    proportions: Floats
    height: float
    place: tuple[float, float]
    yaw: float
    pace: float
    start: float
    order: NDArray[np.int64]
    swapped: bool
    elevation: float = 0.0
    distance: float = math.inf


def make_still_program(kind: Kind) -> MotionProgram:
    """Make a program that does nothing; `dataclasses.replace` adds what a figure does.

    >>> bool(make_still_program("machine").swing.any())
    False
    """
    still: Floats = np.zeros(len(SKELETONS[kind].parents))
    return MotionProgram(
        kind=kind,
        rate=1.0,
        swing=still,
        harmonic=np.ones_like(still),
        phase=still,
        held=still,
        change=still,
        moment=still,
        duration=1.0,
        turn=0.0,
        speed=0.0,
        drop=0.0,
        spin=0.0,
    )


@dataclass(frozen=True)
class BodyMotion:
    """How a body moves in T frames, wherever it is seen from. Lengths are body heights.

    Attributes:
        angles: (T, L) of each joint in the middle plane, against rest, radians.
        spread: (T, L) away from it, to the left, radians.
        turned: (T,) change of the direction that the body faces, radians.
        body: (T, L, 2 ends, 3) forward, down, left of the root.
        gone: (T, 2) where the root has gone: to the right of the frame, and towards the camera.
        down: (T,) the root, against the ground.
    """

    angles: Floats
    spread: Floats
    turned: Floats
    body: Floats
    gone: Floats
    down: Floats


def draw_program(rng: np.random.Generator, kind: Kind | None = None) -> MotionProgram:
    """Draw a motion program.

    Four parts are on or off, at least one is on: swings that repeat, one change of pose, travel,
    and leaps, bobbing or spin.

    Args:
        rng: is advanced.
        kind: of the body; drawn (half of the bodies are people) if it is None.

    >>> program = draw_program(np.random.default_rng(0), "person")
    >>> program.swing.shape, program.kind
    ((10,), 'person')
    """
    kind = kind or KINDS[int(rng.choice(3, p=(0.5, 0.3, 0.2)))]
    skeleton = SKELETONS[kind]
    limbs = len(skeleton.parents)
    parts = rng.random(4) < (0.7, 0.4, 0.5, 0.3)
    if not parts.any():
        parts[0] = True
    swing: Floats = np.zeros(limbs)
    change: Floats = np.zeros(limbs)
    held: Floats = np.zeros(limbs)
    harmonic: Floats = np.ones(limbs)
    phase = rng.uniform(0, 2 * _PI, limbs)
    if parts[0]:
        moves = rng.random(limbs) < rng.uniform(0.25, 0.9)
        moves[int(rng.integers(limbs))] = True
        swing = moves * rng.gamma(3.0, 0.17, limbs).clip(0, 1.3)
        swing[0] *= 0.2  # a trunk rocks little
        harmonic += rng.random(limbs) < 0.15
    held += rng.normal(0, 0.15, limbs)
    if rng.random() < 0.4:
        held += (rng.random(limbs) < 0.3) * rng.normal(0, 0.9, limbs)
    held[0] = rng.normal(0, 0.12) if rng.random() < 0.8 else rng.normal(0, 0.6)
    if parts[1]:
        change = (rng.random(limbs) < rng.uniform(0.2, 0.8)) * rng.normal(0, 1.0, limbs)
        change[0] *= 0.3
    mode = rng.random()  # of pairs: antiphase, in phase, one side only
    for left, right in skeleton.pairs:
        if mode < 0.85:
            held[right], harmonic[right], swing[right] = held[left], harmonic[left], swing[left]
            phase[right] = phase[left] + (_PI if mode < 0.55 else 0.0)
        if rng.random() < 0.75:
            change[right] = change[left]
    return MotionProgram(
        kind=kind,
        rate=float(np.exp(rng.uniform(*np.log(_GAIT)))),
        swing=swing,
        harmonic=harmonic,
        phase=phase,
        held=held,
        change=change,
        moment=np.zeros(limbs),
        duration=float(rng.uniform(0.3, 1.2)),
        turn=float(rng.choice((-1, 1)) * rng.uniform(0.5, _PI)) * (parts[1] and rng.random() < 0.4),
        speed=float(rng.choice((1, 1, 1, -1)) * rng.uniform(0.1, 1.2)) * parts[2],
        drop=float(rng.choice((1, -1, -1)) * rng.uniform(0.03, 0.3)) * parts[3],
        spin=float(rng.normal(0, 2.0)) * (parts[3] and rng.random() < 0.15),
    )


def draw_viewing(rng: np.random.Generator, kind: Kind, *, mirrored: bool | None = None) -> Viewing:
    """Draw how a program is seen: body, size, place, direction, pace and beginning.

    Args:
        rng: is advanced.
        kind: of the body.
        mirrored: the figure faces left instead of right; drawn if it is None.
    """
    limbs = len(SKELETONS[kind].parents)
    facing = rng.random() < 0.5 if mirrored is None else mirrored
    proportions = np.exp(
        rng.normal(0, (0.1, 0.2), (limbs, 2)) + rng.normal((0, 0.2), (0.08, 0.2), 2)
    )
    for left, right in SKELETONS[kind].pairs:
        proportions[right] = proportions[left]
    order = np.arange(limbs)
    if rng.random() < 0.2:
        order = rng.permutation(limbs)
    return Viewing(
        proportions=proportions,
        height=float(np.exp(rng.uniform(math.log(0.5), math.log(2.2)))),
        place=(float(rng.uniform(-0.5, 0.5)), float(rng.uniform(-0.3, 0.3))),
        yaw=float(rng.normal(0, 0.35)) + (_PI if facing else 0.0),
        pace=float(rng.uniform(1 - _PACE, 1 + _PACE)),
        start=float(rng.uniform(-0.3, 0.3)),
        order=order.astype(np.int64),
        swapped=bool(rng.random() < 0.5),
    )


def pose_figure(program: MotionProgram, viewing: Viewing, times: Floats) -> tuple[Floats, Floats]:
    """Place the limbs of a figure in every frame, in the order in which they are painted.

    Args:
        program: what is done.
        viewing: how it is seen.
        times: (T,) seconds before or after the middle of the clip.

    Returns:
        ends (T, L, 2, 2) and radius, normalized units: (L,), or (T, L) from a near camera.

    >>> rng = np.random.default_rng(0)
    >>> program = draw_program(rng, "animal")
    >>> ends, radius = pose_figure(program, draw_viewing(rng, "animal"), np.arange(13) / 15)
    >>> ends.shape, radius.shape
    ((13, 12, 2, 2), (12,))
    """
    skeleton, moving = SKELETONS[program.kind], move_body(program, viewing, times)
    yaw = viewing.yaw + moving.turned
    cos, sin = np.cos(yaw)[:, None, None], np.sin(yaw)[:, None, None]
    forward, down, left = np.moveaxis(moving.body, -1, 0)
    x = cos * forward + sin * left + moving.gone[:, 0, None, None]
    y = down + moving.down[:, None, None]
    radius = np.array(skeleton.widths) * viewing.proportions[:, 1] * (viewing.height / 2)
    order = viewing.order
    if viewing.elevation or viewing.distance < math.inf:
        depth = cos * left - sin * forward + moving.gone[:, 1, None, None]  # towards the camera
        y, depth = _look_down(y + _EYE, depth, viewing.elevation)
        scale = 1 / np.maximum(1 - depth / viewing.distance, _NEAREST / viewing.distance)
        x, y, radius = x * scale, y * scale, radius * scale.mean(axis=2)
        order = np.argsort(depth.mean(axis=(0, 2)))
    ends = np.stack([x, y], axis=-1)
    center = ends[len(times) // 2].reshape(-1, 2).mean(0)
    ends = (ends - center) * viewing.height + np.array(viewing.place)
    return np.ascontiguousarray(ends[:, order]), np.ascontiguousarray(radius[..., order])


def move_body(program: MotionProgram, viewing: Viewing, times: Floats) -> BodyMotion:
    """Move the joints of a body, and the body as a whole.

    Args:
        program: what is done.
        viewing: whose body it is, its pace, and the direction that it faces at first.
        times: (T,) seconds before or after the middle of the clip.
    """
    skeleton = SKELETONS[program.kind]
    now = times * viewing.pace * program.tempo + viewing.start
    angles, spread, turned = _move_joints(program, viewing, now)
    body = chain_limbs(
        np.ascontiguousarray(angles + np.array(skeleton.rest)),
        np.ascontiguousarray(spread),
        np.array(skeleton.parents),
        np.array(skeleton.attached, float),
        np.array(skeleton.lengths) * viewing.proportions[:, 0],
        np.array(skeleton.sideways, float),
    )
    side = -1 if viewing.swapped else 1
    gone = _travel(program, now, viewing.yaw + turned, side)
    down = _leap(program, skeleton, body, now)
    return BodyMotion(angles, spread, turned, body, gone, down)


def _move_joints(
    program: MotionProgram, viewing: Viewing, now: Floats
) -> tuple[Floats, Floats, Floats]:
    """Angles and spread of the joints (T, L), and how far the figure has turned (T,)."""
    skeleton = SKELETONS[program.kind]
    cycle = 2 * _PI * program.rate * now
    share = (now[:, None] - program.moment) / program.duration + 0.5
    done = np.sin(_PI * share.clip(0, 1)) ** 2 if program.returns else _smooth(share)  # (T, L)
    wave = np.sin(cycle[:, None] * program.harmonic + program.phase)
    angles = program.held + done * program.change + wave * program.swing
    spread: Floats = np.zeros_like(angles)
    if program.apart is not None:
        spread += program.apart
    if program.spread is not None:
        spread += wave * program.spread
    turned = program.whirl * now + done[:, 0] * program.turn
    for change in program.changes:
        begun = _smooth((now - change.moment) / change.duration + 0.5)
        angles = angles + begun[:, None] * change.angle
        spread += begun[:, None] * change.spread
        turned = turned + begun * change.turn
    roles = np.arange(len(skeleton.parents))
    if viewing.swapped:
        turned = -turned
        for left, right in skeleton.pairs:
            roles[left], roles[right] = right, left
    angles, spread = angles[:, roles], np.abs(spread[:, roles])
    for limb, side in skeleton.bends.items():
        bent = angles[:, limb] + 0.8 * program.swing[roles[limb]]
        angles[:, limb] = side * np.abs(bent)
    for _, right in skeleton.pairs:
        spread[:, right] *= -1  # away from the middle plane on both sides
    angles[:, 0] += program.spin * now
    return angles, spread, turned


def _travel(program: MotionProgram, now: Floats, yaw: Floats, side: int) -> Floats:
    """How far the whole body has gone: to the right of the frame and towards the camera, (T, 2)."""
    steps = np.diff(np.minimum(now, program.halt), prepend=0.0)
    steps[0] = 0.0
    left = side * program.sidestep
    across = program.speed * np.cos(yaw) + left * np.sin(yaw)
    towards = left * np.cos(yaw) - program.speed * np.sin(yaw)
    return np.cumsum(np.stack([steps * across, steps * towards], axis=1), axis=0)


def _leap(program: MotionProgram, skeleton: Skeleton, body: Floats, now: Floats) -> Floats:
    """How far down the root is, (T,): the lowest foot is on the ground."""
    cycle = _PI * program.rate * now
    down: Floats = program.drop * (np.abs(np.sin(cycle)) if program.drop < 0 else np.sin(2 * cycle))
    down = down - program.bob * np.abs(np.sin(2 * cycle))
    if program.spin == 0:
        down = down - body[:, skeleton.feet, 1, 1].max(axis=1)
    return down


def _look_down(down: Floats, depth: Floats, elevation: float) -> tuple[Floats, Floats]:
    """Turn points about the horizontal axis: what is near is low in the frame."""
    cos, sin = math.cos(elevation), math.sin(elevation)
    return down * cos + depth * sin, depth * cos - down * sin


def _smooth(share: Floats) -> Floats:
    """From 0 to 1, slowly at both ends."""
    share = share.clip(0, 1)
    return share * share * (3 - 2 * share)
