"""A specification -> what each generated video shows: labels, motion of the object, pixels.

Convention
----------
Points are (x, y) in pixels, x to the right, y down; the origin is the corner (not the center) of
the top left pixel. Angles are in radians and positive is clockwise on the screen. The frame is a
torus for the object: it leaves on one side and enters on the opposite one.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol, get_args

import numpy as np
from numpy.typing import NDArray

from unscene.errors import UnsceneError
from unscene.synthetic import draw
from unscene.synthetic.draw import Floats

Split = Literal["train", "seen", "unseen"]
SPLITS: tuple[Split, ...] = get_args(Split)
FORMAT = "moving scenes 1"  # increase whenever the same specification gives other pixels
COLUMNS = ("path", "label", "motion", "scene", "shape", "texture", "size", "speed")

# Direction (x, y) of translation, direction of rotation, direction of zoom: one is not zero.
MOTIONS: dict[str, tuple[int, int, int, int]] = {
    "left": (-1, 0, 0, 0),
    "right": (1, 0, 0, 0),
    "up": (0, -1, 0, 0),
    "down": (0, 1, 0, 0),
    "clockwise": (0, 0, 1, 0),
    "counterclockwise": (0, 0, -1, 0),
    "grow": (0, 0, 0, 1),
    "shrink": (0, 0, 0, -1),
}
ZOOM = (0.75, 1.7)  # size on screen / nominal size, the same range for every motion
JITTER = math.radians(12)  # largest deviation of a translation from its axis
# An object grows at this share of the rim speed. At full speed it would start again every three
# frames, and no clip would show steady growth.
ZOOM_SHARE = 0.2


Rule = tuple[str, bool, str]  # a field, whether its value is right, and what it must be


class Specification:
    """What all kinds of generated footage have: their numbers of videos, frames and scenes."""

    train_videos: int
    seen_videos: int
    unseen_videos: int
    size: int
    frames: int
    fps: int
    scenes: int
    unseen_scenes: int
    correlation: float

    def videos(self, split: Split) -> int:
        """Number of videos in a split."""
        return int(getattr(self, f"{split}_videos"))

    def rules_of_videos(self, fps: int) -> tuple[Rule, ...]:
        """Rules for how many videos of what size there are; `fps` is the example in a message."""
        return (
            ("train_videos", self.train_videos >= 1, "be at least 1"),
            ("seen_videos", self.seen_videos >= 0, "not be negative"),
            ("unseen_videos", self.unseen_videos >= 0, "not be negative"),
            ("size", self.size in range(32, 513, 2), "be an even number of px, 32 to 512"),
            ("frames", self.frames >= 2, "be at least 2, or nothing moves"),
            ("fps", self.fps in range(1, 121), f"be a whole number from 1 to 120, such as {fps}"),
        )

    def rules_of_scenes(self) -> tuple[Rule, ...]:
        """Rules for how many scenes there are, and how they are tied to motions."""
        return (
            ("scenes", self.scenes >= 1, "be at least 1"),
            ("unseen_scenes", self.unseen_scenes >= 1, "be at least 1"),
            ("correlation", 0 <= self.correlation <= 1, "lie from 0 (independent) to 1 (tied)"),
        )

    def check(self, rules: Iterable[Rule]) -> None:
        """Raise UnsceneError for the first rule that does not hold."""
        for name, right, must in rules:
            if not right:
                value = getattr(self, name)
                raise UnsceneError(f"{type(self).__name__}: {name} = {value!r}; it must {must}")


@dataclass(frozen=True)
class MovingScenes(Specification):
    """What to generate.

    Args:
        train_videos: number of training videos, >= 1. Motions take turns in every split, so all
            have the same number of videos if this is a multiple of the number of motions.
        seen_videos: number of test videos in training scenes, >= 0.
        unseen_videos: number of test videos in new scenes, >= 0.
        size: height and width of a frame in px, even, 32 to 512.
        frames: frames per video, >= 2.
        fps: frames per second, a whole number from 1 to 120. Speeds are per frame and do not depend
            on it.
        motions: the classes, each named once.
        scenes: number of training scenes, >= 1, numbered from 0.
        unseen_scenes: number of new scenes in the unseen split, >= 1, numbered after those.
        correlation: probability, 0 to 1, that a training video has the scene tied to its motion
            (index of the motion modulo `scenes`); otherwise its scene is uniformly random.
        object_size: range of the nominal size (longest diameter) of an object in px, >= 6 and at
            most size / 2. On screen an object has 0.75 to 1.7 times its nominal size.
        speed: range of the speed in px/frame, above 0 and at most a third of the smallest object.
            The rim of a spinning object moves at this speed, that of a growing object at a fifth.
        shapes: of objects, each named once.
        textures: of objects, each named once.
        shake: standard deviation of the camera's position in px, 0 to size / 8.
        distractor: add a second object that stands still in the scene.
        smooth: distance between the light spots of a background, in frame widths, 0.05 to 2.
        backgrounds: kinds of pattern; scenes take turns.
        one_palette: all scenes have the same colors and differ in their layout only.
        fixed_camera: all videos of a scene show the same part of it, as with a fixed camera;
            otherwise each shows another part.
        own_place: every video has a background of its own, and its scene is a kind of background
            (like gyms, which all differ); otherwise all videos of a scene share one background.
        seed: >= 0; the same specification gives the same videos.

    Raises:
        UnsceneError: a value is out of range.
    """

    train_videos: int = 400
    seen_videos: int = 160
    unseen_videos: int = 160
    size: int = 64
    frames: int = 40
    fps: int = 25
    motions: tuple[str, ...] = tuple(MOTIONS)
    scenes: int = 8
    unseen_scenes: int = 8
    correlation: float = 0.9
    object_size: tuple[float, float] = (20.0, 30.0)
    speed: tuple[float, float] = (2.0, 4.0)
    shapes: tuple[str, ...] = draw.SHAPES
    textures: tuple[str, ...] = draw.TEXTURES
    shake: float = 0.0
    distractor: bool = False
    smooth: float = 0.35
    backgrounds: tuple[str, ...] = draw.BACKGROUNDS
    one_palette: bool = False
    fixed_camera: bool = False
    own_place: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        low, high = self.object_size
        slow, fast = self.speed
        known = bool(self.motions) and set(self.motions) <= set(MOTIONS)
        rules = (
            *self.rules_of_videos(fps=25),
            ("motions", known, f"name at least one of {', '.join(MOTIONS)}"),
            ("motions", len(set(self.motions)) == len(self.motions), "name each motion only once"),
            (
                "shapes",
                named_once(self.shapes, draw.SHAPES),
                f"name some of {', '.join(draw.SHAPES)}",
            ),
            (
                "textures",
                named_once(self.textures, draw.TEXTURES),
                f"name some of {', '.join(draw.TEXTURES)}",
            ),
            (
                "backgrounds",
                named_once(self.backgrounds, draw.BACKGROUNDS),
                f"name some of {', '.join(draw.BACKGROUNDS)}",
            ),
            *self.rules_of_scenes(),
            (
                "object_size",
                6 <= low <= high <= self.size / 2,
                f"be (smallest, largest), from 6 to size / 2 = {self.size / 2:g} px",
            ),
            (
                "speed",
                0 < slow <= fast <= low / 3,
                f"be (slowest, fastest), above 0 and at most {low / 3:g} px/frame, a third of "
                "the smallest object; for more, raise object_size",
            ),
            ("shake", 0 <= self.shake <= self.size / 8, f"lie from 0 to {self.size / 8:g} px"),
            ("smooth", 0.05 <= self.smooth <= 2, "lie from 0.05 (fine) to 2 (broad)"),
            ("seed", self.seed >= 0, "not be negative"),
        )
        self.check(rules)


def named_once(given: tuple[str, ...], known: tuple[str, ...]) -> bool:
    """Whether at least one known name is given, and none twice."""
    return bool(given) and set(given) <= set(known) and len(set(given)) == len(given)


class GroundTruth(NamedTuple):
    """Positions of the object and the camera in each of T frames."""

    center: Floats  # (T, 2) px on screen, wrapped into [0, size)
    angle: Floats  # (T,) rad, clockwise, not wrapped
    scale: Floats  # (T,) size on screen / nominal size, within ZOOM
    camera: Floats  # (T, 2) px by which the whole picture is displaced; zero without shake


def draw_motion(
    motion: str,
    rng: np.random.Generator,
    *,
    frames: int,
    size: int,
    object_size: float,
    speed: float,
    shake: float,
) -> GroundTruth:
    """Draw the positions of object and camera in one video.

    At every moment, position, angle and scale (in log) are uniformly distributed for all motions,
    so a single frame contains no information on the motion.

    Args:
        size: of a frame, in px.
        object_size: nominal size of the object, in px.
        speed: in px/frame.
        shake: standard deviation of the camera's position, in px.
    """
    dx, dy, spin, zoom = MOTIONS[motion]
    t = np.arange(frames)
    start, phase = rng.uniform(0, size, 2), rng.uniform()
    angle, turn = rng.uniform(0, 2 * math.pi), rng.uniform(-JITTER, JITTER)
    cos, sin = math.cos(turn), math.sin(turn)
    velocity = speed * np.array([dx * cos - dy * sin, dx * sin + dy * cos])
    rim = speed / (object_size / 2)  # rad/frame at which the rim travels `speed` px/frame
    low, high = np.log(ZOOM)
    phase = (phase + zoom * ZOOM_SHARE * rim / (high - low) * t) % 1.0
    camera = draw_shake(rng, frames, shake)
    return GroundTruth(
        center=((start + velocity * t[:, None] + camera) % size).astype(np.float32),
        angle=(angle + spin * rim * t).astype(np.float32),
        scale=np.exp(low + (high - low) * phase).astype(np.float32),
        camera=camera.astype(np.float32),
    )


def draw_shake(rng: np.random.Generator, frames: int, shake: float) -> NDArray[np.float64]:
    """Draw the positions of a hand-held camera: a random walk that is pulled back to the middle.

    Its standard deviation is `shake` px; it never goes farther than 3 * shake.
    """
    keep = 0.7
    steps = rng.normal(size=(frames, 2)) * math.sqrt(1 - keep**2)
    walk = np.empty_like(steps)
    at = rng.normal(size=2)
    for t, step in enumerate(steps):
        at = keep * at + step
        walk[t] = at
    return np.clip(walk, -3, 3) * shake


class _Scenes(Protocol):
    @property
    def correlation(self) -> float: ...
    @property
    def scenes(self) -> int: ...
    @property
    def unseen_scenes(self) -> int: ...


def draw_scene(spec: _Scenes, split: Split, motion_index: int, rng: np.random.Generator) -> int:
    """Draw the scene of a video, which is tied to its motion by `correlation` in training."""
    tied, first = rng.uniform() < spec.correlation, 0
    scenes = spec.scenes
    if split == "unseen":
        first, scenes = spec.scenes, spec.unseen_scenes
    scene = first + int(rng.integers(scenes))
    return motion_index % spec.scenes if split == "train" and tied else scene


@dataclass(frozen=True)
class _Plan:
    """All random choices for one video except its pixels."""

    labels: dict[str, str | int | float]
    truth: GroundTruth
    pixel_seed: int


def _draw_plan(spec: MovingScenes, split: Split, index: int) -> _Plan:
    rng = np.random.default_rng([spec.seed, SPLITS.index(split), index])
    motion_index = index % len(spec.motions)
    scene = draw_scene(spec, split, motion_index, rng)
    motion, size = spec.motions[motion_index], float(rng.uniform(*spec.object_size))
    shape, texture = str(rng.choice(spec.shapes)), str(rng.choice(spec.textures))
    speed, pixel_seed = float(rng.uniform(*spec.speed)), int(rng.integers(2**63))
    truth = draw_motion(
        motion,
        rng,
        frames=spec.frames,
        size=spec.size,
        object_size=size,
        speed=speed,
        shake=spec.shake,
    )
    values = (f"{split}/{index:05d}.mp4", motion, motion, scene, shape, texture)
    numbers = (round(size, 3), round(speed, 4))
    return _Plan(dict(zip(COLUMNS, values + numbers, strict=True)), truth, pixel_seed)


def get_labels(spec: MovingScenes, split: Split, index: int) -> dict[str, str | int | float]:
    """Get the CSV row of one video, by column; size in px (nominal), speed in px/frame.

    >>> labels = get_labels(MovingScenes(), "train", 0)
    >>> labels["path"], labels["motion"]
    ('train/00000.mp4', 'left')
    """
    return _draw_plan(spec, split, index).labels


def get_truth(spec: MovingScenes, split: Split, index: int) -> GroundTruth:
    """Get the positions of the object and the camera in every frame of one video."""
    return _draw_plan(spec, split, index).truth


def render_video(
    spec: MovingScenes, split: Split, index: int
) -> tuple[NDArray[np.uint8], dict[str, str | int | float]]:
    """Draw one video; the result depends on the arguments only.

    Returns:
        RGB pixels uint8 (T, H, W, 3) before encoding, and the labels as from `get_labels`.
    """
    plan, S = _draw_plan(spec, split, index), spec.size
    rng = np.random.default_rng(plan.pixel_seed)
    scene = int(plan.labels["scene"])
    picture = draw.draw_background(
        spec.seed,
        scene,
        S,
        spec.smooth,
        spec.backgrounds,
        spec.one_palette,
        plan.pixel_seed if spec.own_place else None,
    )
    side = S + 2 * (math.ceil(3 * spec.shake) + 1)
    x, y = rng.integers(0, draw.CANVAS * S - side, 2)
    if spec.fixed_camera:
        x = y = (draw.CANVAS * S - side) // 2
    piece = picture[y : y + side, x : x + side] * np.float32(rng.uniform(0.93, 1.07))
    frames = draw.show_through_camera(np.minimum(piece, 255), plan.truth.camera, S)
    image = draw.draw_sprite(str(plan.labels["shape"]), str(plan.labels["texture"]), rng)
    if spec.distractor:
        _paint_distractor(spec, frames, plan.truth, rng)
    sizes = plan.truth.scale * np.float32(plan.labels["size"])
    draw.paint_object(frames, image, plan.truth.center, plan.truth.angle, sizes)
    frames += 0.5  # for rounding; values stay within 0-255, so nothing needs clipping
    return frames.astype(np.uint8), plan.labels


def _paint_distractor(
    spec: MovingScenes, frames: draw.Floats, truth: GroundTruth, rng: np.random.Generator
) -> None:
    """Paint an object that stands still in the scene, away from the start of the moving one."""
    shape, texture = str(rng.choice(spec.shapes)), str(rng.choice(spec.textures))
    away, side = spec.size * rng.uniform(0.35, 0.5), rng.uniform(0, 2 * math.pi)
    apart = np.array([math.cos(side), math.sin(side)]) * away
    position = truth.center[0] - truth.camera[0] + apart + truth.camera
    size = rng.uniform(*spec.object_size) * math.exp(rng.uniform(*np.log(ZOOM)))
    turn = rng.uniform(0, 2 * math.pi)
    angle, sizes = np.full_like(truth.angle, turn), np.full_like(truth.scale, size)
    draw.paint_object(
        frames, draw.draw_sprite(shape, texture, rng), position % spec.size, angle, sizes
    )
