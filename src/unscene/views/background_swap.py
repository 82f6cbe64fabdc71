"""What moves in one clip, over the scene of another: the motion stays, the scene is foreign.

    scene    the temporal median of a clip: what shows most of the time
    mask     where a frame differs from its clip's own scene by more than noise does
    result   mask * clip + (1 - mask) * scene of another clip

No model segments anything: what changes is what moves. Other than a model's mask, this one leaves
behind what never moves in the window (the seated body whose arm waves), and takes along what the
median cannot see past: where a thing moves on the spot, its traces and the place it uncovers.

A camera that moves makes everything change, and a mask then shows edges, not things. `fixed` tells
such clips, which have neither a region to give nor (but as a single frame) a scene to lend.

Convention
----------
Everything here works on rendered views, float (B, C, T, h, w), RGB times any scale plus any offset:
blending commutes with normalisation. Distances in pixels are those of a view 112 wide and scale
with it. The median of an even number of frames is the lower middle one, as `torch.median` has it.
A scene is a still: it has neither the noise of a sensor nor that of compression.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from unscene.views.augment import IMAGENET_STD
from unscene.views.render import gaussian

_WIDTH = 112  # of the view that the pixels below are meant for
_BLUR = 0.8  # px; noise of single pixels is no motion
_CALM = 0.2  # share of the picture that is taken to be still, to measure noise on
_SIGMAS = 4.0  # times the noise: the least change that is motion ...
_LEAST = 0.03  # ... but no less than this of RGB in 0..1, which compression alone may change ...
_FAINT = 0.25  # ... or than this share of the scene's contrast, where it is darker than that
_HOLES, _SPECKS, _FEATHER = 5.0, 1.0, 0.7  # px: closed, removed, softened
_PAUSE = 1 / 16  # share of the frames; a pause of twice that is bridged
_EDGES, _FREE = 0.2, 0.25  # share of the picture whose edges count; share of them to stay
_EDGE = 0.006  # per px, RGB in 0..1; what is flatter is taken for this: it is noise that changes it
_DRIFT, _CROWDED = 0.45, 0.5  # px, and share of the picture: more of either, the camera moves
_DARK = 0.02  # contrast, RGB in 0..1; a scene with less counts as having this much


@dataclass(frozen=True)
class Segmentation:
    """Views, taken apart.

    Attributes:
        mask: float32 (B, 1, T, h, w) in 0..1, what moves; exactly 0 in a clip without change.
        scene: (B, C, 1, h, w), dtype of the view: the median or, without a fixed camera, the middle
            frame, as the median then is a blur.
        share: float32 (B,), how much of the picture moves, on average over time.
        fixed: bool (B,), whether the camera stands: at least a quarter of the scene's clearest
            edges keep their places (the others may be in the way of what moves), and no more than
            half of the picture moves.
    """

    mask: Tensor
    scene: Tensor
    share: Tensor
    fixed: Tensor


@torch.no_grad()
def segment_motion(view: Tensor, *, std: Sequence[float] = IMAGENET_STD) -> Segmentation:
    """Tell what moves from the scene it moves in.

    Args:
        view: float (B, C, T, h, w).
        std: what RGB of 0..1 was divided by, one value a channel; ones for plain RGB.

    Raises:
        ValueError: if view has other axes, or another number of channels than std.
    """
    _check(view)
    if len(std) != view.shape[1]:
        raise ValueError(f"std has {len(std)} values for {view.shape[1]} channels")
    weights = torch.tensor(std, device=view.device).view(-1, 1, 1, 1)
    scale = view.shape[-1] / _WIDTH
    # Of a frame that was repeated by `expand`, torch 2.13 finds a wrong median.
    scene = view.contiguous().median(dim=2, keepdim=True).values
    change = _blur(_length((view - scene).float() * weights), _BLUR * scale)  # (B, T, h, w)
    still = change.mean(dim=1).flatten(1)
    contrast = (scene.float() * weights).flatten(2).std(dim=2).norm(dim=1)
    least = (_FAINT * contrast).clamp(max=_LEAST).clamp(min=_FAINT * _DARK)
    threshold = torch.maximum(_SIGMAS * still.quantile(_CALM, dim=1), least)
    mask = _clean((change / threshold[:, None, None, None] - 1).clamp(0, 1), scale)
    share = mask.mean(dim=(1, 2, 3))
    fixed = (_drift(scene[:, :, 0].float() * weights[:, 0], still) <= _DRIFT * scale) & (
        share <= _CROWDED
    )
    middle = view.shape[2] // 2
    frame = view[:, :, middle : middle + 1]
    scene = torch.where(fixed.view(-1, 1, 1, 1, 1), scene, frame)
    return Segmentation(mask[:, None], scene, share, fixed)


def paste_motion(view: Tensor, mask: Tensor, scene: Tensor) -> Tensor:
    """Lay what moves over another scene.

    Args:
        view: float (B, C, T, h, w).
        mask: (B, 1, T, h, w) in 0..1, of `segment_motion(view)`.
        scene: (B, C, 1, h, w) of other clips, or (B, C, T, h, w), normalised as view is.

    Returns:
        (B, C, T, h, w), dtype of view: the view where mask is 1, the scene where it is 0.

    Raises:
        ValueError: if the three do not fit each other.
    """
    _check(view)
    batch, channels, frames, h, w = view.shape
    fits = mask.shape == (batch, 1, frames, h, w) and scene.shape in (
        (batch, channels, 1, h, w),
        (batch, channels, frames, h, w),
    )
    if not fits:
        raise ValueError(
            f"a view {list(view.shape)} needs a mask {[batch, 1, frames, h, w]} and a scene of 1 "
            f"or {frames} frames, got {list(mask.shape)} and {list(scene.shape)}"
        )
    return torch.lerp(scene.to(view).expand_as(view), view, mask.to(view).expand_as(view))


def swap_background(
    view: Tensor, index: Tensor, chosen: Tensor, *, std: Sequence[float] = IMAGENET_STD
) -> Tensor:
    """What moves in each clip of a batch, over the scene of the clip before it.

    Args:
        view: float (B, C, T, h, w), normalised.
        index: (B,), which video each clip is of.
        chosen: bool (B,), which clips are to change. Those of a moving camera stay as they are, and
            those whose neighbour is of the same video.
        std: as `segment_motion` takes it.

    Returns:
        As view.
    """
    parted = segment_motion(view, std=std)
    other = (index != index.roll(1)) & chosen.to(index.device)
    changed = other.to(view.device) & parted.fixed
    moved = paste_motion(view, parted.mask, parted.scene.roll(1, 0))
    return torch.where(changed.view(-1, 1, 1, 1, 1), moved, view)


def correlate_scenes(scene: Tensor, others: Tensor) -> Tensor:
    """How alike scenes are to one: the correlation of their pixels, blind to light and contrast.

    Args:
        scene: (1, C, 1, h, w).
        others: (B, C, 1, h, w).

    Returns:
        float32 (B,), -1..1; 0 where one of them has a single colour.
    """
    flat = torch.cat([scene, others]).flatten(1).float()
    flat = F.normalize(flat - flat.mean(dim=1, keepdim=True), dim=1)
    return flat[1:] @ flat[0]


def _check(view: Tensor) -> None:
    if view.ndim != 5 or not view.is_floating_point():
        raise ValueError(f"a view is float (B, C, T, h, w), got {view.dtype} {list(view.shape)}")


def _drift(scene: Tensor, change: Tensor) -> Tensor:
    """How far the edges of a scene wander, in pixels (B,): an edge that is d px off its place
    changes the picture by d times its slope.

    Args:
        scene: (B, C, h, w), RGB.
        change: (B, h * w), mean distance of the frames from the scene.
    """
    slopes = _length(torch.cat(torch.gradient(scene, dim=(2, 3)), dim=1))  # (B, h, w)
    slopes = _blur(slopes, scene.shape[-1] / _WIDTH).flatten(1)
    edges = slopes >= slopes.quantile(1 - _EDGES, dim=1, keepdim=True)
    moved = torch.where(edges, change / slopes.clamp(min=_EDGE), torch.nan)
    return moved.nanquantile(_FREE, dim=1)


def _clean(mask: Tensor, scale: float) -> Tensor:
    """Bridge short pauses, close holes, remove specks, soften the edge; (B, T, h, w)."""
    mask = _bridge(mask, max(1, round(_PAUSE * mask.shape[1])))
    holes, specks = (max(1, round(px * scale)) for px in (_HOLES, _SPECKS))
    mask = _shrink(_grow(mask, holes), holes)
    mask = _grow(_shrink(mask, specks), specks)
    return _blur(mask, _FEATHER * scale).clamp(0, 1)


def _length(colors: Tensor) -> Tensor:
    """Over the channels of (B, C, ...); `norm` takes many times as long along an inner axis."""
    return colors.square().sum(dim=1).sqrt()


def _blur(frames: Tensor, sigma: float) -> Tensor:
    """Gaussian over (B, T, h, w); sigma in pixels."""
    down, across = (
        gaussian(torch.tensor([sigma], device=frames.device), size)[0] for size in frames.shape[-2:]
    )
    return down @ frames @ across.T


def _grow(frames: Tensor, radius: int) -> Tensor:
    return F.max_pool2d(frames, 2 * radius + 1, stride=1, padding=radius)


def _shrink(frames: Tensor, radius: int) -> Tensor:
    return -_grow(-frames, radius)


def _bridge(frames: Tensor, radius: int) -> Tensor:
    """Close gaps of up to 2 * radius frames; (B, T, h, w). Beyond both ends nothing moves."""
    times = F.pad(frames.flatten(2).transpose(1, 2), (radius, radius))  # (B, h * w, T + 2 radius)
    window = 2 * radius + 1
    grown = F.max_pool1d(times, window, stride=1, padding=radius)
    closed = -F.max_pool1d(-grown, window, stride=1)
    return closed.transpose(1, 2).reshape(frames.shape)
