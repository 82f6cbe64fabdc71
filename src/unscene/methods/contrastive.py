"""The parts contrastive methods are made of: two losses, a queue, a momentum twin, a head.

Convention
----------
Features are z (B, D), float, L2-normalised: a dot product is a cosine.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn

from unscene.device import fp32_context
from unscene.errors import UnsceneError


def info_nce(
    query: Tensor,
    positive: Tensor,
    queue: Tensor,
    *,
    temperature: float,
    negative: Tensor | None = None,
    hidden: Tensor | None = None,
) -> Tensor:
    """InfoNCE with an optional negative from the same video: DSM eq. 7, without it MoCo's.

        -log exp(a.p/tau) / (exp(a.p/tau) + exp(a.n/tau) + sum_j exp(a.q_j/tau))

    Args:
        query: a, (B, D); or (R, B, D), R contrasts that know nothing of each other, and so below.
        positive: p, (B, D).
        queue: q, (K, D), features of other videos.
        temperature: tau > 0.
        negative: n, (B, D), the intra-video negative.
        hidden: bool (B, K), features of the queue that an anchor is not compared with.

    Returns:
        The mean over B (and R), a scalar.
    """
    with fp32_context(query.device):
        columns = [(query * positive).sum(dim=-1, keepdim=True)]
        if negative is not None:
            columns.append((query * negative).sum(dim=-1, keepdim=True))
        others = query @ queue.mT
        columns.append(others if hidden is None else others.masked_fill(hidden, -torch.inf))
        logits = (torch.cat(columns, dim=-1) / temperature).flatten(0, -2)
        first = torch.zeros(len(logits), dtype=torch.long, device=query.device)
        return F.cross_entropy(logits, first)


def triplet(anchor: Tensor, positive: Tensor, negative: Tensor, *, margin: float) -> Tensor:
    """DSM eq. 5 as a mean: max(|a - p| - |a - n| + margin, 0), Euclidean, all (B, D)."""
    nearer = (anchor - positive).square().sum(1).clamp(min=1e-12).sqrt()
    farther = (anchor - negative).square().sum(1).clamp(min=1e-12).sqrt()
    return (nearer - farther + margin).clamp(min=0).mean()


class Head(nn.Module):
    """Features (B, D_in) -> normalised embeddings (B, dim): one linear layer, or two with ReLU."""

    def __init__(self, dim_in: int, dim: int, kind: str) -> None:
        super().__init__()
        self.layers = (
            nn.Linear(dim_in, dim)
            if kind == "linear"
            else nn.Sequential(nn.Linear(dim_in, dim_in), nn.ReLU(), nn.Linear(dim_in, dim))
        )

    def forward(self, features: Tensor) -> Tensor:
        # In fp32 under bf16 autocast too, as are the products of the losses.
        return F.normalize(self.layers(features).float(), dim=1)


class Queue(nn.Module):
    """The last K features of other videos; the same on all processes, saved with the checkpoint."""

    features: Tensor
    position: Tensor

    def __init__(self, size: int, dim: int) -> None:
        super().__init__()
        self.register_buffer("features", F.normalize(torch.randn(size, dim), dim=1))
        self.register_buffer("position", torch.zeros((), dtype=torch.long))

    @torch.no_grad()
    def push(self, features: Tensor) -> None:
        """Replace the oldest by (B, D) features of every process, in the order of the ranks."""
        size = len(self.features)
        if not size:
            raise UnsceneError("queue 0 leaves its length open: `presets.fit_queue` gives one")
        features = gather(features.detach()).to(self.features.dtype)
        if len(features) > size:
            features = features[-size:]
        slots = (self.position + torch.arange(len(features), device=features.device)) % size
        self.features[slots] = features
        self.position.copy_((self.position + len(features)) % size)


class MomentumTwin(nn.Module):
    """A copy of a network that follows it: theta_k <- m theta_k + (1 - m) theta_q; no gradient."""

    def __init__(self, original: nn.Module) -> None:
        super().__init__()
        self.network = copy.deepcopy(original).requires_grad_(False)

    @torch.no_grad()
    def follow(self, original: nn.Module, momentum: float) -> None:
        """One step after the original. Batch-norm statistics stay the twin's own, as in MoCo."""
        own = [p.detach() for p in self.network.parameters()]
        theirs = [p.detach() for p in original.parameters()]
        torch._foreach_lerp_(own, theirs, 1 - momentum)

    @torch.no_grad()
    def forward(self, *inputs: Tensor) -> Tensor:
        return self.network(*inputs)


def same_video(index: Tensor, *, apart: bool = True) -> Tensor:
    """bool (B, world B): which of all processes' videos are the very video of each row.

    Args:
        apart: other videos are the only negatives.

    Raises:
        UnsceneError: `apart`, and all of them are; nothing would be left to be told apart.
    """
    own = index[:, None] == gather(index)[None]
    if apart and bool(own.all()):
        raise UnsceneError(
            "this batch holds a single video, and the negatives are the batch's other videos: "
            "give a --batch_size of 2 or more, and more than one video"
        )
    return own


def rank() -> int:
    """Of this process; 0 where there is but one."""
    return 0 if _alone() else dist.get_rank()


def gather(features: Tensor) -> Tensor:
    """(B, ...) of this process -> (world B, ...) of all, without gradient."""
    if _alone():
        return features
    parts = [torch.empty_like(features) for _ in range(dist.get_world_size())]
    dist.all_gather(parts, features.contiguous())
    return torch.cat(parts)


def mean_of_all(value: Tensor) -> Tensor:
    """The mean of a scalar over all processes, without gradient."""
    return gather(value.detach()[None]).mean()


def gather_with_gradient(features: Tensor) -> Tensor:
    """As `gather`, and what the losses of all processes ask of a feature returns to its process.

    The gradients of the processes are summed, each being that of its own mean: averaged over the
    processes, as DDP does, they are the gradient that one process would have.
    """
    return features if _alone() else _Gather.apply(features)


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, features: Tensor) -> Tensor:
        return gather(features)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        total = gradients[0].clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        return total.chunk(dist.get_world_size())[dist.get_rank()]


def _alone() -> bool:
    return not (dist.is_available() and dist.is_initialized()) or dist.get_world_size() == 1
