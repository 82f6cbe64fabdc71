"""Color matrices: against known triples, torchvision's formulas in a slow loop, and PyAV."""

from __future__ import annotations

from collections.abc import Sequence

import av
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from unscene.views import color

# (Y, U, V) of white, black and full-strength red, green, blue; ITU-R BT.601 and BT.709.
TRIPLES = {
    (False, False): [(235, 128, 128), (16, 128, 128), (81, 90, 240), (145, 54, 34), (41, 240, 110)],
    (False, True): [(235, 128, 128), (16, 128, 128), (63, 102, 240), (173, 42, 26), (32, 240, 118)],
    (True, False): [(255, 128, 128), (0, 128, 128), (76, 85, 255), (150, 44, 21), (29, 255, 107)],
    (True, True): [(255, 128, 128), (0, 128, 128), (54, 99, 255), (182, 30, 12), (18, 255, 116)],
}
RGB = torch.tensor([(1, 1, 1), (0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1)]).float()
NEUTRAL = {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}


def paint(matrix: Tensor, colors: Tensor) -> Tensor:
    """Apply one matrix (4, 4) or (3, 4) to colors (P, 3)."""
    return colors @ matrix[:3, :3].T + matrix[:3, 3]


def luma(colors: Tensor) -> Tensor:
    return colors @ torch.tensor(color.GRAY)


@pytest.mark.parametrize(("full", "hd"), list(TRIPLES))
def test_yuv_of_known_colors(full: bool, hd: bool) -> None:
    matrix = color.yuv_to_rgb(torch.tensor([full]), torch.tensor([hd]))[0]
    shown = paint(matrix, torch.tensor(TRIPLES[full, hd]).float())
    torch.testing.assert_close(shown, RGB, atol=0.012, rtol=0)


