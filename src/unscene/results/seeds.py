"""Rows of one method -> those that are seeds of one thing -> one number with an interval.

Rows are seeds of one thing if their runs differ in nothing that decides a number but the seed. Rows
that are not are separated, and named by what differs ("steps 900, warp false"):

    always                      steps, settings of the trainings, number of videos in the gallery or
                                the training set of the protocol
    where a seed occurs twice   the videos that were tested or trained on, the run that an untrained
                                network is the yardstick of, versions, and at last the order of the
                                rows: what was run again is another run, not another seed

Videos alone do not separate rows, because generated footage differs from seed to seed.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from unscene.results.rows import NOT_DECIDING, split_trainings

ResultRow = Mapping[str, Any]
_OF_THE_TEST = ("gallery", "training_videos")


@dataclass(frozen=True)
class Cell:
    """A number of a method.

    Attributes:
        value: mean over seeds.
        low, high: 95 % confidence interval, see `average_seeds`.
        n: number of videos (or clips) of the seed that has the fewest.
        most: and of the seed that has the most.
        seeds: number of seeds.
    """

    value: float
    low: float
    high: float
    n: int
    most: int
    seeds: int

    def above(self, other: Cell) -> bool:
        """Whether it is higher and the intervals do not overlap."""
        return self.low > other.high

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


def average_seeds(rows: Sequence[ResultRow], *, shares: bool = True) -> Cell:
    """The mean over seeds with a 95 % confidence interval.

    One seed has the interval of its row; two have one that covers both of theirs. With three or
    more, the mean is uncertain for two reasons: which seeds were drawn, by Student's t over their
    values, and which test videos, by the mean of the seeds' own intervals (each side separately).

    * Seeds that were tested on the same videos share the luck they had with them, however many
      seeds there are: both parts are added in quadrature. (The spread of the values contains some
      of the videos' part already, so that the interval is too wide rather than too narrow.)
    * Seeds with test videos of their own (no two fingerprints are the same) spread as widely as
      seeds and videos together make them, so that Student's t contains both. As few seeds may agree
      by chance, the interval is never narrower than the videos alone make it: the mean of the
      seeds' intervals, divided by the square root of the number of seeds.

    Args:
        rows: of one metric, at least one. Equal rows count once. Where all ends of their intervals
            lie in 0..1, those of the result do.
        shares: the values are shares. False for others, such as differences: their interval may
            leave 0..1 wherever the ends of the seeds lie.
    """
    rows = drop_repeated(rows)
    values = np.array([float(row["value"]) for row in rows])
    ends = np.array([[float(end) for end in row["ci95"]] for row in rows])
    mean, count = float(values.mean()), len(rows)
    if count < 3:
        low, high = float(ends[:, 0].min()), float(ends[:, 1].max())
    else:
        of_seeds = stats.t.ppf(0.975, count - 1) * values.std(ddof=1) / count**0.5
        of_videos = np.abs(ends - values[:, None]).mean(axis=0)
        if _have_own_videos(rows):
            below, above = np.maximum(of_seeds, of_videos / count**0.5)
        else:
            below, above = np.hypot(of_seeds, of_videos)
        low, high = mean - float(below), mean + float(above)
        if shares and ends.min() >= 0 and ends.max() <= 1:  # proportions stay proportions
            low, high = max(low, 0.0), min(high, 1.0)
    n = [int(row["n"]) for row in rows]
    return Cell(mean, low, high, min(n), max(n), count)


def drop_repeated(rows: Sequence[ResultRow]) -> list[ResultRow]:
    """The rows, without those that are equal to one before."""
    return list({_identity(row): row for row in rows}.values())


def group_seeds(rows: Sequence[ResultRow]) -> dict[str, list[ResultRow]]:
    """Separate rows of one method into groups whose rows are seeds of one thing.

    Args:
        rows: of one method, one test and any metrics. A setting that a row lacks (the row may be
            older than the setting) does not separate it from rows that agree in it.

    Returns:
        The groups by what distinguishes them, "" if nothing does. In a group no metric has a seed
        twice, except for rows that are equal.
    """
    found: dict[str, list[ResultRow]] = {}
    for setting, same in _separate(rows, _settings, [rows]).items():
        for circumstance, alike in _separate(same, _circumstances, _repeated(same)).items():
            runs = _number_runs(alike)
            for number, run in enumerate(runs, 1):
                parts = (setting, circumstance, f"run {number}" if len(runs) > 1 else "")
                found[", ".join(filter(None, parts))] = run
    return found


def _separate(
    rows: Sequence[ResultRow],
    get_traits: Callable[[ResultRow], dict[str, str]],
    among: Sequence[Sequence[ResultRow]],
) -> dict[str, list[ResultRow]]:
    """Rows by their traits, with as few of these as distinguish what differs.

    Args:
        among: sets of rows. What differs within one of them is separated.
    """
    sets = [[get_traits(row) for row in some] for some in among]
    names = dict.fromkeys(name for some in sets for one in some for name in one)
    values = {
        name: max(len({one[name] for one in some if name in one}) for some in sets)
        for name in names
    }
    chosen: list[str] = []
    kept = len(sets)
    for name in sorted(names, key=lambda name: -values[name]):
        split = sum(len({tuple(one.get(t) for t in (*chosen, name)) for one in s}) for s in sets)
        if values[name] > 1 and split > kept:
            chosen, kept = [*chosen, name], split
    groups: dict[str, list[ResultRow]] = defaultdict(list)
    for row in rows:
        traits = get_traits(row)
        groups[", ".join(f"{name} {traits[name]}" for name in chosen if name in traits)].append(row)
    return groups


def _settings(row: ResultRow) -> dict[str, str]:
    plain = {"steps": row.get("steps", 0)}
    for before, config in split_trainings(row).items():
        plain |= {f"{before}{k}": v for k, v in config.items() if k not in NOT_DECIDING}
    test = row.get("test", {})
    plain |= {name: test[name] for name in _OF_THE_TEST if name in test}
    return {name: _format(value) for name, value in plain.items()}


def _circumstances(row: ResultRow) -> dict[str, str]:
    parts = str(row.get("fingerprint", "")).split("+")
    videos = {name: part[:8] for name, part in zip(("videos", "train"), parts, strict=False)}
    trained = row.get("trained_on") or ""
    videos |= {"trained on": trained[:8]} if trained else {}
    videos |= {"of": row["twin_of"]} if row.get("twin_of") else {}
    return videos | {name: _format(value) for name, value in row.get("versions", {}).items()}


def _format(value: Any) -> str:
    if value is None:
        return "not given"
    if isinstance(value, dict):
        return " ".join(f"{name} {_format(part)}" for name, part in value.items()) or "none"
    return value if isinstance(value, str) else json.dumps(value)


def _identity(row: ResultRow) -> Hashable:
    """Rows of the same method and settings that agree in it are equal."""
    numbers = (round(float(number), 6) for number in (row["value"], *row["ci95"]))
    return (find_seeds(row), row.get("fingerprint", ""), row["n"], *numbers)


def find_seeds(row: ResultRow) -> tuple[int | None, ...]:
    """The seeds of the last training and of those before it."""
    own, *before = split_trainings(row).values()
    seed = row.get("seed", 0)
    # Rows of fine-tunings of earlier versions have the encoder's seed in place of their own.
    first, *others = before or [{}]
    seeds = [own.get("seed", seed), first.get("seed", seed)]
    return (*seeds, *(one.get("seed") for one in others))


def _repeated(rows: Sequence[ResultRow]) -> list[list[ResultRow]]:
    """Sets of rows of the same metric and seed that differ."""
    sets: dict[Hashable, dict[Hashable, ResultRow]] = defaultdict(dict)
    for row in rows:
        sets[row["metric"], find_seeds(row)][_identity(row)] = row
    return [list(found.values()) for found in sets.values() if len(found) > 1]


def _number_runs(rows: Sequence[ResultRow]) -> list[list[ResultRow]]:
    """The first row of each metric and seed, the second where there is one, and so on."""
    numbers: dict[Hashable, dict[Hashable, int]] = defaultdict(dict)
    runs: dict[int, list[ResultRow]] = defaultdict(list)
    for row in rows:
        known = numbers[row["metric"], find_seeds(row)]
        runs[known.setdefault(_identity(row), len(known))].append(row)
    return [runs[number] for number in sorted(runs)]


def _have_own_videos(rows: Sequence[ResultRow]) -> bool:
    """Whether no two seeds were tested on the same videos, as far as fingerprints tell."""
    tested = [str(row.get("fingerprint", "")).split("+")[0] for row in rows]
    return all(tested) and len(set(tested)) == len(tested)
