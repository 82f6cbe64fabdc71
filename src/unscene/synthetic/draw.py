"""Random choices -> pixels: backgrounds, objects, and objects painted over backgrounds.

Convention
----------
Colors are RGB. Points are (x, y) in pixels, x to the right, y down; the origin is the corner (not
the center) of the top left pixel. Angles are in radians and positive is clockwise on the screen.
The frame is a torus for the object: it leaves on one side and enters on the opposite one.

Two rules keep every object visible on every background, although they are drawn independently:
backgrounds use the middle of the brightness range, objects use its two ends.
"""

from __future__ import annotations

import math
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

SHAPES = ("arrow", "drop", "fish", "chevron", "bar", "club")
TEXTURES = ("halves", "stripes", "spots", "ramp", "quarters")
BACKGROUNDS = ("noise", "stripes", "blobs", "gradient", "weave", "cells")

CANVAS = 3  # side of a background in frames; a video shows a part of one frame
_SPRITE = 128  # side of a sprite in pixels
_NEARBY = 0.06  # difference in hue (turns) within a kind of scene; it is larger between scenes
_REACH = 1.25  # half a sprite's side in object radii; the margin is for the soft shadow


# ---- backgrounds -------------------------------------------------------------------------------


def _noise(rng: np.random.Generator, side: int, wave: float) -> Floats:
    """Draw smooth noise, 0 to 1, whose maxima are about `wave` px apart."""
    field = np.zeros((side, side), np.float32)
    for octave, weight in ((1.0, 1.0), (0.5, 0.35)):
        knots = max(4, round(2 * side / (wave * octave)))
        grid = rng.normal(size=(knots, knots)).astype(np.float32)
        field += weight * cv2.resize(grid, (side, side), interpolation=cv2.INTER_CUBIC)
    field = np.asarray(cv2.GaussianBlur(field, (0, 0), wave / 8), np.float32)
    low, high = np.quantile(field, (0.02, 0.98))
    return np.clip((field - low) / (high - low), 0, 1).astype(np.float32)


def _pattern(kind: str, rng: np.random.Generator, side: int, wave: float) -> Floats:
    """Draw the pattern of a background: (side, side), 0 to 1, an index into its palette."""
    y, x = np.mgrid[:side, :side].astype(np.float32)
    turn = rng.uniform(0, math.pi)
    along = x * math.cos(turn) + y * math.sin(turn)
    across = y * math.cos(turn) - x * math.sin(turn)
    bend = _noise(rng, side, 2.5 * wave)
    cycle = 2 * math.pi / (wave * rng.uniform(0.8, 1.3))
    if kind == "stripes":
        return np.asarray(0.5 + 0.5 * np.sin(cycle * along + 5 * bend), np.float32)
    if kind == "gradient":
        slow = 0.5 + 0.5 * np.sin(0.35 * cycle * along)
        return np.asarray(0.8 * slow + 0.2 * bend, np.float32)
    if kind == "weave":
        product = np.sin(cycle * along + 2 * bend) * np.sin(cycle * across + 2 * bend)
        return np.asarray(0.5 + 0.5 * np.tanh(2.5 * product), np.float32)
    if kind == "blobs":
        return np.asarray(0.5 + 0.5 * np.tanh(7 * (_noise(rng, side, wave) - 0.5)), np.float32)
    if kind == "cells":
        seeds = np.full((side, side), 255, np.uint8)
        count = max(4, round((side / wave) ** 2 * 1.2))
        seeds[rng.integers(0, side, count), rng.integers(0, side, count)] = 0
        distance = cv2.distanceTransform(seeds, cv2.DIST_L2, 5)
        distance = cv2.GaussianBlur(distance, (0, 0), wave / 12)
        return np.clip(distance / (0.8 * wave), 0, 1).astype(np.float32)
    return _noise(rng, side, wave)


def luma(rgb: NDArray[np.floating]) -> NDArray[np.floating]:
    """Compute the luma (BT.601), 0 to 1, of RGB (..., 3), 0 to 1."""
    return np.asarray(rgb @ np.array([0.299, 0.587, 0.114]))


def hue_color(hue: float) -> NDArray[np.float64]:
    """Convert a hue in turns to fully saturated RGB."""
    return np.clip(np.abs((hue * 6 + np.array([0, 4, 2])) % 6 - 3) - 1, 0, 1)


