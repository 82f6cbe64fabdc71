"""Pieces of charts, in HTML and SVG: bars with intervals, round ticks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def bar(who: str, value: str, kind: str, low: float, mid: float, high: float, chance: str) -> str:
    """One line of a chart: a dot with its interval on a track.

    Args:
        who, value: HTML, left and right of the track.
        kind: class that gives the colour.
        low, mid, high: ends of the interval and the value, in percent of the track.
        chance: HTML of the chance line (`chance_line`), or nothing.
    """
    return (
        f'<div class="bar {kind}"><span class="who">{who}</span>'
        f'<span class="track">{chance}<i class="fill" style="width:{mid}%"></i>'
        f'<i class="range" style="left:{low}%;width:{high - low:.2f}%"></i>'
        f'<i class="dot" style="left:{mid}%"></i></span>'
        f'<span class="value">{value}</span></div>'
    )


def chance_line(place: float | None) -> str:
    """The dashed line at a place in percent of the track."""
    return "" if place is None else f'<i class="chance" style="left:{place:.2f}%"></i>'


def scale(labels: Sequence[tuple[float, str]]) -> str:
    """The line under bars that says what they measure: places in percent of the track, and HTML."""
    marks = "".join(f'<i style="left:{place:g}%">{text}</i>' for place, text in labels)
    return f'<div class="bar scale"><span></span><span class="track">{marks}</span></div>'


def ticks(low: float, high: float) -> list[float]:
    """Round numbers within a range, about four."""
    step = 10 ** np.floor(np.log10(max(high - low, 1e-9) / 3))
    while (high - low) / step > 5:
        step *= 2 if (high - low) / step < 10 else 5
    return [float(t) for t in np.arange(np.ceil(low / step), np.floor(high / step) + 1) * step]
