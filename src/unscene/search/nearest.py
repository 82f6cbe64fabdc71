"""Exact search: the cosine of queries and all vectors of an index.

One product of a matrix and a few vectors reads every number of the index once, which is as fast as
memory is. Up to a million windows nothing else is needed.
"""

from __future__ import annotations

import warnings

import numpy as np
import torch
from numpy.typing import NDArray


class Nearest:
    """Vectors of N windows, ready to be compared.

    Args:
        vectors: float32 (N, D). They are not copied.
    """

    def __init__(self, vectors: NDArray[np.float32]) -> None:
        with warnings.catch_warnings():  # LanceDB's memory is read-only, and so is our use of it
            warnings.simplefilter("ignore", UserWarning)
            self.vectors = torch.from_numpy(np.require(vectors, np.float32, ["C"]))
        self.norms = self.vectors.norm(dim=1).clamp(min=1e-12)

    def similarities(self, queries: NDArray[np.float32]) -> NDArray[np.float32]:
        """Compute the cosine of every vector with the mean direction of queries.

        Args:
            queries: float32 (M, D), windows of one query.

        Returns:
            float32 (N,).

        >>> nearest = Nearest(np.eye(2, dtype=np.float32))
        >>> nearest.similarities(np.array([[2.0, 0.0]], np.float32)).tolist()
        [1.0, 0.0]
        """
        directions = torch.nn.functional.normalize(torch.from_numpy(queries.astype("f4")), dim=1)
        query = torch.nn.functional.normalize(directions.mean(dim=0), dim=0)
        return (torch.mv(self.vectors, query) / self.norms).numpy()


def find_largest(values: NDArray[np.float32], count: int) -> NDArray[np.int64]:
    """Positions of the largest values, the largest first.

    >>> find_largest(np.array([0.1, 0.9, 0.5], np.float32), 2).tolist()
    [1, 2]
    """
    return torch.topk(torch.from_numpy(values), min(count, len(values))).indices.numpy()
