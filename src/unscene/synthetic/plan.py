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
from unscene.synthetic.camera import compute_camera, draw_camera, draw_shake, to_square
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
_ZOOMED = 1.5  # times that the camera enlarges or shrinks the picture at most


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

    @property
    def has_camera(self) -> bool:
        """Whether the camera may move, so that its true motion is written."""
        return True

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
        pan: largest speed of a camera that pans, in px/frame, 0 to size / 8. Pan, zoom and rotation
            are steady; every video has 0.3 to 1 times as much of each, in a direction of its own.
        zoom: largest zoom of the camera in e-folds per frame, from 0; over half of a video it is at
            most a factor of 1.5.
        rotation: largest rotation of the camera in degrees per frame, 0 to 10.
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
    pan: float = 0.0
    zoom: float = 0.0
    rotation: float = 0.0
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
            ("pan", 0 <= self.pan <= self.size / 8, f"lie from 0 to {self.size / 8:g} px/frame"),
            ("zoom", 0 <= self.zoom <= self.most_zoom, f"lie from 0 to {self.most_zoom:.3g}"),
            ("rotation", 0 <= self.rotation <= 10, "lie from 0 to 10 degrees/frame"),
            ("smooth", 0.05 <= self.smooth <= 2, "lie from 0.05 (fine) to 2 (broad)"),
            ("seed", self.seed >= 0, "not be negative"),
        )
        self.check(rules)

    @property
    def most_zoom(self) -> float:
        """The largest `zoom` that the number of frames allows."""
        return 2 * math.log(_ZOOMED) / max(1, self.frames - 1)

    @property
    def has_camera(self) -> bool:
        """Whether the camera moves."""
        return bool(self.shake or self.moves_steadily)

    @property
    def moves_steadily(self) -> bool:
        """Whether the camera pans, zooms or turns."""
        return bool(self.pan or self.zoom or self.rotation)


def named_once(given: tuple[str, ...], known: tuple[str, ...]) -> bool:
    """Whether at least one known name is given, and none twice."""
    return bool(given) and set(given) <= set(known) and len(set(given)) == len(given)


class GroundTruth(NamedTuple):
    """Positions of the object and the camera in each of T frames."""

    center: Floats  # (T, 2) px on screen, wrapped into [0, size)
    angle: Floats  # (T,) rad, clockwise, not wrapped
    scale: Floats  # (T,) size on screen / nominal size; without a zoom of the camera within ZOOM
    shaken: Floats  # (T, 2) px by which shake displaces the whole picture
    view: NDArray[np.float64]  # (T, 2, 3), see `synthetic.camera`; without shake


