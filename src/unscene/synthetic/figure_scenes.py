"""Videos of articulated figures: a specification -> what each shows, its camera and its pixels.

    program (the class)  ->  one figure, or two with a relation        `figures`
    + distractors that move, things in front, a camera, a scene        `World`
    -> which limb each pixel shows, and which point of it              `raster.paint_limbs`
    -> exact flow, or RGB                                              `get_flow`, `render_video`

Everything that is not background is a limb: a distractor is one that belongs to no body.

Convention
----------
As in `figures`: the frame is 2 wide and 2 high, x to the right, y down, times in seconds. The world
is seen through `view`, a matrix for each frame that takes a point of the screen to the world.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from unscene.synthetic.camera import compute_camera, draw_camera, to_square
from unscene.synthetic.draw import hue_color, luma
from unscene.synthetic.plan import (
    SPLITS,
    Specification,
    Split,
    draw_scene,
    named_once,
)
from unscene.synthetic.textures import KINDS as GROUNDS
from unscene.synthetic.textures import draw_ground, draw_skin

if TYPE_CHECKING:  # compiled loops, which take a second to load
    from unscene.synthetic.figures import MotionProgram

FORMAT = "figures 1"  # increase whenever the same specification gives other pixels
COLUMNS = ("path", "label", "motion", "scene", "body", "facing", "height", "light", "camera")
Floats = NDArray[np.float64]
Body = Literal["person", "animal", "machine"]
BODIES: tuple[Body, ...] = get_args(Body)
CAMERA = ("pan", "zoom", "rotation", "shake")
RELATIONS = ("approach", "follow", "mirror", "hand-over")
_HANDS = {"person": 3, "animal": 2, "machine": 4}  # the limb that holds a thing
_SPAN = 8.0  # units of the world after which a background repeats: four frames
_SKIN = 64  # px along a side of a skin
# Largest speeds of the camera: units a second, e-folds a second, radians a second.
_PAN, _ZOOM, _TURN = 0.35, 0.2, 0.25
_SHAKE = (0.02, 0.012)  # standard deviation: units, radians
# Speeds of the ends of limbs, body heights a second: least mean, against the body's middle, and the
# most that 95 % of them reach. Slower is hardly seen; faster is a blur at 15 frames a second.
_SLOW, _FAST = 0.15, 3.5


@dataclass(frozen=True)
class FigureScenes(Specification):
    """What to generate.

    Args:
        train_videos: number of training videos, >= 1. Programs take turns in every split, so all
            have the same number of videos if this is a multiple of the number of programs.
        seen_videos: number of test videos in training scenes, >= 0.
        unseen_videos: number of test videos in new scenes, >= 0.
        size: height and width of a frame in px, even, 32 to 512.
        frames: frames per video, >= 2.
        fps: frames per second, a whole number from 1 to 120.
        programs: number of motion programs, the classes, 2 to 100.
        program_seed: >= 0; another set of programs. Program 3 of a set is the same in all footage.
        bodies: person, animal, machine; programs take turns.
        relations: of two figures: approach, follow, mirror, hand-over. Programs take turns; those
            of one turn differ in nothing but the relation. Nothing: one figure.
        scenes: number of training scenes, >= 1, numbered from 0.
        unseen_scenes: number of new scenes in the unseen split, >= 1, numbered after those.
        correlation: probability, 0 to 1, that a training video has the scene tied to its program
            (its number modulo `scenes`); otherwise its scene is uniformly random.
        height: range of the height of a body in frame heights, from 0.1 to 1.5.
        camera: what the camera does in every video: pan, zoom, rotation, shake. Nothing: it stands.
        distractors: number of things that move and mean nothing, 0 to 10.
        occluders: number of posts in front of the figure, 0 to 5.
        light: range of the brightness, above 0 to 1.
        noise: standard deviation of the sensor's noise, in gray levels, 0 to 50.
        backgrounds: kinds of texture: clouds, leaves; scenes take turns.
        own_place: every video has a background of its own, and its scene is a kind of background;
            otherwise all videos of a scene show parts of one.
        seed: >= 0; the same specification gives the same videos.

    Raises:
        UnsceneError: a value is out of range.
    """

    train_videos: int = 400
    seen_videos: int = 160
    unseen_videos: int = 160
    size: int = 112
    frames: int = 40
    fps: int = 15
    programs: int = 16
    program_seed: int = 0
    bodies: tuple[str, ...] = BODIES
    relations: tuple[str, ...] = ()
    scenes: int = 8
    unseen_scenes: int = 8
    correlation: float = 0.9
    height: tuple[float, float] = (0.4, 0.8)
    camera: tuple[str, ...] = CAMERA
    distractors: int = 2
    occluders: int = 1
    light: tuple[float, float] = (0.35, 1.0)
    noise: float = 4.0
    backgrounds: tuple[str, ...] = GROUNDS
    own_place: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        (low, high), (dark, bright) = self.height, self.light
        rules = (
            *self.rules_of_videos(fps=15),
            ("programs", self.programs in range(2, 101), "lie from 2 to 100"),
            ("program_seed", self.program_seed >= 0, "not be negative"),
            ("bodies", named_once(self.bodies, BODIES), f"name some of {', '.join(BODIES)}"),
            ("relations", _may_name(self.relations, RELATIONS), _some(RELATIONS)),
            *self.rules_of_scenes(),
            ("height", 0.1 <= low <= high <= 1.5, "be (smallest, largest), from 0.1 to 1.5"),
            ("camera", _may_name(self.camera, CAMERA), _some(CAMERA)),
            ("distractors", self.distractors in range(11), "lie from 0 to 10"),
            ("occluders", self.occluders in range(6), "lie from 0 to 5"),
            ("light", 0 < dark <= bright <= 1, "be (darkest, brightest), above 0 and at most 1"),
            ("noise", 0 <= self.noise <= 50, "lie from 0 to 50 gray levels"),
            ("backgrounds", named_once(self.backgrounds, GROUNDS), _some(GROUNDS)),
            ("seed", self.seed >= 0, "not be negative"),
        )
        self.check(rules)

    @property
    def motions(self) -> tuple[str, ...]:
        """The names of the programs, in their order."""
        each = max(1, len(self.relations))
        names = [f"program-{i // each:02d}" for i in range(self.programs)]
        if self.relations:
            names = [f"{name}-{self.relations[i % each]}" for i, name in enumerate(names)]
        return tuple(names)


def _may_name(given: tuple[str, ...], known: tuple[str, ...]) -> bool:
    return not given or named_once(given, known)


def _some(known: tuple[str, ...]) -> str:
    return f"name some of {', '.join(known)}, each once"


class World(NamedTuple):
    """What a video shows, before it has colors: T frames, L limbs in the order of painting."""

    ends: Floats  # (T, L, 2, 2)
    radius: Floats  # (L,)
    owner: NDArray[np.int64]  # (L,) number of the body or thing
    view: Floats  # (T, 2, 3), from the screen to the world


class _Plan(NamedTuple):
    labels: dict[str, str | int | float]
    world: World
    light: float
    pixel_seed: int


def get_program(spec: FigureScenes, number: int) -> MotionProgram:
    """Get a motion program of the set; it depends on `program_seed` and `bodies` only.

    Programs whose limbs hardly move, or too fast to be followed, are passed over. They travel at
    half the speed that `figures` draws, so that a figure stays in sight.
    """
    return _find_program(spec.program_seed, spec.bodies[number % len(spec.bodies)], number)


@lru_cache(maxsize=256)
def _find_program(seed: int, kind: str, number: int) -> MotionProgram:
    from unscene.synthetic import figures

    rng = np.random.default_rng([seed, 3_000_017, number])
    times = np.arange(-20, 20) / 15
    while True:
        program = figures.draw_program(rng, kind)  # type: ignore[arg-type]
        program = replace(program, speed=program.speed / 2)
        limbs = len(program.swing)
        seen = figures.Viewing(
            np.ones((limbs, 2)), 1.0, (0, 0), 0.0, 1.0, 0.0, np.arange(limbs), False
        )
        ends, _ = figures.pose_figure(program, seen, times)
        inner = ends - ends.mean((1, 2), keepdims=True)
        slow, fast = (np.linalg.norm(np.diff(e, axis=0), axis=-1) * 15 for e in (inner, ends))
        if slow.mean() >= _SLOW and np.quantile(fast, 0.95) <= _FAST:
            return program


def _draw_figures(
    spec: FigureScenes, number: int, times: Floats, rng: np.random.Generator
) -> tuple[list[tuple[Floats, Floats]], str, str, float]:
    """Draw the figures of a video: ends and radius of each, body, side they face, height."""
    from unscene.synthetic.figures import draw_viewing, pose_figure

    each = max(1, len(spec.relations))
    program = get_program(spec, number // each)
    height = 2 * float(np.exp(rng.uniform(*np.log(spec.height))))
    first = draw_viewing(rng, program.kind)
    first = replace(first, height=height, place=tuple(rng.uniform((-0.25, -0.15), (0.25, 0.15))))
    facing = "left" if math.cos(first.yaw) < 0 else "right"
    if not spec.relations:
        return [pose_figure(program, first, times)], program.kind, facing, height / 2
    relation = spec.relations[number % each]
    program = replace(program, speed=0.0, turn=0.0, spin=0.0)
    second = draw_viewing(rng, program.kind)
    scale = 0.6 * height  # two need more room
    side = -1.0 if facing == "left" else 1.0
    x, y = first.place[0] / 3, first.place[1]
    gap, pace = 0.1 + 0.5 * scale, 0.2 * rng.uniform(0.8, 1.2)
    first = replace(first, height=scale, place=(x - side * gap, y))
    turned = first.yaw if relation == "follow" else math.pi - first.yaw
    second = replace(second, height=scale * rng.uniform(0.85, 1.15), place=(x + side * gap, y))
    second = replace(second, yaw=turned)
    if relation == "mirror":
        second = replace(second, start=first.start, pace=first.pace, swapped=first.swapped)
    if relation == "follow":  # the second one is ahead
        second = replace(second, start=first.start + 0.35, pace=first.pace, swapped=first.swapped)
    pair = [pose_figure(program, seen, times) for seen in (first, second)]
    if relation in ("approach", "follow"):
        for (ends, _), sign in zip(pair, (1, -1 if relation == "approach" else 1), strict=True):
            ends[..., 0] += (side * sign * pace * times)[:, None, None]
    if relation == "hand-over":
        hand = _HANDS[program.kind]
        held = [
            ends[:, int(np.flatnonzero(seen.order == hand)[0]), 1]
            for (ends, _), seen in zip(pair, (first, second), strict=True)
        ]
        share = np.clip((times + rng.uniform(-0.25, 0.25)) / 0.6 + 0.5, 0, 1)[:, None]
        at = held[0] * (1 - share) + held[1] * share
        at[:, 1] -= 0.25 * scale * np.sin(np.pi * share[:, 0])
        half = np.array([0.04 * scale, 0.0])
        thing = np.stack([at - half, at + half], axis=1)[:, None]
        pair.append((thing, np.array([0.07 * scale])))
    return pair, program.kind, facing, scale / 2


def draw_distractor(times: Floats, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Draw a thing that drifts, swings and turns."""
    place, velocity = rng.uniform(-0.9, 0.9, 2), rng.normal(0, 0.25, 2)
    reach, rate, phase = rng.gamma(2.0, 0.08, 2), rng.uniform(0.3, 1.5), rng.uniform(0, 6.3, 2)
    at = place + velocity * times[:, None]
    at += reach * np.sin(2 * math.pi * rate * times[:, None] + phase)
    angle = rng.uniform(0, 6.3) + rng.normal(0, 1.5) * times
    arm = np.stack([np.cos(angle), np.sin(angle)], -1) * rng.uniform(0.05, 0.22)
    return np.stack([at - arm, at + arm], axis=1)[:, None], rng.uniform(0.04, 0.12, 1)


