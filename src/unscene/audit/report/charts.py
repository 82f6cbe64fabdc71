"""Charts of an audit, models side by side: lines with dots and intervals, stacked shares.

Every chart is HTML with its numbers in it as text. A model has one colour throughout, the
class "m0", "m1" ... by its place, and its name stands beside everything that has the colour.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

from unscene.html.chart import chance_line, ticks
from unscene.html.document import prose
from unscene.results.statistics import Score

COLORS = 6  # of models in the style sheet; then they begin again


@dataclass(frozen=True)
class Scale:
    """From a value to its place on a track.

    Attributes:
        low, high: values at both ends.
        labels: values that are named, and their names.
    """

    low: float
    high: float
    labels: tuple[tuple[float, str], ...]

    def place(self, value: float) -> float:
        """In percent of the track; what is off the scale stands at its end."""
        return round(min(max((value - self.low) / (self.high - self.low), 0), 1) * 100, 2)


SHARES = Scale(0, 1, ((0, "0 %"), (0.5, "50 %"), (1, "100 %")))
NUMBERS = Scale(0, 1, ((0, "0"), (0.5, "0.5"), (1, "1")))


def scale_for(values: Sequence[float], *, signed: bool = False, percent: bool = False) -> Scale:
    """A scale that holds these values and 0; with 0 in the middle if signed."""
    top = max([abs(value) for value in values] + [1e-6])
    marks = ticks(0, top)
    step = marks[1] - marks[0] if len(marks) > 1 else top
    end = marks[-1] if marks[-1] >= top else marks[-1] + step

    def name(value: float) -> str:
        return f"{value * 100:g} %" if percent else f"{value:g}"

    if signed:
        return Scale(-end, end, ((-end, f"−{name(end)}"), (0, name(0)), (end, f"+{name(end)}")))
    return Scale(0, end, ((0, name(0)), (end / 2, name(end / 2)), (end, name(end))))


def color(model: int) -> str:
    """The class of a model's colour."""
    return f"m{model % COLORS}"


@dataclass(frozen=True)
class Line:
    """A line of a chart.

    Attributes:
        who: what stands on the left.
        value: what stands on the right, as `prose` takes it.
        found: the dot and its interval.
        model: whose colour.
        hollow: where a hollow dot stands, or None: what the value is to be compared with.
        head: text above the line, or "".
    """

    who: str
    value: str
    found: Score
    model: int
    hollow: float | None = None
    head: str = ""


def lines(
    title: str,
    note: str,
    shown: Sequence[Line],
    scale: Scale,
    *,
    chance: float | None = None,
    legend: str = "",
) -> str:
    """Values with their intervals, one below the other.

    Args:
        chance: where the dashed line stands; lines fill from there, or else from 0.
        legend: what the hollow dot is.
    """
    if not shown:
        return ""
    rows = [_row(line, scale, chance) for line in shown]
    rows.append(
        f'<div class="bar scale"><span></span><span class="track">{_marks(scale)}</span></div>'
    )
    return (
        f'<div class="chart"><h3>{escape(title)}</h3>{_note(note)}{"".join(rows)}'
        f"{_legend(chance, scale, legend)}</div>"
    )


def _row(line: Line, scale: Scale, chance: float | None) -> str:
    found = line.found
    low, mid, high = (scale.place(v) for v in (found.ci95[0], found.value, found.ci95[1]))
    start = scale.place(0 if chance is None else chance)
    dashed = _dashed(chance, scale)
    if line.hollow is None:
        begin, kind, other = start, "fill", ""
    else:
        begin, kind = scale.place(line.hollow), "reach"
        other = f'<i class="hollow" style="left:{begin}%"></i>'
    left, width = min(begin, mid), abs(mid - begin)
    head = f'<p class="head">{prose(line.head)}</p>' if line.head else ""
    return (
        f'{head}<div class="bar {color(line.model)}">'
        f'<span class="who">{escape(line.who)}</span><span class="track">{dashed}'
        f'<i class="{kind}" style="left:{left}%;width:{width:.2f}%"></i>{other}'
        f'<i class="range" style="left:{low}%;width:{high - low:.2f}%"></i>'
        f'<i class="dot" style="left:{mid}%"></i></span>'
        f'<span class="value">{_strong(line.value)}</span></div>'
    )


