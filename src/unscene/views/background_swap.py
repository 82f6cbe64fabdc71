"""Background swap: the motion of one clip over the scene of another.

    scene    the temporal median of a clip
    mask     where a frame differs from the scene of its own clip by more than noise
    result   mask * clip + (1 - mask) * scene of another clip

No segmentation model is used; a pixel that changes counts as moving. The mask has two limits. It
misses what does not move within the clip (the body of a seated person who waves). And if an object
stays in one region most of the time, the median contains it, so the mask also covers its traces and
the background that it uncovers.

With a moving camera every pixel changes and the mask shows edges instead of objects. `fixed` is
False for such clips: they have no usable mask, and their scene is a single frame. Where that is
asked for (`follow_camera`), the camera is followed (`moving_camera`): frames are registered to the
middle one, their median is the scene, and what differs from the scene as the frame's camera shows
it moves. The foreign scene is then filmed with the same camera motion (`film_scene`): things move
relative to the scene, and over a still scene a person whom the camera follows would walk on the
spot. The clip keeps its camera motion, as it keeps that of its objects; only the place changes.

Convention
----------
All functions work on rendered views, float (B, C, T, h, w), RGB with any scale and offset, because
blending commutes with normalization. Distances in pixels are for a view 112 pixels wide and scale
with its width. The median of an even number of frames is the lower of the middle two, as in
`torch.median`. A scene is a still image without the noise of sensor and compression.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from unscene.device import fp32_context
from unscene.views import geometry
from unscene.views.augment import IMAGENET_STD
from unscene.views.moving_camera import Plate, build_plate, find_reach
from unscene.views.render import gaussian

_WIDTH = 112  # width of the view for which the distances below are given
_BLUR = 0.8  # px; suppresses noise of single pixels
_CALM = 0.2  # quantile of the mean change over pixels that serves as the level of noise
_SIGMAS = 4.0  # multiple of the noise from which on change is motion ...
_LEAST = 0.03  # ... but at least this much of RGB in 0..1, which compression alone may cause ...
_FAINT = 0.25  # ... or, in dark scenes, this share of the contrast of the scene
_HOLES, _SPECKS, _FEATHER = 5.0, 1.0, 0.7  # px: closed, removed, softened
_PAUSE = 1 / 16  # share of the frames; pauses of up to twice that are bridged
_EDGES, _FREE = 0.2, 0.25  # share of the pixels that are edges; share of the edges that must stay
_EDGE = 0.006  # RGB in 0..1 per px; the least slope, because noise dominates where it is flatter
_DRIFT, _CROWDED = 0.45, 0.5  # px, and share of the picture: above either, the camera moves
_DARK = 0.02  # RGB in 0..1; the least contrast of a scene
_SLACK = 1  # px by which a followed camera may be off: there, edges of the scene are no motion
_ASTRAY = 0.8  # px, as _DRIFT: above, the camera could not be followed ...
_ON_PLATE = 0.9  # ... and where less than this share of the frames shows known scene
_UNSEEN = 9.0  # RGB: the change of a pixel that too few frames see
_ZOOM = 1.5  # a scene is enlarged at most so far, that a moving camera may stay on it


@dataclass(frozen=True)
class Segmentation:
    """Views split into what moves and the scene.

    Attributes:
        mask: float32 (B, 1, T, h, w) in 0..1, what moves; exactly 0 in a clip without change.
        scene: (B, C, 1, h, w), dtype of the view: the median; if the camera moves, that of the
            registered frames, as the middle frame shows it, or, if the camera was not followed,
            the middle frame, because the median would be blurred.
        share: float32 (B,), share of the picture that moves, averaged over time.
        fixed: bool (B,), whether the camera is fixed: at least a quarter of the strongest edges
            of the scene keep their positions (moving objects may cover the others), and at most
            half of the picture moves.
        known: bool (B,), whether the mask shows what moves: the camera is fixed, or was followed.
        maps: float32 (B, T, 3, 3), where a point of the middle frame lies in frame t, normalized
            units; identities unless the camera was followed.
    """

    mask: Tensor
    scene: Tensor
    share: Tensor
    fixed: Tensor
    known: Tensor
    maps: Tensor


@torch.no_grad()
def segment_motion(
    view: Tensor, *, std: Sequence[float] = IMAGENET_STD, follow_camera: bool = False
) -> Segmentation:
    """Split views into what moves and the scene behind it, by change against the temporal median.

    Args:
        view: float (B, C, T, h, w).
        std: by which RGB in 0..1 was divided, one value per channel; ones for plain RGB.
        follow_camera: where the camera moves, follow it and look behind it. Clips of a fixed camera
            are the same with and without. It takes 0.3 s a clip of 16 frames of 112 px on
            one core, so training goes without.

    Raises:
        ValueError: view has other axes, or another number of channels than std.

    >>> view = torch.zeros(1, 3, 8, 32, 32)
    >>> for t in range(8):  # a white square moves to the right
    ...     view[0, :, t, 12:20, 3 * t : 3 * t + 8] = 1.0
    >>> split = segment_motion(view, std=(1.0, 1.0, 1.0))
    >>> split.mask.shape, split.fixed.tolist(), float(split.scene.max())
    (torch.Size([1, 1, 8, 32, 32]), [True], 0.0)
    """
    _check(view)
    if len(std) != view.shape[1]:
        raise ValueError(f"std has {len(std)} values for {view.shape[1]} channels")
    weights = torch.tensor(std, device=view.device).view(-1, 1, 1, 1)
    scale = view.shape[-1] / _WIDTH
    # torch 2.13 computes a wrong median of frames that were repeated by `expand`.
    scene = view.contiguous().median(dim=2, keepdim=True).values
    change = _blur(_length((view - scene).float() * weights), _BLUR * scale)  # (B, T, h, w)
    still = change.mean(dim=1).flatten(1)
    mask = _clean(_exceed(change, scene[:, :, 0].float() * weights[:, 0], still), scale)
    share = mask.mean(dim=(1, 2, 3))
    fixed = (_drift(scene[:, :, 0].float() * weights[:, 0], still, scale) <= _DRIFT * scale) & (
        share <= _CROWDED
    )
    frames, middle = view.shape[2], view.shape[2] // 2
    frame = view[:, :, middle : middle + 1]
    scene = torch.where(fixed.view(-1, 1, 1, 1, 1), scene, frame)
    maps = torch.eye(3, device=view.device).repeat(len(view), frames, 1, 1)
    split = Segmentation(mask[:, None], scene, share, fixed, fixed, maps)
    return _follow(view, split, std) if follow_camera else split


def paste_motion(view: Tensor, mask: Tensor, scene: Tensor) -> Tensor:
    """Paste the moving pixels of a view over another scene.

    Args:
        view: float (B, C, T, h, w).
        mask: (B, 1, T, h, w) in 0..1, of `segment_motion(view)`.
        scene: (B, C, 1, h, w) or (B, C, T, h, w) of other clips, normalized as view is.

    Returns:
        (B, C, T, h, w), dtype of view: the view where mask is 1, the scene where it is 0.

    Raises:
        ValueError: the shapes of the three do not fit.
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


