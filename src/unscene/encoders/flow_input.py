"""What encoders of motion read: the flow of a clip, with the camera taken out.

    clip (B, 3, T, H, W)  ->  gray, contrast stretched  ->  DIS  ->  minus the camera's motion
                          ->  flow (B, T-1, G, G, 2)

Flow is computed from the pixels that an encoder is given. So whoever changes pixels (an audit, a
view) changes the flow, and an encoder of motion is used like every other encoder.

A network gets the flow as three channels: its direction (x and y, of length log(1 + speed)) and
log(1 + speed), with the speed in pixels of a frame 64 px wide. Slow and fast motion thus have a
similar scale.

Dark footage has its contrast stretched for the whole clip at once, so that brightness that changes
over time stays a change. Without it DIS finds little in the dark.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from unscene.motion.camera import stabilize_flow
from unscene.motion.flow import Preset, flow_between

_LUMA = (0.299, 0.587, 0.114)  # BT.601
_TAILS = (0.01, 0.99)  # quantiles of the brightness that become black and white
_LEAST = 8 / 255  # of contrast; what has less is noise
_PIXEL = 2 / 64  # normalized units
_SAMPLE = 7  # of the pixels, every seventh is looked at for the quantiles


@torch.no_grad()
def read_flow(
    clip_BCTHW: Tensor,
    mean: Sequence[float],
    std: Sequence[float],
    *,
    preset: Preset = "medium",
    stabilize: bool = True,
) -> Tensor:
    """Compute the flow of clips as an encoder gets them.

    Args:
        clip_BCTHW: RGB, normalized with mean and std, H = W or not.
        mean, std: of the normalization.
        preset: of DIS: "fast" or "medium".
        stabilize: take the camera's motion out.

    Returns:
        float32 (B, T-1, H, W, 2) on the device of the clip, normalized units, pointing back.

    >>> flow = read_flow(torch.zeros(1, 3, 4, 32, 32), (0, 0, 0), (1, 1, 1))
    >>> flow.shape, float(flow.abs().max())
    (torch.Size([1, 3, 32, 32, 2]), 0.0)
    """
    weights = torch.tensor(_LUMA)
    scale = weights * torch.tensor(std)
    offset = float((weights * torch.tensor(mean)).sum())
    gray = torch.einsum("bcthw,c->bthw", clip_BCTHW.float().cpu(), scale) + offset
    some = gray.flatten(1)[:, ::_SAMPLE]
    low, high = some.quantile(torch.tensor(_TAILS), dim=1)[..., None, None, None]
    gray = ((gray - low) / (high - low).clamp(min=_LEAST)).clamp(0, 1)
    luma = gray.mul(255).round().byte().numpy()
    flow = torch.stack([torch.from_numpy(flow_between(frames, preset)) for frames in luma])
    if stabilize:
        flow = stabilize_flow(flow, aspect=flow.shape[-2] / flow.shape[-3])
    return flow.to(clip_BCTHW.device)


def encode_flow(flow: Tensor, grid: int | None = None) -> Tensor:
    """Turn flow into the three channels that a network reads.

    Args:
        flow: (B, P, h, w, 2), normalized units.
        grid: average the flow over G x G cells first; None: keep its size.

    Returns:
        float32 (B, 3, P, G, G).

    >>> flow = torch.tensor([2 / 64, 0.0]).expand(1, 2, 4, 4, 2)  # a pixel of 64
    >>> encode_flow(flow, 1).flatten().tolist()[::2]
    [0.6931471824645996, 0.0, 0.6931471824645996]
    """
    field = flow.float().movedim(-1, 1) * (1 / _PIXEL)  # (B, 2, P, h, w)
    if grid is not None:
        field = F.adaptive_avg_pool3d(field, (field.shape[2], grid, grid))
    speed = field.norm(dim=1, keepdim=True)
    level = speed.log1p()
    return torch.cat([field * (level / speed.clamp(min=1e-6)), level], dim=1)
