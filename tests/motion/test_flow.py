"""Motion: pans of known speed through DIS, vectors of known length through the chain."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from unscene.errors import UnsceneError
from unscene.motion.flow import (
    Preset,
    _dis,
    add_flow,
    codec_flow,
    dis_flow,
    fill_keyframes,
    flow_between,
)
from unscene.video.clip import Clip, Motion
from unscene.views import geometry, view_flow

MakeClip = Callable[..., Clip]


def motion(
    vectors: torch.Tensor,
    frames: list[int],
    *,
    size: tuple[int, int] = (48, 64),
    exact: bool = True,
) -> Motion:
    valid = torch.ones(vectors.shape[:-1], dtype=torch.bool)
    return Motion(vectors.float(), valid, torch.tensor(frames), size=size, block=8, exact=exact)


def test_static_clip_has_no_flow(make_clip: MakeClip) -> None:
    flow = dis_flow(make_clip(size=(120, 160)), grid=64)
    assert flow.shape == (3, 64, 64, 2)
    assert flow.dtype == torch.float16
    assert flow.abs().max() == 0


@pytest.mark.parametrize("preset", ["ultrafast", "fast", "medium"])
@pytest.mark.parametrize("step", [(3, 0), (0, -2), (-4, 2)])
def test_a_pan_reads_its_speed(make_clip: MakeClip, step: tuple[int, int], preset: str) -> None:
    clip = make_clip(size=(120, 160), step=step)
    flow = dis_flow(clip, grid=112, preset=preset).float()  # type: ignore[arg-type]
    median = flow.flatten(0, 2).median(dim=0).values * torch.tensor([160, 120]) / 2
    # Flow points back: content that moves right comes from the left.
    torch.testing.assert_close(median, -torch.tensor(step).float(), atol=0.15, rtol=0)


def test_a_small_grid_before_changes_nothing(make_clip: MakeClip) -> None:
    # OpenCV's object gives up its coarse scales for good once it has seen a small picture.
    clip = make_clip(size=(112, 112), step=(2, -1))
    _dis.cache_clear()
    alone = dis_flow(clip, grid=112)
    dis_flow(clip, grid=36)
    torch.testing.assert_close(dis_flow(clip, grid=112), alone, atol=0, rtol=0)


def test_flow_is_that_of_equation_2(make_clip: MakeClip) -> None:
    clip = make_clip(size=(112, 112), step=(2, -1))
    flow = dis_flow(clip, grid=112, preset="medium").float()
    where = geometry.pixel_centers((112, 112)) + flow
    earlier = torch.nn.functional.grid_sample(
        clip.y[:-1, None].float(), where, padding_mode="border", align_corners=False
    )
    error = (earlier[:, 0] - clip.y[1:].float()).abs()[:, 10:-10, 10:-10]
    assert error.mean() < 1.5
    still = (clip.y[:-1].float() - clip.y[1:].float()).abs()[:, 10:-10, 10:-10]
    assert still.mean() > 8 * error.mean()


@settings(max_examples=20, deadline=None)
@given(stride=st.integers(1, 5), x=st.integers(-3, 3), y=st.integers(-3, 3))
def test_constant_vectors_chain_to_stride_times_v(stride: int, x: int, y: int) -> None:
    vectors = torch.tensor([x, y]).expand(16, 6, 8, 2)
    frames = [0, stride, 2 * stride, 3 * stride]
    flow = codec_flow(motion(vectors, frames), grid=16)
    expected = torch.tensor([2 * x * stride / 64, 2 * y * stride / 48]).half()
    assert flow.shape == (3, 16, 16, 2)
    torch.testing.assert_close(flow, expected.expand(3, 16, 16, 2))


def test_chain_follows_the_path() -> None:
    """Frame 2 comes 16 px from the left, where frame 1 in turn moved 8 px down."""
    vectors = torch.zeros(3, 6, 8, 2)
    vectors[2, :, 4:] = torch.tensor([-16.0, 0.0])
    vectors[1, :, 2:6] = torch.tensor([0.0, -8.0])
    flow = codec_flow(motion(vectors, [0, 2]), grid=64).float()
    pixels = flow[0] * torch.tensor([32.0, 24.0])
    torch.testing.assert_close(pixels[32, 36], torch.tensor([-16.0, -8.0]), atol=0.01, rtol=0)
    torch.testing.assert_close(pixels[32, 20], torch.tensor([0.0, -8.0]), atol=0.01, rtol=0)
    torch.testing.assert_close(pixels[32, 2], torch.tensor([0.0, 0.0]), atol=0.01, rtol=0)


def test_chain_with_holes_loops_and_uneven_strides() -> None:
    vectors = torch.tensor([2.0, 0.0]).expand(9, 6, 8, 2)
    valid = torch.ones(9, 6, 8, dtype=torch.bool)
    valid[4] = False  # an intra frame: no vectors
    frames = torch.tensor([0, 1, 4, 8, 0])
    given = Motion(vectors, valid, frames, size=(48, 64), block=8, exact=True)
    for filled, wanted in ((False, [2.0, 4.0, 8.0, 0.0]), (True, [2.0, 6.0, 8.0, 0.0])):
        flow = codec_flow(given, grid=8, filled=filled).float()[..., 0] * 32
        torch.testing.assert_close(flow.mean(dim=(1, 2)), torch.tensor(wanted))


def test_frames_without_vectors_move_as_the_next_or_else_the_last_one_does() -> None:
    vectors = torch.arange(6.0)[:, None, None, None].expand(6, 1, 1, 2).clone()
    valid = torch.tensor([False, True, False, False, True, False])[:, None, None]
    given = Motion(vectors, valid, torch.tensor([0, 5]), size=(8, 8), block=8, exact=True)
    assert fill_keyframes(given).vectors[:, 0, 0, 0].tolist() == [1, 1, 1, 4, 4, 4]
    assert fill_keyframes(given).valid.all()
    nothing = Motion(vectors, valid & False, torch.tensor([0, 5]), size=(8, 8), block=8, exact=True)
    assert fill_keyframes(nothing) is nothing


def test_blocks_may_reach_beyond_the_frame() -> None:
    """50 pixels are 7 blocks of 8: the last one is mostly outside."""
    vectors = torch.zeros(2, 6, 7, 2)
    vectors[..., 0] = torch.arange(7.0)
    flow = codec_flow(motion(vectors, [0, 1], size=(48, 50)), grid=50).float()[0, 0, :, 0] * 25
    expected = ((torch.arange(50) + 0.5) / 8 - 0.5).clamp(0, 6)
    torch.testing.assert_close(flow, expected, atol=0.01, rtol=0)


def test_source_of_flow(make_clip: MakeClip) -> None:
    plain = make_clip(size=(48, 64))
    vectors = torch.tensor([4.0, 0.0]).expand(4, 14, 16, 2)
    fine = motion(vectors, [0, 1, 2, 3], size=(112, 128))
    exact = plain.replace(motion=fine)
    loose = plain.replace(motion=replace(fine, exact=False))
    coarse = plain.replace(motion=motion(vectors[:, :13], [0, 1, 2, 3], size=(104, 128)))

    def read(clip: Clip, source: str) -> float:
        flowing = add_flow(clip, source, grid=32)  # type: ignore[arg-type]
        flow = flowing.flow
        assert flow is not None
        assert flowing.motion is None  # it need not travel to the training process
        return float(flow[..., 0].median()) * 64

    assert read(exact, "auto") == 4
    assert all(read(clip, "codec") == 4 for clip in (exact, loose, coarse))
    assert all(read(clip, "auto") == 0 for clip in (plain, loose, coarse))
    assert read(exact, "dis") == 0
    with pytest.raises(ValueError, match="--flow auto") as caught:
        add_flow(plain, "codec")
    assert isinstance(caught.value, UnsceneError)
    with pytest.raises(ValueError, match="flow source"):
        add_flow(plain, "guess")  # type: ignore[arg-type]


def test_bad_settings_of_dis(make_clip: MakeClip) -> None:
    with pytest.raises(ValueError, match="at least 32"):
        dis_flow(make_clip(), grid=16)
    with pytest.raises(ValueError, match="preset"):
        dis_flow(make_clip(), grid=32, preset="slow")  # type: ignore[arg-type]


def test_flow_of_a_view() -> None:
    flow = torch.tensor([0.1, 0.04]).expand(2, 3, 32, 32, 2).half()
    mirrored = geometry.flip(torch.tensor([True, False]))
    half = geometry.crop(torch.tensor([[-0.5, -0.5, 0.5, 0.5]]).repeat(2, 1))
    seen = view_flow(flow, geometry.compose(half, mirrored), (8, 8))
    assert seen.shape == (2, 3, 8, 8, 2)
    for b, sign in ((0, -1), (1, 1)):
        expected = torch.tensor([0.2 * sign, 0.08]).expand(3, 8, 8, 2)
        torch.testing.assert_close(seen[b], expected, atol=1e-3, rtol=0)


@pytest.mark.parametrize("size", [40, 56, 80])
@pytest.mark.parametrize("preset", ["fast", "medium"])
def test_the_first_flow_of_a_process_is_like_the_later_ones(size: int, preset: Preset) -> None:
    generator = np.random.default_rng(0)
    coarse = generator.random((12, 12)).astype(np.float32)
    frame = cv2.resize(coarse * 255, (size, size), interpolation=cv2.INTER_CUBIC)
    frame = frame.clip(0, 255).astype(np.uint8)
    luma = np.stack([frame, np.roll(frame, 2, 1)])
    _dis.cache_clear()
    first = flow_between(luma, preset)
    np.testing.assert_array_equal(first, flow_between(luma, preset))
