"""Draws stay inside the video where the window fits, and repeat under the same generator."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unscene.errors import UnsceneError
from unscene.video.sampling import RandomWindow, TiledWindows, UniformWindows, span, window


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@given(
    frames=st.integers(1, 64),
    stride=st.integers(1, 8),
    length=st.integers(1, 3000),
    fps=st.sampled_from([5.0, 23.976, 25.0, 30.0, 59.94]),
    seed=st.integers(0, 1000),
    count=st.integers(1, 10),
)
def test_a_window_that_fits_ends_inside_the_video(
    frames: int, stride: int, length: int, fps: float, seed: int, count: int
) -> None:
    duration = length / fps
    draws = [RandomWindow(frames, stride).draw(duration, fps, rng(seed))]
    uniform = UniformWindows(frames, stride, count)
    draws += [uniform.draw(duration, fps, rng(), number) for number in range(count)]
    fits = (frames - 1) * stride < length
    for request in draws:
        assert 0 <= request.at <= max(0.0, duration)
        offsets = request.offsets["clip"]
        assert offsets == tuple(stride * i for i in range(frames))
        first = round(request.at * fps)  # the frame nearest to `at`
        if fits:
            assert first + offsets[-1] <= length - 1
        else:
            assert request.at == 0


def test_random_windows_reach_the_whole_video() -> None:
    sampler, generator = RandomWindow(16, 2), rng()
    at = [sampler.draw(10.0, 25.0, generator).at for _ in range(300)]
    room = 10 - span(16, 2, 25.0) - 1 / 25
    assert min(at) < 0.05 * room
    assert max(at) > 0.95 * room
    assert np.mean(at) == pytest.approx(room / 2, rel=0.15)


def test_uniform_windows_are_even_and_a_single_one_is_central() -> None:
    room = 10 - span(16, 4, 25.0) - 1 / 25
    at = [UniformWindows(16, 4, 5).draw(10.0, 25.0, rng(), n).at for n in range(5)]
    np.testing.assert_allclose(at, np.linspace(0, room, 5))
    assert UniformWindows(16, 4).draw(10.0, 25.0, rng()).at == pytest.approx(room / 2)


def test_a_shift_delays_the_second_clip_by_every_tau_in_its_range() -> None:
    sampler, taus = RandomWindow(4, 2, shift=(2, 5), motion=("clip",)), set()
    for seed in range(60):
        request = sampler.draw(4.0, 25.0, rng(seed))
        clip, shifted = request.offsets["clip"], request.offsets["shifted"]
        assert len({b - a for a, b in zip(clip, shifted, strict=True)}) == 1
        taus.add(shifted[0] - clip[0])
        assert request.motion == ("clip",)
    assert taus == {2, 3, 4, 5}
    assert "shifted" not in RandomWindow(4, 2).draw(4.0, 25.0, rng()).offsets


@given(
    length=st.integers(1, 300),
    fps=st.sampled_from([5.0, 23.976, 25.0, 59.94]),
    least=st.integers(0, 6),
    more=st.integers(0, 20),
    seed=st.integers(0, 1000),
)
def test_without_loops_both_clips_lie_inside_the_video_if_there_is_room(
    length: int, fps: float, least: int, more: int, seed: int
) -> None:
    shift = (least, least + more)
    request = RandomWindow(4, 3, shift=shift, loops=False).draw(length / fps, fps, rng(seed))
    clip, shifted = request.offsets["clip"], request.offsets["shifted"]
    tau = shifted[0] - clip[0]
    room = length - 10  # what the clip leaves
    assert least <= tau <= max(least, min(least + more, room))
    if room >= least:
        assert round(request.at * fps) + shifted[-1] <= length - 1
    else:  # nothing can be done: it begins with the video
        assert request.at == 0


def test_without_loops_clips_and_shifts_reach_as_far_as_there_is_room() -> None:
    sampler, generator = RandomWindow(4, 3, shift=(2, 8), loops=False), rng()
    draws = [sampler.draw(30 / 25, 25.0, generator) for _ in range(400)]
    taus = [draw.offsets["shifted"][0] for draw in draws]
    begins = [round(draw.at * 25) for draw in draws]
    assert set(taus) == set(range(2, 9))
    ends = [tau + begin + 9 for tau, begin in zip(taus, begins, strict=True)]
    assert (min(begins), max(ends)) == (0, 29)
    looping = RandomWindow(4, 3, shift=(2, 8))
    assert max(looping.draw(30 / 25, 25.0, rng(k)).at * 25 for k in range(99)) > 19


@pytest.mark.parametrize("sampler", [RandomWindow(8, 2, shift=(1, 9)), UniformWindows(8, 2, 3)])
def test_the_same_generator_draws_the_same_request(
    sampler: RandomWindow | UniformWindows,
) -> None:
    assert sampler.draw(9.0, 25.0, rng(3), 1) == sampler.draw(9.0, 25.0, rng(3), 1)
    other = RandomWindow(8, 2, shift=(1, 9)).draw(9.0, 25.0, rng(4))
    assert RandomWindow(8, 2, shift=(1, 9)).draw(9.0, 25.0, rng(3)) != other


@pytest.mark.parametrize("shape", [{"frames": 0}, {"frames": -1}, {"stride": 0}])
def test_windows_without_frames_or_stride_are_refused(shape: dict[str, int]) -> None:
    (name, value) = next(iter(shape.items()))
    for kind in (RandomWindow, UniformWindows):
        with pytest.raises(UnsceneError, match=f"{name} {value}: must be at least 1"):
            kind(**shape)  # type: ignore[arg-type]


@pytest.mark.parametrize("shift", [(3, 2), (-1, 2)])
def test_a_shift_that_runs_backwards_is_refused(shift: tuple[int, int]) -> None:
    with pytest.raises(UnsceneError, match="0 <= first <= second"):
        RandomWindow(shift=shift)


def test_offsets_of_a_window() -> None:
    assert window(4, 3) == (0, 3, 6, 9)
    assert window(1, 9) == (0,)
    assert span(16, 4, 30.0) == pytest.approx(2.0)


@pytest.mark.parametrize(
    ("frames", "stride", "total", "count"),
    [(16, 1, 48, 3), (16, 1, 47, 2), (4, 4, 32, 2), (4, 4, 29, 2), (4, 4, 28, 1), (16, 4, 5, 1)],
)
def test_tiled_windows_lie_end_to_end_and_never_overlap(
    frames: int, stride: int, total: int, count: int
) -> None:
    """29 frames hold two windows of 4 at stride 4: the last shows frames 16, 20, 24, 28."""
    sampler = TiledWindows(frames, stride)
    assert sampler.count(total / 25, 25.0) == count
    seen: list[int] = []
    for number in range(count):
        request = sampler.draw(total / 25, 25.0, np.random.default_rng(0), number)
        seen += [round(request.at * 25) + offset for offset in request.offsets["clip"]]
    assert len(set(seen)) == len(seen) == count * frames
    assert seen == sorted(seen)
    if total > frames * stride:
        assert seen[-1] < total
