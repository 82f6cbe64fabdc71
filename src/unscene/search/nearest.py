"""The cosine of a query and the vectors of an index.

One product of a matrix and a vector reads every number of the index once, which is as fast as
memory is. Up to a million windows nothing else is needed; above, LanceDB proposes windows, and what
it proposes is compared exactly.

Torch is imported by the first search: who opens an index need not wait for it.
"""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import NDArray

_ENOUGH = 50  # windows of which a mean is taken
_ROWS = 65536  # windows at once
EXACT = 1_000_000  # windows up to which all are compared
NEAREST, _QUERIES = 20, 100  # of the recall of approximate search


class Nearest:
    """Vectors of N windows, ready to be compared.

    The mean of the windows is taken from all vectors first, where there are enough to know it:
    features of one kind of footage have most in common, so that raw cosines are all near 1. On ARID
    that also finds a little more (experiments/LOG.md, 2026-11-29).

    Args:
        vectors: float32 (N, D). They are not copied.
        moving: (N,), the windows of which the mean is taken; None: all.
    """

    def __init__(
        self, vectors: NDArray[np.float32], moving: NDArray[np.bool_] | None = None
    ) -> None:
        import torch

        with warnings.catch_warnings():  # LanceDB's memory is read-only, and so is our use of it
            warnings.simplefilter("ignore", UserWarning)
            self.vectors = torch.from_numpy(np.require(vectors, np.float32, ["C"]))
        weight = torch.ones(len(vectors)) if moving is None else torch.from_numpy(moving).float()
        self.mean = torch.zeros(self.vectors.shape[1])
        if weight.sum() >= _ENOUGH:
            self.mean = torch.mv(self.vectors.T, weight / weight.sum())
        parts = [(some - self.mean).norm(dim=1) for some in self.vectors.split(_ROWS)]
        self.norms = torch.cat([*parts, torch.zeros(0)]).clamp(min=1e-12)

    def average(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        """The mean direction of the windows of a query: (M, D) -> (D,) of length 1."""
        return average_directions(vectors - self.mean.numpy())

    def similarities(
        self, direction: NDArray[np.float32], rows: NDArray[np.int64] | None = None
    ) -> NDArray[np.float32]:
        """Compute the cosine of vectors with a direction.

        Args:
            direction: float32 (D,), of length 1, see `average`.
            rows: of the vectors to compare; None: all.

        Returns:
            float32 (N,); -1 where no comparison was asked for.

        >>> nearest = Nearest(np.eye(2, dtype=np.float32))
        >>> nearest.similarities(np.array([1.0, 0.0], np.float32)).tolist()
        [1.0, 0.0]
        """
        import torch

        query = torch.from_numpy(direction)
        shift = self.mean @ query
        if rows is None:
            return ((torch.mv(self.vectors, query) - shift) / self.norms).numpy()
        found = np.full(len(self.vectors), -1, np.float32)
        some = torch.from_numpy(rows)
        own = torch.mv(self.vectors[some], query) - shift
        found[rows] = (own / self.norms[some]).numpy()
        return found


def average_directions(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """The mean direction of vectors: (M, D) -> (D,) of length 1."""
    import torch
    from torch.nn.functional import normalize

    directions = normalize(torch.from_numpy(np.asarray(vectors, np.float32)), dim=1)
    return normalize(directions.mean(dim=0), dim=0).numpy()


def find_largest(values: NDArray[np.float32], count: int) -> NDArray[np.int64]:
    """Positions of the largest values, the largest first.

    >>> find_largest(np.array([0.1, 0.9, 0.5], np.float32), 2).tolist()
    [1, 2]
    """
    import torch

    return torch.topk(torch.from_numpy(values), min(count, len(values))).indices.numpy()


def choose_queries(count: int) -> NDArray[np.int64]:
    """Windows, of `count`, by which the recall of approximate search is measured."""
    return np.random.default_rng(0).permutation(count)[:_QUERIES]
