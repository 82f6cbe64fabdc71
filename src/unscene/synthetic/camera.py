"""The camera of generated footage: it pans, zooms, turns and shakes, and its motion is known.

Convention
----------
A view is a matrix (2, 3) for each frame. It takes a point (x, y, 1) of the screen to the scene. The
screen is 2 wide and 2 high, x to the right, y down, and so is the part of the scene that the camera
shows when it stands still. Angles are in radians and positive is clockwise.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def draw_shake(rng: np.random.Generator, frames: int, shake: float) -> Floats:
    """Draw the positions of a hand-held camera: a random walk that is pulled back to the middle.

    Its standard deviation is `shake`; it never goes farther than 3 * shake.

    Returns:
        (T, 2), in the unit of `shake`.
    """
    keep = 0.7
    steps = rng.normal(size=(frames, 2)) * math.sqrt(1 - keep**2)
    walk = np.empty_like(steps)
    at = rng.normal(size=2)
    for t, step in enumerate(steps):
        at = keep * at + step
        walk[t] = at
    return np.clip(walk, -3, 3) * shake


def draw_camera(
    rng: np.random.Generator,
    times: Floats,
    *,
    pan: float = 0.0,
    zoom: float = 0.0,
    rotation: float = 0.0,
    shake: tuple[float, float] = (0.0, 0.0),
    follow: tuple[float, float] = (0.0, 0.0),
) -> Floats:
    """Draw the view of one video. It is the identity at time 0, but for shake.

    Pan, zoom and rotation are steady. Each is 0.3 to 1 times as fast as given, in a random
    direction. The same draws are made whatever is zero.

    Args:
        times: (T,), in any unit.
        pan: largest speed, units of the screen per unit of time.
        zoom: largest change of the logarithm of what the camera shows, per unit of time.
        rotation: largest speed, radians per unit of time.
        shake: standard deviation of the position (units of the screen) and of the angle (radians).
        follow: a velocity of which the camera takes 0.4 to 1, beside its own pan.

    Returns:
        (T, 2, 3).

    >>> view = draw_camera(np.random.default_rng(0), np.arange(3.0), pan=0.1)
    >>> view.shape, bool((view[0] == np.eye(2, 3)).all())
    ((3, 2, 3), True)
    """

    def strength() -> float:
        return float(rng.choice((-1, 1)) * rng.uniform(0.3, 1))

    direction, share = rng.uniform(0, 2 * math.pi), rng.uniform(0.4, 1)
    pan, zoom, rotation = pan * abs(strength()), zoom * strength(), rotation * strength()
    shift, shaken = (draw_shake(rng, len(times), size) for size in shake)
    center = pan * times[:, None] * np.array([math.cos(direction), math.sin(direction)])
    center = center + share * np.asarray(follow) * times[:, None] + shift
    scale, angle = np.exp(zoom * times), rotation * times + shaken[:, 0]
    cos, sin = scale * np.cos(angle), scale * np.sin(angle)
    rows = [np.stack([cos, -sin, center[:, 0]], -1), np.stack([sin, cos, center[:, 1]], -1)]
    return np.stack(rows, axis=1)


def compute_camera(view: Floats) -> Floats:
    """The true motion of the camera.

    Args:
        view: (T, 2, 3).

    Returns:
        (T-1, 2, 3): the scene's flow at (x, y) is matrix @ (x, y, 1), normalized units, pointing
        back in time, as `motion.camera.estimate_camera` has it.

    >>> right = np.array([[[1, 0, x], [0, 1, 0]] for x in (0.0, 0.1)])  # the camera pans
    >>> compute_camera(right)[0, :, 2].tolist()  # what it shows was farther to the right
    [0.1, 0.0]
    """
    square = to_square(view)
    return np.asarray((np.linalg.inv(square[:-1]) @ square[1:] - np.eye(3))[:, :2])


def to_square(maps: Floats) -> Floats:
    """Complete affine maps (T, 2, 3) to matrices (T, 3, 3)."""
    last = np.broadcast_to([[[0.0, 0.0, 1.0]]], (len(maps), 1, 3))
    return np.concatenate([maps, last], axis=1)
