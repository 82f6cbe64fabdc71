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

EXACT = 1_000_000  # windows up to which all are compared
NEAREST, _QUERIES = 20, 100  # of the recall of approximate search


class Nearest:
    """Vectors of N windows, ready to be compared.

    Args:
        vectors: float32 (N, D). They are not copied.
    """

    def __init__(self, vectors: NDArray[np.float32]) -> None:
        import torch

        with warnings.catch_warnings():  # LanceDB's memory is read-only, and so is our use of it
            warnings.simplefilter("ignore", UserWarning)
            self.vectors = torch.from_numpy(np.require(vectors, np.float32, ["C"]))
        self.norms = self.vectors.norm(dim=1).clamp(min=1e-12)

    def similarities(
        self, direction: NDArray[np.float32], rows: NDArray[np.int64] | None = None
    ) -> NDArray[np.float32]:
        """Compute the cosine of vectors with a direction.

        Args:
            direction: float32 (D,), of length 1.
            rows: of the vectors to compare; None: all.

        Returns:
            float32 (N,); -1 where no comparison was asked for.

        >>> nearest = Nearest(np.eye(2, dtype=np.float32))
        >>> nearest.similarities(np.array([1.0, 0.0], np.float32)).tolist()
        [1.0, 0.0]
        """
        import torch

        query = torch.from_numpy(direction)
        if rows is None:
            return (torch.mv(self.vectors, query) / self.norms).numpy()
        found = np.full(len(self.vectors), -1, np.float32)
        some = torch.from_numpy(rows)
        found[rows] = (torch.mv(self.vectors[some], query) / self.norms[some]).numpy()
        return found


def average_directions(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """The mean direction of the windows of a query: (M, D) -> (D,) of length 1."""
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