@pytest.mark.parametrize("full", [False, True])
def test_yuv_equals_pyav(full: bool) -> None:
    generator = np.random.default_rng(0)
    size = 32
    for _ in range(4):
        # Flat chroma, as converters differ in how they spread it between its samples.
        y = generator.integers(60, 190, (size, size), dtype=np.uint8)
        u, v = generator.integers(100, 156, 2)
        flat = [np.full((size // 4, size), value, np.uint8) for value in (u, v)]
        frame = av.VideoFrame.from_ndarray(np.concatenate([y, *flat]), format="yuv420p")
        frame.color_range = 2 if full else 1
        theirs = torch.from_numpy(frame.to_ndarray(format="rgb24")).float()
        yuv = torch.stack(
            [torch.from_numpy(y).float(), *(torch.full(y.shape, float(c)) for c in (u, v))], dim=-1
        )
        matrix = color.yuv_to_rgb(torch.tensor([full]), torch.tensor([False]))[0]
        ours = paint(matrix, yuv.view(-1, 3)).view(size, size, 3).clamp(0, 1) * 255
        assert (ours - theirs).abs().max() < 2.5


def test_neutral_factors_change_nothing() -> None:
    start = color.yuv_to_rgb(torch.tensor([False]), torch.tensor([True]))
    matrix = color.jitter(color.ColorFactors.neutral(1), start, torch.tensor([[90.0, 120, 140]]))
    torch.testing.assert_close(matrix, start, atol=1e-5, rtol=1e-5)


def test_each_factor_against_its_formula() -> None:
    colors = torch.rand(50, 3, generator=torch.Generator().manual_seed(0))
    factor = torch.tensor([0.6])
    torch.testing.assert_close(paint(color.brightness(factor)[0], colors), colors * 0.6)
    mean = luma(colors).mean()
    torch.testing.assert_close(
        paint(color.contrast(factor, mean[None])[0], colors), 0.6 * colors + 0.4 * mean
    )
    torch.testing.assert_close(
        paint(color.saturation(factor)[0], colors), 0.6 * colors + 0.4 * luma(colors)[:, None]
    )


def test_gray_only_where_the_mask_is_true() -> None:
    colors = torch.rand(20, 3)
    matrices = color.gray(torch.tensor([True, False]))
    torch.testing.assert_close(
        paint(matrices[0], colors), luma(colors)[:, None].expand(-1, 3), atol=1e-6, rtol=0
    )
    torch.testing.assert_close(paint(matrices[1], colors), colors)


@settings(max_examples=25, deadline=None)
@given(turns=st.floats(-0.5, 0.5), value=st.floats(0, 1))
def test_hue_leaves_gray_and_luma(turns: float, value: float) -> None:
    matrix = color.hue(torch.tensor([turns]))[0]
    gray = torch.full((1, 3), value)
    torch.testing.assert_close(paint(matrix, gray), gray, atol=1e-5, rtol=0)
    colors = torch.rand(10, 3)
    torch.testing.assert_close(luma(paint(matrix, colors)), luma(colors), atol=2e-4, rtol=0)


def test_hue_turns_red_to_green_to_blue_and_back() -> None:
    third = color.hue(torch.tensor([1 / 3]))[0]
    red = torch.tensor([[1.0, 0.0, 0.0]])
    assert paint(third, red).argmax() == 1
    assert paint(third, paint(third, red)).argmax() == 2
    torch.testing.assert_close(
        paint(third, paint(third, paint(third, red))), red, atol=1e-5, rtol=0
    )
    assert paint(color.hue(torch.tensor([0.5]))[0], red).argmin() == 0


def test_normalize_and_its_bounds() -> None:
    mean, std = (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)
    matrix = color.normalize(mean, std, 1)[0]
    colors = torch.rand(9, 3)
    torch.testing.assert_close(
        paint(matrix, colors), (colors - torch.tensor(mean)) / torch.tensor(std)
    )
    ends = torch.tensor(color.bounds(mean, std))
    torch.testing.assert_close(paint(matrix, torch.zeros(1, 3))[0], ends[:, 0])
    torch.testing.assert_close(paint(matrix, torch.ones(1, 3))[0], ends[:, 1])


def slowly(
    factors: color.ColorFactors, b: int, colors: Tensor, order: Sequence[str] = color.FACTORS
) -> Tensor:
    """The jitter of one sample on its pixels, one factor after another."""
    for name in order:
        factor = getattr(factors, name)[b : b + 1]
        if name == "contrast":
            colors = factor * colors + (1 - factor) * luma(colors).mean()
        else:
            colors = paint(getattr(color, name)(factor)[0], colors)
    return luma(colors)[:, None].expand(-1, 3) if factors.gray[b] else colors


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000), order=st.permutations(color.FACTORS))
def test_jitter_is_one_factor_after_another_in_any_order(seed: int, order: list[str]) -> None:
    generator = torch.Generator().manual_seed(seed)
    batch = 6
    four = torch.rand(4, batch, generator=generator)
    gray = torch.rand(batch, generator=generator) < 0.2
    factors = color.ColorFactors(*(four[:3] + 0.5), four[3] - 0.5, gray)
    yuv = torch.rand(batch, 30, 3, generator=generator) * 100 + 80
    start = color.yuv_to_rgb(torch.arange(batch) % 2 == 0, torch.arange(batch) % 3 == 0)
    matrix = color.jitter(factors, start, yuv.mean(dim=1))
    for b in range(batch):
        expected = slowly(factors, b, paint(start[b], yuv[b]), order)
        torch.testing.assert_close(paint(matrix[b], yuv[b]), expected, atol=2e-5, rtol=1e-4)


def test_view_matrix_is_the_product() -> None:
    full, hd = torch.tensor([False, True]), torch.tensor([True, False])
    neutral = color.ColorFactors.neutral(2)
    matrix = color.view_matrix(neutral, torch.full((2, 3), 100.0), full, hd, **NEUTRAL)
    assert matrix.shape == (2, 3, 4)
    torch.testing.assert_close(matrix, color.yuv_to_rgb(full, hd)[:, :3], atol=1e-5, rtol=1e-5)
