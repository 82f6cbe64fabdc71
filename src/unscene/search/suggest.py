"""Which moments to label next, and why.

    alike      stands for many moments, none of them labeled        what to begin with
    uncertain  two classes, or a class and none, are as probable     where a label decides most
    rare       looks like a class with few labels                    confirm it, or correct it
    far        unlike everything that is labeled                     a class that is missing?

The kinds take turns, the first two most often: on real footage they taught a little more than the
same number of moments at random with one of two encoders, and as much with the other; rare and far
ones taught less (experiments/LOG.md). But rare ones find a
class that was labeled once, and far ones a class that nobody thought of. Of each kind, the best
moment is taken that is not near one that was taken already, in time or in its features. Without a
classifier, all are of the first kind.

Sources: Settles, Active Learning Literature Survey (2009), for uncertainty; Hacohen, Dekel and
Weinshall, ICML 2022 (TypiClust), for typical moments of clusters without labels while labels are
few.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from unscene.search.intervals import Footage
from unscene.search.label_model import LabelModel
from unscene.search.labels import Label, assign_labels, count_labels, find_touching
from unscene.search.windows import Windows

Floats = NDArray[np.float64]
Kind = Literal["alike", "uncertain", "rare", "far"]
_Candidates = Iterator[tuple[int, str]]  # row, and why it may be suggested

_TURNS: tuple[Kind, ...] = (
    "alike",
    "uncertain",
    "alike",
    "uncertain",
    "alike",
    "uncertain",
    "rare",
    "far",
)
_SELDOM = 0.5  # of the mean number of labels: a class that has fewer is rare
_POOL = 5000  # windows that are looked at
_CLUSTERS = 50  # at most
_NEIGHBORS = 10  # by which a typical moment is chosen
_APART = 0.8  # cosine above which two moments are too alike to be asked both
_IN_A_ROW = 10  # windows of a rare class that are tried before the next class
_ASKED = 1.0  # lengths of a window between two suggestions in one file


@dataclass(frozen=True)
class Suggestion:
    """A moment to label.

    Attributes:
        path: absolute path of the file.
        start, end: seconds.
        window: id of its window.
        kind: why it was chosen, see the head of `search.suggest`.
        reason: the same as a sentence.
    """

    path: str
    start: float
    end: float
    window: int
    kind: Kind
    reason: str


@dataclass(frozen=True, eq=False)
class _Pool:
    """Windows that may be suggested. `near` are unit vectors of standardized features."""

    windows: Windows
    near: NDArray[np.float32]
    labeled: NDArray[np.float32]  # the same, of windows that have a label
    values: Floats | None  # (M, K + 1)

    def __len__(self) -> int:
        return len(self.windows)


def suggest_moments(
    windows: Windows,
    files: Sequence[Footage],
    labels: Sequence[Label],
    model: LabelModel | None = None,
    *,
    k: int = 8,
    still: NDArray[np.bool_] | None = None,
    seed: int = 0,
) -> list[Suggestion]:
    """Choose moments to label next.

    Args:
        windows: N windows of an index.
        files: the videos that `windows.file` numbers.
        labels: what is labeled already.
        model: learned from these labels; None: too few for one.
        k: number of moments.
        still: (N,), windows in which nothing moves; they are not suggested.
        seed: of the choice.

    Returns:
        At most k moments, the most useful first.
    """
    pool = _collect(windows, files, labels, model, still, seed)
    if not len(pool):
        return []
    found: list[Suggestion] = []
    taken: list[int] = []
    for alike in (_APART, 2.0):  # footage may be all alike: better to ask for that than for nothing
        left = _start_kinds(pool, labels, model, len(labels) + k, seed)
        for kind in _take_turns(left):
            if len(found) == k:
                return found
            one = next((c for c in left[kind] if _is_apart(pool, c[0], taken, alike)), None)
            if one is None:
                del left[kind]
                continue
            row, reason = one
            w = pool.windows
            path = files[int(w.file[row])].path
            times = float(w.start[row]), float(w.end[row])
            found.append(Suggestion(path, *times, int(w.ids[row]), kind, reason))
            taken.append(row)
    return found


def _start_kinds(
    pool: _Pool, labels: Sequence[Label], model: LabelModel | None, clusters: int, seed: int
) -> dict[Kind, _Candidates]:
    """The candidates of each kind, the best first."""
    kinds: dict[Kind, _Candidates] = {"alike": _alike(pool, clusters, seed)}
    if model is not None:
        kinds |= {"uncertain": _uncertain(pool, model), "far": _far(pool)}
        counts = [count_labels(labels).get(name, 0) for name in model.classes]
        if min(counts) < _SELDOM * float(np.mean(counts)):
            kinds["rare"] = _rare(pool, model, labels)
    return kinds


def _take_turns(left: Mapping[Kind, _Candidates]) -> Iterator[Kind]:
    """The kinds that are left, again and again."""
    while left:
        for kind in _TURNS:
            if kind in left:
                yield kind


def _collect(
    windows: Windows,
    files: Sequence[Footage],
    labels: Sequence[Label],
    model: LabelModel | None,
    still: NDArray[np.bool_] | None,
    seed: int,
) -> _Pool:
    """Windows that share no time with a label, or a sample of them."""
    rng = np.random.default_rng(seed)
    moving = np.ones(len(windows), bool) if still is None else ~still
    labeled = assign_labels(windows, files, labels) >= 0
    free = moving & ~labeled & ~find_touching(windows, files, labels)
    rows = np.flatnonzero(free)
    if len(rows) > _POOL:
        rows = np.sort(rng.choice(rows, _POOL, replace=False))
    known = np.flatnonzero(labeled)
    if model is not None:
        mean, scale = model.mean, model.scale
    else:
        some = windows.vectors[rows] if len(rows) else np.zeros((1, windows.vectors.shape[1]))
        mean, scale = some.mean(axis=0), np.maximum(some.std(axis=0), 1e-6)
    values = None
    if model is not None:
        named = model.probabilities(windows.vectors[rows])
        values = np.column_stack([named, np.clip(1 - named.sum(axis=1), 0, 1)])
    near, own = (_direct((windows.vectors[some] - mean) / scale) for some in (rows, known))
    return _Pool(windows[rows], near, own, values)


def _direct(values: Any) -> NDArray[np.float32]:
    norms = np.linalg.norm(values, axis=1, keepdims=True)
    return np.asarray(values / np.maximum(norms, 1e-9), np.float32)


def _is_apart(pool: _Pool, row: int, taken: Sequence[int], alike: float) -> bool:
    """Whether a window is near none that was taken, in time and in its features."""
    w = pool.windows
    for other in taken:
        if float(pool.near[row] @ pool.near[other]) > alike:
            return False
        length = max(w.end[row] - w.start[row], w.end[other] - w.start[other])
        away = abs(w.start[row] - w.start[other])
        if w.file[row] == w.file[other] and away < (1 + _ASKED) * length:
            return False
    return row not in taken


def _alike(pool: _Pool, clusters: int, seed: int) -> _Candidates:
    """The most typical window of each cluster without labels, of large clusters first."""
    from sklearn.cluster import KMeans

    count = min(_CLUSTERS, clusters, len(pool))
    everything = np.concatenate([pool.near, pool.labeled])
    with warnings.catch_warnings():  # of fewer different windows than clusters
        warnings.simplefilter("ignore")
        owner = KMeans(count, n_init=4, random_state=seed).fit_predict(everything)
    own, known = owner[: len(pool)], owner[len(pool) :]
    sizes = np.bincount(own, minlength=count)
    labeled = np.bincount(known, minlength=count)
    # Clusters without a label first; then those with the fewest for their size.
    for cluster in sorted(range(count), key=lambda c: (labeled[c] > 0, -sizes[c], c)):
        rows = np.flatnonzero(own == cluster)
        if not len(rows):
            continue
        some = rows if len(rows) <= 1000 else rows[:: len(rows) // 1000 + 1]
        similar = np.sort(pool.near[some] @ pool.near[some].T, axis=1)[:, -1 - _NEIGHBORS : -1]
        typical = similar.mean(axis=1) if similar.shape[1] else np.zeros(len(some))
        for row in some[np.argsort(-typical, kind="stable")][:5].tolist():
            share = _percent(len(rows) / len(pool))
            without = "none of that has a label" if not labeled[cluster] else "few of that have one"
            yield row, f"{share} of the footage looks like it, and {without}."


def _uncertain(pool: _Pool, model: LabelModel) -> _Candidates:
    """Windows whose two most probable classes, none among them, are as probable."""
    values = pool.values
    assert values is not None
    names = [*model.classes, "none of the classes"]
    order = np.argsort(-values, axis=1, kind="stable")
    rows = np.arange(len(values))
    first, second = values[rows, order[:, 0]], values[rows, order[:, 1]]
    for row in np.argsort(first - second, kind="stable").tolist():
        a, b = order[row, :2]
        yield (
            row,
            f"It could be {names[a]} ({values[row, a]:.2f}) or {names[b]} ({values[row, b]:.2f}).",
        )


def _rare(pool: _Pool, model: LabelModel, labels: Sequence[Label]) -> _Candidates:
    """Windows that look like the class with the fewest labels, then the next."""
    values = pool.values
    assert values is not None
    counts = count_labels(labels)
    rarest = sorted(range(len(model.classes)), key=lambda k: counts.get(model.classes[k], 0))
    orders = [np.argsort(-values[:, k], kind="stable").tolist() for k in rarest]
    for begin in range(0, len(pool), _IN_A_ROW):
        for k, order in zip(rarest, orders, strict=True):
            name = model.classes[k]
            count = counts.get(name, 0)
            only = "1 label" if count == 1 else f"{count} labels"
            for row in order[begin : begin + _IN_A_ROW]:
                seems = f"It looks like {name} ({values[row, k]:.2f})"
                yield row, f"{seems}, which has only {only}."


def _far(pool: _Pool) -> _Candidates:
    """Windows that are least like any labeled one."""
    if not len(pool.labeled):
        return
    nearest = np.full(len(pool), -1.0, np.float32)
    for start in range(0, len(pool.labeled), 1000):
        part = pool.near @ pool.labeled[start : start + 1000].T
        nearest = np.maximum(nearest, part.max(axis=1))
    for row in np.argsort(nearest, kind="stable").tolist():
        yield (
            row,
            f"It is unlike everything that is labeled (similarity {nearest[row]:.2f} at most): a "
            "class that is missing?",
        )


def _percent(share: float) -> str:
    return "Less than 1 %" if share < 0.01 else f"{share:.0%}".replace("%", " %")
