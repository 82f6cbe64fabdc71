"""All moments on a plane: those that move alike lie close together.

    vectors -> main components -> t-SNE of at most 2,500 -> the others near what they are like

Colors are the groups of `unscene cluster`.

Sources: van der Maaten and Hinton, JMLR 2008 (t-SNE); Kobak and Berens, Nature Communications 2019,
for starting from principal components.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from unscene.errors import UnsceneError
from unscene.search.cluster import cluster_windows, reduce_features
from unscene.search.store import IndexedFile
from unscene.search.windows import Windows

_PLACED = 2500  # windows that t-SNE places
_STEPS = 300
_PERPLEXITY = 30.0
_NEAREST = 3  # placed windows that another one lies between
_FEW = 10  # windows that need no t-SNE
_BLOCK = 4096

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Layout:
    """Where windows lie on the map.

    Attributes:
        rows: (M,), which windows.
        places: float32 (M, 2), x and y in -1..1.
        cluster: int64 (M,), group of each window, the one that lasts longest first.
    """

    rows: NDArray[np.int64]
    places: Floats
    cluster: NDArray[np.int64]


def lay_out(windows: Windows, still: NDArray[np.bool_], files: Sequence[IndexedFile]) -> Layout:
    """Place windows on the map, always in the same way.

    Args:
        windows: of an index.
        still: bool (N,), those in which nothing moves: they are left out.
        files: of the index.
    """
    rows = np.flatnonzero(~still)
    if len(rows) == 0:
        return Layout(rows, np.zeros((0, 2), np.float32), np.zeros(0, np.int64))
    components = reduce_features(windows.vectors[rows])
    some = np.sort(np.random.default_rng(0).permutation(len(rows))[:_PLACED])
    placed = _embed(components[some])
    places = np.zeros((len(rows), 2), np.float32)
    others = np.setdiff1d(np.arange(len(rows)), some, assume_unique=True)
    places[some] = placed
    places[others] = _place_between(components[others], components[some], placed)
    places -= (places.max(axis=0) + places.min(axis=0)) / 2
    places /= max(float(np.abs(places).max()), 1e-9)
    try:
        cluster = cluster_windows(windows, still, files).assigned[rows]
    except UnsceneError:  # too few to group
        cluster = np.zeros(len(rows), np.int64)
    return Layout(rows, places, cluster)


def _embed(components: Floats) -> Floats:
    if len(components) < _FEW or components.shape[1] < 2:
        flat = np.zeros((len(components), 2), np.float32)
        flat[:, : min(2, components.shape[1])] = components[:, :2]
        return flat
    from sklearn.manifold import TSNE

    start = components[:, :2] / max(float(components[:, 0].std()), 1e-9) * 1e-4
    perplexity = min(_PERPLEXITY, (len(components) - 1) / 3)
    with warnings.catch_warnings():  # of windows that are all the same
        warnings.simplefilter("ignore")
        layout: Floats = TSNE(
            init=start, perplexity=perplexity, max_iter=_STEPS, random_state=0
        ).fit_transform(components)
    return layout


def _place_between(components: Floats, known: Floats, placed: Floats) -> Floats:
    """Place windows between the placed ones that are most like them, the nearest weighing most."""
    found = np.zeros((len(components), 2), np.float32)
    squares = np.square(known).sum(axis=1)
    near = min(_NEAREST, len(known))
    for at in range(0, len(components), _BLOCK):
        block = components[at : at + _BLOCK]
        distance = squares - 2 * block @ known.T + np.square(block).sum(axis=1, keepdims=True)
        nearest = np.argpartition(distance, near - 1, axis=1)[:, :near]
        gap = np.maximum(np.take_along_axis(distance, nearest, axis=1), 1e-6)
        weight = 1 / gap / (1 / gap).sum(axis=1, keepdims=True)
        found[at : at + _BLOCK] = (placed[nearest] * weight[..., None]).sum(axis=1)
    return found
