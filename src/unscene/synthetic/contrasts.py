"""What a motion program is compared with: the same motion, and what only looks like it.

    anchor     the program as one body does it
    positive   the same program in another viewing: body, size, place, pace, beginning
    shifted    the anchor's viewing at another time                   negatives of DSM's kind:
    retimed    ... at another pace                                    same body, same place,
    shuffled   ... with its parts in another order                    other motion
    mirrored   ... towards the other side

Source: ours. The negatives follow DSM (arXiv 2009.05757): the scene stays and the motion is broken.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from unscene.synthetic.actions import draw_action, draw_view_around
from unscene.synthetic.attributes import describe_motion
from unscene.synthetic.figures import (
    Floats,
    Kind,
    MotionProgram,
    Viewing,
    draw_program,
    draw_viewing,
    pose_figure,
)
from unscene.synthetic.raster import paint_flow

Flow = NDArray[np.float32]
Actions = Literal["whole", "simple"]
Sides = Literal["all", "profile"]
_VISIBLE, _MOVES = 0.02, 5e-4  # largest and mean length of a flow that shows something


@dataclass(frozen=True)
class Negatives:
    """Which negatives a program gets, and how far they are from the anchor.

    Attributes:
        shift: least and most seconds by which `shifted` is earlier or later; None: there is none.
        pace: least and largest factor by which `retimed` is faster or slower; None: there is none.
        parts: equal parts of the clip that change places in `shuffled`; 0: there is none.
        mirrored: whether there is the negative of this name.
    """

    shift: tuple[float, float] | None = None
    pace: tuple[float, float] | None = None
    parts: int = 0
    mirrored: bool = False


@dataclass(frozen=True)
class Contrast:
    """A motion program in several viewings.

    Attributes:
        flows: float32 (T, G, G, 2) by name, normalized units, pointing back; exact.
        numbers: (2, A), what anchor and positive do, see `attributes.describe_motion`.
    """

    flows: dict[str, Flow]
    numbers: Floats


def draw_contrast(
    rng: np.random.Generator,
    times: Floats,
    grid: int,
    *,
    kind: Kind | None = None,
    actions: Actions = "whole",
    sides: Sides = "all",
    same_side: bool = False,
    negatives: Negatives | None = None,
) -> Contrast:
    """Draw a motion program that shows something, and paint its flow in several viewings.

    Args:
        rng: is advanced.
        times: (T+1,) seconds before or after the middle of the clip.
        grid: G.
        kind: of the body; drawn if it is None.
        actions: "whole" draws programs like whole actions (`actions.draw_action`), "simple" those
            of `figures.draw_program`.
        sides: bodies are seen from "all" sides, or from the side ("profile").
        same_side: anchor and positive face the same side.
        negatives: that are painted too.

    >>> contrast = draw_contrast(np.random.default_rng(0), np.arange(13) / 15, 32)
    >>> {name: flow.shape for name, flow in contrast.flows.items()}
    {'anchor': (12, 32, 32, 2), 'positive': (12, 32, 32, 2)}
    """
    while True:
        span = float(times[-1] - times[0])
        program = draw_action(rng, span, kind) if actions == "whole" else draw_program(rng, kind)
        anchor = _draw_viewing(rng, program.kind, sides)
        facing = math.cos(anchor.yaw) < 0 if same_side else None
        positive = _draw_viewing(rng, program.kind, sides, facing)
        seen = {"anchor": anchor, "positive": positive}
        flows = {name: _paint(program, one, times, grid) for name, one in seen.items()}
        if all(abs(f).max() > _VISIBLE and abs(f).mean() > _MOVES for f in flows.values()):
            break
    numbers = np.stack([describe_motion(program, one, times) for one in seen.values()])
    if negatives is None:
        return Contrast(flows, numbers)
    for name, viewing in _change_viewing(rng, anchor, negatives).items():
        flows[name] = _paint(program, viewing, times, grid)
    if negatives.parts:
        flows["shuffled"] = flows["anchor"][_shuffle(rng, len(times) - 1, negatives.parts)]
    return Contrast(flows, numbers)


def _draw_viewing(
    rng: np.random.Generator, kind: Kind, sides: Sides, mirrored: bool | None = None
) -> Viewing:
    """A viewing; of a figure that faces the left half of the frame, if it is mirrored."""
    if sides == "profile":
        return draw_viewing(rng, kind, mirrored=mirrored)
    seen = draw_view_around(rng, kind)
    if mirrored is None or mirrored == (math.cos(seen.yaw) < 0):
        return seen
    return replace(seen, yaw=math.pi - seen.yaw)


def _paint(program: MotionProgram, viewing: Viewing, times: Floats, grid: int) -> Flow:
    ends, radius = pose_figure(program, viewing, times)
    flow: Flow = paint_flow(ends, radius, grid)
    return flow


def _change_viewing(
    rng: np.random.Generator, anchor: Viewing, negatives: Negatives
) -> dict[str, Viewing]:
    """The anchor's viewing with another beginning, pace or side, by the name of the negative."""
    changed: dict[str, Viewing] = {}
    if negatives.shift is not None:
        away = float(rng.choice((-1, 1)) * rng.uniform(*negatives.shift))
        changed["shifted"] = replace(anchor, start=anchor.start + away)
    if negatives.pace is not None:
        factor = float(rng.uniform(*negatives.pace) ** rng.choice((-1, 1)))
        changed["retimed"] = replace(anchor, pace=anchor.pace * factor)
    if negatives.mirrored:
        changed["mirrored"] = replace(anchor, yaw=math.pi - anchor.yaw)
    return changed


def _shuffle(rng: np.random.Generator, steps: int, parts: int) -> NDArray[np.int64]:
    """The steps of a clip with its parts in another order than theirs."""
    pieces = np.array_split(np.arange(steps), parts)
    order = np.arange(parts)
    while (order == np.arange(parts)).all():
        order = rng.permutation(parts)
    return np.concatenate([pieces[i] for i in order])
