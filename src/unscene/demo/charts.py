"""Pieces of the demo's report: moving thumbnails, bars of methods, curves, tables; plain HTML."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unscene.demo.verdict import Rows
from unscene.html.chart import bar, chance_line, scale, ticks
from unscene.html.document import percent
from unscene.html.pictures import film
from unscene.methods.presets import SPOKEN
from unscene.results.seeds import Cell

METHODS = ("random", "moco", "dsm")
_SPOKEN = {"random": "Untrained"} | SPOKEN


@dataclass(frozen=True)
class Shot:
    """A video as a thumbnail.

    Attributes:
        frames: uint8 RGB (T, H, W, 3).
        motion, scene: its labels, as they shall be read.
    """

    frames: NDArray[np.uint8]
    motion: str
    scene: str

    def __post_init__(self) -> None:
        if self.frames.dtype != np.uint8 or self.frames.ndim != 4 or self.frames.shape[3] != 3:
            raise ValueError(
                f"frames must be uint8 (T, H, W, 3), got {self.frames.dtype} "
                f"{list(self.frames.shape)}"
            )


def spoken(method: str) -> str:
    """A method's name in sentences."""
    return _SPOKEN.get(method, method)


def figure(shot: Shot, hit: bool | None = None) -> str:
    """A moving thumbnail with its labels; `hit` marks it by sign, word and colour."""
    alt = f"clip: motion {shot.motion}, scene {shot.scene}"
    # The longest motion breaks at its seam where a thumbnail is narrow.
    motion = escape(shot.motion).replace("rclockwise", "r&shy;clockwise")
    scene = f"<br>{escape(shot.scene)}"
    if hit is None:
        return f"<figure>{film(shot.frames, alt)}<figcaption>{motion}{scene}</figcaption></figure>"
    kind, sign, word = ("hit", "✓", "hit") if hit else ("miss", "✗", "miss")
    return (
        f'<figure class="{kind}">{film(shot.frames, f"{alt}, a {word}")}<figcaption>'
        f'<b title="{word}">{sign} {motion}</b>{scene}</figcaption></figure>'
    )


def bars(title: str, note: str, scores: Mapping[str, Cell | None], chance: Any = None) -> str:
    """Values with their intervals on a scale from 0 to 100 %, and the chance line."""
    line = chance_line(None if chance is None else float(chance) * 100)
    lines = []
    for method, found in scores.items():
        if found is None:
            continue
        low, value, high = (round(x * 100, 2) for x in (found.low, found.value, found.high))
        text = f"<b>{percent(found.value)}</b> [{low:.0f}, {high:.0f}]"
        who = escape(spoken(method))
        lines.append(bar(who, text, escape(method), low, value, high, line))
    if not lines:
        return ""
    lines.append(scale([(share, f"{share}&nbsp;%") for share in (0, 50, 100)]))
    guess = "" if chance is None else f'<p class="guess">guessing: {percent(float(chance))}</p>'
    return (
        f'<div class="chart"><h3>{escape(title)}</h3><p class="note">{escape(note)}</p>'
        f"{''.join(lines)}{guess}</div>"
    )


def curves(
    title: str,
    logged: Mapping[str, Sequence[tuple[int, Mapping[str, float]]]],
    key: str,
    *,
    share: bool = False,
    chance: float | None = None,
) -> str:
    """One metric over the steps, a line a method (raw values faint, smoothed ones over them)."""
    series = {
        method: [(step, float(m[key])) for step, m in points if np.isfinite(m.get(key, np.nan))]
        for method, points in logged.items()
    }
    series = {method: points for method, points in series.items() if len(points) > 1}
    if not series:
        return ""
    width, height, left, right, top, bottom = 460, 250, 44, 70, 12, 34
    last = max(points[-1][0] for points in series.values())
    first = min(points[0][0] for points in series.values())
    values = [value for points in series.values() for _, value in points]
    low, high = (0.0, 1.0) if share else (min(0.0, *values), max(values) * 1.05 or 1.0)

    def x(step: float) -> float:
        return left + (step - first) / max(last - first, 1) * (width - left - right)

    def y(value: float) -> float:
        return top + (high - value) / (high - low) * (height - top - bottom)

    marks = []
    for tick in np.linspace(low, high, 5) if share else ticks(low, high):
        name = percent(float(tick)) if share else f"{tick:g}"
        marks.append(
            f'<line class="grid" x1="{left}" x2="{width - right}" y1="{y(tick):.1f}" '
            f'y2="{y(tick):.1f}"/><text class="tick" x="{left - 6}" y="{y(tick) + 4:.1f}" '
            f'text-anchor="end">{name}</text>'
        )
    for tick in ticks(first, last):
        marks.append(
            f'<text class="tick" x="{x(tick):.1f}" y="{height - bottom + 18}" '
            f'text-anchor="middle">{tick:g}</text>'
        )
    if chance is not None:
        marks.append(
            f'<line class="chance" x1="{left}" x2="{width - right}" y1="{y(chance):.1f}" '
            f'y2="{y(chance):.1f}"/>'
        )
    ends: list[float] = []
    for method, points in sorted(series.items(), key=lambda item: item[1][-1][1]):
        smooth = _smooth(np.array([value for _, value in points]))
        raw = " ".join(f"{x(s):.1f},{y(v):.1f}" for s, v in points)
        soft = " ".join(f"{x(s):.1f},{y(v):.1f}" for (s, _), v in zip(points, smooth, strict=True))
        at = y(float(smooth[-1])) + 4
        if ends and ends[-1] - at < 15:  # names at the line ends do not overlap
            at = ends[-1] - 15
        ends.append(at)
        marks.append(
            f'<polyline class="raw {escape(method)}" points="{raw}"/>'
            f'<polyline class="line {escape(method)}" points="{soft}"/>'
            f'<text class="name {escape(method)}" x="{x(points[-1][0]) + 7:.1f}" '
            f'y="{at:.1f}">{escape(spoken(method))}</text>'
        )
    described = ", ".join(
        f"{spoken(m)} from {p[0][1]:.2f} to {p[-1][1]:.2f}" for m, p in series.items()
    )
    return (
        f'<div class="chart"><h3>{escape(title)}</h3>'
        f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{escape(title)} over the '
        f'training steps: {escape(described)}">{"".join(marks)}'
        f'<text class="tick" x="{width - right}" y="{height - 2}" text-anchor="end">steps</text>'
        "</svg></div>"
    )


