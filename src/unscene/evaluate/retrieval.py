"""Retrieval: is a video of the same class among the K nearest?

Exact and by cosine. Similarities are held for a few queries at a time, so that memory grows with
the gallery but never with gallery times queries; the gallery itself may lie on disk (`features`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from unscene.errors import UnsceneError
from unscene.evaluate.features import Features
from unscene.results.statistics import Score, score

KS = (1, 5, 10, 20, 50)  # of the papers; those that the gallery is large enough for are reported
_CELLS = 2**23  # similarities held at once: 32 MB, and a few times as much while they are sorted
_ROWS = 4096  # gallery rows compared at once

Apart = tuple[Tensor, Tensor]


def retrieve(
    query: Features,
    gallery: Features,
    label: str = "label",
    *,
    ks: Sequence[int] = KS,
    apart: str | None = None,
    device: torch.device | str = "cpu",
) -> dict[str, Score]:
    """Recall at K and mean average precision (DSM paper, section 4.4; methods.md 1.6).

    Args:
        query: what is searched for.
        gallery: what is searched in. The same object as `query`: every video is searched for
            among the others (leave one out), never finding itself, another clip of itself or
            another segment of its file. In another gallery they are found: see `overlap`.
        label: column of the classes. A query without any video of its class in its gallery misses.
        ks: those that leave no query without K candidates are reported.
        apart: a column; a query is never shown gallery videos with its own value there ("scene":
            a match must come from another scene, though maybe of the same file).
        device: where similarities are computed.

    Returns:
        "retrieval_r1" ... (share of queries with a hit among the K nearest; with `chance`)
        and "retrieval_map" (mean over queries of the average precision over the whole gallery).
        Intervals draw files, with all their segments and clips.

    Raises:
        UnsceneError: no such column, a feature that is not finite, or the gallery is too small
            for any K.
    """
    for side in (query, gallery):
        side.check()
    hidden = _apart(query, gallery, apart)
    room = _room(len(gallery.values), hidden)
    ks = [k for k in ks if k <= room]
    if not ks:
        own = "" if hidden is None else f" once those of a query's own {apart or 'file'} are not"
        raise UnsceneError(
            f"a gallery of {len(gallery.values)} is too small to search in: "
            f"{room} are left to compare with{own}"
        )
    wanted, held = _numbered(query.labels(label), gallery.labels(label))
    hits = np.empty((len(query.values), len(ks)))
    precision = np.empty(len(query.values))
    for at, similarity in _similarities(query.values, gallery.values, hidden, device):
        similarity, order = similarity.sort(dim=1, descending=True, stable=True)
        match = held.to(order.device)[order] == wanted[at].to(order.device)[:, None]
        match &= similarity > -torch.inf
        found = match.cumsum(dim=1)
        ranks = torch.arange(1, match.shape[1] + 1, device=order.device)
        total = found[:, -1].clamp(min=1)
        precision[at] = ((found / ranks) * match).sum(dim=1).div(total).cpu().numpy()
        hits[at] = torch.stack([found[:, k - 1] > 0 for k in ks], dim=1).cpu().numpy()
    labels, videos = query.labels(label), query.files().numpy()
    guessed = chance(wanted, held, hidden, ks)
    scores = {
        f"retrieval_r{k}": replace(
            score(hits[:, i], labels=labels, videos=videos), chance=guessed[i]
        )
        for i, k in enumerate(ks)
    }
    return scores | {"retrieval_map": score(precision, labels=labels, videos=videos)}


def chance(wanted: Tensor, held: Tensor, apart: Apart | None, ks: Sequence[int]) -> list[float]:
    """Recall at K of a gallery in random order, the mean over queries.

    A query that must not find its own scene has fewer of its class left too, most of them where
    scenes have their own actions: chance is then far from one in so many classes.

    Args:
        wanted, held: int64 (Q,) and (N,), classes of queries and gallery.
        apart: int64 (Q,) and (N,); a query does not see rows that have its number.
        ks: at most as many as each query sees.
    """
    own, others = apart or (torch.zeros_like(wanted), torch.ones_like(held))
    classes, hidden = Counter(held.tolist()), Counter(others.tolist())
    both = Counter(zip(held.tolist(), others.tolist(), strict=True))
    queries = Counter(zip(wanted.tolist(), own.tolist(), strict=True))
    missed = np.zeros(len(ks))
    for (name, place), count in queries.items():
        seen, same = len(held) - hidden[place], classes[name] - both[name, place]
        drawn = np.arange(max(ks))
        left = np.cumprod(np.clip(seen - same - drawn, 0, None) / np.clip(seen - drawn, 1, None))
        missed += count * left[[k - 1 for k in ks]]
    return [float(1 - share / len(wanted)) for share in missed]


def find_nearest(
    query: Tensor,
    gallery: Tensor,
    k: int,
    *,
    apart: Apart | None = None,
    device: torch.device | str = "cpu",
) -> Tensor:
    """The K nearest by cosine, exact.

    Args:
        query: (Q, D).
        gallery: (N, D).
        k: at most N.
        apart: int64 (Q,) and (N,); a query is not compared with rows that have its number.
        device: where similarities are computed.

    Returns:
        int64 (Q, K) on the CPU, rows of the gallery, nearest first; -1 where none was left.
    """
    found = torch.empty(len(query), k, dtype=torch.long)
    for at, similarity in _similarities(query, gallery, apart, device):
        best, index = similarity.topk(k, dim=1)
        found[at] = index.masked_fill(best == -torch.inf, -1).cpu()
    return found


def _similarities(
    query: Tensor, gallery: Tensor, apart: Apart | None, device: torch.device | str
) -> Iterator[tuple[slice, Tensor]]:
    """Cosines of some queries at a time with the whole gallery: (rows, N), apart ones -inf."""
    parts = [slice(i, i + _ROWS) for i in range(0, len(gallery), _ROWS)]
    # Lengths once, not the whole gallery normalised: it may be larger than memory.
    scale = torch.cat([gallery[part].float().norm(dim=1) for part in parts]).clamp(min=1e-12)
    step = max(1, _CELLS // max(1, len(gallery)))
    for start in range(0, len(query), step):
        at = slice(start, min(start + step, len(query)))
        asked = F.normalize(query[at].float(), dim=1).to(device)
        similarity = torch.empty(len(asked), len(gallery), device=device)
        for part in parts:
            rows = gallery[part].float() / scale[part, None]
            similarity[:, part] = asked @ rows.to(device).T
        if apart is not None:
            same = apart[0][at, None] == apart[1][None]
            similarity.masked_fill_(same.to(device), -torch.inf)
        yield at, similarity


def _apart(query: Features, gallery: Features, column: str | None) -> Apart | None:
    """What a query must not be compared with: its own file, or all of its scene, say."""
    if column is not None:
        return _numbered(query.labels(column), gallery.labels(column))
    if query is not gallery:
        return None
    files = query.files()
    return files, files


def _room(count: int, apart: Apart | None) -> int:
    """How many rows of the gallery the worst-off query is compared with."""
    if apart is None:
        return count
    numbers, sizes = np.unique(apart[1].numpy(), return_counts=True)
    size = dict(zip(numbers.tolist(), sizes.tolist(), strict=True))
    return count - max(size.get(number, 0) for number in apart[0].tolist())


def _numbered(query: Sequence[str], gallery: Sequence[str]) -> Apart:
    """Names as numbers, the same in both."""
    number = {name: i for i, name in enumerate(dict.fromkeys([*query, *gallery]))}
    return (
        torch.tensor([number[name] for name in query]),
        torch.tensor([number[name] for name in gallery]),
    )
