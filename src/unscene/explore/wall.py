"""In which order the wall shows the windows of an index.

spread   far apart from one another, so that the first screen shows variety
time     file by file, from their starts to their ends
motion   the strongest motion first
rare     what looks least like anything else in the index first
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from functools import cached_property
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from unscene.errors import check_known
from unscene.search.windows import Windows

Order = Literal["spread", "time", "motion", "rare"]
ORDERS: tuple[str, ...] = get_args(Order)

_CANDIDATES = 2000  # windows among which those far apart are chosen
_SPREAD = 240  # windows that are chosen so; the rest follow at random
_KEPT = 16  # orders that are remembered

Rows = NDArray[np.int64]


class Wall:
    """Orders of the windows of an index, each computed when it is first asked for."""

    def __init__(self, windows: Windows) -> None:
        self.windows = windows
        self._lock = threading.Lock()
        self._kept: OrderedDict[tuple[str, bytes], Rows] = OrderedDict()

    def arrange(self, order: str, chosen: NDArray[np.bool_]) -> Rows:
        """Rows of the chosen windows in this order.

        Args:
            order: one of ORDERS.
            chosen: bool (N,).

        Raises:
            UnsceneError: there is no such order.
        """
        check_known("order", [order], ORDERS)
        key = order, np.packbits(chosen).tobytes()
        with self._lock:
            if key not in self._kept:
                self._kept[key] = self._arrange(order, np.flatnonzero(chosen))
                while len(self._kept) > _KEPT:
                    self._kept.popitem(last=False)
            self._kept.move_to_end(key)
            return self._kept[key]

    @cached_property
    def _rarity(self) -> NDArray[np.float32]:
        from unscene.search.cluster import measure_rarity

        # Not of the main components: what happens once has no part in them.
        return measure_rarity(standardize(self.windows.vectors), self.windows)

    def _arrange(self, order: str, rows: Rows) -> Rows:
        if order == "time":
            return rows  # windows of an index are ordered so
        if order == "motion":
            return rows[np.argsort(-self.windows.motion[rows], kind="stable")]
        if order == "rare":
            return rows[np.argsort(-self._rarity[rows], kind="stable")]
        return rows[spread_out(self.windows.vectors[rows])]


def standardize(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Directions from the mean vector, each dimension divided by its deviation: float32 (N, D).

    Features of one encoder share much: the cosine of any two may be above 0.9. What tells windows
    of this index apart is how they differ from its mean.
    """
    centered = vectors - vectors.mean(axis=0)
    centered /= np.maximum(centered.std(axis=0), 1e-6)
    lengths = np.linalg.norm(centered, axis=1, keepdims=True)
    units: NDArray[np.float32] = centered / np.maximum(lengths, 1e-6)
    return units


def spread_out(vectors: NDArray[np.float32]) -> Rows:
    """Order vectors so that the first ones are far from each other: farthest-point sampling.

    Args:
        vectors: (n, D).

    Returns:
        (n,), positions, always the same for the same input.

    Source: Gonzalez, Clustering to minimize the maximum intercluster distance, 1985.
    """
    positions = np.random.default_rng(0).permutation(len(vectors))
    candidates, rest = positions[:_CANDIDATES], positions[_CANDIDATES:]
    if len(candidates) == 0:
        return positions
    units = standardize(vectors[candidates])
    # Begin with what is most usual: the first picture should not be an oddity.
    first = int((units @ units.T).mean(axis=1).argmax())
    chosen = [first]
    nearest = units @ units[first]  # of every candidate to its most similar chosen one
    for _ in range(min(_SPREAD, len(candidates)) - 1):
        nearest[chosen[-1]] = np.inf
        chosen.append(int(nearest.argmin()))
        np.maximum(nearest, units @ units[chosen[-1]], out=nearest)
    others = np.delete(candidates, chosen)
    return np.concatenate([candidates[chosen], others, rest])