@torch.no_grad()
def film_scene(scene: Tensor, maps: Tensor) -> Tensor:
    """Show still scenes as a moving camera would film them.

    A scene is enlarged, up to 1.5 times, so that the camera stays on it; beyond, it is mirrored.

    Args:
        scene: (B, C, 1, h, w).
        maps: (B, T, 3, 3), of the clips that the scenes are for (`Segmentation.maps`).

    Returns:
        (B, C, T, h, w), dtype of the scene; where the maps are identities, the scene itself.

    >>> maps = torch.eye(3).repeat(1, 4, 1, 1)
    >>> film_scene(torch.rand(1, 3, 1, 8, 8), maps).shape
    torch.Size([1, 3, 4, 8, 8])
    """
    _check(scene)
    size = (scene.shape[3], scene.shape[4])
    filmed = scene.repeat(1, 1, maps.shape[1], 1, 1)
    moving = (maps != torch.eye(3, device=maps.device)).flatten(1).any(dim=1)
    for row in torch.nonzero(moving)[:, 0].tolist():
        low, high = find_reach(maps[row])
        place = torch.eye(3, device=maps.device)
        zoom = float((high - low).max() / 2)
        place[:2, 2] = -(low + high) / 2
        place[:2] /= min(zoom, _ZOOM)
        with fp32_context(scene.device):
            grid = geometry.grid(place @ torch.linalg.inv(maps[row]), size)
            still = scene[row, :, 0].float().expand(len(grid), -1, -1, -1)
            shown = F.grid_sample(still, grid, "bilinear", "reflection", align_corners=False)
        filmed[row] = shown.transpose(0, 1).to(scene.dtype)
    return filmed


def swap_background(
    view: Tensor, index: Tensor, chosen: Tensor, *, std: Sequence[float] = IMAGENET_STD
) -> Tensor:
    """Replace the scene of clips by that of the previous clip in the batch; the motion stays.

    Args:
        view: float (B, C, T, h, w), normalized.
        index: (B,), which video each clip is from.
        chosen: bool (B,), which clips to change. Clips of a moving camera never change (training
            would wait for their cameras to be followed), nor do clips whose predecessor in the
            batch is from the same video.
        std: see `segment_motion`.

    Returns:
        Shape and dtype of view.
    """
    parted = segment_motion(view, std=std)
    other = (index != index.roll(1)) & chosen.to(index.device)
    changed = other.to(view.device) & parted.fixed
    moved = paste_motion(view, parted.mask, parted.scene.roll(1, 0))
    return torch.where(changed.view(-1, 1, 1, 1, 1), moved, view)


def correlate_scenes(scene: Tensor, others: Tensor) -> Tensor:
    """Correlate the pixels of a scene with those of others; blind to brightness and contrast.

    Args:
        scene: (1, C, 1, h, w).
        others: (B, C, 1, h, w).

    Returns:
        float32 (B,), -1..1; 0 if one of the two has a single color.
    """
    flat = torch.cat([scene, others]).flatten(1).float()
    flat = F.normalize(flat - flat.mean(dim=1, keepdim=True), dim=1)
    return flat[1:] @ flat[0]


