"""Which pixels of a clip move: the mask that saliency is compared with.

    fixed camera     pixels that differ from the clip's static scene       `views.background_swap`
    moving camera    pixels whose optical flow differs from the camera's   `find_outlier_motion`

The camera's flow is an affine map, fitted to every pair of frames (`motion.camera`). In scenes with
depth, edges of near objects deviate too. If more than half of the picture deviates, it cannot be
decided what moves, and the clip is left out.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from unscene.audit.extractor import FeatureExtractor
from unscene.audit.footage import make_augmentation
from unscene.data.loading import Batch
from unscene.errors import UnsceneError
from unscene.evaluate.decoupling_views import STILL
from unscene.motion.camera import stabilize_flow
from unscene.views import geometry
from unscene.views.flow import view_flow

_CROWDED = 0.5  # share of the picture; if more moves, it is the camera
_NOISE = 0.01  # of the frame's side per step: smaller deviations are noise of the flow ...
_TIMES = 4.0  # ... and so are those below this many times the median deviation
_BORDER = 0.1  # of half the frame's side


@dataclass(frozen=True)
class Moving:
    """What moves in B clips; on the device of the batch.

    Attributes:
        mask: float32 (B, T, h, w) in 0..1; all 0 where `usable` is False.
        area: float32 (B,), share of the pixels that move.
        fixed: bool (B,), whether the camera is fixed.
        usable: bool (B,), whether something moves and it can be decided what.
        why: for each clip "" or the reason why it is not usable.
    """

    mask: Tensor
    area: Tensor
    fixed: Tensor
    usable: Tensor
    why: tuple[str, ...]


def find_moving(extractor: FeatureExtractor, batch: Batch) -> Moving:
    """Find what moves in the center views of a batch with optical flow, once per batch.

    Raises:
        UnsceneError: the clips have no flow.
    """
    return extractor.keep(batch, "moving", lambda: _find(extractor, batch))


@torch.no_grad()
def _find(extractor: FeatureExtractor, batch: Batch) -> Moving:
    clip, segments, spec = batch.clips["clip"], extractor.segment(batch), extractor.spec
    if clip.flow is None:
        raise UnsceneError("finding what moves needs clips with optical flow (motion.flow)")
    mask, fixed = segments.mask[:, 0], segments.fixed
    if not bool(fixed.all()):
        affine = make_augmentation(spec).center(clip.sizes.cpu()).affine.to(clip.device)
        outliers = find_outlier_motion(view_flow(clip.flow, affine, (spec.size, spec.size)))
        mask = torch.where(fixed[:, None, None, None], mask, outliers)
    area = mask.mean(dim=(1, 2, 3))
    why = tuple(
        "nothing moves" if share < STILL else "the camera moves" if share > _CROWDED else ""
        for share in area.tolist()
    )
    usable = torch.tensor([not reason for reason in why], device=mask.device)
    return Moving(mask * usable[:, None, None, None], area, fixed, usable, why)


def find_outlier_motion(flow: Tensor) -> Tensor:
    """Where flow differs from the affine map that most of the picture follows.

    Args:
        flow: float (B, T-1, h, w, 2), normalized units of the view (2 is the side of the frame).

    Returns:
        float32 (B, T, h, w) in 0..1. The first frame repeats the second, as flow belongs to the
        later frame of each pair.
    """
    pairs, h, w, _ = flow.shape[1:]
    stable = stabilize_flow(flow, model="affine", aspect=w / h)
    deviation = stable.norm(dim=-1)
    middle = deviation.flatten(2).median(dim=2).values.clamp(min=_NOISE / 2)
    least = (_TIMES * middle)[..., None, None]
    # What enters at the border has no counterpart in the frame before: its flow is a guess.
    inside = (geometry.pixel_centers((h, w), flow.device).abs() <= 1 - _BORDER).all(dim=-1)
    mask = (deviation / least - 1).clamp(0, 1) * inside
    return F.pad(mask, (0, 0, 0, 0, 1, 0), mode="replicate") if pairs else mask
