"""Saliency: one number per place of a feature map, and how well it agrees with a mask.

    maps (B, D, T', H', W')  ->  saliency (B, T', H', W')  ->  upsampled (B, T, h, w)

    energy     the mean over channels
    grad_cam   the part of a map that contributes to a score

Sources: DSM paper, Figure 5 (energy); Selvaraju et al., Grad-CAM, ICCV 2017.
Deviation: maps with negative values have another energy, see `energy`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from unscene.audit.extractor import check_finite
from unscene.encoders import VideoEncoder
from unscene.encoders.foreign import ForeignEncoder

MapScore = Callable[[Tensor], Tensor]


def energy(maps: Tensor) -> Tensor:
    """How strongly each place of a feature map responds.

    Maps that are never negative (after a ReLU) are averaged over channels, as in the paper. Tokens
    of a transformer have both signs, and layer normalization makes their norms equal. For such maps
    the energy is the distance of each vector from the mean vector of its clip (deviation from the
    paper).

    Args:
        maps: float (B, D, T', H', W').

    Returns:
        float (B, T', H', W'), at least 0.
    """
    if bool((maps >= 0).all()):
        return maps.mean(dim=1)
    return (maps - maps.mean(dim=(2, 3, 4), keepdim=True)).square().mean(dim=1).sqrt()


def grad_cam(maps: Tensor, score: MapScore) -> Tensor:
    """The part of a feature map that contributes to a score (Grad-CAM).

    Args:
        maps: float (B, D, T', H', W').
        score: from maps to one number per clip, (B,), differentiable: the logit of a class, or
            `similarity` to a query.

    Returns:
        float (B, T', H', W'), at least 0: channels weighted by the mean of their gradient.

    Source: Selvaraju et al. (2017), equations 1 and 2.
    """
    with torch.inference_mode(False), torch.enable_grad():
        leaf = maps.detach().clone().requires_grad_()
        (gradient,) = torch.autograd.grad(score(leaf).sum(), leaf)
    return (gradient.mean(dim=(2, 3, 4), keepdim=True) * maps).sum(dim=1).clamp(min=0)


def class_cam(encoder: VideoEncoder, clips: Tensor) -> Tensor | None:
    """Grad-CAM of the predicted class of each clip.

    Clips are processed one by one, as gradients keep everything between maps and logits in memory.

    Args:
        encoder: only a `foreign.ForeignEncoder` can have logits.
        clips: float (B, C, T, h, w), on the encoder's device.

    Returns:
        (B, T', H', W'), at least 0, on the CPU; None for a model without logits or without maps,
        and for a model whose logits do not depend on the map. After the last layer of a
        transformer that reads its class token alone they do not: choose an earlier layer
        (`adapt(layer="blocks.10")`).

    Raises:
        UnsceneError: logits or maps are not finite.
    """
    if not (isinstance(encoder, ForeignEncoder) and encoder.has_logits):
        return None
    found = []
    with torch.inference_mode(False), torch.enable_grad():
        for clip in clips.clone().split(1):
            # Weights may be frozen: a gradient to the pixels keeps the graph.
            read = encoder.read(clip.requires_grad_())
            if read.source is None or read.logits is None:
                return None
            best = read.logits.max(dim=1).values.sum()
            (gradient,) = torch.autograd.grad(best, read.source, allow_unused=True)
            if gradient is None or not (gradient := read.arrange(gradient)).any():
                return None
            weights = gradient.mean(dim=(2, 3, 4), keepdim=True)
            cam = (weights * read.arrange(read.source)).sum(dim=1).clamp(min=0)
            found.append(check_finite(cam.detach().float().cpu(), encoder, "class maps"))
    return torch.cat(found)


def similarity(query: Tensor) -> MapScore:
    """The cosine of the mean of a map with a query vector (D,), for `grad_cam`."""
    return lambda maps: F.cosine_similarity(maps.mean(dim=(2, 3, 4)), query.to(maps), dim=1)


def upsample(saliency: Tensor, size: Sequence[int]) -> Tensor:
    """(B, T', H', W') -> (B, T, h, w), trilinear between the centres of the map's cells."""
    return F.interpolate(
        saliency[:, None].float(), size=tuple(size), mode="trilinear", align_corners=False
    )[:, 0]


def auc(saliency: Tensor, mask: Tensor, within: Tensor | None = None) -> float:
    """Area under the ROC curve: the probability that a pixel inside a mask has more saliency than
    one outside.

    Args:
        saliency, mask: of the same shape; the mask in 0..1. Its values are weights: a pixel that is
            half inside counts half for each side. Equal saliency counts as half a win.
        within: weights in 0..1 of the pixels; None: all count.

    Returns:
        0..1, 0.5 by chance; nan if everything or nothing is inside.

    >>> auc(torch.tensor([0.9, 0.2, 0.5]), torch.tensor([1.0, 0.0, 0.0]))
    1.0
    """
    # sklearn.metrics.roc_auc_score gives the same number (a test compares), but has no soft masks:
    # every pixel would have to be passed twice, which takes 6 to 16 times as long.
    values = saliency.flatten().double().cpu().numpy()
    inside = mask.flatten().double().cpu().numpy()
    counted = 1.0 if within is None else within.flatten().double().cpu().numpy()
    _, place = np.unique(values, return_inverse=True)
    won, lost = (np.bincount(place, side * counted) for side in (inside, 1 - inside))
    if won.sum() <= 0 or lost.sum() <= 0:
        return float("nan")
    below = np.cumsum(lost) - lost / 2
    return float((won * below).sum() / (won.sum() * lost.sum()))


def share(saliency: Tensor, mask: Tensor) -> float:
    """The share of all saliency inside a mask; the area of the mask if there is no saliency."""
    total = float(saliency.sum())
    return float((saliency * mask).sum()) / total if total > 0 else float(mask.mean())
