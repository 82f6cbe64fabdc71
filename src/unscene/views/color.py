"""Color as one matrix: YUV -> RGB, brightness, contrast, saturation, hue, gray, normalization.

In: the factors of color jitter, one set per sample. Out: one matrix per sample for `render`.

Convention
----------
Every function returns float32 (B, 4, 4) matrices that act on columns (r, g, b, 1), RGB in 0..1, so
that `after @ before` composes them. `view_matrix` returns their product as (B, 3, 4), acting on
(Y, U, V, 1) as the decoder stores them, 0..255. Gray is the BT.601 luma
0.299 R + 0.587 G + 0.114 B, as in PIL and torchvision, whatever the matrix of the stream.

Deviations from PIL and torchvision's ColorJitter:
- Values are clamped to 0..1 once, after the last factor; PIL clamps after each.
- Hue rotates the chroma in YIQ by a part of the full circle instead of shifting H in HSV. This
  keeps gray values (HSV keeps the largest channel) and is affine. A hue of 0.5 is the
  opposite color in both.
- Contrast blends with the mean gray of the clip, not of each frame, which would flicker.
- The order of the four factors is not random: without clamping between them they commute.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

FACTORS = ("brightness", "contrast", "saturation", "hue")
GRAY = (0.299, 0.587, 0.114)
_YIQ = ((0.299, 0.587, 0.114), (0.5959, -0.2746, -0.3213), (0.2115, -0.5227, 0.3112))


@dataclass(frozen=True, repr=False)
class ColorFactors:
    """The factors of color jitter, one of each per sample; a neutral value changes nothing.

    Attributes:
        brightness: float32 (B,), factor, 1 neutral, 0 black.
        contrast: float32 (B,), factor, 1 neutral, 0 the clip's mean gray everywhere.
        saturation: float32 (B,), factor, 1 neutral, 0 gray.
        hue: float32 (B,), in turns, 0 neutral, -0.5 and 0.5 the opposite color.
        gray: bool (B,), True makes the sample gray after all factors.
    """

    brightness: Tensor
    contrast: Tensor
    saturation: Tensor
    hue: Tensor
    gray: Tensor

    @classmethod
    def neutral(cls, batch: int) -> ColorFactors:
        """Make the factors that change nothing, for B samples."""
        one = torch.ones(batch)
        gray = torch.zeros(batch, dtype=torch.bool)
        return cls(one, one, one, torch.zeros(batch), gray)

    def keep_one(self, which: Tensor) -> ColorFactors:
        """Make all factors neutral but one, (B,), an index into `FACTORS`; gray stays."""
        neutral = self.neutral(len(which))
        kept = {
            name: torch.where(which == i, getattr(self, name), getattr(neutral, name))
            for i, name in enumerate(FACTORS)
        }
        return ColorFactors(gray=self.gray, **kept)

    def to(self, device: torch.device | str) -> ColorFactors:
        """Move all factors to a device."""
        moved = (getattr(self, field.name).to(device) for field in fields(self))
        return type(self)(*moved)

    def __repr__(self) -> str:
        parts = [
            f"{name}={[round(value, 3) for value in getattr(self, name).tolist()]}"
            for name in FACTORS
        ]
        parts.append(f"gray={[int(value) for value in self.gray.tolist()]}")
        return f"ColorFactors({', '.join(parts)})"


def yuv_to_rgb(full_range: Tensor, bt709: Tensor) -> Tensor:
    """Make the matrices from (Y, U, V, 1), 0..255, to RGB in 0..1.

    Args:
        full_range: bool (B,); False for Y in 16..235 and U, V in 16..240.
        bt709: bool (B,); False for BT.601.

    Returns:
        float32 (B, 4, 4). YUV values outside of the RGB cube leave 0..1; they are clamped later.

    Source:
        ITU-R BT.601 and BT.709.

    >>> full, limited = yuv_to_rgb(torch.tensor([True, False]), torch.tensor([True, True]))
    >>> (limited @ torch.tensor([235.0, 128.0, 128.0, 1.0])).round(decimals=4).tolist()
    [1.0, 1.0, 1.0, 1.0]
    """
    which = full_range.long() * 2 + bt709.long()
    return _decoders(full_range.device)[which]


@lru_cache(maxsize=8)
def _decoders(device: torch.device) -> Tensor:
    """The four matrices of `yuv_to_rgb`, (4, 4, 4), index 2 * full_range + bt709."""
    matrices = []
    for full in (False, True):
        black, luma, chroma = (0, 1 / 255, 1 / 255) if full else (16, 1 / 219, 1 / 224)
        for kr, kb in ((0.299, 0.114), (0.2126, 0.0722)):
            kg = 1 - kr - kb
            from_u = (0.0, -2 * (1 - kb) * kb / kg * chroma, 2 * (1 - kb) * chroma)
            from_v = (2 * (1 - kr) * chroma, -2 * (1 - kr) * kr / kg * chroma, 0.0)
            rows = [
                [luma, u, v, -black * luma - 128 * (u + v)]
                for u, v in zip(from_u, from_v, strict=True)
            ]
            matrices.append([*rows, [0.0, 0.0, 0.0, 1.0]])
    return torch.tensor(matrices, dtype=torch.float32, device=device)


@lru_cache(maxsize=8)
def _parts(device: torch.device) -> dict[str, Tensor]:
    """Return the constant matrices (4, 4) of which every factor is a weighted sum."""
    yiq = torch.tensor(_YIQ, dtype=torch.float64)
    back = torch.linalg.inv(yiq)
    turn = torch.zeros(3, 3, dtype=torch.float64)
    turn[1, 2], turn[2, 1] = 1.0, -1.0
    still = torch.diag(torch.tensor([1.0, 0.0, 0.0], dtype=torch.float64))
    swing = torch.diag(torch.tensor([0.0, 1.0, 1.0], dtype=torch.float64))
    parts = {
        "rgb": torch.eye(3, dtype=torch.float64),
        "gray": torch.tensor(GRAY, dtype=torch.float64).expand(3, 3),
        "still": back @ still @ yiq,
        "cos": back @ swing @ yiq,
        "sin": back @ turn @ yiq,
    }
    whole = {name: F.pad(part, (0, 1, 0, 1)) for name, part in parts.items()}
    whole["one"] = torch.diag(torch.tensor([0.0, 0.0, 0.0, 1.0]))
    whole["still"][3, 3] = 1.0
    whole["lift"] = torch.zeros(4, 4)
    whole["lift"][:3, 3] = 1.0
    return {name: part.float().to(device) for name, part in whole.items()}


def brightness(factor: Tensor) -> Tensor:
    """Multiply RGB by factor (B,): (B, 4, 4)."""
    parts = _parts(factor.device)
    return torch.addcmul(parts["one"], _lead(factor), parts["rgb"])


def contrast(factor: Tensor, mean_gray: Tensor) -> Tensor:
    """Blend with the clip's mean gray; both (B,): (B, 4, 4)."""
    lift = _lead(mean_gray - factor * mean_gray)
    return torch.addcmul(brightness(factor), lift, _parts(factor.device)["lift"])