def _draw_post(times: Floats, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Draw a post that stands in the scene, in front of the figure; most of it stays in sight."""
    x, lean = rng.choice((-1, 1)) * rng.uniform(0.15, 0.7), rng.normal(0, 0.12)
    ends = np.array([[x - 4 * lean, -4.0], [x + 4 * lean, 4.0]])
    return np.broadcast_to(ends, (len(times), 1, 2, 2)).copy(), rng.uniform(0.05, 0.11, 1)


def draw_view(
    camera: tuple[str, ...], times: Floats, drift: Floats, rng: np.random.Generator
) -> Floats:
    """Draw the camera: (T, 2, 3). It pans with a share of the figure's drift, and by itself.

    Args:
        camera: what it does, of `CAMERA`.
        times: (T,) seconds.
        drift: (2,) of the figure, units a second.
        rng: is advanced.
    """
    pans = "pan" in camera
    return draw_camera(
        rng,
        times,
        pan=_PAN * pans,
        zoom=_ZOOM * ("zoom" in camera),
        rotation=_TURN * ("rotation" in camera),
        shake=_SHAKE if "shake" in camera else (0.0, 0.0),
        follow=(drift[0], drift[1]) if pans else (0.0, 0.0),
    )


def build_world(parts: Sequence[tuple[Floats, Floats]], view: Floats) -> World:
    """Put bodies and things into a world.

    Args:
        parts: ends (T, L, 2, 2) and radius (L,) of each, the farthest one first.
        view: (T, 2, 3), the camera.
    """
    owner = np.concatenate([np.full(len(radius), i) for i, (_, radius) in enumerate(parts)])
    return World(
        np.ascontiguousarray(np.concatenate([ends for ends, _ in parts], axis=1)),
        np.concatenate([radius for _, radius in parts]),
        owner.astype(np.int64),
        view,
    )


def _draw_plan(spec: FigureScenes, split: Split, index: int) -> _Plan:
    rng = np.random.default_rng([spec.seed, 4_000_037, SPLITS.index(split), index])
    number = index % spec.programs
    scene = draw_scene(spec, split, number, rng)
    pixel_seed, light = int(rng.integers(2**63)), float(rng.uniform(*spec.light))
    times = (np.arange(spec.frames) - (spec.frames - 1) / 2) / spec.fps
    bodies, body, facing, height = _draw_figures(spec, number, times, rng)
    path = np.mean([ends.mean((1, 2)) for ends, _ in bodies[:2]], axis=0)
    drift = np.polyfit(times, path, 1)[0]  # steadily: nobody follows every leap
    view = draw_view(spec.camera, times, drift, rng)
    things = [draw_distractor(times, rng) for _ in range(spec.distractors)]
    behind = (len(things) + 1) // 2
    posts = [_draw_post(times, rng) for _ in range(spec.occluders)]
    world = build_world([*things[:behind], *bodies, *things[behind:], *posts], view)
    motion = spec.motions[number]
    # Of the four corners of a square half as wide as the frame.
    corners = np.array([(x, y, 1) for x in (-0.5, 0.5) for y in (-0.5, 0.5)])
    speed = np.linalg.norm(compute_camera(world.view) @ corners.T, axis=1).mean() * spec.size / 2
    values = (f"{split}/{index:05d}.mp4", motion, motion, scene, body, facing)
    numbers = (round(height, 3), round(light, 3), round(float(speed), 3))
    return _Plan(dict(zip(COLUMNS, values + numbers, strict=True)), world, light, pixel_seed)


def get_labels(spec: FigureScenes, split: Split, index: int) -> dict[str, str | int | float]:
    """Get the CSV row of one video, by column.

    `height` is of the body, in frame heights; `camera` is the mean motion of the scene, px/frame.

    >>> get_labels(FigureScenes(), "train", 3)["motion"]
    'program-03'
    """
    return _draw_plan(spec, split, index).labels


def get_world(spec: FigureScenes, split: Split, index: int) -> World:
    """Get where every limb is in one video, and how the camera sees it."""
    return _draw_plan(spec, split, index).world


def get_camera(spec: FigureScenes, split: Split, index: int) -> Floats:
    """Get the true motion of the camera in one video.

    Returns:
        (T-1, 2, 3): the scene's flow at (x, y) is matrix @ (x, y, 1), normalized units, pointing
        back in time, as `motion.camera.estimate_camera` has it.
    """
    return compute_camera(get_world(spec, split, index).view)


def get_flow(spec: FigureScenes, split: Split, index: int, grid: int) -> NDArray[np.float32]:
    """Get the true flow of one video, with the camera's motion.

    Returns:
        float32 (T-1, grid, grid, 2), as of `paint_world_flow`.
    """
    return paint_world_flow(get_world(spec, split, index), grid)


def paint_world_flow(world: World, grid: int) -> NDArray[np.float32]:
    """Paint the true flow of a world, with the camera's motion.

    Returns:
        float32 (T-1, grid, grid, 2) at the centers of the cells, normalized units, pointing back.
    """
    from unscene.synthetic.raster import paint_limbs

    limb, where = paint_limbs(world.ends, world.radius, world.view, grid)
    at = (np.arange(grid) + 0.5) * 2 / grid - 1
    screen = np.stack(np.meshgrid(at, at), axis=-1)
    back = np.linalg.inv(to_square(world.view))[:, :2]
    flow = np.empty((len(limb) - 1, grid, grid, 2), np.float32)
    for t in range(len(flow)):
        point = where[t + 1].astype(float)
        painted = limb[t + 1] >= 0
        begin, end = world.ends[t, limb[t + 1][painted]].swapaxes(0, 1)
        along, across = point[painted].T[..., None]
        line = end - begin
        normal = np.stack([-line[:, 1], line[:, 0]], -1)
        normal /= np.linalg.norm(line, axis=-1, keepdims=True).clip(1e-6)
        point[painted] = begin + along * line + across * normal
        flow[t] = point @ back[t, :, :2].T + back[t, :, 2] - screen
    return flow


def render_video(
    spec: FigureScenes, split: Split, index: int
) -> tuple[NDArray[np.uint8], dict[str, str | int | float]]:
    """Draw one video; the result depends on the arguments only.

    Returns:
        RGB pixels uint8 (T, H, W, 3) before encoding, and the labels as from `get_labels`.
    """
    plan = _draw_plan(spec, split, index)
    rng = np.random.default_rng(plan.pixel_seed)
    scene, place = int(plan.labels["scene"]), plan.pixel_seed if spec.own_place else None
    ground = draw_ground(spec.seed, scene, 4 * spec.size, spec.backgrounds, place)
    shift = rng.uniform(0, len(ground), 2).astype(int)  # another part of the scene
    ground = np.roll(ground, shift, axis=(0, 1))
    frames = render_world(plan.world, ground, rng, light=plan.light, noise=spec.noise)
    return frames, plan.labels


def render_world(
    world: World,
    ground: NDArray[np.float32],
    rng: np.random.Generator,
    *,
    light: float,
    noise: float,
) -> NDArray[np.uint8]:
    """Draw the pixels of a world.

    Args:
        world: of T frames.
        ground: (4 S, 4 S, 3), the background as of `draw_ground`; S is the size of a frame.
        rng: of skins and colors, and of the noise.
        light: brightness, above 0 to 1.
        noise: standard deviation, gray levels.

    Returns:
        RGB uint8 (T, S, S, 3).
    """
    from unscene.synthetic.raster import paint_limbs, shade

    skins = np.stack([draw_skin(rng, _SKIN) for _ in range(world.owner[-1] + 1)])
    limb, where = paint_limbs(world.ends, world.radius, world.view, len(ground) // 2)
    paint = _draw_paint(world, rng)
    frames = shade(limb, where, ground, _SPAN, skins, world.owner, paint, world.radius)
    frames *= np.float32(light)
    if noise:
        frames += np.float32(noise) * rng.standard_normal(frames.shape, dtype=np.float32)
    return np.clip(frames + 0.5, 0, 255).astype(np.uint8)


def _draw_paint(world: World, rng: np.random.Generator) -> Floats:
    """Draw the colors of limbs and where their textures begin, (L, 7); see `raster.shade`.

    A body is darker or lighter than any background, and its limbs have two or three colors.
    """
    lengths = np.linalg.norm(world.ends[:, :, 1] - world.ends[:, :, 0], axis=-1).max(axis=0)
    paint = np.empty((len(lengths), 7))
    for body in range(world.owner[-1] + 1):
        limbs = np.flatnonzero(world.owner == body)
        light = rng.random() < 0.5
        hues = rng.uniform(0, 1, 3)
        period = 0.3 + 0.15 * len(limbs) ** 0.5  # fine on a thing, coarser on a body
        for i in limbs:
            color = hue_color(float(rng.choice(hues)))
            color = color * (rng.uniform(0.08, 0.18) / luma(color))
            if light:
                color = 0.62 + 0.38 * hue_color(float(rng.choice(hues)))
            paint[i, :3] = 255 * np.clip(color, 0, 1)
            paint[i, 3:5] = rng.uniform(0, 1, 2)
            paint[i, 5:] = lengths[i] / period, 1 / period
    return paint
