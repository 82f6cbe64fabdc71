"""Parts of contrastive methods: losses, head, queue, momentum encoder, numbers to log.

Convention
----------
Features are z (B, D), float, L2-normalized: a dot product is a cosine.
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
    mask: Tensor | None = None,
) -> Tensor:
    """InfoNCE with an optional negative from the same video.

    DSM, eq. 7; without the negative, MoCo's loss.

        -log exp(a.p/tau) / (exp(a.p/tau) + exp(a.n/tau) + sum_j exp(a.q_j/tau))

    Args:
        query: a, (B, D); or (R, B, D) for R independent contrasts, and so below.
        positive: p, (B, D).
        queue: q, (K, D), features of other videos.
        temperature: tau > 0.
        negative: n, (B, D), the intra-video negative.
        mask: bool (B, K), True where an anchor is not compared with a feature of the queue.

    Returns:
        The mean over B (and R), a scalar.
    """
    with fp32_context(query.device):
        columns = [(query * positive).sum(dim=-1, keepdim=True)]
        if negative is not None:
            columns.append((query * negative).sum(dim=-1, keepdim=True))
        others = query @ queue.mT
        columns.append(others if mask is None else others.masked_fill(mask, -torch.inf))
        logits = (torch.cat(columns, dim=-1) / temperature).flatten(0, -2)
        first = torch.zeros(len(logits), dtype=torch.long, device=query.device)
        return F.cross_entropy(logits, first)


def triplet(anchor: Tensor, positive: Tensor, negative: Tensor, *, margin: float) -> Tensor:
    """Triplet loss: the mean of max(|a - p| - |a - n| + margin, 0).

    Source: DSM, eq. 5, which is a sum.

    Args:
        anchor, positive, negative: a, p, n, each (B, D); distances are Euclidean.
        margin: of the loss, at least 0.

    Example:
        >>> a, p, n = (torch.eye(3)[i : i + 1] for i in range(3))
        >>> triplet(a, p, n, margin=0.5)
        tensor(0.5000)
    """
    nearer = (anchor - positive).square().sum(1).clamp(min=1e-12).sqrt()
    farther = (anchor - negative).square().sum(1).clamp(min=1e-12).sqrt()
    return (nearer - farther + margin).clamp(min=0).mean()


class Head(nn.Module):
    """Features (B, D_in) -> L2-normalized embeddings (B, dim): "linear", or "mlp" of two layers."""

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
    """The last K features; the same in all processes, and saved with the checkpoint."""

    features: Tensor
    position: Tensor

    def __init__(self, size: int, dim: int) -> None:
        super().__init__()
        self.register_buffer("features", F.normalize(torch.randn(size, dim), dim=1))
        self.register_buffer("position", torch.zeros((), dtype=torch.long))

    @torch.no_grad()
    def push(self, features: Tensor) -> None:
        """Replace the oldest features by (B, D) of every process, in the order of the ranks."""
        size = len(self.features)
        if not size:
            raise UnsceneError("queue 0 leaves its length open: `Settings.fit` chooses one")
        features = gather(features.detach()).to(self.features.dtype)
        if len(features) > size:
            features = features[-size:]
        slots = (self.position + torch.arange(len(features), device=features.device)) % size
        self.features[slots] = features
        self.position.copy_((self.position + len(features)) % size)


class MomentumEncoder(nn.Module):
    """A copy of a network that follows it: theta_k <- m theta_k + (1 - m) theta_q; no gradient.

    Source: MoCo (He et al. 2020), eq. 2.
    """

    def __init__(self, original: nn.Module) -> None:
        super().__init__()
        self.network = copy.deepcopy(original).requires_grad_(False)

    @torch.no_grad()
    def follow(self, original: nn.Module, momentum: float) -> None:
        """Take one step after the original. Batch-norm statistics stay its own, as in MoCo."""
        targets = [p.detach() for p in self.network.parameters()]
        sources = [p.detach() for p in original.parameters()]
        torch._foreach_lerp_(targets, sources, 1 - momentum)

    @torch.no_grad()
    def forward(self, *inputs: Tensor) -> Tensor:
        return self.network(*inputs)


@torch.no_grad()
def measure_similarities(
    anchor: Tensor, positive: Tensor, negative: Tensor | None
) -> dict[str, Tensor]:
    """Mean cosines, and how often the positive is nearer than the negative of the same video.

    Features are (B, D), L2-normalized. The results are for the log; they have no gradient.
    """
    near = (anchor * positive).sum(1)
    metrics = {"positive": near.mean()}
    if negative is not None:
        far = (anchor * negative).sum(1)
        metrics |= {"negative": far.mean(), "triplet": (near > far).float().mean()}
    return metrics


@torch.no_grad()
def compute_rank1(
    anchor: Tensor, positive: Tensor, others: Tensor, mask: Tensor | None = None
) -> Tensor:
    """How often the positive is nearer than every other video's feature that is not masked."""
    similarity = anchor @ others.T
    if mask is not None:
        similarity = similarity.masked_fill(mask, -torch.inf)
    best = similarity.amax(dim=1)
    return ((anchor * positive).sum(1) > best).float().mean()


def same_sample_mask(index: Tensor, *, needs_others: bool = True) -> Tensor:
    """Mask of the samples, of all processes, that show the same video as each row.

    Args:
        index: int64 (B,), which video each sample is of.
        needs_others: other videos are the only negatives.

    Returns:
        bool (B, world B).

    Raises:
        UnsceneError: `needs_others`, and the batch holds a single video.
    """
    mask = index[:, None] == gather(index)[None]
    if needs_others and bool(mask.all()):
        raise UnsceneError(
            "this batch holds a single video, and the negatives are the batch's other videos: "
            "give a --batch_size of 2 or more, and more than one video"
        )
    return mask


def rank() -> int:
    """The rank of this process; 0 if there is only one."""
    return 0 if _is_single_process() else dist.get_rank()


def gather(features: Tensor) -> Tensor:
    """(B, ...) of this process -> (world B, ...) of all, without gradient."""
    if _is_single_process():
        return features
    parts = [torch.empty_like(features) for _ in range(dist.get_world_size())]
    dist.all_gather(parts, features.contiguous())
    return torch.cat(parts)


def average_over_processes(value: Tensor) -> Tensor:
    """The mean of a scalar over all processes, without gradient."""
    return gather(value.detach()[None]).mean()


def gather_with_gradient(features: Tensor) -> Tensor:
    """As `gather`, with the gradient of all processes' losses returned to the feature's process.

    The gradients of the processes are summed, each being that of its own mean: averaged over the
    processes, as DDP does, they are the gradient that one process would have.
    """
    return features if _is_single_process() else _Gather.apply(features)


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, features: Tensor) -> Tensor:
        return gather(features)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        total = gradients[0].clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        return total.chunk(dist.get_world_size())[dist.get_rank()]


def _is_single_process() -> bool:
    return not (dist.is_available() and dist.is_initialized()) or dist.get_world_size() == 1