def _smooth(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """A running mean over a twentieth of the curve that keeps its ends."""
    half = len(values) // 40
    sums = np.concatenate([[0.0], np.cumsum(values)])
    index = np.arange(len(values))
    reach = np.minimum(half, np.minimum(index, len(values) - 1 - index))
    mean: NDArray[np.float64] = (sums[index + reach + 1] - sums[index - reach]) / (2 * reach + 1)
    return mean


def table(rows: Rows) -> str:
    """All rows as they are."""
    columns = ("method", "metric", "label", "split", "value", "95 %", "n", "seed", "steps", "s")
    head = "".join(f'<th scope="col">{name}</th>' for name in columns)
    lines = []
    for row in rows:
        low, high = row["ci95"]
        cells = (
            spoken(str(row["method"])),
            *(row[key] for key in ("metric", "label", "split")),
            percent(row["value"]),
            f"{low * 100:.1f}–{high * 100:.1f}",
            *(row.get(key, "") for key in ("n", "seed", "steps")),
            f"{float(row.get('seconds', 0)):.0f}",
        )
        lines.append("<tr>" + "".join(f"<td>{escape(str(c))}</td>" for c in cells) + "</tr>")
    return (
        f'<div class="scroll"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(lines)}</tbody></table></div>"
    )


_FACTS = {
    "videos": "training videos",
    "test_videos": "test videos",
    "motions": "motions",
    "scenes": "scenes in training",
    "unseen_scenes": "new scenes in the test",
    "correlation": "motion tied to scene in training",
    "encoder": "encoder",
    "steps": "training steps each",
    "minutes": "minutes in all",
    "seed": "seed",
    "clips": "windows a video at test time",
    "gallery": "videos searched in",
    "chance": "guessing, motion",
    "chance_scene": "guessing, scene",
}
_SHARES = frozenset({"correlation", "chance", "chance_scene"})


def facts(known: Mapping[str, Any], rows: Rows, versions: Mapping[str, str]) -> str:
    """A list of names and values: the run's facts, what the rows share, versions."""
    pairs: list[tuple[str, str]] = []
    for key in (*(k for k in _FACTS if k in known), *(k for k in known if k not in _FACTS)):
        value = known[key]
        text = percent(float(value)) if key in _SHARES else _plain(value)
        pairs.append((_FACTS.get(key, key.replace("_", " ")), text))
    for key, name in (("n", "test videos a number"), ("fingerprint", "data fingerprint")):
        found = sorted({str(row[key]) for row in rows if row.get(key)})
        if found:
            pairs.append((name, ", ".join(found)))
    for method in METHODS:
        seconds = {float(row["seconds"]) for row in rows if row["method"] == method}
        if any(seconds):
            pairs.append((f"seconds of training, {spoken(method)}", f"{max(seconds):.0f}"))
    software = dict(versions)
    for row in rows:
        software = dict(row.get("versions") or {}) | software
    pairs += [(f"version of {name}", version) for name, version in sorted(software.items())]
    items = "".join(f"<div><dt>{escape(k)}</dt><dd>{escape(v)}</dd></div>" for k, v in pairs)
    return f'<dl class="facts">{items}</dl>'


def _plain(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
