"""Plots of an audit, in SVG: classes as points, responses as curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

from unscene.audit.report.charts import color
from unscene.html.chart import ticks


def scatter(name: str, model: int, points: Mapping[str, tuple[float, float]]) -> str:
    """Classes by accuracy with static (x) and with moving clips (y): Figure 1 of the DSM paper."""
    width, left, top = 240, 44, 10
    side = width - left - 14

    def x(value: float) -> float:
        return left + value * side

    def y(value: float) -> float:
        return top + (1 - value) * side

    marks = [
        f'<line class="grid" x1="{x(0):.1f}" x2="{x(1):.1f}" y1="{y(v):.1f}" y2="{y(v):.1f}"/>'
        f'<text class="tick" x="{left - 6}" y="{y(v) + 4:.1f}" text-anchor="end">'
        f"{v * 100:g} %</text>"
        f'<text class="tick" x="{x(v) + 9 * (v == 0):.1f}" y="{top + side + 17}" '
        'text-anchor="middle">'
        f"{v * 100:g} %</text>"
        for v in (0, 0.5, 1)
    ]
    marks.append(
        f'<line class="chance" x1="{x(0):.1f}" y1="{y(0):.1f}" x2="{x(1):.1f}" y2="{y(1):.1f}"/>'
    )
    for label, (static, normal) in points.items():
        told = f"{label}: static {static * 100:.0f} %, moving {normal * 100:.0f} %"
        marks.append(
            f'<circle class="{color(model)}" cx="{x(static):.1f}" cy="{y(normal):.1f}" r="4.5">'
            f"<title>{escape(told)}</title></circle>"
        )
    above = sum(normal > static for static, normal in points.values())
    height = top + side + 40
    return (
        f'<div class="chart {color(model)}"><h3 class="named">{escape(name)}</h3>'
        f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{len(points)} classes by '
        "accuracy, taught with static clips and with moving ones: "
        f'{above} gain from motion, as the table tells">{"".join(marks)}'
        f'<text class="tick" x="{x(0.5):.1f}" y="{height - 6}" '
        'text-anchor="middle">taught with static clips</text>'
        f'<text class="tick" x="{x(0) + 6:.1f}" y="{top + 12}">taught with moving clips</text>'
        "</svg></div>"
    )


@dataclass(frozen=True)
class Curve:
    """A model's response over a video, (N,) in standard deviations, and what is said of it."""

    name: str
    model: int
    values: Sequence[float]
    told: str


def curves(
    title: str, times: Sequence[float], motion: Sequence[float], shown: Sequence[Curve]
) -> str:
    """Responses over time, each above the motion (the grey ground, from 0 up)."""
    width, height, left, right, top, bottom = 280, 140, 10, 10, 8, 26
    begin, end = times[0], max(times[-1], times[0] + 1e-6)
    most = max([*motion, 1e-6])
    values = [v for curve in shown for v in curve.values] or [0.0]
    low, high = min(values), max([*values, min(values) + 1e-6])

    def x(time: float) -> float:
        return left + (time - begin) / (end - begin) * (width - left - right)

    def y(share: float) -> float:
        return top + (1 - share) * (height - top - bottom)

    ground = " ".join(f"{x(t):.1f},{y(m / most):.1f}" for t, m in zip(times, motion, strict=True))
    marks = [
        f'<polygon class="ground" points="{x(begin):.1f},{y(0):.1f} {ground} '
        f'{x(end):.1f},{y(0):.1f}"/>'
    ]
    for curve in shown:
        points = " ".join(
            f"{x(t):.1f},{y((v - low) / (high - low)):.1f}"
            for t, v in zip(times, curve.values, strict=True)
        )
        marks.append(f'<polyline class="line {color(curve.model)}" points="{points}"/>')
    for tick in ticks(begin, end):
        marks.append(
            f'<text class="tick" x="{x(tick):.1f}" y="{height - 8}" text-anchor="middle">'
            f"{tick:g} s</text>"
        )
    told = ", ".join(f"{curve.name} {curve.told}" for curve in shown)
    keys = "".join(
        f'<span class="{color(curve.model)}"><i></i>{escape(curve.name)} '
        f"{escape(curve.told)}</span>"
        for curve in shown
    )
    return (
        f'<figure class="chart"><h3>{escape(title)}</h3><svg viewBox="0 0 {width} {height}" '
        f'role="img" aria-label="Response over time beside the motion, correlation: '
        f'{escape(told)}">{"".join(marks)}</svg><figcaption class="legend">'
        f'<span class="ground"><i></i>motion, up to {most:.1f} % of the picture a step</span>{keys}'
        "</figcaption></figure>"
    )
