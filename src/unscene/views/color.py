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
- The four factors come in an order drawn for every sample, as in torchvision (for every image).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor

FACTORS = ("brightness", "contrast", "saturation", "hue")
GREY = (0.299, 0.587, 0.114)
_YIQ = ((0.299, 0.587, 0.114), (0.5959, -0.2746, -0.3213), (0.2115, -0.5227, 0.3112))
# Kr and Kb of ITU-R BT.601 and BT.709.
_LUMA = {False: (0.299, 0.114), True: (0.2126, 0.0722)}


@dataclass(frozen=True, repr=False)
class ColorFactors:
    """What colour jitter does to each sample; the neutral value changes nothing.

    Attributes:
        brightness: float32 (B,), factor, 1 neutral, 0 black.
        contrast: float32 (B,), 1 neutral, 0 the clip's mean grey everywhere.
        saturation: float32 (B,), 1 neutral, 0 grey.
        hue: float32 (B,), in turns, 0 neutral, -0.5 and 0.5 the opposite colour.
        grey: bool (B,), True makes the sample grey after all factors.
        order: int64 (B, 4), each row a permutation of 0..3: which of `FACTORS` comes first.
    """

    brightness: Tensor
    contrast: Tensor
    saturation: Tensor
    hue: Tensor
    grey: Tensor
    order: Tensor

    def __post_init__(self) -> None:
        if self.order.shape != (len(self.grey), len(FACTORS)):
            raise ValueError(f"order must be (B, 4), got {list(self.order.shape)}")

    @classmethod
    def neutral(cls, batch: int) -> ColorFactors:
        one = torch.ones(batch)
        grey = torch.zeros(batch, dtype=torch.bool)
        order = torch.arange(len(FACTORS)).repeat(batch, 1)
        return cls(one, one, one, torch.zeros(batch), grey, order)

    def to(self, device: torch.device | str) -> ColorFactors:
        moved = (getattr(self, field.name).to(device) for field in fields(self))
        return type(self)(*moved)

    def __repr__(self) -> str:
        parts = [
            f"{name}={[round(value, 3) for value in getattr(self, name).tolist()]}"
            for name in FACTORS
        ]
        parts.append(f"grey={[int(value) for value in self.grey.tolist()]}")
        names = ["".join(FACTORS[k][0] for k in row) for row in self.order.tolist()]
        return f"ColorFactors({', '.join(parts)}, order={names})"


def yuv_to_rgb(full_range: Tensor, bt709: Tensor) -> Tensor:
    """Matrices from (Y, U, V, 1), 0..255, to RGB in 0..1 (ITU-R BT.601 / BT.709).

    Args:
        full_range: bool (B,); False takes Y from 16..235 and U, V from 16..240.
        bt709: bool (B,).

    Returns:
        float32 (B, 4, 4). Values that no RGB colour has leave 0..1 and are clamped later.
    """
    device = full_range.device
    kr, kb = (
        torch.where(bt709, torch.tensor(_LUMA[True][k]), torch.tensor(_LUMA[False][k]))
        for k in (0, 1)
    )
    kr, kb = kr.to(device), kb.to(device)
    kg = 1 - kr - kb
    luma = torch.where(full_range, 1 / 255, 1 / 219)
    chroma = torch.where(full_range, 1 / 255, 1 / 224)
    black = torch.where(full_range, 0.0, 16.0)
    zero = torch.zeros_like(kr)
    from_u = torch.stack([zero, -2 * (1 - kb) * kb / kg, 2 * (1 - kb)], dim=1)
    from_v = torch.stack([2 * (1 - kr), -2 * (1 - kr) * kr / kg, zero], dim=1)
    from_u, from_v = from_u * chroma[:, None], from_v * chroma[:, None]
    matrix = _empty(len(kr), device)
    matrix[:, :3, 0] = luma[:, None]
    matrix[:, :3, 1] = from_u
    matrix[:, :3, 2] = from_v
    matrix[:, :3, 3] = -(luma * black)[:, None] - 128 * (from_u + from_v)
    return matrix


def brightness(factor: Tensor) -> Tensor:
    """Multiply by factor (B,): (B, 4, 4)."""
    return _scaled_identity(factor)


def contrast(factor: Tensor, mean_grey: Tensor) -> Tensor:
    """Blend with the clip's mean grey; both (B,): (B, 4, 4)."""
    matrix = _scaled_identity(factor)
    matrix[:, :3, 3] = ((1 - factor) * mean_grey)[:, None]
    return matrix


def saturation(factor: Tensor) -> Tensor:
    """Blend with each pixel's grey; factor (B,), 0 grey: (B, 4, 4)."""
    matrix = _scaled_identity(factor)
    matrix[:, :3, :3] += (1 - factor)[:, None, None] * factor.new_tensor(GREY)
    return matrix


def hue(turns: Tensor) -> Tensor:
    """Turn the chroma plane of YIQ; turns (B,), positive from red towards green: (B, 4, 4)."""
    angle = turns * (2 * math.pi)
    cos, sin = angle.cos(), angle.sin()
    turn = torch.zeros(len(turns), 3, 3, device=turns.device)
    turn[:, 0, 0] = 1.0
    turn[:, 1, 1], turn[:, 1, 2] = cos, sin
    turn[:, 2, 1], turn[:, 2, 2] = -sin, cos
    to_yiq = torch.tensor(_YIQ, dtype=torch.float64)
    back = torch.linalg.inv(to_yiq).to(turns)
    matrix = _empty(len(turns), turns.device)
    matrix[:, :3, :3] = back @ turn @ to_yiq.to(turns)
    return matrix


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
    """Apply the factors after `start`, each sample in its own order.

    Args:
        factors: on the device of `start`.
        start: (B, 4, 4), usually `yuv_to_rgb`.
        mean_yuv: (B, 3), the clip's mean colour in the input space of `start`. Means pass through
            affine maps, so contrast learns its mean grey from the matrix so far.

    Returns:
        float32 (B, 4, 4), `grey` included.
    """
    batch = len(start)
    mean = torch.cat([mean_yuv.to(start), start.new_ones(batch, 1)], dim=1)[..., None]
    weights = start.new_tensor((*GREY, 0.0))
    rows = torch.arange(batch, device=start.device)
    steps = torch.stack(
        [
            brightness(factors.brightness),
            _scaled_identity(factors.contrast),
            saturation(factors.saturation),
            hue(factors.hue),
        ]
    )
    matrix = start
    for k in range(len(FACTORS)):
        mean_grey = (matrix @ mean)[..., 0] @ weights
        steps[1] = contrast(factors.contrast, mean_grey)
        matrix = steps[factors.order[:, k], rows] @ matrix
    return grey(factors.grey) @ matrix


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


def _empty(batch: int, device: torch.device) -> Tensor:
    matrix = torch.zeros(batch, 4, 4, device=device)
    matrix[:, 3, 3] = 1.0
    return matrix


def _scaled_identity(factor: Tensor) -> Tensor:
    matrix = _empty(len(factor), factor.device)
    matrix[:, [0, 1, 2], [0, 1, 2]] = factor.float()[:, None]
    return matrix
