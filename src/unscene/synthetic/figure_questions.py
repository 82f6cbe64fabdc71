"""Two motions in two worlds: questions about motion whose true answer is known.

                    world 0                     world 1
    motion 0    clip                        clip
    motion 1    clip                        clip

A world is a body, a place, light, camera and everything else that a clip shows beside the motion.
In one world both motions look alike in all but the motion. So whoever tells which clip of world 1
shows the motion of a clip of world 0 must have seen the motion. Both figures face one side, but in
"body", where either may face the other one.

    coarse   two programs that differ in everything
    fine     walk or run, raise the left or the right arm ...: `FINE`
    body     as coarse; both worlds are one place, and the bodies differ much
    order    A then B, or B then A; both are taken back, so that poses and directions are the same
    camera   as coarse, before a camera that pans, zooms, turns and shakes
    small    as coarse, by a small figure

Every clip shows the whole motion of `SECONDS`, however many frames it has.

Source: ours.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from unscene.synthetic.figure_scenes import (
    BODIES,
    CAMERA,
    FigureScenes,
    Floats,
    World,
    build_world,
    draw_distractor,
    draw_view,
    get_program,
    render_world,
)
from unscene.synthetic.figures import (
    SKELETONS,
    Kind,
    MotionProgram,
    Viewing,
    draw_viewing,
    make_still_program,
    pose_figure,
)
from unscene.synthetic.textures import KINDS as GROUNDS
from unscene.synthetic.textures import draw_ground

QuestionKind = Literal["coarse", "fine", "body", "order", "camera", "small"]
QUESTION_KINDS: tuple[QuestionKind, ...] = get_args(QuestionKind)
SECONDS = 1.6  # of motion that a clip shows
_SCENES = 8
_HEIGHT = {"small": (0.22, 0.3), "body": (0.4, 0.9)}  # of the body, in frame heights
_LIGHT, _NOISE = (0.5, 1.0), 4.0
_EVENT = 0.7  # seconds of one of two events; they lie as far apart
# Limbs that can do something while the others rest.
_EVENTS: dict[Kind, tuple[tuple[int, ...], ...]] = {
    "person": ((2, 3), (4, 5), (6, 7), (8, 9)),
    "animal": ((1, 2), (3,), (4, 5), (6, 7)),
    "machine": ((2,), (3,), (5,)),
}


@dataclass(frozen=True)
class FigureQuestion:
    """Two motions in two worlds.

    Attributes:
        question: what it asks.
        motions: names of both.
        worlds: [motion][world], T frames each.
        scenes: numbers of the scenes of both worlds.
        pixel_seeds: of the background's part and of what is painted, for both worlds.
        light: brightness of both worlds.
        seed: of the scenes.
    """

    question: QuestionKind
    motions: tuple[str, str]
    worlds: tuple[tuple[World, World], tuple[World, World]]
    scenes: tuple[int, int]
    pixel_seeds: tuple[tuple[int, int], tuple[int, int]]
    light: tuple[float, float]
    seed: int


def draw_question(question: QuestionKind, seed: int, number: int, frames: int) -> FigureQuestion:
    """Draw two motions and two worlds; the result depends on the arguments only.

    Args:
        question: what is asked.
        seed: of all questions.
        number: of this one; kinds of bodies and `FINE` take turns.
        frames: T of every clip, >= 1.

    >>> asked = draw_question("fine", seed=0, number=0, frames=16)
    >>> asked.motions, len(asked.worlds[0][1].ends)
    (('walk', 'run'), 16)
    """
    rng = np.random.default_rng([seed, 5_000_011, QUESTION_KINDS.index(question), number])
    times = (np.arange(frames, dtype=np.float64) - (frames - 1) / 2) * (SECONDS / frames)
    kind: Kind = "person" if question == "fine" else BODIES[number % len(BODIES)]
    names, programs, front = _draw_motions(question, kind, seed, number, rng)
    side = None if question == "body" else bool(rng.random() < 0.5)
    viewings = [_draw_viewing(question, kind, front, side, rng) for _ in range(2)]
    surroundings = [_draw_surroundings(question, times, rng) for _ in range(2)]
    scene = int(rng.integers(_SCENES))
    scenes = scene, (scene + int(rng.integers(1, _SCENES))) % _SCENES
    light = tuple(rng.uniform(*_LIGHT, 2).tolist())
    parts, paints = rng.integers(2**63, size=(2, 2)).tolist()
    if question == "body":  # one place
        surroundings[1], scenes, light, parts[1] = (
            surroundings[0],
            (scene,) * 2,
            light[:1] * 2,
            parts[0],
        )
    worlds = [
        tuple(
            build_world([*things, pose_figure(program, viewing, times)], view)
            for viewing, (things, view) in zip(viewings, surroundings, strict=True)
        )
        for program in programs
    ]
    seeds = tuple(zip(parts, paints, strict=True))
    return FigureQuestion(question, names, tuple(worlds), scenes, seeds, light, seed)  # type: ignore[arg-type]


def render_question(asked: FigureQuestion, size: int) -> NDArray[np.uint8]:
    """Draw the four clips.

    Args:
        size: S, height and width of a frame, px.

    Returns:
        RGB uint8 (2 motions, 2 worlds, T, S, S, 3).
    """
    frames = []
    for world, scene in enumerate(asked.scenes):
        part, paint = asked.pixel_seeds[world]
        ground = draw_ground(asked.seed, scene, 4 * size, GROUNDS)
        shift = np.random.default_rng(part).uniform(0, len(ground), 2).astype(int)
        ground = np.roll(ground, shift, axis=(0, 1))
        frames.append(
            [
                render_world(
                    asked.worlds[motion][world],
                    ground,
                    np.random.default_rng(paint),
                    light=asked.light[world],
                    noise=_NOISE,
                )
                for motion in range(2)
            ]
        )
    return np.array(frames).swapaxes(0, 1)


def _draw_motions(
    question: QuestionKind, kind: Kind, seed: int, number: int, rng: np.random.Generator
) -> tuple[tuple[str, str], tuple[MotionProgram, MotionProgram], bool]:
    """Names of two motions, the motions, and whether they are seen from the front."""
    if question == "fine":
        names = list(FINE)[number % len(FINE)]
        draw, front = FINE[names]
        return names, draw(rng), front
    if question == "order":
        return ("A, then B", "B, then A"), _draw_events(kind, rng), False
    drawn = FigureScenes(bodies=(kind,), program_seed=seed)
    first = 2 * (QUESTION_KINDS.index(question) + len(QUESTION_KINDS) * number)
    names = f"program {first}", f"program {first + 1}"
    return names, (get_program(drawn, first), get_program(drawn, first + 1)), False


def _draw_viewing(
    question: QuestionKind, kind: Kind, front: bool, mirrored: bool | None, rng: np.random.Generator
) -> Viewing:
    seen = draw_viewing(rng, kind, mirrored=mirrored)
    low, high = _HEIGHT.get(question, (0.5, 0.8))
    proportions = seen.proportions
    if question == "body":  # logarithms: slim becomes slimmer
        proportions = proportions**2
    reach = np.array((0.25, 0.15)) if question != "small" else np.array((0.6, 0.5))
    return replace(
        seen,
        proportions=proportions,
        height=2 * float(np.exp(rng.uniform(*np.log((low, high))))),
        place=tuple(rng.uniform(-reach, reach).tolist()),
        yaw=float(np.pi / 2 + rng.normal(0, 0.2)) if front else seen.yaw,
        start=seen.start / 6,
        swapped=False if front else seen.swapped,
    )


def _draw_surroundings(
    question: QuestionKind, times: Floats, rng: np.random.Generator
) -> tuple[list[tuple[Floats, Floats]], Floats]:
    """Draw what moves behind the figure and means nothing, and the camera."""
    view = draw_view(CAMERA if question == "camera" else (), times, np.zeros(2), rng)
    things = [draw_distractor(times, rng)] if question == "camera" else []
    return things, view


def _make_person(
    *,
    rate: float = 1.0,
    swing: dict[int, float] | None = None,
    phase: dict[int, float] | None = None,
    held: dict[int, float] | None = None,
    change: dict[int, float] | None = None,
    speed: float = 0.0,
    drop: float = 0.0,
    returns: bool = False,
) -> MotionProgram:
    """A program of a person whose other limbs rest."""
    limbs = len(SKELETONS["person"].parents)

    def fill(values: dict[int, float] | None) -> Floats:
        filled: Floats = np.zeros(limbs)
        for limb, value in (values or {}).items():
            filled[limb] = value
        return filled

    return replace(
        make_still_program("person"),
        rate=rate,
        swing=fill(swing),
        phase=fill(phase),
        held=fill(held),
        change=fill(change),
        duration=0.8 * SECONDS,
        speed=speed,
        drop=drop,
        returns=returns,
    )


# Limbs of a person: 0 torso; arms 2, 3 (left) and 4, 5; legs 6, 7 (left) and 8, 9.
_GAIT = {2: np.pi, 4: 0.0, 6: 0.0, 7: -0.8, 8: np.pi, 9: np.pi - 0.8}  # phases
_SQUAT = {6: 1.3, 8: 1.3, 7: 2.0, 9: 2.0, 0: -0.4}
Pair = tuple[MotionProgram, MotionProgram]


def _walk_or_run(rng: np.random.Generator) -> Pair:
    wide, fast = rng.uniform(0.85, 1.15, 2)
    walk = dict.fromkeys((2, 4, 6, 8), 0.45 * wide) | {7: 0.35, 9: 0.35}
    run = dict.fromkeys((2, 4, 6, 8), 0.75 * wide) | {7: 0.8, 9: 0.8}
    return (
        _make_person(rate=0.9 * fast, swing=walk, phase=_GAIT, speed=0.25),
        _make_person(
            rate=1.6 * fast, swing=run, phase=_GAIT, held={3: 1.3, 5: 1.3}, speed=0.5, drop=-0.06
        ),
    )


def _left_or_right_arm(rng: np.random.Generator) -> Pair:
    high, bent = rng.uniform(1.8, 2.8), rng.uniform(0.1, 0.6)
    return (
        _make_person(change={2: high, 3: bent}, returns=True),
        _make_person(change={4: high, 5: bent}, returns=True),
    )


def _together_or_in_turn(rng: np.random.Generator) -> Pair:
    wide, rate = rng.uniform(0.7, 1.0), rng.uniform(0.9, 1.3)
    swing, held = {2: wide, 4: wide}, {2: 1.2, 4: 1.2}
    return (
        _make_person(rate=rate, swing=swing, held=held),
        _make_person(rate=rate, swing=swing, held=held, phase={4: np.pi}),
    )


def _squat_or_bow(rng: np.random.Generator) -> Pair:
    deep = rng.uniform(0.7, 1.0)
    squat = {limb: deep * angle for limb, angle in _SQUAT.items()}
    return (
        _make_person(change=squat, returns=True),
        _make_person(change={0: -1.3 * deep, 2: 0.9 * deep, 4: 0.9 * deep}, returns=True),
    )


def _kick(rng: np.random.Generator) -> Pair:
    high, leg = rng.uniform(0.9, 1.2), int(rng.choice((6, 8)))
    return (
        _make_person(change={leg: high}, returns=True),
        _make_person(change={leg: -high}, returns=True),
    )


def _wave(rng: np.random.Generator) -> Pair:
    rate, wide = rng.uniform(0.7, 0.9), rng.uniform(0.5, 0.7)
    held = {2: 2.2, 4: 2.2, 3: 0.5, 5: 0.5}
    swing = {2: 0.3, 4: 0.3, 3: wide, 5: wide}
    return (
        _make_person(rate=rate, swing=swing, held=held),
        _make_person(rate=2 * rate, swing=swing, held=held),
    )


def _sit_or_stand(rng: np.random.Generator) -> Pair:
    deep = rng.uniform(0.7, 1.0)
    down = {limb: deep * angle for limb, angle in _SQUAT.items()}
    up = {limb: -angle for limb, angle in down.items()}
    return _make_person(change=down), _make_person(held=down, change=up)


def _forward_or_backward(rng: np.random.Generator) -> Pair:
    wide, rate = rng.uniform(0.4, 0.6), rng.uniform(0.9, 1.2)
    swing = dict.fromkeys((2, 4, 6, 8), wide) | {7: 0.35, 9: 0.35}
    reverse = {limb: np.pi - angle for limb, angle in _GAIT.items()}  # sin(-x + phase)
    return (
        _make_person(rate=rate, swing=swing, phase=_GAIT, speed=0.35),
        _make_person(rate=rate, swing=swing, phase=reverse, speed=-0.35),
    )


def _draw_events(kind: Kind, rng: np.random.Generator) -> Pair:
    """Two events after one another, in both orders."""
    limbs = len(SKELETONS[kind].parents)
    known = _EVENTS[kind]
    change, moment = np.zeros(limbs), np.zeros(limbs)
    for k, which in enumerate(rng.permutation(len(known))[:2]):
        upper, *lower = known[which]
        change[upper] = rng.choice((-1, 1)) * rng.uniform(0.9, 1.6)
        change[lower] = rng.uniform(0.3, 1.0)
        moment[[upper, *lower]] = (k - 0.5) * _EVENT
    first = replace(
        make_still_program(kind), change=change, moment=moment, duration=_EVENT, returns=True
    )
    return first, replace(first, moment=-moment)


# Two motions by their names: how they are drawn, and whether they are seen from the front.
FINE: dict[tuple[str, str], tuple[Callable[[np.random.Generator], Pair], bool]] = {
    ("walk", "run"): (_walk_or_run, False),
    ("raise the left arm", "raise the right arm"): (_left_or_right_arm, True),
    ("swing both arms together", "swing them in turn"): (_together_or_in_turn, False),
    ("squat", "bow"): (_squat_or_bow, False),
    ("kick forward", "kick backward"): (_kick, False),
    ("wave slowly", "wave quickly"): (_wave, False),
    ("sit down", "stand up"): (_sit_or_stand, False),
    ("walk forward", "walk backward"): (_forward_or_backward, False),
}