def draw_motion(
    motion: str,
    rng: np.random.Generator,
    *,
    frames: int,
    size: int,
    object_size: float,
    speed: float,
    shake: float,
    view: NDArray[np.float64] | None = None,
) -> GroundTruth:
    """Draw the positions of object and camera in one video.

    At every moment, position, angle and scale (in log) are uniformly distributed for all motions,
    so a single frame contains no information on the motion. (A camera that zooms gathers objects in
    the middle or at the border, whatever their motion.)

    Args:
        size: of a frame, in px.
        object_size: nominal size of the object, in px.
        speed: in px/frame, before the scene.
        shake: standard deviation of the camera's position, in px.
        view: (T, 2, 3), of a camera that pans, zooms or turns (`synthetic.camera`). The torus on
            which the object moves stays that of the screen.
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
    shaken = draw_shake(rng, frames, shake)
    path: NDArray[np.float64] = start + velocity * t[:, None]
    angles, scales = angle + spin * rim * t, np.exp(low + (high - low) * phase)
    if view is not None:
        path = _film(np.stack([start, start + velocity]), view, size)
        turned, enlarged = _decompose(view)
        angles, scales = angles + turned, scales * enlarged
    return GroundTruth(
        center=((path + shaken) % size).astype(np.float32),
        angle=angles.astype(np.float32),
        scale=scales.astype(np.float32),
        shaken=shaken.astype(np.float32),
        view=np.tile(np.eye(2, 3), (frames, 1, 1)) if view is None else view,
    )


def _decompose(view: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """How far things are turned on screen (rad), and how many times they are enlarged, (T,)."""
    cos, sin = view[:, 0, 0], view[:, 1, 0]
    return -np.arctan2(sin, cos), 1 / np.hypot(sin, cos)


def _film(steps: Floats, view: NDArray[np.float64], size: int) -> NDArray[np.float64]:
    """The path on screen of a point that moves before the scene, (T, 2) px.

    Args:
        steps: (2, 2), px: where it is at first on screen, and where it would be one frame later if
            the camera stood still at time 0.
        view: (T, 2, 3).
        size: of a frame, in px.
    """
    seen = to_square(view)
    back = np.linalg.inv(seen)
    path = [steps[0].astype(float)]
    for before, after in zip(seen[:-1], back[1:], strict=True):
        scene = before[:2] @ [*(path[-1] * 2 / size - 1), 1] + (steps[1] - steps[0]) * 2 / size
        path.append(((after[:2] @ [*scene, 1] + 1) * size / 2) % size)
    return np.stack(path)


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
    view = None
    if spec.moves_steadily:  # drawn apart: the same video as with a fixed camera
        view = draw_camera(
            np.random.default_rng([spec.seed, 5_000_011, SPLITS.index(split), index]),
            np.arange(spec.frames, dtype=np.float64) - (spec.frames - 1) / 2,
            pan=spec.pan * 2 / spec.size,
            zoom=spec.zoom,
            rotation=math.radians(spec.rotation),
        )
    truth = draw_motion(
        motion,
        rng,
        frames=spec.frames,
        size=spec.size,
        object_size=size,
        speed=speed,
        shake=spec.shake,
        view=view,
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


def get_camera(spec: MovingScenes, split: Split, index: int) -> NDArray[np.float64]:
    """Get the true motion of the camera in one video.

    Returns:
        (T-1, 2, 3), see `synthetic.camera.compute_camera`.

    >>> bool(get_camera(MovingScenes(), "train", 0).any())  # it stands still
    False
    """
    return compute_camera(_get_view(get_truth(spec, split, index), spec.size))


def _get_view(truth: GroundTruth, size: int) -> NDArray[np.float64]:
    """(T, 2, 3) with shake: what the camera shows at x, it shows at x + shaken."""
    shift = truth.view[:, :, :2] @ (truth.shaken[..., None] * (2 / size))
    return np.concatenate([truth.view[:, :, :2], truth.view[:, :, 2:] - shift], axis=2)


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
    light = np.float32(rng.uniform(0.93, 1.07))
    margin = (side - S) // 2
    corner = np.array([x, y]) + margin  # of what the camera shows when it stands still
    if not spec.moves_steadily:  # no more than is seen
        picture, corner = picture[y : y + side, x : x + side], np.array([margin, margin])
    maps = _map_pixels(plan.truth, corner, S)
    frames = draw.show_through_camera(np.minimum(picture * light, 255), maps, S)
    image = draw.draw_sprite(str(plan.labels["shape"]), str(plan.labels["texture"]), rng)
    if spec.distractor:
        _paint_distractor(spec, frames, plan.truth, rng)
    sizes = plan.truth.scale * np.float32(plan.labels["size"])
    draw.paint_object(frames, image, plan.truth.center, plan.truth.angle, sizes)
    frames += 0.5  # for rounding; values stay within 0-255, so nothing needs clipping
    return frames.astype(np.uint8), plan.labels


def _map_pixels(truth: GroundTruth, corner: NDArray[np.int64], size: int) -> NDArray[np.float64]:
    """Maps (T, 2, 3) from the pixels of a frame to those of the background."""
    linear = truth.view[:, :, :2]
    # A pixel's center is half a pixel from its corner; shift: where pixel (0, 0) is found.
    first = (0.5 - truth.shaken) * 2 / size - 1
    origin = (linear @ first[..., None] + truth.view[:, :, 2:])[..., 0]
    shift = (origin + 1) * size / 2 - 0.5 + corner
    if (truth.view == np.eye(2, 3)).all():  # without rounding
        shift = (corner - truth.shaken).astype(np.float64)
    return np.concatenate([linear, shift[..., None]], axis=2)


def _paint_distractor(
    spec: MovingScenes, frames: draw.Floats, truth: GroundTruth, rng: np.random.Generator
) -> None:
    """Paint an object that stands still in the scene, away from the start of the moving one."""
    shape, texture = str(rng.choice(spec.shapes)), str(rng.choice(spec.textures))
    away, side = spec.size * rng.uniform(0.35, 0.5), rng.uniform(0, 2 * math.pi)
    apart = np.array([math.cos(side), math.sin(side)]) * away
    position = truth.center[0] - truth.shaken[0] + apart
    size = rng.uniform(*spec.object_size) * math.exp(rng.uniform(*np.log(ZOOM)))
    turn = rng.uniform(0, 2 * math.pi)
    turned, enlarged = _decompose(truth.view)
    angle, sizes = (turn + turned).astype(np.float32), (size * enlarged).astype(np.float32)
    path = position[None]
    if spec.moves_steadily:
        path = _film(np.stack([position, position]), truth.view, spec.size)
    position = path + truth.shaken
    draw.paint_object(
        frames, draw.draw_sprite(shape, texture, rng), position % spec.size, angle, sizes
    )
