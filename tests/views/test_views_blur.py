"""The blur of a view, up to its border."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from unscene.video.clip import ClipBatch
from unscene.views import geometry, render


def flat(levels: Tensor, size: tuple[int, int]) -> ClipBatch:
    """Clips of two frames, each of one color: (B, 3) levels of Y, U and V."""
    batch, (height, width) = len(levels), size
    half = ((height + 1) // 2, (width + 1) // 2)
    y, u, v = (
        levels[:, k].byte().view(-1, 1, 1, 1).repeat(1, 2, *plane)
        for k, plane in enumerate((size, half, half))
    )
    no = torch.zeros(batch, dtype=torch.bool)
    return ClipBatch(y, u, v, torch.tensor([size] * batch), no, no)


def test_a_flat_picture_stays_flat_up_to_its_border(planes: Tensor) -> None:
    levels = torch.tensor([[200.0, 90, 170], [30, 128, 128], [120, 60, 220], [250, 10, 40]])
    batch = flat(levels, (24, 32))
    sigma = torch.tensor([0.0, 0.5, 2.0, 6.0])
    grid = geometry.grid(geometry.identity(4), (24, 32))
    shown = render(batch, grid, planes.repeat(4, 1, 1), clamp=None, blur_sigma=sigma)
    expected = levels[:, :, None, None, None].expand(4, 3, 2, 24, 32)
    torch.testing.assert_close(shown, expected, atol=0.02, rtol=0)


def test_every_clip_has_the_blur_of_its_own_size(
    noise: Callable[..., ClipBatch], planes: Tensor
) -> None:
    batch, sigma = noise(batch=3), torch.tensor([3.0, 0.0, 0.7])
    grid = geometry.grid(geometry.identity(3), (48, 64))
    together = render(batch, grid, planes.repeat(3, 1, 1), clamp=None, blur_sigma=sigma)
    for i in range(3):
        one = batch.map(lambda tensor, i=i: tensor[i : i + 1])
        alone = render(one, grid[:1], planes[None], clamp=None, blur_sigma=sigma[i : i + 1])
        torch.testing.assert_close(together[i : i + 1], alone)
