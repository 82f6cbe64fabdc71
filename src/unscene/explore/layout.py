"""All moments on a plane: those that move alike lie close together.

    vectors -> principal components -> t-SNE of at most 2,500 -> the others near what they are like

Sources: van der Maaten and Hinton, JMLR 2008 (t-SNE); Kobak and Berens, Nature Communications 2019,
for starting from principal components.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from unscene.explore.wall import standardize

_PLACED = 2500  # windows that t-SNE places
_COMPONENTS = 30
_STEPS = 300
_PERPLEXITY = 30.0
_NEAREST = 3  # placed windows that another one lies between
_FEW = 10  # windows that need no t-SNE
_CLUSTERS = 12  # at most
_BLOCK = 4096

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Layout:
    """Where windows lie on the map.

    Attributes:
        rows: (M,), which windows.
        places: float32 (M, 2), x and y in -1..1.
        cluster: int64 (M,), group of each window, large groups first.
    """

    rows: NDArray[np.int64]
    places: Floats
    cluster: NDArray[np.int64]


def lay_out(vectors: Floats, rows: NDArray[np.int64]) -> Layout:
    """Place windows on the map, always in the same way.

    Args:
        vectors: (N, D), of all windows.
        rows: (M,), those to place.
    """
    if len(rows) == 0:
        return Layout(rows, np.zeros((0, 2), np.float32), np.zeros(0, np.int64))
    units = standardize(vectors[rows])
    some = np.sort(np.random.default_rng(0).permutation(len(rows))[:_PLACED])
    components = _project(units, some)
    placed = _embed(components[some])
    places = np.zeros((len(rows), 2), np.float32)
    others = np.setdiff1d(np.arange(len(rows)), some, assume_unique=True)
    places[some] = placed
    places[others] = _place_between(components[others], components[some], placed)
    places -= (places.max(axis=0) + places.min(axis=0)) / 2
    places /= max(float(np.abs(places).max()), 1e-9)
    return Layout(rows, places, _group(components, some))


def _project(units: Floats, some: NDArray[np.int64]) -> Floats:
    """The principal components of the windows that are placed, for all: (M, up to 30)."""
    mean = units[some].mean(axis=0)
    _, _, axes = np.linalg.svd(units[some] - mean, full_matrices=False)
    projected: Floats = (units - mean) @ axes[:_COMPONENTS].T
    return projected.astype(np.float32)


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


def _group(components: Floats, some: NDArray[np.int64]) -> NDArray[np.int64]:
    from sklearn.cluster import KMeans

    count = min(_CLUSTERS, max(1, round(np.sqrt(len(some) / 2))))
    with warnings.catch_warnings():  # of fewer different windows than groups
        warnings.simplefilter("ignore")
        means = KMeans(count, n_init=2, random_state=0).fit(components[some])
        owner = means.predict(components)
    sizes = np.bincount(owner, minlength=count)
    rank = np.empty(count, np.int64)
    rank[np.argsort(-sizes, kind="stable")] = np.arange(count)
    ranked: NDArray[np.int64] = rank[owner]
    return ranked
