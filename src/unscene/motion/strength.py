"""How strongly does something move in a clip? One number, with the camera's motion taken out.

    clip  ->  flow of a few pairs of frames  ->  minus the camera's motion
          ->  speed of the fastest 2 % of the picture, the mean over the pairs

Two per cent: a person far away in the picture of a fixed camera is not drowned by what stands
still, and single pixels that are wrong are ignored. The unit is heights of the frame per second, so
the number does not depend on resolution and frame rate. A tea ceremony has 0.002 to 0.017, somebody
who drinks far away in a large picture 0.003. Footage in which nothing moves has less, unless it is
noisy: a still picture with noise of 2 gray levels has 0.01 on average, and a dark one 0.1
(experiments/LOG.md, 2026-11-29).
"""

from __future__ import annotations

import cv2
import numpy as np
import torch
from torch import Tensor

from unscene.motion.camera import stabilize_flow
from unscene.motion.flow import Preset, flow_between
from unscene.video.clip import Clip

STILL = 0.002  # heights per second; what moves less counts as still
_FAST = 0.98  # quantile of the speeds of a pair of frames
_PAIRS = 3
_PRESET: Preset = "medium"  # the faster ones report half of the speed of such small pictures
# What does not change by so many gray levels, in the mean over so many pixels around, is noise: DIS
# finds motion in the noise of a dark or flat picture.
_CHANGE, _AROUND = 1, 7
_SHORT_SIDE = 96  # pixels at which flow is estimated


def measure_strength(clip: Clip, seconds: float) -> float:
    """Measure how strongly something moves in a clip.

    Args:
        clip: T >= 2 frames, or `flow` of them whose picture is as high as the frame.
        seconds: between two frames of the clip.

    Returns:
        Speed of what moves fastest, in heights of the frame per second; 0 for a single frame.

    >>> noise = torch.randint(0, 255, (1, 12, 12), generator=torch.Generator().manual_seed(0))
    >>> y = torch.nn.functional.interpolate(noise[None].float(), scale_factor=8, mode="bicubic")
    >>> luma = y[0].clamp(0, 255).byte().repeat(3, 1, 1)
    >>> for t in range(3):  # a square moves 3 of 96 pixels in a tenth of a second
    ...     luma[t, 30:60, 20 + 3 * t : 50 + 3 * t] = luma[0, :30, :30]
    >>> chroma = torch.full((3, 48, 48), 128, dtype=torch.uint8)
    >>> clip = Clip(luma, chroma, chroma, torch.arange(3).double() / 10)
    >>> 0.25 < measure_strength(clip, 0.1) < 0.4  # 0.29
    True
    """
    flow = clip.flow
    if flow is None:
        if len(clip) < 2:
            return 0.0
        flow = _estimate_flow(clip)
    height, width = flow.shape[1:3]
    # Normalized units: a height is 2, and so is a width.
    speed = (flow.float() * torch.tensor([width / height, 1.0]) / 2).norm(dim=-1)
    fast = speed.flatten(1).quantile(_FAST, dim=1)
    return float(fast.mean()) / seconds


def _estimate_flow(clip: Clip) -> Tensor:
    """Flow of a few neighboring frames, spread over the clip, without the camera's motion."""
    frames, (height, width) = len(clip), clip.size
    first = np.unique(np.linspace(0, frames - 2, min(_PAIRS, frames - 1)).round().astype(int))
    scale = _SHORT_SIDE / min(height, width)
    size = max(_SHORT_SIDE, round(width * scale)), max(_SHORT_SIDE, round(height * scale))
    luma = {
        t: cv2.resize(clip.y[t].numpy(), size, interpolation=cv2.INTER_AREA)
        for t in sorted({*first.tolist(), *(first + 1).tolist()})
    }
    flow, changed = [], []
    for t in first.tolist():
        flow.append(flow_between(np.stack([luma[t], luma[t + 1]]), _PRESET)[0])
        change = cv2.blur(cv2.absdiff(luma[t], luma[t + 1]), (_AROUND, _AROUND))
        changed.append(change >= _CHANGE)
    found = stabilize_flow(torch.from_numpy(np.stack(flow)), aspect=size[0] / size[1])
    return found * torch.from_numpy(np.stack(changed))[..., None]