def _check(view: Tensor) -> None:
    if view.ndim != 5 or not view.is_floating_point():
        raise ValueError(f"a view is float (B, C, T, h, w), got {view.dtype} {list(view.shape)}")


def _follow(view: Tensor, split: Segmentation, std: Sequence[float]) -> Segmentation:
    """Split the clips whose camera moves and can be followed; the others stay as they are."""
    weights = torch.tensor(std, device=view.device).view(-1, 1, 1)
    scale, middle = view.shape[-1] / _WIDTH, view.shape[2] // 2
    mask, scene, share, known, maps = (
        part.clone() for part in (split.mask, split.scene, split.share, split.known, split.maps)
    )
    for row in torch.nonzero(~split.fixed)[:, 0].tolist():
        plate = build_plate(view[row], std)
        if plate is None:
            continue
        own = plate.in_middle((view.shape[-2], view.shape[-1]))
        own = torch.where(own.isnan(), view[row, :, middle].float(), own)
        still = _blur(plate.spread.nan_to_num(_UNSEEN)[None, None], _BLUR * scale).flatten(1)
        change, known_part = _leave(plate, view[row].float() * weights[:, None], weights)
        change = _blur(change[None], _BLUR * scale)
        found = _clean(_exceed(change, own[None] * weights, still), scale)
        part = found.mean()
        drift = _drift(plate.canvas[None] * weights, still, scale)
        if drift <= _ASTRAY * scale and part <= _CROWDED and known_part >= _ON_PLATE:
            mask[row], scene[row, :, 0] = found, own.to(view.dtype)
            share[row], known[row], maps[row] = part, True, plate.maps
    return replace(split, mask=mask, scene=scene, share=share, known=known, maps=maps)


def _leave(plate: Plate, frames: Tensor, weights: Tensor) -> tuple[Tensor, float]:
    """How far the colors of frames (C, T, h, w) are from all those of the plate nearby, (T, h, w);
    0 where the plate is not known. And the share of pixels where it is known."""
    radius = max(1, round(_SLACK * frames.shape[-1] / _WIDTH))
    shown = plate.view((frames.shape[-2], frames.shape[-1])) * weights[:, None]
    unknown = shown.isnan()
    high = _grow(shown.masked_fill(unknown, -torch.inf), radius)
    low = _shrink(shown.masked_fill(unknown, torch.inf), radius)
    off = ((frames - high).relu() + (low - frames).relu()).masked_fill(unknown, 0)
    return _length(off[None])[0], 1 - float(unknown[0].float().mean())


def _exceed(change: Tensor, scene: Tensor, still: Tensor) -> Tensor:
    """Where change (B, T, h, w) is more than noise: 0 up to a threshold, 1 from twice that on.

    Args:
        change: distance of the frames from the scene.
        scene: (B, C, h, w), RGB.
        still: (B, h * w), mean distance of the frames from the scene.
    """
    contrast = scene.flatten(2).std(dim=2).norm(dim=1)
    least = (_FAINT * contrast).clamp(max=_LEAST).clamp(min=_FAINT * _DARK)
    threshold = torch.maximum(_SIGMAS * still.quantile(_CALM, dim=1), least)
    return (change / threshold[:, None, None, None] - 1).clamp(0, 1)


def _drift(scene: Tensor, change: Tensor, scale: float) -> Tensor:
    """Estimate how far the edges of a scene move, in pixels (B,): an edge that is displaced by d
    pixels changes the picture by d times its slope.

    Args:
        scene: (B, C, h, w), RGB; nan where it is not known.
        change: (B, h * w), mean distance of the frames from the scene.
        scale: pixels per pixel of a view that is 112 wide.
    """
    slopes = _length(torch.cat(torch.gradient(scene, dim=(2, 3)), dim=1))  # (B, h, w)
    slopes = _blur(slopes.nan_to_num(0), scale).flatten(1)
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
    """Length over the channels of (B, C, ...); `norm` is many times slower along an inner axis."""
    return colors.square().sum(dim=1).sqrt()


def _blur(frames: Tensor, sigma: float) -> Tensor:
    """Blur (B, T, h, w) by a Gaussian; sigma in pixels."""
    down, across = (
        gaussian(torch.tensor([sigma], device=frames.device), size)[0] for size in frames.shape[-2:]
    )
    return down @ frames @ across.T


def _grow(frames: Tensor, radius: int) -> Tensor:
    return F.max_pool2d(frames, 2 * radius + 1, stride=1, padding=radius)


def _shrink(frames: Tensor, radius: int) -> Tensor:
    return -_grow(-frames, radius)


def _bridge(frames: Tensor, radius: int) -> Tensor:
    """Close gaps of up to 2 * radius frames in (B, T, h, w); zero padding at both ends."""
    times = F.pad(frames.flatten(2).transpose(1, 2), (radius, radius))  # (B, h * w, T + 2 radius)
    window = 2 * radius + 1
    grown = F.max_pool1d(times, window, stride=1, padding=radius)
    closed = -F.max_pool1d(-grown, window, stride=1)
    return closed.transpose(1, 2).reshape(frames.shape)
