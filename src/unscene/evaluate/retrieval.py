"""Retrieval: is a video of the same class among the K nearest neighbors?

The search is exact and by cosine similarity. Similarities are computed for a few queries at a time,
so memory grows with the gallery but never with gallery times queries. The gallery itself may be a
file that is mapped into memory, see `features`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from unscene.data.catalog import Video
from unscene.errors import UnsceneError
from unscene.evaluate.chance import Groups, guess_neighbors, guess_ranking, says_something
from unscene.evaluate.features import Features
from unscene.results.statistics import Score, score

KS = (1, 5, 10, 20, 50)  # as in the papers
_CELLS = 2**23  # similarities in memory: 32 MB, and a few times as much while they are sorted
_ROWS = 4096  # gallery rows compared at once


def retrieve(
    query: Features,
    gallery: Features,
    label: str = "label",
    *,
    ks: Sequence[int] | None = None,
    apart: str | None = None,
    standardize: bool = False,
    device: torch.device | str = "cpu",
) -> dict[str, Score]:
    """Compute recall at K and mean average precision.

    Args:
        query: features (Q, D) to search for.
        gallery: features (N, D) to search in. If it is the same object as `query`, each video is
            searched for among the others (leave one out): it never finds itself, another clip of
            itself or another segment of its file. In another gallery it would, see `find_overlap`.
        label: column of the classes. A query whose class is not in the gallery counts as missed.
        ks: values of K; None: those of `KS` that are at most half the number of classes. Only those
            for which every query has at least K candidates are returned.
        apart: a column; a query is never compared with gallery videos of its own value there
            ("scene": a match must come from another scene, possibly of the same file).
        standardize: compare features less the mean of the gallery, divided by its deviation.
            Histograms often gain by it: some of their numbers are far larger than others.
        device: computes the similarities.

    Returns:
        "retrieval_r1" ..., the share of queries with a hit among the K nearest; and
        "retrieval_map", the mean over queries of the average precision over the whole gallery. Both
        have the `chance` of a random order. Confidence intervals are from a cluster bootstrap over
        files. Recall has the outcome of every query, if each video is one query.

    Raises:
        UnsceneError: no such column, a feature that is not finite, or a gallery that is too small
            for any K.

    Source: DSM paper (Wang et al., AAAI 2021), section 4.4; methods.md 1.6.

    >>> from unscene.data.catalog import Video
    >>> videos = tuple(Video(f"{i}.mp4", label) for i, label in enumerate(["run", "run", "jump"]))
    >>> features = Features(torch.tensor([[1.0, 0], [1, 0.1], [0, 1]]), videos, torch.arange(3))
    >>> round(retrieve(features, features, ks=(1,))["retrieval_r1"].value, 2)
    0.67
    """
    for side in (query, gallery):
        side.check()
    if ks is None:
        count = len(set(gallery.labels(label)))
        ks = [k for k in KS if says_something(k, count)]
    groups, ks = _plan_search(query, gallery, ks, apart)
    classes = _number(query.labels(label), gallery.labels(label))
    values = query.values, gallery.values
    if standardize:
        values = standardize_features(*values)
    hits = np.empty((len(query.values), len(ks)))
    precision = np.empty(len(query.values))
    for rows, similarity in _similarities(*values, groups, device):
        similarity, order = similarity.sort(dim=1, descending=True, stable=True)
        match = classes[1].to(order.device)[order] == classes[0][rows].to(order.device)[:, None]
        match &= similarity > -torch.inf
        found = match.cumsum(dim=1)
        ranks = torch.arange(1, match.shape[1] + 1, device=order.device)
        total = found[:, -1].clamp(min=1)
        precision[rows] = ((found / ranks) * match).sum(dim=1).div(total).cpu().numpy()
        hits[rows] = torch.stack([found[:, k - 1] > 0 for k in ks], dim=1).cpu().numpy()
    labels, files = query.labels(label), query.files().numpy()
    columns = {f"retrieval_r{k}": hits[:, i] for i, k in enumerate(ks)}
    chance = [*guess_neighbors(classes, groups, ks), guess_ranking(classes, groups)]
    return {
        metric: replace(
            score(column, labels=labels, videos=files),
            chance=guessed,
            outcomes=query.keep_outcomes(column) if metric in columns else {},
        )
        for (metric, column), guessed in zip(
            (columns | {"retrieval_map": precision}).items(), chance, strict=True
        )
    }


def standardize_features(query: Tensor, gallery: Tensor) -> tuple[Tensor, Tensor]:
    """Subtract the gallery's mean from both sides and divide by its deviation, by column.

    Args:
        query: (Q, D).
        gallery: (N, D). A column of a single value becomes 0 there.

    >>> query, gallery = torch.tensor([[3.0, 5]]), torch.tensor([[1.0, 5], [3, 5]])
    >>> standardize_features(query, gallery)[0]
    tensor([[1., 0.]])
    """
    deviation, mean = torch.std_mean(gallery.float(), dim=0, correction=0)
    flat = deviation <= 1e-6 * mean.abs()
    scale = torch.where(flat, 0.0, 1 / deviation.clamp(min=1e-30))
    return (query.float() - mean) * scale, (gallery.float() - mean) * scale


def check_search(
    query: Sequence[Video], gallery: Sequence[Video], label: str, apart: str | None = None
) -> None:
    """Check before any feature is computed that a search can tell something.

    Args:
        query: videos to search for.
        gallery: videos to search in; the same object as `query` to leave one out.
        label, apart: as for `retrieve`.

    Raises:
        UnsceneError: the gallery has one class only, or a query has nothing to be compared with.
    """
    names = {video.value(label) for video in gallery}
    if len(names) < 2:
        raise UnsceneError(
            f"all videos to search in are {names.pop()!r} in column {label!r}: whatever is found "
            "would be right; retrieval needs at least two classes"
        )
    sides = {
        id(v): Features(torch.empty(0), tuple(v), torch.arange(len(v))) for v in (query, gallery)
    }
    _plan_search(sides[id(query)], sides[id(gallery)], (1,), apart)


def _plan_search(
    query: Features, gallery: Features, ks: Sequence[int], apart: str | None
) -> tuple[Groups | None, list[int]]:
    """The rows that are not compared, and those of `ks` for which every query has candidates."""
    groups = _group_rows(query, gallery, apart)
    candidates = _count_candidates(len(gallery.owner), groups)
    ks = [k for k in ks if k <= candidates]
    if not ks:
        without = "" if groups is None else f" without those of a query's own {apart or 'file'}"
        raise UnsceneError(
            f"a gallery of {len(gallery.owner)} is too small to search in: "
            f"{candidates} are left to compare with{without}"
        )
    return groups, ks


def find_neighbors(
    query: Tensor,
    gallery: Tensor,
    k: int,
    *,
    groups: Groups | None = None,
    device: torch.device | str = "cpu",
) -> Tensor:
    """Find the K nearest rows of the gallery by cosine similarity; the search is exact.

    Args:
        query: (Q, D).
        gallery: (N, D).
        k: at most N.
        groups: int64 (Q,) and (N,); a query is not compared with rows of its own group.
        device: computes the similarities.

    Returns:
        int64 (Q, K) on the CPU, indices into the gallery, nearest first; -1 where none was left.

    >>> find_neighbors(torch.tensor([[0.0, 2]]), torch.tensor([[1.0, 0], [1, 1], [0, 1]]), 2)
    tensor([[2, 1]])
    """
    found = torch.empty(len(query), k, dtype=torch.long)
    for rows, similarity in _similarities(query, gallery, groups, device):
        best, index = similarity.topk(k, dim=1)
        found[rows] = index.masked_fill(best == -torch.inf, -1).cpu()
    return found


def _similarities(
    query: Tensor, gallery: Tensor, groups: Groups | None, device: torch.device | str
) -> Iterator[tuple[slice, Tensor]]:
    """Cosine similarities (rows, N) of a few queries at a time; -inf within a group."""
    parts = [slice(i, i + _ROWS) for i in range(0, len(gallery), _ROWS)]
    # Norms once, not the whole gallery normalized: it may be larger than memory.
    scale = torch.cat([gallery[part].float().norm(dim=1) for part in parts]).clamp(min=1e-12)
    step = max(1, _CELLS // max(1, len(gallery)))
    for start in range(0, len(query), step):
        rows = slice(start, min(start + step, len(query)))
        some = F.normalize(query[rows].float(), dim=1).to(device)
        similarity = torch.empty(len(some), len(gallery), device=device)
        for part in parts:
            normalized = gallery[part].float() / scale[part, None]
            similarity[:, part] = some @ normalized.to(device).T
        if groups is not None:
            same = groups[0][rows, None] == groups[1][None]
            similarity.masked_fill_(same.to(device), -torch.inf)
        yield rows, similarity


def _group_rows(query: Features, gallery: Features, column: str | None) -> Groups | None:
    """Groups within which nothing is compared: the values of a column, else, within one set, the
    files."""
    if column is not None:
        return _number(query.labels(column), gallery.labels(column))
    if query is not gallery:
        return None
    files = query.files()
    return files, files


def _count_candidates(count: int, groups: Groups | None) -> int:
    """The smallest number of gallery rows that a query is compared with."""
    if groups is None:
        return count
    numbers, sizes = np.unique(groups[1].numpy(), return_counts=True)
    size = dict(zip(numbers.tolist(), sizes.tolist(), strict=True))
    return count - max(size.get(number, 0) for number in groups[0].tolist())


def _number(query: Sequence[str], gallery: Sequence[str]) -> Groups:
    """Names as numbers, the same in both."""
    number = {name: i for i, name in enumerate(dict.fromkeys([*query, *gallery]))}
    return (
        torch.tensor([number[name] for name in query]),
        torch.tensor([number[name] for name in gallery]),
    )
