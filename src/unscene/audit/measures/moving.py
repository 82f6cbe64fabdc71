"""Which pixels of a window move: what measures of saliency are scored against.

    fixed camera     pixels that differ from their clip's own scene       `segment_motion`
    moving camera    pixels whose optical flow leaves the camera's        ours, below

The camera's flow is the affine map that most of the picture follows, fitted to every pair of frames
again and again without what strays from it. In depth it leaves edges of near things; where more
than half of the picture strays, there is no telling what moves, and the window is left out.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from unscene.audit.footage import basic
from unscene.audit.measures.base import Watcher
from unscene.data.loading import Batch
from unscene.errors import UnsceneError
from unscene.evaluate.decoupling_views import STILL
from unscene.views.flow import view_flow

_CROWDED = 0.5  # share of the picture; where more moves, it is the camera
_STRAYS = 0.01  # of the frame's side a step: less is noise of the flow ...
_NOISE = 4.0  # ... and so is less than this many times what the picture strays in the middle
_BORDER = 0.1  # of half the frame's side
_ROUNDS = 4  # fits of the camera's flow, each without what strays from the last


@dataclass(frozen=True)
class Moving:
    """What moves in B windows; on the device of the batch.

    Attributes:
        mask: float32 (B, T, h, w) in 0..1; all 0 where `usable` is False.
        area: float32 (B,), share of the pixels that move.
        fixed: bool (B,), whether the camera stands.
        usable: bool (B,), whether something moves and what moves can be told.
        why: for each window "" or why it is not usable.
    """

    mask: Tensor
    area: Tensor
    fixed: Tensor
    usable: Tensor
    why: tuple[str, ...]


def moving(watcher: Watcher, batch: Batch) -> Moving:
    """What moves in the centre views of a batch with optical flow, found once.

    Raises:
        UnsceneError: the clips have no flow.
    """
    return watcher.keep(batch, "moving", lambda: _moving(watcher, batch))


@torch.no_grad()
def _moving(watcher: Watcher, batch: Batch) -> Moving:
    clip, parted, spec = batch.clips["clip"], watcher.parted(batch), watcher.spec
    if clip.flow is None:
        raise UnsceneError("what moves before a moving camera is told by flow: see `views.flow`")
    mask, fixed = parted.mask[:, 0], parted.fixed
    if not bool(fixed.all()):
        affine = basic(spec).center(clip.sizes.cpu()).affine.to(clip.device)
        strays = against_camera(view_flow(clip.flow, affine, (spec.size, spec.size)))
        mask = torch.where(fixed[:, None, None, None], mask, strays)
    area = mask.mean(dim=(1, 2, 3))
    why = tuple(
        "nothing moves" if share < STILL else "the camera moves" if share > _CROWDED else ""
        for share in area.tolist()
    )
    usable = torch.tensor([not reason for reason in why], device=mask.device)
    return Moving(mask * usable[:, None, None, None], area, fixed, usable, why)


def against_camera(flow: Tensor) -> Tensor:
    """Where flow leaves the affine map that most of the picture follows.

    Args:
        flow: float (B, T-1, h, w, 2), normalised units of the view (2 is the frame's side).

    Returns:
        float32 (B, T, h, w) in 0..1; the first frame's is that of the second, as flow lies on the
        later frame of each pair.
    """
    batch, pairs, h, w, _ = flow.shape
    y, x = torch.meshgrid(
        torch.linspace(-1, 1, h, device=flow.device),
        torch.linspace(-1, 1, w, device=flow.device),
        indexing="ij",
    )
    places = torch.stack([torch.ones_like(x), x, y], dim=-1).view(-1, 3)
    field = flow.float().reshape(batch * pairs, h * w, 2)
    weight = torch.ones(batch * pairs, h * w, device=flow.device)
    ridge = 1e-4 * torch.eye(3, device=flow.device)
    for _ in range(_ROUNDS):
        weighted = places * weight[..., None]
        normal = weighted.transpose(1, 2) @ places + ridge
        camera = places @ torch.linalg.solve(normal, weighted.transpose(1, 2) @ field)
        strays = (field - camera).norm(dim=-1)
        middle = strays.median(dim=1, keepdim=True).values
        weight = (strays <= 2 * middle.clamp(min=_STRAYS)).float()
    least = (_NOISE * middle).clamp(min=2 * _STRAYS)
    # What comes in at the border was not there to be followed: its flow is a guess.
    inside = (places[:, 1:].abs() <= 1 - _BORDER).all(dim=1)
    mask = ((strays / least - 1).clamp(0, 1) * inside).view(batch, pairs, h, w)
    return F.pad(mask, (0, 0, 0, 0, 1, 0), mode="replicate") if pairs else mask
