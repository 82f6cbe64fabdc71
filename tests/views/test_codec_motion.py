"""Forward motion under views, along strides, and what it leaves; slow loops and coded pans."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import media
from unscene.motion.flow import accumulate_vectors
from unscene.video.clip import Clip, ClipBatch, Motion, MotionBatch
from unscene.video.decode import read_clips
from unscene.video.sampling import Request
from unscene.views import geometry
from unscene.views.codec_motion import compute_residual, motion_maps


def constant(x: float, y: float, size: tuple[int, int] = (48, 64), frames: int = 2) -> MotionBatch:
    """A picture that moves (x, y) px a frame: vectors point back."""
    rows, columns = -(-size[0] // 8), -(-size[1] // 8)
    vectors = torch.tensor([-x, -y]).expand(frames, rows, columns, 2)
    valid = torch.ones(frames, rows, columns, dtype=torch.bool)
    return MotionBatch.of([Motion(vectors, valid, torch.arange(frames), size, 8, True)])


def half() -> Tensor:
    return geometry.crop(torch.tensor([[-0.5, -0.5, 0.5, 0.5]]))


MIRROR = geometry.flip(torch.tensor([True]))


@pytest.mark.parametrize(
    ("affine", "size", "view", "source"),
    [
        (geometry.identity(1), (48, 64), (3, -2), (3, -2)),
        (MIRROR, (48, 64), (-3, -2), (-3, -2)),
        (geometry.identity(1), (24, 128), (6, -1), (3, -2)),  # resize
        (half(), (48, 64), (6, -4), (3, -2)),  # crop of half the frame, as large as the frame
        (geometry.compose(half(), MIRROR), (24, 32), (-3, -2), (-3, -2)),
        # The frame turns counter-clockwise: what moved right moves up.
        (geometry.rotate(torch.tensor([90.0]), torch.tensor([64 / 48])), (48, 64), (-2, -3), None),
    ],
)
def test_vectors_turn_and_scale_with_the_view(
    affine: Tensor, size: tuple[int, int], view: tuple[int, int], source: tuple[int, int] | None
) -> None:
    moved = constant(3, -2)
    maps, valid = motion_maps(moved, affine, size)
    assert maps.shape == (1, 2, 2, *size)
    assert valid.shape == (1, 2, *size)
    assert valid.all()
    for channel in (0, 1):
        torch.testing.assert_close(
            maps[:, channel], torch.full((1, 2, *size), float(view[channel]))
        )
        if source is not None:
            measured, _ = motion_maps(moved, affine, size, unit="source")
            wanted = torch.full((1, 2, *size), float(source[channel]))
            torch.testing.assert_close(measured[:, channel], wanted)


def test_the_slips_of_the_authors() -> None:
    """Blocks move with crop and flip, numbers stay what they were."""
    affine = geometry.compose(half(), MIRROR)
    maps, _ = motion_maps(constant(3, -2), affine, (48, 64), corrected=False)
    assert maps[:, 0].unique().tolist() == [3]
    assert maps[:, 1].unique().tolist() == [-2]
    moved = constant(0, 0)
    moved.vectors[:, :, 2, 2] = torch.tensor([-4.0, 0.0]).half()  # block at x 16..24, y 16..24
    maps, _ = motion_maps(moved, MIRROR, (48, 64), corrected=False)
    place = torch.nonzero(maps[0, 0, 0])
    assert place.amin(dim=0).tolist() == [16, 40]
    assert place.amax(dim=0).tolist() == [23, 47]


def test_a_limit_clamps_and_divides() -> None:
    maps, _ = motion_maps(constant(15, -5), geometry.identity(1), (6, 8), unit="source", limit=10)
    assert maps[0, :, 0, 0, 0].tolist() == [1.0, -0.5]
    # In pixels of a view of an eighth of the frame 15 px are less than 2.
    maps, _ = motion_maps(constant(15, -5), geometry.identity(1), (6, 8), limit=10)
    assert maps[0, :, 0, 0, 0].tolist() == [0.1875, -0.0625]


def slow_maps(motion: MotionBatch, affine: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Pixel by pixel: the block under its center; that block's two ends taken to the view."""
    batch, frames = motion.vectors.shape[:2]
    maps, valid = torch.zeros(batch, 2, frames, *size), torch.zeros(batch, frames, *size).bool()
    for b in range(batch):
        height, width = motion.sizes[b].tolist()
        scale = torch.tensor([width / 2, height / 2])
        back = torch.linalg.inv(affine[b])
        for i in range(size[0]):
            for j in range(size[1]):
                at = torch.tensor([(2 * j + 1) / size[1] - 1, (2 * i + 1) / size[0] - 1, 1.0])
                x, y = ((affine[b] @ at)[:2] * scale + scale).tolist()
                column = int(min(max(x, 0), width - 1) // 8)
                row = int(min(max(y, 0), height - 1) // 8)
                for t in range(frames):
                    if motion.valid[b, t, row, column]:
                        dst = (affine[b] @ at)[:2]
                        src = dst + motion.vectors[b, t, row, column].float() / scale
                        ends = [(back @ torch.cat([p, torch.ones(1)]))[:2] for p in (dst, src)]
                        pixels = (ends[0] - ends[1]) * torch.tensor([size[1] / 2, size[0] / 2])
                        maps[b, :, t, i, j], valid[b, t, i, j] = pixels, True
    return maps, valid


@settings(max_examples=8, deadline=None)
@given(
    sizes=st.tuples(*[st.integers(9, 40)] * 4),
    degrees=st.floats(-40, 40),
    box=st.tuples(*[st.floats(0.1, 1.2)] * 4),
    flipped=st.booleans(),
    seed=st.integers(0, 99),
)
def test_maps_equal_a_slow_loop(sizes, degrees, box, flipped, seed) -> None:
    generator = torch.Generator().manual_seed(seed)
    windows = []
    for height, width in (sizes[:2], sizes[2:]):
        grid = (2, -(-height // 8), -(-width // 8))
        vectors = torch.randint(-80, 80, (*grid, 2), generator=generator) / 4
        valid = torch.rand(grid, generator=generator) > 0.3
        windows.append(Motion(vectors, valid, torch.arange(2), (height, width), 8, True))
    motion = MotionBatch.of(windows)
    left, top, right, bottom = box
    affine = geometry.crop(torch.tensor([[-left, -top, right, bottom]]).repeat(2, 1))
    affine = geometry.compose(affine, geometry.flip(torch.tensor([flipped, not flipped])))
    aspect = motion.sizes[:, 1] / motion.sizes[:, 0]
    affine = geometry.compose(geometry.rotate(torch.full((2,), degrees), aspect), affine)
    maps, valid = motion_maps(motion, affine, (5, 7))
    slow, slow_valid = slow_maps(motion, affine, (5, 7))
    # A center that falls on the edge of two blocks may go to either.
    same = (maps - slow).abs().amax(dim=1) < 1e-3
    assert same.float().mean() > 0.97
    assert (valid == slow_valid).float().mean() > 0.97


@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
@pytest.mark.parametrize("codec", ["libx264", "mpeg4"])
def test_a_coded_pan_reads_its_speed_in_every_frame(
    tmp_path: Path, codec: str, degrees: int
) -> None:
    """From the file to the map: pan, rotation metadata, crop, flip and resize."""
    options = media.PAN if codec == "libx264" else {"g": "12", "bf": "0"}
    path = media.write(tmp_path / "a.mp4", media.pan(24, (96, 128), (3, 1)), codec, options=options)
    kinds = media.decode(path).kinds
    path = media.turn(path, degrees) if degrees else path
    request = Request(0.0, {"future": tuple(range(20))}, motion_only=("future",))
    batch = ClipBatch.of([read_clips(path, request)["future"]] * 2)
    assert batch.motion is not None
    assert batch.motion.exact.all()
    height, width = batch.sizes[0].tolist()
    affine = geometry.crop(torch.tensor([[-0.5, -0.5, 0.5, 0.5]] * 2))
    affine = geometry.compose(affine, geometry.flip(torch.tensor([False, True])))
    maps, valid = motion_maps(batch.motion, affine, (height, width // 4))
    x, y = {0: (3, 1), 90: (-1, 3), 180: (-3, -1), 270: (1, -3)}[degrees]
    for t in range(20):
        if kinds[t] == "I":
            assert not valid[:, t].any()
            assert not maps[:, :, t].any()
            continue
        for b, sign in ((0, 1), (1, -1)):
            seen = maps[b, :, t][:, valid[b, t]]
            assert seen.shape[1] > 0.7 * height * width / 4
            # The view shows half the frame: twice as high, and half as wide, in pixels.
            assert seen.median(dim=1).values.tolist() == [sign * x / 2, y * 2]


def test_what_does_not_fit_is_refused() -> None:
    moved = constant(1, 1)
    with pytest.raises(ValueError, match=r"affine must be \[1, 3, 3\]"):
        motion_maps(moved, geometry.identity(2), (8, 8))
    with pytest.raises(ValueError, match="unit must be"):
        motion_maps(moved, geometry.identity(1), (8, 8), unit="inch")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="limit must be"):
        motion_maps(moved, geometry.identity(1), (8, 8), limit=0)


@pytest.mark.parametrize("stride", [1, 3, 4])
def test_motion_adds_up_over_a_stride(tmp_path: Path, stride: int) -> None:
    options = {**media.PAN, "g": "50"}
    path = media.write(tmp_path / "a.mp4", media.pan(26, (96, 160), (2, -1)), options=options)
    request = Request(0.04, {"clip": tuple(range(0, 5 * stride, stride))}, motion=("clip",))
    clip = read_clips(path, request)["clip"]
    assert clip.motion is not None
    total, valid = accumulate_vectors(MotionBatch.of([clip.motion, clip.motion]))
    assert total.shape == (2, 4, 12, 20, 2)
    for t in range(4):
        inner = valid[1, t, 2:-2, 2:-2]
        assert inner.float().mean() > 0.8
        seen = total[1, t, 2:-2, 2:-2][inner].median(dim=0).values
        assert seen.tolist() == [-2 * stride, stride]


def test_a_path_is_valid_if_all_its_steps_are() -> None:
    vectors, valid = torch.zeros(5, 1, 2, 2), torch.ones(5, 1, 2, dtype=torch.bool)
    vectors[3, 0, 0, 0] = 8.0  # block 0 came from where block 1 stands
    valid[2, 0, 1] = False
    window = Motion(vectors, valid, torch.tensor([0, 1, 3, 0]), (8, 16), 8, True)
    total, has = accumulate_vectors(MotionBatch.of([window]))
    assert has[0, :, 0].tolist() == [[True, True], [False, False], [False, False]]
    assert total[0, 1, 0, :, 0].tolist() == [8, 0]


def moving(make_clip: Callable[..., Clip], step: tuple[int, int], **more: int) -> Clip:
    """A pan whose vectors are known, 3 px lighter in its last frame."""
    clip = make_clip(step=step, **more)
    height, width = clip.size
    rows, columns = -(-height // 8), -(-width // 8)
    vectors = -torch.tensor(step).float().expand(len(clip), rows, columns, 2)
    valid = torch.ones(len(clip), rows, columns, dtype=torch.bool)
    valid[1] = False
    motion = Motion(vectors, valid, torch.arange(len(clip)), (height, width), 8, True)
    y = clip.y.clone()
    y[-1] += 3
    return clip.replace(y=y, motion=motion)


@pytest.mark.parametrize("step", [(2, 0), (-3, 1)])
def test_what_motion_explains_leaves_no_residual_and_light_does(
    make_clip: Callable[..., Clip], step: tuple[int, int]
) -> None:
    batch = ClipBatch.of([moving(make_clip, step), moving(make_clip, step, size=(40, 100))])
    left, valid = compute_residual(batch)
    assert left.shape == valid.shape == (2, 3, 64, 100)
    assert left[:, 0].abs().max() == 0  # frame 1 has no vectors
    assert not valid[:, 0].any()
    for b, (height, width) in enumerate(batch.sizes.tolist()):
        assert valid[b, 1:, :height, :width].all()
        assert not valid[b, :, height:].any()
        assert not valid[b, :, :, width:].any()
        inner = left[b, :, 4 : height - 4, 4 : width - 4]
        assert inner[1].abs().max() < 1e-3
        torch.testing.assert_close(inner[2], torch.full_like(inner[2], 3.0), atol=1e-3, rtol=0)
    with pytest.raises(ValueError, match=r"Request\.motion"):
        compute_residual(ClipBatch.of([make_clip()]))


def test_a_coded_pan_has_less_residual_than_difference(tmp_path: Path) -> None:
    options = {**media.PAN, "g": "50"}
    path = media.write(tmp_path / "a.mp4", media.pan(12, (96, 128), (3, 1)), options=options)
    request = Request(0.04, {"clip": tuple(range(0, 10, 3))}, motion=("clip",))
    batch = ClipBatch.of([read_clips(path, request, short_side=48)["clip"]])
    left, valid = compute_residual(batch)
    inner = valid[..., 8:-8, 8:-8]
    difference = (batch.y[:, 1:].float() - batch.y[:, :-1].float())[..., 8:-8, 8:-8]
    assert inner.float().mean() > 0.8
    assert left[..., 8:-8, 8:-8][inner].abs().mean() < 0.3 * difference[inner].abs().mean()