@lru_cache(maxsize=64)
def draw_background(
    seed: int,
    scene: int,
    size: int,
    smooth: float,
    kinds: tuple[str, ...] = BACKGROUNDS,
    one_palette: bool = False,
    place: int | None = None,
) -> NDArray[np.uint8]:
    """Draw the background of a scene, uint8 (CANVAS * size, CANVAS * size, 3).

    The array is cached and read-only.

    Args:
        seed: of the footage.
        scene: number of the scene.
        size: of a frame, in px.
        smooth: distance between light spots, in frame widths.
        kinds: kinds of pattern; scenes take turns.
        one_palette: use the same colors for all scenes.
        place: draw one of many backgrounds of the same kind, with similar hues; None: the only one.
    """
    rng = np.random.default_rng([seed, 1_000_003, scene, *([] if place is None else [place])])
    side = CANVAS * size
    # Steps of the golden ratio keep the hues of any number of scenes apart.
    step = 0.0 if one_palette else scene * 0.618034
    hue = (np.random.default_rng([seed, 1_000_033]).uniform() + step) % 1.0
    if place is not None:
        hue = (hue + rng.uniform(-_NEARBY, _NEARBY)) % 1.0
    kind = kinds[(scene + seed) % len(kinds)]
    field = _pattern(kind, rng, side, smooth * size)
    light = _noise(rng, side, 1.5 * smooth * size)
    if one_palette:
        rng = np.random.default_rng([seed, 1_000_037])
    shift, gray = rng.uniform(0.06, 0.16) * rng.choice([-1, 1]), rng.uniform(0.35, 0.6)
    stops = []
    for at, level in zip((-1, 0, 1), rng.permutation([0.28, 0.4, 0.52]), strict=True):
        color = gray + (1 - gray) * hue_color(hue + at * shift)
        stops.append(color * level / luma(color))
    spots = np.linspace(0, 1, len(stops))
    table = np.stack([np.interp(np.linspace(0, 1, 512), spots, c) for c in np.transpose(stops)], -1)
    picture = table[np.rint(field * 511).astype(int)] * (0.85 + 0.3 * light[..., None])
    pixels = np.rint(np.clip(picture, 0, 1) * 255).astype(np.uint8)
    pixels.setflags(write=False)
    return pixels


# ---- objects -----------------------------------------------------------------------------------


def _outline(shape: str) -> list[NDArray[np.float64]]:
    """List the polygons of a shape in object radii: in the unit circle, the long axis along x.

    No shape is symmetric under rotation.
    """
    t = np.linspace(0, 2 * math.pi, 72, endpoint=False)
    circle = np.stack([np.cos(t), np.sin(t)], -1)
    if shape == "arrow":
        points = [(-0.95, -0.27), (0.1, -0.27), (0.1, -0.7), (1, 0)]
        return [np.array([*points, *((x, -y) for x, y in points[-2::-1])])]
    if shape == "drop":
        return [np.stack([np.cos(t), 0.68 * np.sin(t) * np.sin(t / 2) ** 1.3], -1)]
    if shape == "fish":
        body = circle * (0.72, 0.44) + (0.28, 0)
        return [body, np.array([(-0.2, 0), (-0.8, -0.58), (-0.68, 0), (-0.8, 0.58)])]
    if shape == "chevron":
        points = [(-0.15, 0.0), (-0.72, -0.68), (0.0, -0.68), (0.95, 0)]
        return [np.array([*points, (0.0, 0.68), (-0.72, 0.68)])]
    if shape == "bar":
        ends = np.where(circle[:, :1] > 0, 0.64, -0.64) * (1, 0)
        return [circle * 0.36 + ends]
    handle = np.array([(-0.98, -0.18), (0.4, -0.18), (0.4, 0.18), (-0.98, 0.18)])
    return [circle * 0.5 + (0.5, 0), handle]


@lru_cache(maxsize=64)
def _stencil(shape: str, texture: str) -> tuple[Floats, Floats, Floats]:
    """Draw coverage, tone (0 dark, 1 light) and soft shadow of an object.

    Each is (_SPRITE, _SPRITE), 0 to 1.
    """
    fine = 2 * _SPRITE
    mask = np.zeros((fine, fine), np.uint8)
    for polygon in _outline(shape):
        cv2.fillPoly(mask, [np.rint((polygon / _REACH + 1) * fine / 2).astype(np.int32)], 255)
    y, x = ((np.mgrid[:fine, :fine] + 0.5) / fine * 2 - 1) * _REACH
    if texture == "halves":
        light = x > 0.05
    elif texture == "stripes":
        light = (x + 1) % 0.62 > 0.31
    elif texture == "quarters":
        light = (x - 0.1) * y > 0
    elif texture == "spots":
        spots = ((0.55, 0.0, 0.22), (0.0, 0.14, 0.2), (-0.62, 0.0, 0.16))
        light = ~np.any([np.hypot(x - a, y - b) < r for a, b, r in spots], axis=0)
    else:
        light = np.clip(0.5 - 0.75 * x, 0, 1)
    small = (_SPRITE, _SPRITE)
    cover = _shrink(np.asarray(mask / 255, np.float32), small)
    tone = _shrink(np.asarray(light, np.float32), small)
    shadow = cv2.GaussianBlur(cover, (0, 0), _SPRITE / 24)
    return cover, tone, np.asarray(shadow, np.float32)


