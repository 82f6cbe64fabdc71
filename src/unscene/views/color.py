"""Colour as one matrix: YUV -> RGB, brightness, contrast, saturation, hue, grey, normalisation.

Convention
----------
Every function gives float32 (B, 4, 4) matrices that act on columns (r, g, b, 1), RGB in 0..1, so
that `after @ before` composes them; `view_matrix` hands their product to `render` as (B, 3, 4)
acting on (Y, U, V, 1) as the decoder stores them, 0..255. Grey is the BT.601 luma
0.299 R + 0.587 G + 0.114 B, as in PIL and torchvision, whatever the matrix of the stream.

Deviations from PIL's ColorJitter, all of them [ours]:
- Values are clamped to 0..1 once, after the last factor, where PIL clamps after each.
- Hue turns the chroma in YIQ by `hue` of a full circle instead of shifting H in HSV. It keeps grey
  values (HSV keeps the largest channel), is affine, and 0.5 is the opposite colour in both.
- Contrast blends with the mean grey of the clip, not of the frame: no flicker.
- No order of the four factors is drawn: without clamping between them they commute.
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
GREY = (0.299, 0.587, 0.114)
_YIQ = ((0.299, 0.587, 0.114), (0.5959, -0.2746, -0.3213), (0.2115, -0.5227, 0.3112))


@dataclass(frozen=True, repr=False)
class ColorFactors:
    """What colour jitter does to each sample; the neutral value changes nothing.

    Attributes:
        brightness: float32 (B,), factor, 1 neutral, 0 black.
        contrast: float32 (B,), 1 neutral, 0 the clip's mean grey everywhere.
        saturation: float32 (B,), 1 neutral, 0 grey.
        hue: float32 (B,), in turns, 0 neutral, -0.5 and 0.5 the opposite colour.
        grey: bool (B,), True makes the sample grey after all factors.
    """

    brightness: Tensor
    contrast: Tensor
    saturation: Tensor
    hue: Tensor
    grey: Tensor

    @classmethod
    def neutral(cls, batch: int) -> ColorFactors:
        one = torch.ones(batch)
        grey = torch.zeros(batch, dtype=torch.bool)
        return cls(one, one, one, torch.zeros(batch), grey)

    def to(self, device: torch.device | str) -> ColorFactors:
        moved = (getattr(self, field.name).to(device) for field in fields(self))
        return type(self)(*moved)

    def __repr__(self) -> str:
        parts = [
            f"{name}={[round(value, 3) for value in getattr(self, name).tolist()]}"
            for name in FACTORS
        ]
        parts.append(f"grey={[int(value) for value in self.grey.tolist()]}")
        return f"ColorFactors({', '.join(parts)})"


def yuv_to_rgb(full_range: Tensor, bt709: Tensor) -> Tensor:
    """Matrices from (Y, U, V, 1), 0..255, to RGB in 0..1 (ITU-R BT.601 / BT.709).

    Args:
        full_range: bool (B,); False takes Y from 16..235 and U, V from 16..240.
        bt709: bool (B,).

    Returns:
        float32 (B, 4, 4). Values that no RGB colour has leave 0..1 and are clamped later.
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
    """Constant matrices (4, 4) of which every factor is a weighted sum."""
    yiq = torch.tensor(_YIQ, dtype=torch.float64)
    back = torch.linalg.inv(yiq)
    turn = torch.zeros(3, 3, dtype=torch.float64)
    turn[1, 2], turn[2, 1] = 1.0, -1.0
    still = torch.diag(torch.tensor([1.0, 0.0, 0.0], dtype=torch.float64))
    swing = torch.diag(torch.tensor([0.0, 1.0, 1.0], dtype=torch.float64))
    parts = {
        "rgb": torch.eye(3, dtype=torch.float64),
        "grey": torch.tensor(GREY, dtype=torch.float64).expand(3, 3),
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
    """Multiply by factor (B,): (B, 4, 4)."""
    parts = _parts(factor.device)
    return torch.addcmul(parts["one"], _lead(factor), parts["rgb"])


def contrast(factor: Tensor, mean_grey: Tensor) -> Tensor:
    """Blend with the clip's mean grey; both (B,): (B, 4, 4)."""
    lift = _lead(mean_grey - factor * mean_grey)
    return torch.addcmul(brightness(factor), lift, _parts(factor.device)["lift"])


def saturation(factor: Tensor) -> Tensor:
    """Blend with each pixel's grey; factor (B,), 0 grey: (B, 4, 4)."""
    grey = _parts(factor.device)["grey"]
    return torch.addcmul(brightness(factor), _lead(1 - factor), grey)


def hue(turns: Tensor) -> Tensor:
    """Turn the chroma plane of YIQ; turns (B,), positive from red towards green: (B, 4, 4)."""
    angle, parts = turns * (2 * math.pi), _parts(turns.device)
    turned = torch.addcmul(parts["still"], _lead(angle.cos()), parts["cos"])
    return turned.addcmul_(_lead(angle.sin()), parts["sin"])


def grey(mask: Tensor) -> Tensor:
    """Grey where mask (B,) is true: (B, 4, 4)."""
    return saturation(torch.where(mask, 0.0, 1.0))


def normalize(mean: Sequence[float], std: Sequence[float], batch: int) -> Tensor:
    """(rgb - mean) / std: (B, 4, 4)."""
    matrix = torch.eye(4)
    scale = 1 / torch.tensor(std)
    matrix[[0, 1, 2], [0, 1, 2]] = scale
    matrix[:3, 3] = -torch.tensor(mean) * scale
    return matrix.repeat(batch, 1, 1)


def bounds(mean: Sequence[float], std: Sequence[float]) -> tuple[tuple[float, float], ...]:
    """What 0 and 1 become under `normalize`: clamping there is clamping RGB to 0..1."""
    return tuple(((0 - m) / s, (1 - m) / s) for m, s in zip(mean, std, strict=True))


def jitter(factors: ColorFactors, start: Tensor, mean_yuv: Tensor) -> Tensor:
    """Apply the factors after `start`.

    Args:
        factors: on the device of `start`.
        start: (B, 4, 4), usually `yuv_to_rgb`.
        mean_yuv: (B, 3), the clip's mean colour in the input space of `start`. Means pass through
            affine maps, so contrast learns its mean grey from the matrix so far.

    Returns:
        float32 (B, 4, 4), `grey` included.
    """
    matrix = brightness(factors.brightness) @ start
    mean = F.pad(mean_yuv.to(start), (0, 1), value=1.0)[..., None]
    mean_grey = (matrix @ mean)[..., 0] @ start.new_tensor((*GREY, 0.0))
    matrix = saturation(factors.saturation) @ contrast(factors.contrast, mean_grey) @ matrix
    return grey(factors.grey) @ hue(factors.hue) @ matrix


def view_matrix(
    factors: ColorFactors,
    mean_yuv: Tensor,
    full_range: Tensor,
    bt709: Tensor,
    *,
    mean: Sequence[float],
    std: Sequence[float],
) -> Tensor:
    """The whole colour path of a view: YUV -> RGB, jitter, normalisation; float32 (B, 3, 4)."""
    matrix = jitter(factors, yuv_to_rgb(full_range, bt709), mean_yuv)
    return (normalize(mean, std, len(matrix)).to(matrix.device) @ matrix)[:, :3]


def _lead(values: Tensor) -> Tensor:
    """(B,) as (B, 1, 1)."""
    return values.float()[:, None, None]
