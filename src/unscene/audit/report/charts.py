"""Charts of an audit, models side by side. The HTML is in templates/charts.html.

All text, numbers included, is HTML or SVG text, so that charts follow light and dark mode and stay
readable on a phone; pictures by matplotlib would do neither. A model has one color throughout, and
its name always stands next to it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.ticker import MaxNLocator

from unscene.audit.report.words import Kind, Words
from unscene.audit.result import Measured
from unscene.html.document import make_environment
from unscene.results.statistics import Score

# Index and name of each model, and its result; those of its untrained twin follow.
Results = Sequence[tuple[int, str, Measured]]

COLORS = 6  # of models in the style sheet; further models repeat them

# The untrained twin of model k has the index ~k, and is drawn in the same color, with diamonds.


@dataclass(frozen=True)
class Scale:
    """Maps values to positions on a track.

    Attributes:
        low, high: the values at both ends.
        labels: labeled values and their texts.
    """

    low: float
    high: float
    labels: tuple[tuple[float, str], ...]

    def place(self, value: float) -> float:
        """Position in percent of the track; values off the scale are at its ends."""
        return round(min(max((value - self.low) / (self.high - self.low), 0), 1) * 100, 2)


SHARES = Scale(0, 1, ((0, "0 %"), (0.5, "50 %"), (1, "100 %")))
NUMBERS = Scale(0, 1, ((0, "0"), (0.5, "0.5"), (1, "1")))


def scale_for(values: Sequence[float], *, signed: bool = False, percent: bool = False) -> Scale:
    """A scale with round ends that holds these values and 0; 0 is in the middle if signed."""
    top = max([abs(value) for value in values] + [1e-6])
    end = float(MaxNLocator(4).tick_values(0, top)[-1])

    def name(value: float) -> str:
        return f"{value * 100:g} %" if percent else f"{value:g}"

    if signed:
        return Scale(-end, end, ((-end, f"−{name(end)}"), (0, name(0)), (end, f"+{name(end)}")))
    return Scale(0, end, ((0, name(0)), (end / 2, name(end / 2)), (end, name(end))))


def color(model: int) -> str:
    """The CSS classes of a model: its color, and whether it is the untrained twin of a model.

    >>> color(1), color(~1)
    ('m1', 'm1 untrained')
    """
    return f"m{model % COLORS}" if model >= 0 else f"{color(~model)} untrained"


def without_twins(results: Results) -> Results:
    """The results of the models alone, for charts that would be crowded by their twins."""
    return [entry for entry in results if entry[0] >= 0]


@dataclass(frozen=True)
class Line:
    """A line of a chart.

    Attributes:
        who: left text.
        value: right text.
        found: the dot and its interval.
        model: index of the model, for the color.
        hollow: position of a hollow dot to compare with, or None.
    """

    who: str
    value: str
    found: Score
    model: int
    hollow: float | None = None


def dot_chart(
    title: str,
    note: str,
    shown: Sequence[Line],
    scale: Scale,
    *,
    chance: float | None = None,
    legend: str = "",
) -> str:
    """Values with their intervals, one per line.

    Args:
        chance: position of the dashed line; bars begin there, or else at 0.
        legend: what the hollow dot is.
    """
    if not shown:
        return ""
    chance_text = ""
    if chance is not None:
        chance_text = f"{chance * 100:.0f} %" if scale is SHARES else f"{chance:g}"
    lines = [_line(line, scale, 0 if chance is None else chance) for line in shown]
    place = None if chance is None else scale.place(chance)
    return _draw("dot_chart", title, note, lines, scale, place, chance_text, legend)


def track(found: Score, *, scale: Scale = SHARES) -> str:
    """A value with its interval and its chance as marks on a line, such as for a table cell."""
    chance = None if found.chance is None else scale.place(found.chance)
    return _draw("track", _line(Line("", "", found, 0), scale, 0), chance)


def score_chart(
    words: Words, results: Results, name: str, *, hollow: str = "", legend: str = ""
) -> str:
    """One score of every model, on the scale of its kind; "" if no model has it.

    Args:
        words: of the measure.
        hollow: another score, shown as a hollow dot.
        legend: what that is.
    """
    having = [(place, model, one) for place, model, one in results if name in one.scores]
    if not having:
        return ""
    first = having[0][2].scores[name]
    spoken = words.of(name, first)
    shown = []
    for place, model, one in having:
        beside = one.scores[hollow].value if hollow in one.scores else None
        text = spoken.text(one.scores[name])
        shown.append(Line(model, text, one.scores[name], place, beside))
    ends = [end for line in shown for end in (*line.found.ci95, line.hollow or 0)]
    return dot_chart(
        spoken.name,
        spoken.note,
        shown,
        _scale(spoken.kind, ends),
        chance=first.chance,
        legend=legend if any(line.hollow is not None for line in shown) else "",
    )


def grouped_dots(
    title: str,
    note: str,
    rows: Sequence[tuple[str, Mapping[int, Score]]],
    names: Mapping[int, str],
    scale: Scale,
    *,
    chance: float | None = None,
) -> str:
    """Several values per line, one for each model.

    Args:
        rows: left text, and by model its value; lines without values are headings.
        names: of the models.
        chance: position of the dashed line.
    """
    if not rows:
        return ""
    drawn = []
    for who, found in rows:
        dots = [_ends(one, scale) | {"color": color(model)} for model, one in found.items()]
        values = [f"{names[model]} {_short(one.value, scale)}" for model, one in found.items()]
        drawn.append({"who": who, "dots": dots, "spoken": values})
    present = {model for _, found in rows for model in found}
    models = [(color(model), name) for model, name in names.items() if model in present]
    place = None if chance is None else scale.place(chance)
    return _draw("grouped_dots", title, note, drawn, scale, models, place)


def stacked_bars(
    title: str, shares: Mapping[str, Mapping[str, float]], names: Mapping[str, str]
) -> str:
    """Shares that add up to 1, one bar per model.

    Args:
        shares: by model, then by part.
        names: of the parts, in order.
    """
    rows = [
        (model, [(k, parts[key]) for k, key in enumerate(names) if parts.get(key, 0) > 0])
        for model, parts in shares.items()
    ]
    return _draw("stacked_bars", title, rows, list(names.values())) if rows else ""


@dataclass(frozen=True)
class Plot:
    """The area of an SVG plot, with x and y in 0..1.

    Attributes:
        width, height: of the picture.
        left, right, top, bottom: margins.
    """

    width: float
    height: float
    left: float
    right: float
    top: float
    bottom: float

    def x(self, share: float) -> float:
        """From 0..1 to the position from the left."""
        return round(self.left + share * (self.width - self.left - self.right), 1)

    def y(self, share: float) -> float:
        """From 0..1, upward, to the position from the top."""
        return round(self.top + (1 - share) * (self.height - self.top - self.bottom), 1)

    def points(self, pairs: Iterable[tuple[float, float]]) -> str:
        """Pairs of x and y as the points of a line."""
        return " ".join(f"{self.x(x)},{self.y(y)}" for x, y in pairs)


def scatter(
    title: str,
    model: int,
    points: Mapping[str, tuple[float, float]],
    label: str,
    axes: tuple[str, str],
) -> str:
    """Pairs of shares as dots, with a dashed diagonal.

    Args:
        points: x and y by the text that pointing at a dot shows.
        label: the picture in words.
        axes: names of x and y.
    """
    dots = [(name, x, y) for name, (x, y) in points.items()]
    plot = Plot(240, 248, 44, 14, 26, 40)
    return _draw("scatter", title, color(model), label, plot, dots, *axes)


def curves(
    title: str,
    times: Sequence[float],
    ground: Sequence[float],
    ground_name: str,
    lines: Sequence[tuple[int, str, Sequence[float]]],
    label: str,
) -> str:
    """Curves over time, in front of another one that is filled from 0 upward.

    Args:
        times: in seconds, of all values.
        ground: values of the filled curve, at least 0.
        lines: model, text of the legend and values of each curve; they share one scale.
        label: the picture in words.
    """
    begin, end = times[0], max(times[-1], times[0] + 1e-6)
    values = [value for _, _, line in lines for value in line] or [0.0]
    low, high = min(values), max([*values, min(values) + 1e-6])
    places = [(time - begin) / (end - begin) for time in times]
    most = max([*ground, 1e-6])
    filled = [(0.0, 0.0), *((x, v / most) for x, v in zip(places, ground, strict=True)), (1.0, 0.0)]
    drawn = [
        {
            "color": color(model),
            "name": name,
            "points": [(x, (v - low) / (high - low)) for x, v in zip(places, line, strict=True)],
        }
        for model, name, line in lines
    ]
    at = [float(t) for t in MaxNLocator(4).tick_values(begin, end) if begin <= t <= end]
    ticks = [((t - begin) / (end - begin), f"{t:g} s") for t in at]
    plot = Plot(280, 140, 10, 10, 8, 26)
    return _draw("curves", title, plot, label, filled, drawn, ticks, ground_name)


def table(
    head: Sequence[tuple[str, str]],
    rows: Sequence[tuple[str, str, Sequence[str]]],
    *,
    kind: str = "",
    heading: str = "",
) -> str:
    """A table that scrolls sideways if it must; "" without rows.

    Args:
        head: CSS class of the color (or "") and text of each column.
        rows: name, note and cells of each row.
        kind: CSS class of the table.
        heading: text above it.
    """
    return _draw("table", head, rows, kind, heading) if rows else ""


def join_charts(*parts: str) -> str:
    """Charts side by side, where there is room."""
    inside = "".join(parts)
    return f'<div class="pair">{inside}</div>' if inside else ""


def _draw(macro: str, *values: Any) -> str:
    template = make_environment("unscene.audit.report").get_template("charts.html")
    return str(getattr(template.module, macro)(*values))


def _scale(kind: Kind, ends: Sequence[float]) -> Scale:
    if kind in ("share", "number"):
        return SHARES if kind == "share" else NUMBERS
    return scale_for(ends, signed=kind != "ratio", percent=kind == "change")


def _ends(found: Score, scale: Scale) -> dict[str, Any]:
    low, high = found.ci95
    return {k: scale.place(v) for k, v in (("low", low), ("mid", found.value), ("high", high))}


def _line(line: Line, scale: Scale, start: float) -> dict[str, Any]:
    ends = _ends(line.found, scale)
    begin = scale.place(start if line.hollow is None else line.hollow)
    value, bracket, rest = line.value.partition(" [")
    return ends | {
        "color": color(line.model),
        "who": line.who if line.model >= 0 else "untrained twin",
        "kind": "fill" if line.hollow is None else "reach",
        "left": min(begin, ends["mid"]),
        "width": abs(ends["mid"] - begin),
        "hollow": None if line.hollow is None else begin,
        "value": value,
        "interval": bracket.strip() + rest,
    }


def _short(value: float, scale: Scale) -> str:
    return f"{value * 100:.0f} %" if scale is SHARES else f"{value:.2f}"
