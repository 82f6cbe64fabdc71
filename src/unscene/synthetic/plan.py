"""What a moving scene shows: the spec, what is drawn for every video, and its pixels.

Convention. Points are (x, y) in pixels, x to the right, y down, and the origin is the corner (not
the centre) of the top left pixel. Angles are radians and positive is clockwise on the screen. The
frame is a torus for the object: what leaves on one side comes in on the other.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from unscene.errors import UnsceneError
from unscene.synthetic import draw as art
from unscene.synthetic.draw import Floats

Split = Literal["train", "seen", "unseen"]
SPLITS: tuple[Split, ...] = get_args(Split)
COLUMNS = ("path", "label", "motion", "scene", "shape", "texture", "size", "speed")

# Direction (x, y) of translation, sense of rotation, sense of zoom: exactly one is not zero.
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
ZOOM = (0.75, 1.7)  # size on screen / nominal size; every motion draws from this whole range
JITTER = math.radians(12)  # largest deviation of a translation from its axis
# Share of the rim speed that growing takes: at the full speed the saw-tooth would restart every
# three frames and no window would show a steady growth.
ZOOM_SHARE = 0.2


@dataclass(frozen=True)
class MovingScenes:
    """What to generate.

    Args:
        train_videos: videos in the training split, >= 1. Motions take turns in every split, so
            each has the same count when the number of motions divides this.
        seen_videos: test videos in the scenes of training, >= 0.
        unseen_videos: test videos in new scenes, >= 0.
        size: height and width of a frame in px, even, 32–512.
        frames: frames per video, >= 2.
        fps: frames per second, 1–120; whole. Speeds are per frame and do not depend on it.
        motions: the classes, without repetition.
        scenes: number of training scenes, >= 1, numbered from 0.
        unseen_scenes: number of new scenes in the unseen split, >= 1, numbered after those.
        correlation: probability, 0–1, that a training video plays in the scene tied to its motion
            (index of the motion % scenes); otherwise its scene is uniformly random.
        object_size: range of the nominal size (longest diameter) of an object in px, >= 6 and at
            most size / 2. On screen an object has 0.75 to 1.7 times its nominal size.
        speed: range of the speed in px/frame, above 0 and at most a third of the smallest object.
            An object that spins moves its rim at this speed, one that grows at a fifth of it.
        shapes: of objects, without repetition.
        textures: of objects, without repetition.
        shake: standard deviation of the camera's position in px, 0 to size / 8.
        distractor: whether a second object stands still in the scene.
        smooth: distance between the hills of a background, in sides of a frame, 0.05–2.
        backgrounds: kinds of pattern; scenes take turns.
        one_palette: all scenes have the same colours, and only their layout tells them apart.
        fixed_camera: all videos of a scene show the same piece of it, as a fixed camera would;
            otherwise each shows a piece of its own.
        own_place: every video has a place of its own and its scene is a kind of place, as no two
            gyms are the same; otherwise all videos of a scene show one and the same place.
        seed: >= 0; the same spec gives the same videos, another seed other scenes and videos.
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
    shapes: tuple[str, ...] = art.SHAPES
    textures: tuple[str, ...] = art.TEXTURES
    shake: float = 0.0
    distractor: bool = False
    smooth: float = 0.35
    backgrounds: tuple[str, ...] = art.BACKGROUNDS
    one_palette: bool = False
    fixed_camera: bool = False
    own_place: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        low, high = self.object_size
        slow, fast = self.speed
        known = bool(self.motions) and set(self.motions) <= set(MOTIONS)
        rules = (
            ("train_videos", self.train_videos >= 1, "be at least 1"),
            ("seen_videos", self.seen_videos >= 0, "not be negative"),
            ("unseen_videos", self.unseen_videos >= 0, "not be negative"),
            ("size", self.size in range(32, 513, 2), "be an even number of px, 32 to 512"),
            ("frames", self.frames >= 2, "be at least 2, or nothing moves"),
            ("fps", self.fps in range(1, 121), "be a whole number from 1 to 120, such as 25"),
            ("motions", known, f"name at least one of {', '.join(MOTIONS)}"),
            ("motions", len(set(self.motions)) == len(self.motions), "name each motion only once"),
            ("shapes", _names(self.shapes, art.SHAPES), f"name some of {', '.join(art.SHAPES)}"),
            (
                "textures",
                _names(self.textures, art.TEXTURES),
                f"name some of {', '.join(art.TEXTURES)}",
            ),
            (
                "backgrounds",
                _names(self.backgrounds, art.BACKGROUNDS),
                f"name some of {', '.join(art.BACKGROUNDS)}",
            ),
            ("scenes", self.scenes >= 1, "be at least 1"),
            ("unseen_scenes", self.unseen_scenes >= 1, "be at least 1"),
            ("correlation", 0 <= self.correlation <= 1, "lie from 0 (independent) to 1 (tied)"),
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
        for name, right, must in rules:
            if not right:
                value = getattr(self, name)
                raise UnsceneError(f"MovingScenes: {name} = {value!r}; it must {must}")

    def videos(self, split: Split) -> int:
        """Number of videos in a split."""
        return int(getattr(self, f"{split}_videos"))


def _names(given: tuple[str, ...], known: tuple[str, ...]) -> bool:
    return bool(given) and set(given) <= set(known) and len(set(given)) == len(given)


class Truth(NamedTuple):
    """What the object and the camera do, frame by frame. T is the number of frames."""

    centre: Floats  # (T, 2) px on screen, wrapped into [0, size)
    angle: Floats  # (T,) rad, clockwise, not wrapped
    scale: Floats  # (T,) size on screen / nominal size, within ZOOM
    camera: Floats  # (T, 2) px by which the whole picture is displaced; zero without shake


def move(
    motion: str,
    rng: np.random.Generator,
    *,
    frames: int,
    size: int,
    object_size: float,
    speed: float,
    shake: float,
) -> Truth:
    """Draw one course. Position, angle and scale are uniform (scale: in log) on their closed loops
    at every moment, whatever the motion, so no single frame tells anything about it."""
    dx, dy, spin, zoom = MOTIONS[motion]
    t = np.arange(frames)
    start, phase = rng.uniform(0, size, 2), rng.uniform()
    angle, turn = rng.uniform(0, 2 * math.pi), rng.uniform(-JITTER, JITTER)
    cos, sin = math.cos(turn), math.sin(turn)
    velocity = speed * np.array([dx * cos - dy * sin, dx * sin + dy * cos])
    rim = speed / (object_size / 2)  # rad/frame at which the rim travels `speed` px/frame
    low, high = np.log(ZOOM)
    phase = (phase + zoom * ZOOM_SHARE * rim / (high - low) * t) % 1.0
    camera = _shake(rng, frames, shake)
    return Truth(
        centre=((start + velocity * t[:, None] + camera) % size).astype(np.float32),
        angle=(angle + spin * rim * t).astype(np.float32),
        scale=np.exp(low + (high - low) * phase).astype(np.float32),
        camera=camera.astype(np.float32),
    )


def _shake(rng: np.random.Generator, frames: int, shake: float) -> NDArray[np.float64]:
    """A hand-held camera: a random walk pulled back to the middle, standard deviation `shake` px,
    never farther than 3 × shake."""
    keep = 0.7
    steps = rng.normal(size=(frames, 2)) * math.sqrt(1 - keep**2)
    walk = np.empty_like(steps)
    at = rng.normal(size=2)
    for t, step in enumerate(steps):
        at = keep * at + step
        walk[t] = at
    return np.clip(walk, -3, 3) * shake


@dataclass(frozen=True)
class _Plan:
    """Everything drawn for one video before a pixel is."""

    labels: dict[str, str | int | float]
    truth: Truth
    art_seed: int


def _plan(spec: MovingScenes, split: Split, index: int) -> _Plan:
    rng = np.random.default_rng([spec.seed, SPLITS.index(split), index])
    motion_index = index % len(spec.motions)
    tied, first = rng.uniform() < spec.correlation, 0
    scenes = spec.scenes
    if split == "unseen":
        first, scenes = spec.scenes, spec.unseen_scenes
    scene = first + int(rng.integers(scenes))
    if split == "train" and tied:
        scene = motion_index % spec.scenes
    motion, size = spec.motions[motion_index], float(rng.uniform(*spec.object_size))
    shape, texture = str(rng.choice(spec.shapes)), str(rng.choice(spec.textures))
    speed, art_seed = float(rng.uniform(*spec.speed)), int(rng.integers(2**63))
    truth = move(
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
    return _Plan(dict(zip(COLUMNS, values + numbers, strict=True)), truth, art_seed)


def video_labels(spec: MovingScenes, split: Split, index: int) -> dict[str, str | int | float]:
    """The CSV row of one video, by column; size in px (nominal), speed in px/frame."""
    return _plan(spec, split, index).labels


def video_truth(spec: MovingScenes, split: Split, index: int) -> Truth:
    """Where the object and the camera are in every frame of one video."""
    return _plan(spec, split, index).truth


def render_video(
    spec: MovingScenes, split: Split, index: int
) -> tuple[NDArray[np.uint8], dict[str, str | int | float]]:
    """Draw one video: RGB pixels (T, H, W, 3) before encoding, and its labels. Depends on nothing
    but the arguments."""
    plan, S = _plan(spec, split, index), spec.size
    rng = np.random.default_rng(plan.art_seed)
    scene = int(plan.labels["scene"])
    picture = art.background(
        spec.seed,
        scene,
        S,
        spec.smooth,
        spec.backgrounds,
        spec.one_palette,
        plan.art_seed if spec.own_place else None,
    )
    side = S + 2 * (math.ceil(3 * spec.shake) + 1)
    x, y = rng.integers(0, art.CANVAS * S - side, 2)
    if spec.fixed_camera:
        x = y = (art.CANVAS * S - side) // 2
    piece = picture[y : y + side, x : x + side] * np.float32(rng.uniform(0.93, 1.07))
    frames = art.look(np.minimum(piece, 255), plan.truth.camera, S)
    image = art.sprite(str(plan.labels["shape"]), str(plan.labels["texture"]), rng)
    if spec.distractor:
        _stand(spec, frames, plan.truth, rng)
    sizes = plan.truth.scale * np.float32(plan.labels["size"])
    art.paint(frames, image, plan.truth.centre, plan.truth.angle, sizes)
    frames += 0.5  # nothing leaves 0-255: rounding needs no clipping
    return frames.astype(np.uint8), plan.labels


def _stand(spec: MovingScenes, frames: art.Floats, truth: Truth, rng: np.random.Generator) -> None:
    """Paint an object that keeps its place in the scene, away from where the other one starts."""
    shape, texture = str(rng.choice(spec.shapes)), str(rng.choice(spec.textures))
    away, side = spec.size * rng.uniform(0.35, 0.5), rng.uniform(0, 2 * math.pi)
    apart = np.array([math.cos(side), math.sin(side)]) * away
    place = truth.centre[0] - truth.camera[0] + apart + truth.camera
    size = rng.uniform(*spec.object_size) * math.exp(rng.uniform(*np.log(ZOOM)))
    turn = rng.uniform(0, 2 * math.pi)
    angle, sizes = np.full_like(truth.angle, turn), np.full_like(truth.scale, size)
    art.paint(frames, art.sprite(shape, texture, rng), place % spec.size, angle, sizes)
