"""What a body does, in numbers: what an encoder is asked to tell beside finding viewings.

    parts      trunk, head, upper and lower arms and legs: how fast their joints turn, and which way
               in the first and in the second half of the clip
    sides      whether left and right go together, and how fast limbs leave the middle plane
    body       up and down, forward, turning
    kind       person, animal or machine

No number depends on where the body is seen from, on its size or on its place. So an encoder that
tells them has understood the motion and not its picture.

Source: ours.
"""

from __future__ import annotations

import numpy as np

from unscene.synthetic.figures import KINDS, Floats, Kind, MotionProgram, Viewing, move_body

_PARTS = ("trunk", "head", "upper arms", "lower arms", "upper legs", "lower legs")
_LIMBS: dict[Kind, tuple[tuple[int, ...], ...]] = {
    "person": ((0,), (1,), (2, 4), (3, 5), (6, 8), (7, 9)),
    "animal": ((0,), (1, 2, 3), (), (), (4, 6, 8, 10), (5, 7, 9, 11)),
    "machine": ((0, 1), (5,), (2,), (3, 4), (), ()),
}
_PAIRED = (2, 4)  # the upper parts, whose left and right limbs may swing in turn
ATTRIBUTES = (
    *(f"{part}: {what}" for part in _PARTS for what in ("speed", "first half", "second half")),
    *(f"{_PARTS[part]}: {what}" for part in _PAIRED for what in ("together", "sideways")),
    *("down, first half", "down, second half", "up and down"),
    *("going, first half", "going, second half", "forward"),
    *("turning, first half", "turning, second half"),
    *KINDS,
)


def describe_motion(program: MotionProgram, viewing: Viewing, times: Floats) -> Floats:
    """Describe what a body does in a clip.

    Args:
        program: what is done.
        viewing: decides the pace, the beginning and the body; not from where it is seen.
        times: (T,) seconds before or after the middle of the clip.

    Returns:
        (A,), one number for each of `ATTRIBUTES`, about -2 to 2.

    >>> from unscene.synthetic.actions import draw_action, draw_view_around
    >>> rng = np.random.default_rng(0)
    >>> action = draw_action(rng, 1.6, "person")
    >>> numbers = describe_motion(action, draw_view_around(rng, "person"), np.arange(25) / 15)
    >>> numbers.shape == (len(ATTRIBUTES),)
    True
    """
    kind, seconds = program.kind, float(times[1] - times[0])
    moving = move_body(program, viewing, times)
    turning = np.diff(moving.angles, axis=0) / seconds
    sideways = np.abs(np.diff(moving.spread, axis=0)) / seconds
    half = len(turning) // 2
    found: list[float] = []
    for limbs in _LIMBS[kind]:
        speed = turning[:, list(limbs)]
        mean = speed.mean(axis=1) if limbs else np.zeros(len(turning))
        found += [
            np.log1p(np.abs(speed).mean()) if limbs else 0.0,
            np.tanh(mean[:half].mean()),
            np.tanh(mean[half:].mean()),
        ]
    for part in _PAIRED:
        limbs = _LIMBS[kind][part]
        if len(limbs) < 2:
            found += [0.0, 0.0]
            continue
        left, right = turning[:, limbs[0]], turning[:, limbs[1]]
        both = (left * right).sum() / (0.01 + 0.5 * (left**2 + right**2).sum())
        found += [both, np.log1p(sideways[:, list(limbs)].mean())]
    down = np.diff(moving.down) / seconds
    ahead = np.sign(program.speed * program.tempo)
    going = np.linalg.norm(np.diff(moving.gone, axis=0), axis=1) / seconds
    found += [*np.tanh(2 * _halves(down)), np.log1p(3 * np.abs(down).mean())]
    found += [*np.log1p(3 * _halves(going)), np.log1p(3 * going.mean()) * ahead]
    found += list(np.log1p(_halves(np.abs(np.diff(moving.turned)) / seconds)))
    found += [float(kind == one) for one in KINDS]
    return np.array(found)


def _halves(values: Floats) -> Floats:
    """The mean of the first and of the second half."""
    half = len(values) // 2
    return np.array([values[:half].mean(), values[half:].mean()])
