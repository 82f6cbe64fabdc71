"""What kinds of motion are there? The windows of an index -> groups, typical moments, rare ones.

    features of windows that move -> standardized, main components, whitened, length 1
                                  -> k-means; k with the largest silhouette, or given
    window nearest to its center  -> typical
    window far from all others    -> rare

Windows in which nothing moves are no group: they are left out. Groups are of motion features. They
are no classes: nobody named them, and what two groups show may be one thing to a person. Where
there are labels or classes, the adjusted mutual information says how far groups agree with them,
beside what chance gives.

Up to 8 components are kept, those with a tenth of the strongest one's variance, and whitened, so
that they count alike. Otherwise the strongest one decides alone, and the silhouette asks for two
groups of anything (experiments/LOG.md, 2026-11-29).

The silhouette is measured on up to 2,000 windows, rarity against up to 4,000: 100,000 windows take
seconds.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from unscene.errors import UnsceneError
from unscene.search.labels import Label, assign_labels
from unscene.search.moments import Moment
from unscene.search.store import IndexedFile
from unscene.search.windows import Windows

Rows = NDArray[np.int64]
_COMPONENTS, _WEAKEST = 8, 0.1  # at most; share of the strongest one's variance, at least
_TRIED = (2, 3, 4, 5, 6, 7, 8, 10, 12, 15)  # groups, for "auto"
_LEAST = 8  # windows that must move
_PER_GROUP = 4  # windows per group, at least
_FITTED = 20_000  # windows that k-means is fitted to
_COMPARED = 2_000  # windows for a silhouette
_REFERENCE = 4_000  # windows that rarity is measured against
_NEIGHBORS = 10
_AGREEMENT = 5_000  # windows for the mutual information
_SHUFFLES = 100


@dataclass(frozen=True)
class Group:
    """Windows with similar motion.

    Attributes:
        rows: int64, positions of its windows in `Index.windows`.
        windows: their ids.
        typical: moments of one window each, the nearest to the center first, from as many files as
            there are.
        moments: its windows, those that overlap merged, by file and start.
        seconds: that its moments last together.
        files: number of files that have one.
        motion: median strength of its windows.
    """

    rows: Rows
    windows: tuple[int, ...]
    typical: tuple[Moment, ...]
    moments: tuple[Moment, ...]
    seconds: float
    files: int
    motion: float


@dataclass(frozen=True)
class Agreement:
    """How far groups agree with names that windows have.

    Attributes:
        names: "labels" of people or "classes" of the files.
        information: adjusted mutual information, 0 for independent, 1 for the same.
        chance: mean of it when the names are shuffled among stretches of the same name.
        chance_high: 95 % of shuffles give less.
        windows: with a name.
    """

    names: str
    information: float
    chance: float
    chance_high: float
    windows: int


@dataclass(frozen=True)
class Clusters:
    """Groups of an index, the one that lasts longest first.

    Attributes:
        groups: see `Group`.
        assigned: int64 (N,), the number of the group of each window of the index, from 0; -1 for
            windows in which nothing moves.
        rarity: float32 (N,), mean distance to the 10 most similar windows elsewhere, between 0 and
            2; NaN for windows in which nothing moves.
        rare: the moments that are least like all others, the rarest first; of one window each.
        silhouette: of the groups, -1..1; near 0 they touch each other. None for one group.
        tried: silhouette for every number of groups that was tried.
        files: number of files with a window that moves.
        agreement: with names, where windows have some.
    """

    groups: tuple[Group, ...]
    assigned: Rows
    rarity: NDArray[np.float32]
    rare: tuple[Moment, ...]
    silhouette: float | None
    tried: dict[int, float]
    files: int
    agreement: tuple[Agreement, ...] = ()


def cluster_windows(
    windows: Windows,
    still: NDArray[np.bool_],
    files: Sequence[IndexedFile],
    labels: Sequence[Label] = (),
    *,
    clusters: int | Literal["auto"] = "auto",
    shown: int = 12,
    seed: int = 0,
) -> Clusters:
    """Group the windows of an index by their motion.

    Args:
        windows: N windows.
        still: bool (N,), those in which nothing moves.
        files: that `windows.file` numbers.
        labels: that people gave, to compare groups with.
        clusters: number of groups; "auto": that of 2 to 15 with the largest silhouette.
        shown: number of typical moments of a group, and of rare ones.
        seed: of everything random.

    Raises:
        UnsceneError: fewer than 8 windows move, or the number of groups does not fit them.
    """
    rows = np.flatnonzero(~still)
    _check(clusters, len(rows))
    features = reduce_features(windows.vectors[rows], seed)
    tried = _try_counts(features, seed) if clusters == "auto" else {}
    count = max(tried, key=lambda k: tried[k]) if clusters == "auto" else clusters
    own, distance = _fit(features, count, seed)
    silhouette = tried.get(count) if tried else _measure_silhouette(features, own, seed)
    named = _Naming(windows, files, labels)
    rarity = np.full(len(windows), np.nan, np.float32)
    rarity[rows] = measure_rarity(features, windows[rows], seed)
    groups = [
        _make_group(named, rows[own == number], distance[own == number], shown)
        for number in range(count)
        if (own == number).any()
    ]
    groups.sort(key=lambda group: -group.seconds)
    assigned = np.full(len(windows), -1, np.int64)
    for number, group in enumerate(groups):
        assigned[group.rows] = number
    rarest = rows[np.argsort(-rarity[rows], kind="stable")]
    return Clusters(
        groups=tuple(groups),
        assigned=assigned,
        rarity=rarity,
        rare=named.pick(rarest, shown, per_file=2),
        silhouette=silhouette,
        tried=tried,
        files=len(np.unique(windows.file[rows])),
        agreement=named.compare(assigned, seed),
    )


def reduce_features(vectors: NDArray[np.float32], seed: int = 0) -> NDArray[np.float32]:
    """Standardize features and reduce them to at most 8 numbers, a vector of length 1.

    Shape:
        vectors: (N, D) -> (N, min(8, D, N)).
    """
    from sklearn.decomposition import PCA

    deviation = vectors.std(axis=0)
    if float(deviation.max()) < 1e-9:  # all the same
        return np.ones((len(vectors), 1), np.float32)
    standard = (vectors - vectors.mean(axis=0)) / np.maximum(deviation, 1e-3 * deviation.max())
    count = min(_COMPONENTS, *standard.shape)
    model = PCA(count, svd_solver="randomized", random_state=seed)
    reduced = model.fit_transform(standard)
    variance = model.explained_variance_
    strong = variance >= _WEAKEST * variance[0]
    reduced = reduced[:, strong] / np.sqrt(variance[strong])
    lengths = np.linalg.norm(reduced, axis=1, keepdims=True)
    found: NDArray[np.float32] = (reduced / np.maximum(lengths, 1e-12)).astype(np.float32)
    return found


def _check(clusters: int | Literal["auto"], moving: int) -> None:
    if clusters != "auto" and clusters < 1:
        raise UnsceneError(f"--clusters {clusters}: must be a number of groups above 0, or auto")
    if moving < _LEAST:
        raise UnsceneError(
            f"something moves in {moving} windows of the index, too few to group: {_LEAST} are "
            "needed; index more footage, or shorter windows (--length)"
        )
    if clusters != "auto" and clusters > moving // _PER_GROUP:
        raise UnsceneError(
            f"--clusters {clusters}: the {moving} windows in which something moves are too few for "
            f"that; at most {moving // _PER_GROUP}"
        )


def _fit(features: NDArray[np.float32], count: int, seed: int) -> tuple[Rows, NDArray[np.float32]]:
    """The group of each row, and its distance from the center of it."""
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning

    chosen = _sample(len(features), _FITTED, seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # fewer different windows than groups
        model = KMeans(count, n_init=4, random_state=seed).fit(features[chosen])
    centers = model.cluster_centers_.astype(np.float32)
    squares = 1 + (centers**2).sum(axis=1) - 2 * features @ centers.T
    distances = np.sqrt(np.maximum(squares, 0))
    own = distances.argmin(axis=1)
    return own, distances[np.arange(len(own)), own]


def _try_counts(features: NDArray[np.float32], seed: int) -> dict[int, float]:
    counts = [k for k in _TRIED if k <= len(features) // _PER_GROUP]
    return {k: _measure_silhouette(features, _fit(features, k, seed)[0], seed) for k in counts}


def _measure_silhouette(features: NDArray[np.float32], own: Rows, seed: int) -> float:
    from sklearn.metrics import silhouette_score

    chosen = _sample(len(features), _COMPARED, seed + 1)
    if not 1 < len(np.unique(own[chosen])) < len(chosen):
        return -1.0
    return float(silhouette_score(features[chosen], own[chosen]))


def _sample(total: int, most: int, seed: int) -> Rows:
    """At most so many positions, in order."""
    if total <= most:
        return np.arange(total)
    return np.sort(np.random.default_rng(seed).choice(total, most, replace=False))


def measure_rarity(
    features: NDArray[np.float32], windows: Windows, seed: int = 0
) -> NDArray[np.float32]:
    """Mean distance of every row to its most similar ones that are no part of the same moment.

    Shape:
        features: (N, D), of `reduce_features`; windows: N -> (N,).
    """
    chosen = _sample(len(features), _REFERENCE, seed + 2)
    reference = features[chosen]
    count = min(_NEIGHBORS, max(1, len(chosen) // _PER_GROUP))
    found = np.empty(len(features), np.float32)
    for at in range(0, len(features), 2_000):
        part = slice(at, at + 2_000)
        similarity = features[part] @ reference.T
        same = windows.file[part, None] == windows.file[chosen]
        same &= windows.start[part, None] < windows.end[chosen]
        same &= windows.end[part, None] > windows.start[chosen]
        similarity[same] = -1.0
        nearest = np.partition(similarity, -count, axis=1)[:, -count:]
        found[part] = np.sqrt(np.maximum(2 - 2 * nearest, 0)).mean(axis=1)
    return found


class _Naming:
    """Turns windows into moments with the names of their files and labels."""

    def __init__(
        self, windows: Windows, files: Sequence[IndexedFile], labels: Sequence[Label]
    ) -> None:
        self.windows, self.files = windows, files
        positions = assign_labels(windows, files, labels)
        self.labels = [labels[int(one)].label if one >= 0 else None for one in positions]

    def moment(self, rows: Rows) -> Moment:
        """Windows of one file that overlap, the first one in front."""
        w, first = self.windows, int(rows[0])
        ids = tuple(w.ids[rows].tolist())
        start, end = float(w.start[rows].min()), float(w.end[rows].max())
        path = self.files[int(w.file[first])].path
        return Moment(path, start, end, None, float(w.motion[rows].max()), self.labels[first], ids)

    def pick(self, order: Rows, count: int, *, per_file: int) -> tuple[Moment, ...]:
        """The first windows that do not overlap, at most so many of one file as long as there are
        others."""
        taken: list[int] = []
        passed: list[int] = []
        for row in order[: 200 * count].tolist():
            if len(taken) == count:
                break
            own = [one for one in taken if self.windows.file[one] == self.windows.file[row]]
            if not any(self._overlap(row, one) for one in own):
                (taken if len(own) < per_file else passed).append(row)
        for row in passed:
            if len(taken) < count and not any(self._overlap(row, one) for one in taken):
                taken.append(row)
        return tuple(self.moment(np.array([row])) for row in taken)

    def _overlap(self, one: int, other: int) -> bool:
        w = self.windows
        same = w.file[one] == w.file[other]
        return bool(same and w.start[one] < w.end[other] and w.end[one] > w.start[other])

    def merge(self, rows: Rows) -> tuple[Moment, ...]:
        """Windows in the order of the index, those that overlap merged."""
        w = self.windows
        breaks = [0]
        breaks += [
            at
            for at, (one, next_one) in enumerate(pairwise(rows.tolist()), start=1)
            if w.file[one] != w.file[next_one] or w.start[next_one] >= w.end[one]
        ]
        return tuple(self.moment(part) for part in np.split(rows, breaks[1:]))

    def compare(self, assigned: Rows, seed: int) -> tuple[Agreement, ...]:
        """Agreement of groups with the labels of people and the classes of files."""
        classes = [
            _class_at(self.files[file], start)
            for file, start in zip(
                self.windows.file.tolist(), self.windows.start.tolist(), strict=True
            )
        ]
        found = []
        for kind, names in (("labels", self.labels), ("classes", classes)):
            rows = np.array([i for i, name in enumerate(names) if name and assigned[i] >= 0])
            if len({names[i] for i in rows}) > 1 and len(np.unique(assigned[rows])) > 1:
                given = np.array([names[i] for i in rows])
                stretches = self._stretches(rows, given)
                found.append(_compare(kind, assigned[rows], given, stretches, seed))
        return tuple(found)

    def _stretches(self, rows: Rows, names: NDArray[np.str_]) -> Rows:
        """Number stretches of one file with one name: they are shuffled as a whole."""
        file = self.windows.file[rows]
        changes = (np.diff(file) != 0) | (names[1:] != names[:-1])
        return np.append(0, np.cumsum(changes))


def _class_at(file: IndexedFile, start: float) -> str | None:
    """The class of the segment of a file that a window lies in."""
    for begin, end, name in file.segments:
        if begin <= start + 1e-6 and (end is None or start < end):
            return name
    return None


def _compare(
    kind: str, groups: Rows, names: NDArray[np.str_], stretches: Rows, seed: int
) -> Agreement:
    """Measure the mutual information, and what shuffled names give."""
    from sklearn.metrics import adjusted_mutual_info_score

    chosen = _sample(len(groups), _AGREEMENT, seed + 3)
    groups, names, stretches = groups[chosen], names[chosen], stretches[chosen]
    codes = np.unique(names, return_inverse=True)[1]
    numbers, first, own = np.unique(stretches, return_index=True, return_inverse=True)
    generator = np.random.default_rng(seed + 4)
    shuffled = [
        adjusted_mutual_info_score(codes[first][generator.permutation(len(numbers))][own], groups)
        for _ in range(_SHUFFLES)
    ]
    return Agreement(
        names=kind,
        information=float(adjusted_mutual_info_score(codes, groups)),
        chance=float(np.mean(shuffled)),
        chance_high=float(np.quantile(shuffled, 0.95)),
        windows=len(names),
    )


def _make_group(named: _Naming, rows: Rows, distance: NDArray[np.float32], shown: int) -> Group:
    moments = named.merge(rows)
    return Group(
        rows=rows,
        windows=tuple(named.windows.ids[rows].tolist()),
        typical=named.pick(rows[np.argsort(distance, kind="stable")], shown, per_file=1),
        moments=moments,
        seconds=sum(one.end - one.start for one in moments),
        files=len(np.unique(named.windows.file[rows])),
        motion=float(np.median(named.windows.motion[rows])),
    )