def _marks(scale: Scale) -> str:
    return "".join(f'<i style="left:{scale.place(v)}%">{prose(t)}</i>' for v, t in scale.labels)


def _dashed(chance: float | None, scale: Scale) -> str:
    return chance_line(None if chance is None else scale.place(chance))


def _strong(value: str) -> str:
    """The number bold, its interval not."""
    head, bracket, rest = value.partition(" [")
    return f"<b>{prose(head)}</b>" + (f" {prose(bracket.strip() + rest)}" if bracket else "")


def _note(note: str) -> str:
    return f'<p class="note">{prose(note)}</p>' if note else ""


def _legend(chance: float | None, scale: Scale, legend: str) -> str:
    parts = []
    if chance is not None:
        text = f"{chance * 100:.0f} %" if scale is SHARES else f"{chance:g}"
        parts.append(f'<span class="guess">{prose(f"by chance: {text}")}</span>')
    if legend:
        parts.append(f'<span class="open"><i></i>{escape(legend)}</span>')
    return f'<p class="legend">{" ".join(parts)}</p>' if parts else ""


def groups(
    title: str,
    note: str,
    rows: Sequence[tuple[str, Mapping[int, Score]]],
    names: Mapping[int, str],
    scale: Scale,
    *,
    chance: float | None = None,
) -> str:
    """Several values a line, one for each model; lines without values are headings.

    Args:
        rows: what stands on the left, and by model its value.
        names: of the models.
    """
    inside = []
    for who, found in rows:
        if not found:
            inside.append(f'<p class="head">{prose(who)}</p>')
            continue
        dashed = _dashed(chance, scale)
        marks, told = [], []
        for place, (model, one) in enumerate(found.items()):
            low, mid, high = (scale.place(v) for v in (one.ci95[0], one.value, one.ci95[1]))
            top = f"top:{3 + 10 * place}px"
            marks.append(
                f'<span class="{color(model)}"><i class="whisker" style="left:{low}%;'
                f'width:{high - low:.2f}%;{top}"></i>'
                f'<i class="dot" style="left:{mid}%;{top}"></i></span>'
            )
            value = f"{one.value * 100:.0f} %" if scale is SHARES else f"{one.value:.2f}"
            told.append(f"{names[model]} {value}")
        inside.append(
            f'<div class="group"><span class="who">{escape(who)}</span>'
            f'<span class="track" style="height:{10 * len(found) + 4}px" role="img" '
            f'aria-label="{escape(who)}: {escape(", ".join(told))}">'
            f"{dashed}{''.join(marks)}</span></div>"
        )
    inside.append(
        f'<div class="group scale"><span></span><span class="track">{_marks(scale)}</span></div>'
    )
    there = sorted({model for _, found in rows for model in found})
    keys = "".join(f'<span class="{color(m)}"><i></i>{escape(names[m])}</span>' for m in there)
    return (
        f'<div class="chart"><h3>{escape(title)}</h3>{_note(note)}{"".join(inside)}'
        f'<p class="legend">{keys}</p>{_legend(chance, scale, "")}</div>'
    )


def stacked(
    title: str, note: str, shares: Mapping[str, Mapping[str, float]], names: Mapping[str, str]
) -> str:
    """Shares that add up to 1, a bar a model.

    Args:
        shares: by model, then by part.
        names: of the parts, in order.
    """
    rows = []
    for model, parts in shares.items():
        cells = "".join(
            f'<i class="p{k}" style="width:{parts.get(key, 0) * 100:.2f}%">'
            f"<span>{prose(f'{parts.get(key, 0) * 100:.0f} %')}</span></i>"
            for k, key in enumerate(names)
            if parts.get(key, 0) > 0
        )
        rows.append(
            f'<div class="parts"><span class="who">{escape(model)}</span>'
            f'<span class="stack">{cells}</span></div>'
        )
    keys = "".join(
        f'<span class="p{k}"><i></i>{escape(name)}</span>' for k, name in enumerate(names.values())
    )
    return (
        f'<div class="chart"><h3>{escape(title)}</h3>{_note(note)}{"".join(rows)}'
        f'<p class="legend">{keys}</p></div>'
    )
