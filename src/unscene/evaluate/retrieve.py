"""Retrieval: is a video of the same class among the K nearest?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from unscene.errors import UnsceneError
from unscene.evaluate.bootstrap import interval

_CHUNK = 4096  # gallery rows compared at once: memory grows with this, not with the gallery


@dataclass(frozen=True)
class Recall:
    """Recall at K.

    Attributes:
        k: K.
        value: share of the queries with a hit among their K nearest.
        ci95: bootstrap interval over queries.
        n: number of queries.
    """

    k: int
    value: float
    ci95: tuple[float, float]
    n: int


def nearest(query: Tensor, gallery: Tensor, k: int, *, leave_one_out: bool = False) -> Tensor:
    """The K nearest by cosine, exact.

    Args:
        query: (Q, D).
        gallery: (N, D).
        k: at most N (N - 1 if leave_one_out).
        leave_one_out: query and gallery are the same videos, and none may find itself.

    Returns:
        int64 (Q, K), rows of the gallery, nearest first.
    """
    query = F.normalize(query.float(), dim=1)
    best = torch.empty(len(query), 0)
    index = torch.empty(len(query), 0, dtype=torch.long)
    for start in range(0, len(gallery), _CHUNK):
        part = F.normalize(gallery[start : start + _CHUNK].float(), dim=1)
        similarity = query @ part.T
        if leave_one_out:
            own = torch.arange(start, start + len(part))
            inside = own < len(query)
            similarity[own[inside], own[inside] - start] = -torch.inf
        here = torch.arange(start, start + len(part)).expand(len(query), -1)
        best = torch.cat([best, similarity], dim=1)
        index = torch.cat([index, here], dim=1)
        best, order = best.topk(min(k, best.shape[1]), dim=1)
        index = index.gather(1, order)
    return index


def recall(
    query: Tensor,
    query_labels: Sequence[str],
    gallery: Tensor,
    gallery_labels: Sequence[str],
    *,
    ks: Sequence[int] = (1, 5, 10),
    leave_one_out: bool = False,
) -> list[Recall]:
    """Recall at each K that the gallery is large enough for.

    Raises:
        UnsceneError: the gallery is too small for any K.
    """
    room = len(gallery) - leave_one_out
    ks = [k for k in ks if k <= room]
    if not ks:
        raise UnsceneError(f"a gallery of {len(gallery)} videos is too small to search in")
    found = nearest(query, gallery, max(ks), leave_one_out=leave_one_out).numpy()
    hit = np.asarray(gallery_labels)[found] == np.asarray(query_labels)[:, None]
    return [_recall(k, hit[:, :k].any(axis=1)) for k in ks]


def _recall(k: int, hits: NDArray[np.bool_]) -> Recall:
    scores = hits.astype(np.float64)
    return Recall(k, float(scores.mean()), interval(scores), len(scores))
