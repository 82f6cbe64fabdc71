"""What a step says of how far a contrast has come: shares and cosines for the log, no gradient.

Features are z (B, D), float, L2-normalised, as in contrast.py.
"""

from __future__ import annotations

import torch
from torch import Tensor


@torch.no_grad()
def similarities(anchor: Tensor, positive: Tensor, negative: Tensor | None) -> dict[str, Tensor]:
    """Mean cosines, and how often the positive is nearer than the negative of the same video."""
    near = (anchor * positive).sum(1)
    metrics = {"positive": near.mean()}
    if negative is not None:
        far = (anchor * negative).sum(1)
        metrics |= {"negative": far.mean(), "triplet": (near > far).float().mean()}
    return metrics


@torch.no_grad()
def rank1(anchor: Tensor, positive: Tensor, others: Tensor, hidden: Tensor | None = None) -> Tensor:
    """How often the positive is nearer than every other video's feature that is not hidden."""
    similarity = anchor @ others.T
    if hidden is not None:
        similarity = similarity.masked_fill(hidden, -torch.inf)
    best = similarity.amax(dim=1)
    return ((anchor * positive).sum(1) > best).float().mean()
