"""Rows of one method -> those that are seeds of one thing -> one number with an interval.

Rows are seeds of one thing if nothing that decides a number tells them apart but the seed. What
tells them apart names them ("steps 900, warp false"):

    always                     steps, settings of the training, number of videos searched or learnt
    where a seed stands twice  which videos they were, versions, at last the order of the rows: what
                               was run again is another run, never another seed

Which videos they were is no sign by itself: generated footage differs from seed to seed.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from unscene.train.config import FREE

ResultRow = Mapping[str, Any]
# Of the settings, these are places or the seed itself. A place says nothing: generated footage and
# pre-trained encoders lie in another one for each seed.
_NO_SETTING = FREE | {"seed", "data", "train", "encoder"}
BEFORE = ("pretrained", "began")  # of an encoder: fine-tuned, or trained further
_OF_THE_TEST = ("gallery", "training_videos")
# Half the width of a 95 % interval in standard errors: Student's t for 2, 3 ... degrees of freedom.
_STUDENT = (4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228)


@dataclass(frozen=True)
class Cell:
    """A number of a method.

    Attributes:
        value: mean over seeds.
        low, high: 95 % interval, see `cell`.
        n: videos (or clips) of the seed that has the fewest.
        most: and of the seed that has the most.
        seeds: how many.
    """

    value: float
    low: float
    high: float
    n: int
    most: int
    seeds: int

    def above(self, other: Cell) -> bool:
        """Higher, with intervals that do not overlap."""
        return self.low > other.high

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


def cell(rows: Sequence[ResultRow]) -> Cell:
    """The mean over seeds, and what it leaves open.

    One seed has the interval of its row; two have one that covers both of theirs. With three or
    more, two things leave the mean open: which seeds were drawn, by Student's t over their values,
    and which test videos, by the mean of the seeds' own intervals (each side by itself).

    * Seeds that were asked about the same videos share the luck they had with them, however many
      they are: both parts are added in quadrature. (The spread of the values holds some of the
      videos' part once more, so that the interval is rather too wide than too narrow.)
    * Seeds with videos of their own (no two fingerprints are the same) spread as widely as seeds
      and videos together make them, so that Student's t holds both. As few seeds may agree by
      chance, the interval is never narrower than the videos alone make it: the mean of the seeds'
      intervals, divided by the root of their number.

    Args:
        rows: of one metric, at least one; equal ones count once. Where all ends of their intervals
            lie in 0..1, those of the cell do.
    """
    rows = list({_identity(row): row for row in rows}.values())
    values = np.array([float(row["value"]) for row in rows])
    ends = np.array([[float(end) for end in row["ci95"]] for row in rows])
    mean, count = float(values.mean()), len(rows)
    if count < 3:
        low, high = float(ends[:, 0].min()), float(ends[:, 1].max())
    else:
        of_seeds = _STUDENT[min(count - 3, len(_STUDENT) - 1)] * values.std(ddof=1) / count**0.5
        of_videos = np.abs(ends - values[:, None]).mean(axis=0)
        if _own_videos(rows):
            below, above = np.maximum(of_seeds, of_videos / count**0.5)
        else:
            below, above = np.hypot(of_seeds, of_videos)
        low, high = mean - float(below), mean + float(above)
        if ends.min() >= 0 and ends.max() <= 1:  # shares stay shares
            low, high = max(low, 0.0), min(high, 1.0)
    n = [int(row["n"]) for row in rows]
    return Cell(mean, low, high, min(n), max(n), count)


def lines(rows: Sequence[ResultRow]) -> dict[str, list[ResultRow]]:
    """Rows of one method as lines, under what tells them apart; "" if nothing does.

    In a line no metric has a seed twice, but for rows that are equal.

    Args:
        rows: of one method, one test and any metrics. A setting that a row lacks (it may be older
            than the setting) does not tell it from rows that agree in it.
    """
    found: dict[str, list[ResultRow]] = {}
    for setting, same in _told(rows, _settings, [rows]).items():
        for circumstance, alike in _told(same, _circumstances, _twice(same)).items():
            runs = _runs(alike)
            for number, run in enumerate(runs, 1):
                parts = (setting, circumstance, f"run {number}" if len(runs) > 1 else "")
                found[", ".join(filter(None, parts))] = run
    return found


def _told(
    rows: Sequence[ResultRow],
    traits: Callable[[ResultRow], dict[str, str]],
    among: Sequence[Sequence[ResultRow]],
) -> dict[str, list[ResultRow]]:
    """Rows by their traits, named by as few of these as tell apart what differs.

    Args:
        among: sets of rows; what differs within one of them is told apart.
    """
    sets = [[traits(row) for row in some] for some in among]
    names = dict.fromkeys(name for some in sets for one in some for name in one)
    values = {
        name: max(len({one[name] for one in some if name in one}) for some in sets)
        for name in names
    }
    telling: list[str] = []
    kept = len(sets)
    for name in sorted(names, key=lambda name: -values[name]):
        split = sum(len({tuple(one.get(t) for t in (*telling, name)) for one in s}) for s in sets)
        if values[name] > 1 and split > kept:
            telling, kept = [*telling, name], split
    of = [traits(row) for row in rows]
    groups: dict[str, list[ResultRow]] = defaultdict(list)
    for row, one in zip(rows, of, strict=True):
        groups[", ".join(f"{name} {one[name]}" for name in telling if name in one)].append(row)
    return groups


def _settings(row: ResultRow) -> dict[str, str]:
    plain = {"steps": row.get("steps", 0)}
    for before, config in _trainings(row).items():
        plain |= {f"{before}{k}": v for k, v in config.items() if k not in _NO_SETTING}
    test = row.get("test", {})
    plain |= {name: test[name] for name in _OF_THE_TEST if name in test}
    return {name: _text(value) for name, value in plain.items()}


def _trainings(row: ResultRow) -> dict[str, dict[str, Any]]:
    """The settings of the last training, "", and of those before it, by what to call them."""
    found: dict[str, dict[str, Any]] = {}
    name, config = "", dict(row.get("config", {}))
    while True:
        earlier = [before for before in BEFORE if isinstance(config.get(before), dict)]
        found[name] = {k: v for k, v in config.items() if k not in BEFORE}
        if not earlier:
            return found
        name, config = f"{name}{earlier[0]} ", config[earlier[0]]


def _circumstances(row: ResultRow) -> dict[str, str]:
    # Of the test, and of what was learnt or searched.
    parts = str(row.get("fingerprint", "")).split("+")
    videos = {name: part[:8] for name, part in zip(("videos", "train"), parts, strict=False)}
    return videos | {name: _text(value) for name, value in row.get("versions", {}).items()}


def _text(value: Any) -> str:
    if value is None:
        return "not given"
    if isinstance(value, dict):
        return " ".join(f"{name} {_text(part)}" for name, part in value.items()) or "none"
    return value if isinstance(value, str) else json.dumps(value)


def _identity(row: ResultRow) -> Hashable:
    """Rows that agree in it say the same, if their method and settings do."""
    numbers = (round(float(number), 6) for number in (row["value"], *row["ci95"]))
    return (_seed(row), row.get("fingerprint", ""), row["n"], *numbers)


def _seed(row: ResultRow) -> tuple[int | None, ...]:
    """Of the last training and of those before it."""
    own, *before = _trainings(row).values()
    seed = row.get("seed", 0)
    # The seed of older rows of fine-tunings is the one before.
    first, *others = before or [{}]
    seeds = [own.get("seed", seed), first.get("seed", seed)]
    return (*seeds, *(one.get("seed") for one in others))


def _twice(rows: Sequence[ResultRow]) -> list[list[ResultRow]]:
    """Sets of rows of the same metric and seed that differ."""
    sets: dict[Hashable, dict[Hashable, ResultRow]] = defaultdict(dict)
    for row in rows:
        sets[row["metric"], _seed(row)][_identity(row)] = row
    return [list(found.values()) for found in sets.values() if len(found) > 1]


def _runs(rows: Sequence[ResultRow]) -> list[list[ResultRow]]:
    """The first of each metric and seed, the second of those that have one, and so on."""
    numbers: dict[Hashable, dict[Hashable, int]] = defaultdict(dict)
    runs: dict[int, list[ResultRow]] = defaultdict(list)
    for row in rows:
        known = numbers[row["metric"], _seed(row)]
        runs[known.setdefault(_identity(row), len(known))].append(row)
    return [runs[number] for number in sorted(runs)]


def _own_videos(rows: Sequence[ResultRow]) -> bool:
    """Whether no two seeds were asked about the same videos, as far as fingerprints tell."""
    tested = [str(row.get("fingerprint", "")).split("+")[0] for row in rows]
    return all(tested) and len(set(tested)) == len(tested)