def _shrink(image: Floats, size: tuple[int, int]) -> Floats:
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.float32)


def draw_sprite(shape: str, texture: str, rng: np.random.Generator) -> Floats:
    """Draw an object in two random colors: (_SPRITE, _SPRITE, 4), RGB times coverage, coverage."""
    cover, tone, shadow = _stencil(shape, texture)
    dark, light = hue_color(rng.uniform()), hue_color(rng.uniform())
    dark = dark * (0.1 / luma(dark))
    missing = max(0.0, (0.8 - float(luma(light))) / (1 - float(luma(light))))
    light = light + (1 - light) * missing
    channels = [cover * (d + (c - d) * tone) for d, c in zip(255 * dark, 255 * light, strict=True)]
    alpha = (
        cover + (1 - cover) * np.float32(0.45) * shadow
    )  # the shadow is black: coverage without color
    return np.stack([*channels, alpha], -1, dtype=np.float32, casting="same_kind")


def paint_object(
    frames: Floats, image: Floats, center: Floats, angle: Floats, sizes: Floats
) -> None:
    """Paint a sprite over frames, in place.

    Args:
        frames: (T, S, S, 3), written to.
        image: a sprite.
        center: (T, 2) in px, within [0, S).
        angle: (T,) rad.
        sizes: (T,) px across.
    """
    T, S = frames.shape[:2]
    over = 2  # samples per pixel and axis
    patch = min(S, 2 * math.ceil(_REACH * float(sizes.max()) / 2 + 1))
    corner = np.floor(center).astype(int) - patch // 2
    patches = np.empty((T, patch, patch, 4), np.float32)
    levels = [image]
    for t in range(T):
        minify = _SPRITE / (_REACH * float(sizes[t]) * over)
        level = max(0, int(math.log2(max(minify, 1.0))))  # a smaller sprite against aliasing
        while level >= len(levels):
            half = levels[-1].shape[0] // 2
            levels.append(_shrink(levels[-1], (half, half)))
        side = levels[level].shape[0]
        zoom = side / (_REACH * float(sizes[t]))  # sprite pixels per screen pixel
        cos, sin = zoom * math.cos(float(angle[t])), zoom * math.sin(float(angle[t]))
        a = np.array([[cos, sin], [-sin, cos]])
        half_sample = 0.5 / over
        shift = a @ (half_sample - (center[t] - corner[t])) + (side - 1) / 2
        matrix = np.column_stack([a / over, shift])
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        fine = cv2.warpAffine(levels[level], matrix, (patch * over, patch * over), flags=flags)
        cv2.resize(fine, (patch, patch), patches[t], interpolation=cv2.INTER_AREA)
    reach = np.arange(patch)
    xs, ys = (corner[:, :1] + reach) % S, (corner[:, 1:] + reach) % S
    rows = (np.arange(T)[:, None] * S + ys)[:, :, None] * S + xs[:, None, :]
    pixels = frames.reshape(-1, 3)  # one index per pixel is fastest
    under, keep = pixels.take(rows, axis=0), 1 - patches[..., 3]
    for c in range(3):
        under[..., c] *= keep
        under[..., c] += patches[..., c]
    pixels[rows] = under


def show_through_camera(picture: Floats, maps: NDArray[np.float64], S: int) -> Floats:
    """Show a background through a camera that moves, or not.

    Args:
        picture: the background, or a part of it; beyond it, it is mirrored.
        maps: (T, 2, 3), for each frame from indices (x, y, 1) of its pixels to those of the
            picture.
        S: side of a frame in px.

    Returns:
        Frames (T, S, S, 3).
    """
    T = len(maps)
    x, y = maps[0, :, 2]
    if (maps == maps[0]).all() and (maps[0, :, :2] == np.eye(2)).all() and x % 1 == y % 1 == 0:
        return np.repeat(picture[None, int(y) : int(y) + S, int(x) : int(x) + S], T, axis=0)
    frames = np.empty((T, S, S, 3), np.float32)
    for t in range(T):
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        how = {"flags": flags, "borderMode": cv2.BORDER_REFLECT}
        cv2.warpAffine(picture, maps[t], (S, S), frames[t], **how)
    return frames