def saturation(factor: Tensor) -> Tensor:
    """Blend with each pixel's gray; factor (B,), 0 gray: (B, 4, 4)."""
    gray = _parts(factor.device)["gray"]
    return torch.addcmul(brightness(factor), _lead(1 - factor), gray)


def hue(turns: Tensor) -> Tensor:
    """Rotate the chroma plane of YIQ; turns (B,), positive from red to green: (B, 4, 4)."""
    angle, parts = turns * (2 * math.pi), _parts(turns.device)
    turned = torch.addcmul(parts["still"], _lead(angle.cos()), parts["cos"])
    return turned.addcmul_(_lead(angle.sin()), parts["sin"])


def gray(mask: Tensor) -> Tensor:
    """Make samples gray where mask (B,) is true: (B, 4, 4)."""
    return saturation(torch.where(mask, 0.0, 1.0))


def normalize(mean: Sequence[float], std: Sequence[float], batch: int) -> Tensor:
    """Normalize RGB, (rgb - mean) / std: (B, 4, 4)."""
    matrix = torch.eye(4)
    scale = 1 / torch.tensor(std)
    matrix[[0, 1, 2], [0, 1, 2]] = scale
    matrix[:3, 3] = -torch.tensor(mean) * scale
    return matrix.repeat(batch, 1, 1)


def bounds(mean: Sequence[float], std: Sequence[float]) -> tuple[tuple[float, float], ...]:
    """Return what 0 and 1 become under `normalize`, per channel: the bounds of normalized RGB."""
    return tuple(((0 - m) / s, (1 - m) / s) for m, s in zip(mean, std, strict=True))


def jitter(factors: ColorFactors, start: Tensor, mean_yuv: Tensor) -> Tensor:
    """Apply all factors after `start`.

    Args:
        factors: on the device of `start`.
        start: (B, 4, 4), usually `yuv_to_rgb`.
        mean_yuv: (B, 3), the clip's mean color in the input space of `start`. Affine maps take
            means to means, so the matrix so far gives the mean gray that contrast needs.

    Returns:
        float32 (B, 4, 4), `gray` included.
    """
    matrix = brightness(factors.brightness) @ start
    mean = F.pad(mean_yuv.to(start), (0, 1), value=1.0)[..., None]
    mean_gray = (matrix @ mean)[..., 0] @ start.new_tensor((*GRAY, 0.0))
    matrix = saturation(factors.saturation) @ contrast(factors.contrast, mean_gray) @ matrix
    return gray(factors.gray) @ hue(factors.hue) @ matrix


def view_matrix(
    factors: ColorFactors,
    mean_yuv: Tensor,
    full_range: Tensor,
    bt709: Tensor,
    *,
    mean: Sequence[float],
    std: Sequence[float],
) -> Tensor:
    """Compose the color path of a view: YUV -> RGB, jitter, normalization; float32 (B, 3, 4)."""
    matrix = jitter(factors, yuv_to_rgb(full_range, bt709), mean_yuv)
    return (normalize(mean, std, len(matrix)).to(matrix.device) @ matrix)[:, :3]


def _lead(values: Tensor) -> Tensor:
    """View (B,) as (B, 1, 1)."""
    return values.float()[:, None, None]
