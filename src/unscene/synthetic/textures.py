"""Textures with the statistics of natural pictures: a 1/f spectrum, or leaves over one another.

    clouds   phases are random, amplitudes fall with frequency
    leaves   opaque discs whose sizes follow a power law; the spectrum falls likewise, and there are
             edges, as where one thing hides another

Textures repeat without a seam, so that a camera can pan and turn anywhere.

Sources: Field, "Relations between the Statistics of Natural Images and the Response Properties of
Cortical Cells", JOSA A 1987 (1/f); Lee, Mumford and Huang, "Occlusion Models for Natural Images",
IJCV 2001 (leaves). As footage to learn from: Baradad et al., "Learning to See by Looking at Noise",
NeurIPS 2021. Colors are ours.
"""

from __future__ import annotations

import math
from functools import lru_cache

import cv2
import numpy as np

from unscene.synthetic.draw import Floats, hue_color, luma

KINDS = ("clouds", "leaves")


def draw_clouds(rng: np.random.Generator, side: int, *, slope: float = 1.0) -> Floats:
    """Draw noise whose amplitude falls with frequency as 1 / f^slope.

    Returns:
        float32 (side, side), mean 0, standard deviation 1; its edges meet.

    >>> clouds = draw_clouds(np.random.default_rng(0), 64)
    >>> clouds.shape, round(float(clouds.std()), 3)
    ((64, 64), 1.0)
    """
    down, across = np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)[None]
    frequency = np.hypot(down, across)
    frequency[0, 0] = 1
    spectrum = np.fft.rfft2(rng.standard_normal((side, side))) / frequency**slope
    spectrum[0, 0] = 0
    field = np.fft.irfft2(spectrum, (side, side))
    return (field / field.std()).astype(np.float32)


def draw_leaves(rng: np.random.Generator, side: int, *, wide: float) -> Floats:
    """Draw opaque discs over one another, from 2 px to `wide` px in diameter.

    Their number falls with the cube of their size, so that pictures of any scale look alike.

    Returns:
        float32 (side, side), mean 0, standard deviation 1; its edges meet.
    """
    field = np.zeros((side, side), np.float32)
    small, large = 2.0 / 2, wide / 2
    count = round(3 * side * side / (math.pi * 2 * small**2 * math.log(large / small)))
    share = rng.random(count)
    radius = (small**-2 + share * (large**-2 - small**-2)) ** -0.5
    at, tone = rng.uniform(0, side, (count, 2)), rng.standard_normal(count)
    for (x, y), r, value in zip(at, radius, tone, strict=True):
        for dx in (-side, 0, side) if min(x, side - x) < r + 1 else (0,):
            for dy in (-side, 0, side) if min(y, side - y) < r + 1 else (0,):
                center = (round(16 * (x + dx)), round(16 * (y + dy)))
                cv2.circle(field, center, round(16 * r), float(value), -1, cv2.LINE_8, 4)
    return (field - field.mean()) / field.std()


@lru_cache(maxsize=32)
def draw_ground(
    seed: int, scene: int, side: int, kinds: tuple[str, ...], place: int | None = None
) -> Floats:
    """Draw the background of a scene.

    Args:
        seed: of the footage.
        scene: number of the scene; scenes take turns in `kinds`, and their hues lie apart.
        side: in px.
        kinds: of texture.
        place: draw one of many backgrounds of this kind and color; None: the only one.

    Returns:
        float32 (side, side, 3), RGB from 0 to 255, read-only.
    """
    look = np.random.default_rng([seed, 2_000_003, scene])
    hue = (np.random.default_rng([seed, 2_000_029]).uniform() + scene * 0.618034) % 1.0
    slope, gray, contrast = look.uniform(0.9, 1.3), look.uniform(0.6, 0.95), look.uniform(0.1, 0.18)
    level, apart = look.uniform(0.35, 0.5), look.uniform(0.08, 0.3)
    rng = look if place is None else np.random.default_rng([seed, 2_000_039, scene, place])
    if kinds[scene % len(kinds)] == "leaves":
        field = draw_leaves(rng, side, wide=side / 5)
        field = 0.85 * field + 0.5 * draw_clouds(rng, side, slope=slope)
    else:
        field = draw_clouds(rng, side, slope=slope)
    tint = 0.5 + 0.5 * np.tanh(draw_clouds(rng, side, slope=1.3))[..., None]
    colors = [gray + (1 - gray) * hue_color(hue + at) for at in (0, apart)]
    colors = [color / luma(color) for color in colors]
    color = colors[0] * (1 - tint) + colors[1] * tint
    light = np.clip(level + contrast * field, 0.12, 0.78)[..., None]
    picture = np.clip(255 * light * color, 0, 255).astype(np.float32)
    picture.setflags(write=False)
    return picture


def draw_skin(rng: np.random.Generator, side: int) -> Floats:
    """Draw what is on a limb: cloth, fur or metal, float32 (side, side, 3), 1 on average."""
    field = draw_clouds(rng, side, slope=rng.uniform(0.9, 1.3))
    if rng.random() < 0.5:  # a pattern: stripes or checks that are bent
        y, x = np.mgrid[:side, :side] * (2 * math.pi / side)
        across, down = rng.integers(1, 5), rng.integers(0, 5)
        field = 0.5 * field + np.sign(np.sin(across * x + down * y + 0.5 * field))
    gain = np.clip(1 + rng.uniform(0.15, 0.35) * field, 0.25, 1.75)
    hue = 1 + 0.12 * draw_clouds(rng, side)[..., None] * (hue_color(rng.uniform()) - 0.5)
    return np.asarray(gain[..., None] * hue, np.float32)
