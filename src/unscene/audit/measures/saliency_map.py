"""A feature map as one number a place, and how well that agrees with a mask.

maps (B, D, T', H', W')  ->  saliency (B, T', H', W')  ->  upsampled (B, T, h, w)
energy     the mean over channels (DSM paper, Figure 5)
grad_cam   what speaks for a score (Selvaraju et al. 2017)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from unscene.audit.measures.base import Watcher, finite
from unscene.data.loading import Batch
from unscene.encoders import VideoEncoder
from unscene.encoders.foreign import ForeignEncoder

MapScore = Callable[[Tensor], Tensor]


def energy(maps: Tensor) -> Tensor:
    """How strongly each place of a feature map responds.

    Maps that are never negative (after a ReLU) are averaged over channels, as in the paper. Tokens
    of a transformer have both signs, and a norm that layer normalisation makes the same
    everywhere: there it is how far a place's vector is from the mean vector of its clip [ours].

    Args:
        maps: float (B, D, T', H', W').

    Returns:
        float (B, T', H', W'), at least 0.
    """
    if bool((maps >= 0).all()):
        return maps.mean(dim=1)
    return (maps - maps.mean(dim=(2, 3, 4), keepdim=True)).square().mean(dim=1).sqrt()


def grad_cam(maps: Tensor, score: MapScore) -> Tensor:
    """The part of a feature map that speaks for a score (Selvaraju et al., ICCV 2017).

    Args:
        maps: float (B, D, T', H', W').
        score: from maps to one number a clip, (B,), differentiable: a class's logit, or
            `similarity` to a query.

    Returns:
        float (B, T', H', W'), at least 0: channels weighted by the mean of their gradient.
    """
    with torch.inference_mode(False), torch.enable_grad():
        leaf = maps.detach().clone().requires_grad_()
        (gradient,) = torch.autograd.grad(score(leaf).sum(), leaf)
    return (gradient.mean(dim=(2, 3, 4), keepdim=True) * maps).sum(dim=1).clamp(min=0)


def class_cam(encoder: VideoEncoder, clips: Tensor) -> Tensor | None:
    """Grad-CAM of the class that each clip is taken for.

    Clip by clip, as gradients hold on to all that lies between maps and logits.

    Args:
        encoder: with logits, if any is (`foreign.ForeignEncoder`).
        clips: float (B, C, T, h, w), on the encoder's device.

    Returns:
        (B, T', H', W'), at least 0, on the CPU; None for a model without logits or without maps,
        and where its logits do not depend on the map: those of a transformer that reads its class
        token alone do not, after its last layer (name an earlier one: `adapt(layer="blocks.10")`).

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
            spoken = (weights * read.arrange(read.source)).sum(dim=1).clamp(min=0)
            found.append(finite(spoken.detach().float().cpu(), encoder, "class maps"))
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
    """The probability that a pixel inside of a mask has more saliency than one outside.

    Args:
        saliency, mask: of the same shape; the mask in 0..1, its values weights: a pixel that is
            half inside counts half for each side. Equal saliency counts as half a win.
        within: likewise, which pixels count at all; None for all.

    Returns:
        0..1, 0.5 by chance; nan if all or nothing is inside.
    """
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
    """Of all saliency, the share inside of a mask; that of the mask's area where there is none."""
    total = float(saliency.sum())
    return float((saliency * mask).sum()) / total if total > 0 else float(mask.mean())


def maps_of(watcher: Watcher, batch: Batch, name: str, make: Callable[[], Tensor]) -> Tensor:
    """Maps of views of a batch that several measures ask for, encoded once; as `Watcher.once`.

    Raises:
        NoMapsError: the encoder has none.
    """
    return watcher.keep(batch, f"maps of {name}", lambda: watcher.maps(make()))


def frozen(watcher: Watcher, batch: Batch) -> Tensor:
    """Centre views that show their middle frame all the time."""
    view = watcher.centre(batch)
    middle = view.shape[2] // 2
    return view[:, :, middle : middle + 1].expand_as(view)
