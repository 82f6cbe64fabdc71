"""Pixels: identity, chroma siting, padding, averaging, blur; the two samplers agree."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import product

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import unscene.views.render  # noqa: F401  (the package exports a function of this name)
from unscene.video.clip import Clip, ClipBatch
from unscene.views import color, disturb, geometry, render, sample
from unscene.views.render import (
    _recolor,
    _recolor_dense,
    _sample_clips,
    _sample_dense,
    gaussian,
    pool_from,
    pool_of,
)
from unscene.views.sample import affines, gather, sample_clip, sample_dense

Batch = Callable[..., ClipBatch]


def whole(batch: ClipBatch, size: tuple[int, int]) -> Tensor:
    return geometry.grid(geometry.identity(len(batch)), size)


def crooked(batch: ClipBatch, size: tuple[int, int] = (40, 36)) -> Tensor:
    """A turned and warped crop: nothing about it is aligned with anything."""
    generator = torch.Generator().manual_seed(3)
    count = len(batch)
    turn = geometry.rotate(torch.linspace(-20, 20, count), torch.tensor(1.3))
    box = geometry.crop(torch.tensor([[-0.9, -0.7, 0.6, 0.95]]).repeat(count, 1))
    offsets = disturb.draw_offsets(count, generator)
    return disturb.warp(geometry.compose(turn, box), offsets, size)


def test_identity_reproduces_every_plane(noise: Batch, planes: Tensor) -> None:
    batch = noise()
    shown = render(batch, whole(batch, (48, 64)), planes.repeat(2, 1, 1), clamp=None)
    torch.testing.assert_close(shown[:, 0], batch.y.float(), atol=0.01, rtol=0)
    # Even columns of luma stand on chroma samples, rows a quarter of a chroma row beside them.
    u = batch.u.float()
    above = 0.75 * u[:, :, 1:] + 0.25 * u[:, :, :-1]
    torch.testing.assert_close(shown[:, 1, :, 2::2, ::2], above, atol=0.01, rtol=0)


def test_odd_sizes(noise: Batch, planes: Tensor) -> None:
    batch = noise(size=(49, 63))
    shown = render(batch, whole(batch, (49, 63)), planes.repeat(2, 1, 1), clamp=None)
    torch.testing.assert_close(shown[:, 0], batch.y.float(), atol=0.01, rtol=0)
    torch.testing.assert_close(shown[:, 2, :, 0, ::2], batch.v[:, :, 0].float(), atol=0.01, rtol=0)


@pytest.mark.parametrize("pool", [1, 2, 4])
@pytest.mark.parametrize("chroma", [False, True])
@pytest.mark.parametrize("size", [(48, 64), (49, 63)])
def test_compiled_loops_equal_torch(
    noise: Batch,
    pool: int,
    chroma: bool,
    size: tuple[int, int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    batch = noise(frames=5, size=size)
    batch = ClipBatch(**{**vars(batch), "sizes": torch.tensor([size, (37, 45)])})
    grid = crooked(batch)
    planes = [batch.u, batch.v] if chroma else [batch.y]
    frames = torch.tensor([0, 0, 1, 3])
    how = {"chroma": chroma, "pool": pool}
    dense = sample_dense(planes, grid, batch.sizes, frames, **how)
    affine = affines(batch.sizes, **how)
    each = grid[:, None].expand(-1, 4, -1, -1, -1).contiguous()
    for b, maps, large in product((0, 1), (grid, each), (0, 1 << 30)):
        monkeypatch.setattr(sample, "_LARGE", large)  # 0: frames side by side
        shown = torch.empty(len(planes), 4, *grid.shape[1:3])
        sample_clip([p[b] for p in planes], maps[b], affine[b], frames, shown, pool=pool)
        torch.testing.assert_close(shown, dense[b], atol=0.02, rtol=0)


def test_a_gpus_coloring_equals_the_loops() -> None:
    generator = torch.Generator().manual_seed(0)
    pixels = torch.rand(3, 3, 4, 9, 7, generator=generator) * 255
    matrix = torch.randn(3, 3, 4, generator=generator) / 50
    bounds = [(-1.0, 2.0), (0.0, 1.0), (-0.5, 0.25)]
    loops, dense = pixels.clone(), pixels.clone()
    _recolor(loops, matrix, bounds)
    _recolor_dense(dense, matrix, bounds)
    torch.testing.assert_close(dense, loops, atol=1e-5, rtol=0)


@pytest.mark.parametrize("pool", [1, 2, 4])
@pytest.mark.parametrize("size", [(48, 64), (49, 63)])
@pytest.mark.parametrize("per_frame", [False, True])
def test_a_gpus_sampling_equals_the_loops(
    noise: Batch, pool: int, size: tuple[int, int], per_frame: bool
) -> None:
    batch = noise(batch=3, frames=5, size=size)
    batch = replace(batch, sizes=torch.tensor([size, (37, 45), (40, 62)]))
    grid, frames = crooked(batch), torch.tensor([0, 0, 1, 3])
    if per_frame:
        grid = grid[:, None] * torch.tensor([1.0, 0.9, 0.8, 1.2])[:, None, None, None]
    for chosen in (frames, None) if not per_frame else (frames,):
        shape = (3, 3, batch.frames if chosen is None else 4, *grid.shape[-3:-1])
        loops, dense = torch.full(shape, -1.0), torch.full(shape, -1.0)
        _sample_clips(batch, grid, chosen, pool, loops)
        _sample_dense(batch, grid, chosen, pool, dense)
        torch.testing.assert_close(dense, loops, atol=0.02, rtol=0)


def test_one_map_for_each_frame_equals_one_map(noise: Batch, planes: Tensor) -> None:
    batch = noise()
    grid, colors = crooked(batch), planes.repeat(2, 1, 1)
    repeated = grid[:, None].expand(-1, 3, -1, -1, -1)
    torch.testing.assert_close(
        render(batch, grid, colors, clamp=None),
        render(batch, repeated, colors, clamp=None),
        atol=0.02,
        rtol=0,
    )


def test_large_views_equal_small_ones(noise: Batch) -> None:
    batch = noise(frames=16)
    grid = crooked(batch, (160, 120))
    matrix = color.yuv_to_rgb(batch.full_range, batch.bt709)[:, :3]
    large = render(batch, grid, matrix, pool=1)
    small = render(batch, grid[:, ::4, ::4].contiguous(), matrix, pool=1)
    torch.testing.assert_close(large[..., ::4, ::4], small, atol=1e-3, rtol=0)


def test_color_may_depend_on_the_mean(noise: Batch, planes: Tensor) -> None:
    seen = []

    def matrix(mean_yuv: Tensor) -> Tensor:
        seen.append(mean_yuv)
        return planes.repeat(len(mean_yuv), 1, 1)

    for frames, size in ((2, 24), (16, 112)):
        batch = noise(frames=frames)
        shown = render(batch, crooked(batch, (size, size)), matrix, clamp=None)
        torch.testing.assert_close(seen[-1], shown.mean(dim=(2, 3, 4)), atol=0.02, rtol=0)


def test_padding_is_never_seen(make_clip: Callable[..., Clip], planes: Tensor) -> None:
    small, large = make_clip(size=(40, 50)), make_clip(size=(64, 96))
    alone, padded = ClipBatch.of([small]), ClipBatch.of([small, large])
    for pool in (1, 2):
        grid = crooked(padded) * 1.3  # beyond the border too
        both = render(padded, grid, planes.repeat(2, 1, 1), clamp=None, pool=pool)
        one = render(alone, grid[:1], planes[None], clamp=None, pool=pool)
        torch.testing.assert_close(both[:1], one, atol=0.02, rtol=0)


def test_clamp(noise: Batch, planes: Tensor) -> None:
    batch = noise()
    shown = render(batch, whole(batch, (48, 64)), planes.repeat(2, 1, 1), clamp=((9, 99),) * 3)
    assert shown.min() == 9
    assert shown.max() == 99


def test_a_shrinking_view_averages_first(noise: Batch, planes: Tensor) -> None:
    batch = noise()
    shown = render(batch, whole(batch, (12, 16)), planes.repeat(2, 1, 1), clamp=None)
    expected = F.avg_pool2d(batch.y.float(), 4)
    torch.testing.assert_close(shown[:, 0], expected, atol=0.01, rtol=0)
    # Noise that is not averaged keeps its spread.
    raw = render(batch, whole(batch, (12, 16)), planes.repeat(2, 1, 1), clamp=None, pool=1)
    assert raw[:, 0].std() > 1.5 * shown[:, 0].std()


def test_pool_follows_the_least_shrinking_sample() -> None:
    assert [pool_from(torch.tensor([s, 9.0])) for s in (0.3, 1.9, 2.0, 3.9, 4.0)] == [1, 1, 2, 2, 4]
    sizes = torch.tensor([[240, 320]])
    for box in ([-1.0, -1, 1, 1], [-0.5, -0.5, 0.2, 0.2]):
        affine = geometry.crop(torch.tensor([box]))
        for size in ((40, 40), (60, 80), (100, 100)):
            measured = pool_of(geometry.grid(affine, size), sizes)
            assert measured == pool_from(geometry.shrinkage(affine, sizes, size))
    assert pool_of(torch.zeros(1, 1, 1, 2), sizes) == 1


def test_blur_of_none_and_some(noise: Batch, planes: Tensor) -> None:
    batch = noise()
    args = (batch, whole(batch, (48, 64)), planes.repeat(2, 1, 1))
    sharp = render(*args, clamp=None)
    soft = render(*args, clamp=None, blur_sigma=torch.tensor([0.0, 1.5]))
    assert torch.equal(soft[0], sharp[0])
    # In the interior it is the convolution with the sampled Gaussian.
    steps = torch.arange(-8, 9).float()
    kernel = torch.exp(-steps.square() / (2 * 1.5**2))
    kernel = kernel / kernel.sum()
    expected = F.conv2d(sharp[1, 0, 0][None, None], (kernel[:, None] * kernel)[None, None])
    torch.testing.assert_close(soft[1, 0, 0, 8:-8, 8:-8], expected[0, 0], atol=0.05, rtol=0)


def test_blur_keeps_flat_colors() -> None:
    matrix = gaussian(torch.tensor([0.0, 0.4, 3.0]), 20)
    torch.testing.assert_close(matrix.sum(dim=2), torch.ones(3, 20))
    assert torch.equal(matrix[0], torch.eye(20))
    tiny = torch.finfo(torch.float32).tiny
    assert ((matrix == 0) | (matrix > tiny)).all(), "denormal weights make products crawl"


def test_gather_against_a_loop() -> None:
    generator = torch.Generator().manual_seed(0)
    table = torch.rand(5, 7, 3, generator=generator)
    x = torch.cat([torch.rand(20, generator=generator) * 6, torch.tensor([0.0, 6.0])])
    y = torch.cat([torch.rand(20, generator=generator) * 4, torch.tensor([4.0, 4.0])])
    shown = torch.empty(3, len(x))
    gather(table, x, y, shown)
    for k in range(len(x)):
        i, j = int(y[k]), int(x[k])
        fy, fx = y[k] - i, x[k] - j
        below, right = min(i + 1, 4), min(j + 1, 6)
        top = table[i, j] * (1 - fx) + table[i, right] * fx
        bottom = table[below, j] * (1 - fx) + table[below, right] * fx
        torch.testing.assert_close(shown[:, k], top * (1 - fy) + bottom * fy)


@pytest.mark.parametrize("per_frame", [False, True])
@pytest.mark.parametrize("large", [0, 1 << 30])
def test_what_is_not_a_number_stays_within_the_frame(
    noise: Batch, planes: Tensor, per_frame: bool, large: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sample, "_LARGE", large)
    batch = noise()
    grid = torch.tensor([float("nan"), float("inf"), -float("inf"), 1e30]).view(1, 2, 1, 2)
    grid = grid.repeat(len(batch), 1, 2, 1)
    grid = grid[:, None].expand(-1, batch.frames, -1, -1, -1) if per_frame else grid
    shown = render(batch, grid, planes.repeat(2, 1, 1), clamp=None, pool=1)
    assert shown.isfinite().all()


@pytest.mark.parametrize("large", [0, 1 << 30])
def test_sizes_that_are_too_large_read_no_other_memory(
    noise: Batch, planes: Tensor, large: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sample, "_LARGE", large)
    batch = noise()
    wrong = ClipBatch(**{**vars(batch), "sizes": torch.tensor([[48, 64], [400_000, 64]])})
    grid, colors = whole(batch, (48, 64)), planes.repeat(2, 1, 1)
    shown = render(wrong, grid, colors, clamp=None, pool=1)
    assert shown.min() >= 0
    assert shown.max() <= 255


@pytest.mark.parametrize("large", [0, 1 << 30])
def test_planes_may_be_views_and_maps_may_be_learned(
    noise: Batch, planes: Tensor, large: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sample, "_LARGE", large)
    batch = noise(frames=4)
    every_second = batch.map(lambda tensor: tensor[:, ::2] if tensor.ndim == 4 else tensor)
    apart = every_second.map(torch.clone)
    grid, colors = crooked(batch), planes.repeat(2, 1, 1).requires_grad_()
    frames = torch.tensor([1, 0], dtype=torch.int32)
    torch.testing.assert_close(
        render(every_second, grid.clone().requires_grad_(), colors, frames=frames),
        render(apart, grid.double(), colors, frames=frames.long()),
    )


def test_threads_change_nothing(noise: Batch, planes: Tensor) -> None:
    batch = noise()
    grid, colors = crooked(batch), planes.repeat(2, 1, 1)
    threads, shown = torch.get_num_threads(), []
    try:
        for count in (1, 2):
            torch.set_num_threads(count)
            shown.append(render(batch, grid, colors, clamp=None))
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(*shown)


def test_wrong_grids_are_refused(noise: Batch, planes: Tensor) -> None:
    batch = noise()
    with pytest.raises(ValueError, match="grid must be"):
        render(batch, torch.zeros(3, 8, 8, 2), planes.repeat(2, 1, 1))
    colors, frames = planes.repeat(2, 1, 1), torch.tensor([0, 3])
    with pytest.raises(ValueError, match=r"frames must lie in 0\.\.2, got \[0, 3\]"):
        render(batch, crooked(batch), colors, frames=frames)
    with pytest.raises(ValueError, match=r"color must be \(2, 3, 4\).*got \[2, 3, 3\] and 3"):
        render(batch, crooked(batch), colors[:, :, :3])
    with pytest.raises(ValueError, match="bounds for 3 channels"):
        render(batch, crooked(batch), colors, clamp=((0.0, 1.0),))
    with pytest.raises(ValueError, match="maps for 2 frames"):
        render(batch, torch.zeros(2, 2, 8, 8, 2), planes.repeat(2, 1, 1))
