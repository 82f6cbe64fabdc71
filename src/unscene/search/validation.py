"""Cross-validation by file: how well are labels told apart in footage that was not learned from?

Windows of one recording are alike, whatever happens in them. So a file is held out whole, with all
its windows.

The threshold is chosen by the F1 of held-out windows where there are counterexamples. Without any,
precision cannot be measured, and the threshold is the probability of a window that tells nothing: a
moment is named if it is more like the class than windows are on average. (recall^2 divided by the
share of windows that are named, which Lee and Liu propose for this, ICML 2003, was tried on real
footage: held-out labels are more alike than the footage that is to be named, so it chose thresholds
that are far too high; experiments/LOG.md.)
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unscene.results.statistics import Score, bootstrap, interval
from unscene.search.examples import (
    Examples,
    Floats,
    Integers,
    fit_weights,
    predict_weights,
)
from unscene.search.label_model import Validation
from unscene.search.scoring import mean_f1

_LEAVE_ONE_OUT = 10  # with at most so many files
_FOLDS = 5
_GUESSES = 100  # draws of the dummy that guesses


@dataclass(frozen=True)
class _HeldOut:
    """Probabilities (M, K + 1) of windows, each by a classifier that did not see its file."""

    examples: Examples
    values: Floats

    def moments(self) -> tuple[Integers, Integers, Integers, Floats]:
        """For each label: its class, file and position, and the mean of its windows."""
        named = self.examples.moment >= 0
        which, first, owner = np.unique(
            self.examples.moment[named], return_index=True, return_inverse=True
        )
        sums = np.zeros((len(which), self.values.shape[1]))
        np.add.at(sums, owner, self.values[named])
        mean = sums / np.bincount(owner)[:, None]
        return (
            self.examples.target[named][first],
            self.examples.file[named][first],
            which,
            mean,
        )


def cross_validate(
    examples: Examples, names: Sequence[str], *, seed: int = 0
) -> tuple[float, Validation]:
    """Choose the threshold, and measure F1 on files that were held out.

    Args:
        examples: of all files.
        names: of the files.
        seed: of the folds and of the bootstrap.

    Returns:
        The threshold, and what the validation says.
    """
    files, single = _spread(examples, names)
    threshold = guess_threshold(examples)
    if len(files) == len(single):  # no class has labels in two files
        return threshold, Validation(one_file=single)
    scored = np.array([name not in single for name in examples.classes] + [True])
    folds, how = _split(examples, seed)
    held = _hold_out(examples, folds)
    chosen = bool(examples.against.any())
    if chosen:
        threshold = _choose_threshold(held, scored, threshold)
    found, called = _count_found(held, scored, threshold)
    target, file, _, _ = held.moments()
    counted = len(np.unique(file[scored[target]]))
    return threshold, Validation(
        _score(held, scored, seed), counted, how, found, called, chosen, single
    )


def guess_threshold(examples: Examples) -> float:
    """The probability of a class of a window that tells nothing: all kinds weigh the same."""
    kinds = len(examples.classes) + examples.sample.any() + examples.against.any()
    return round(1 / max(2, int(kinds)), 4)


def _spread(examples: Examples, names: Sequence[str]) -> tuple[dict[str, set[int]], dict[str, str]]:
    """The files of each class, and the only file of classes that have one."""
    files: dict[str, set[int]] = {name: set() for name in examples.classes}
    for k, name in enumerate(examples.classes):
        files[name] = set(examples.file[examples.target == k].tolist())
    single = {name: names[next(iter(own))] for name, own in files.items() if len(own) == 1}
    return files, single


def _split(examples: Examples, seed: int) -> tuple[Integers, str]:
    """The fold of each window: whole files; files without labels are spread over the folds."""
    from sklearn.model_selection import StratifiedGroupKFold

    named = np.flatnonzero(examples.moment >= 0)
    _, first = np.unique(examples.moment[named], return_index=True)
    moments = named[first]
    labeled = np.unique(examples.file[moments])
    fold_of: dict[int, int] = {}
    if len(labeled) <= _LEAVE_ONE_OUT:
        fold_of = {int(file): fold for fold, file in enumerate(labeled)}
        how = "leave one file out"
    else:
        # There cannot be more folds than labels of the most frequent class.
        count = min(_FOLDS, int(np.bincount(examples.target[moments]).max()))
        folds = StratifiedGroupKFold(count, shuffle=True, random_state=seed)
        with warnings.catch_warnings():  # of classes with fewer labels than folds
            warnings.simplefilter("ignore", UserWarning)
            split = folds.split(moments, examples.target[moments], examples.file[moments])
            for fold, (_, test) in enumerate(split):
                fold_of |= {int(file): fold for file in examples.file[moments[test]]}
        how = f"{count} folds of files"
    count = max(fold_of.values()) + 1
    for number, file in enumerate(np.setdiff1d(examples.file, labeled).tolist()):
        fold_of[file] = number % count
    return np.array([fold_of[file] for file in examples.file.tolist()]), how


def _hold_out(examples: Examples, folds: Integers) -> _HeldOut:
    values = np.zeros((len(folds), len(examples.classes) + 1))
    for fold in np.unique(folds):
        test = folds == fold
        weight, bias = fit_weights(examples[~test])
        values[test] = predict_weights(examples.values[test], weight, bias)
    return _HeldOut(examples, values)


def _choose_threshold(held: _HeldOut, scored: NDArray[np.bool_], least: float) -> float:
    """The threshold of the best F1; of several, the lowest."""
    thresholds = np.round(np.arange(least, 0.9, 0.05), 4)
    worth = [_f1_of_windows(held, scored, one) for one in thresholds]
    return float(thresholds[int(np.argmax(worth))])


def _named(values: Floats, threshold: float) -> Integers:
    """The class that is given to each window or label; K for none."""
    count = values.shape[1] - 1
    best = values[:, :count].argmax(axis=1)
    return np.where(values[np.arange(len(values)), best] >= threshold, best, count)


def _f1_of_windows(held: _HeldOut, scored: NDArray[np.bool_], threshold: float) -> float:
    """F1 of windows, the mean over the classes that can be scored."""
    rows = ~held.examples.sample
    true, given = held.examples.target[rows], _named(held.values[rows], threshold)
    kinds = np.flatnonzero(scored[:-1])
    shared = np.array([((true == k) & (given == k)).sum() for k in kinds], float)
    both = np.array([(true == k).sum() + (given == k).sum() for k in kinds], float)
    return float(np.nan_to_num(mean_f1(shared[None], both[None])[0]))


def _count_found(
    held: _HeldOut, scored: NDArray[np.bool_], threshold: float
) -> tuple[float, float | None]:
    """Shares of the held-out labels that are found, and of all windows that are given a class."""
    target, _, _, mean = held.moments()
    count = len(held.examples.classes)
    counted = scored[target] & (target < count)
    found = (_named(mean, threshold) == target)[counted].mean()
    others = held.values[held.examples.moment < 0]
    called = (_named(others, threshold) < count).mean() if len(others) else None
    return float(found), None if called is None else float(called)


def _score(held: _HeldOut, scored: NDArray[np.bool_], seed: int) -> Score | None:
    """F1 of telling labels apart, without a threshold; None if there is only one kind."""
    target, file, _, mean = held.moments()
    count = len(held.examples.classes)
    background = bool((target == count).any())
    if count + background < 2:
        return None
    kinds = [k for k in range(count) if scored[k]]
    rows = scored[target]
    true, file = target[rows], file[rows]
    given = mean[rows][:, : count + background].argmax(axis=1)
    shared, both = _tables(true, given, kinds)
    each = 2 * shared.sum(0) / both.sum(0)
    hits = np.asarray(given == true, np.float64)
    ends = bootstrap([shared, both], file, mean_f1, seed=seed)
    if hits.all():  # an interval without width would claim to know: Wilson's, of the hits
        ends = np.array(interval(hits, videos=file))
    found = Score(
        float(each.mean()),
        (float(ends[0]), float(ends[1])),
        len(true),
        {held.examples.classes[k]: float(value) for k, value in zip(kinds, each, strict=True)},
    )
    return replace(found, chance=_guess(true, kinds))


def _tables(true: Integers, given: Any, kinds: Sequence[int]) -> tuple[Floats, Floats]:
    """For labels (M,): hits (M, C), and how often a class is true or given (M, C)."""
    is_true = true[:, None] == np.array(kinds)
    is_given = given[:, None] == np.array(kinds)
    return (is_true & is_given).astype(float), is_true.astype(float) + is_given


def _guess(true: Integers, kinds: Sequence[int]) -> float:
    """The F1 of guessing classes as often as they occur, the mean of many draws."""
    from sklearn.dummy import DummyClassifier

    found = []
    nothing = np.zeros((len(true), 1))
    for draw in range(_GUESSES):
        dummy = DummyClassifier(strategy="stratified", random_state=draw).fit(nothing, true)
        shared, both = _tables(true, dummy.predict(nothing), kinds)
        found.append(mean_f1(shared.sum(0)[None], both.sum(0)[None])[0])
    return float(np.mean(found))
