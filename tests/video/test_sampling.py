"""Draws stay inside the video where the window fits, and repeat under the same generator."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from unscene.errors import UnsceneError
from unscene.video.sampling import (
    FutureClipSampler,
    RandomClipSampler,
    TiledClipSampler,
    UniformClipSampler,
    clip_duration,
    clip_offsets,
)


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
    draws = [RandomClipSampler(frames, stride).draw(duration, fps, rng(seed))]
    uniform = UniformClipSampler(frames, stride, count)
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
    sampler, generator = RandomClipSampler(16, 2), rng()
    at = [sampler.draw(10.0, 25.0, generator).at for _ in range(300)]
    room = 10 - clip_duration(16, 2, 25.0) - 1 / 25
    assert min(at) < 0.05 * room
    assert max(at) > 0.95 * room
    assert np.mean(at) == pytest.approx(room / 2, rel=0.15)


def test_uniform_windows_are_even_and_a_single_one_is_central() -> None:
    room = 10 - clip_duration(16, 4, 25.0) - 1 / 25
    at = [UniformClipSampler(16, 4, 5).draw(10.0, 25.0, rng(), n).at for n in range(5)]
    np.testing.assert_allclose(at, np.linspace(0, room, 5))
    assert UniformClipSampler(16, 4).draw(10.0, 25.0, rng()).at == pytest.approx(room / 2)


def test_a_shift_delays_the_second_clip_by_every_tau_in_its_range() -> None:
    sampler, taus = RandomClipSampler(4, 2, shift=(2, 5), motion=("clip",)), set()
    for seed in range(60):
        request = sampler.draw(4.0, 25.0, rng(seed))
        clip, shifted = request.offsets["clip"], request.offsets["shifted"]
        assert len({b - a for a, b in zip(clip, shifted, strict=True)}) == 1
        taus.add(shifted[0] - clip[0])
        assert request.motion == ("clip",)
    assert taus == {2, 3, 4, 5}
    assert "shifted" not in RandomClipSampler(4, 2).draw(4.0, 25.0, rng()).offsets


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
    request = RandomClipSampler(4, 3, shift=shift, loops=False).draw(length / fps, fps, rng(seed))
    clip, shifted = request.offsets["clip"], request.offsets["shifted"]
    tau = shifted[0] - clip[0]
    room = length - 10  # what the clip leaves
    assert least <= tau <= max(least, min(least + more, room))
    if room >= least:
        assert round(request.at * fps) + shifted[-1] <= length - 1
    else:  # nothing can be done: it begins with the video
        assert request.at == 0


def test_without_loops_clips_and_shifts_reach_as_far_as_there_is_room() -> None:
    sampler, generator = RandomClipSampler(4, 3, shift=(2, 8), loops=False), rng()
    draws = [sampler.draw(30 / 25, 25.0, generator) for _ in range(400)]
    taus = [draw.offsets["shifted"][0] for draw in draws]
    begins = [round(draw.at * 25) for draw in draws]
    assert set(taus) == set(range(2, 9))
    ends = [tau + begin + 9 for tau, begin in zip(taus, begins, strict=True)]
    assert (min(begins), max(ends)) == (0, 29)
    looping = RandomClipSampler(4, 3, shift=(2, 8))
    assert max(looping.draw(30 / 25, 25.0, rng(k)).at * 25 for k in range(99)) > 19


@pytest.mark.parametrize(
    "sampler", [RandomClipSampler(8, 2, shift=(1, 9)), UniformClipSampler(8, 2, 3)]
)
def test_the_same_generator_draws_the_same_request(
    sampler: RandomClipSampler | UniformClipSampler,
) -> None:
    assert sampler.draw(9.0, 25.0, rng(3), 1) == sampler.draw(9.0, 25.0, rng(3), 1)
    other = RandomClipSampler(8, 2, shift=(1, 9)).draw(9.0, 25.0, rng(4))
    assert RandomClipSampler(8, 2, shift=(1, 9)).draw(9.0, 25.0, rng(3)) != other


@pytest.mark.parametrize("shape", [{"frames": 0}, {"frames": -1}, {"stride": 0}])
def test_windows_without_frames_or_stride_are_refused(shape: dict[str, int]) -> None:
    (name, value) = next(iter(shape.items()))
    for kind in (RandomClipSampler, UniformClipSampler):
        with pytest.raises(UnsceneError, match=f"{name} {value}: must be at least 1"):
            kind(**shape)  # type: ignore[arg-type]


@pytest.mark.parametrize("shift", [(3, 2), (-1, 2)])
def test_a_shift_that_runs_backwards_is_refused(shift: tuple[int, int]) -> None:
    with pytest.raises(UnsceneError, match="0 <= first <= second"):
        RandomClipSampler(shift=shift)


def test_offsets_of_a_window() -> None:
    assert clip_offsets(4, 3) == (0, 3, 6, 9)
    assert clip_offsets(1, 9) == (0,)
    assert clip_duration(16, 4, 30.0) == pytest.approx(2.0)


@pytest.mark.parametrize(
    ("frames", "stride", "total", "count"),
    [(16, 1, 48, 3), (16, 1, 47, 2), (4, 4, 32, 2), (4, 4, 29, 2), (4, 4, 28, 1), (16, 4, 5, 1)],
)
def test_tiled_windows_lie_end_to_end_and_never_overlap(
    frames: int, stride: int, total: int, count: int
) -> None:
    """29 frames hold two windows of 4 at stride 4: the last shows frames 16, 20, 24, 28."""
    sampler = TiledClipSampler(frames, stride)
    assert sampler.count(total / 25, 25.0) == count
    seen: list[int] = []
    for number in range(count):
        request = sampler.draw(total / 25, 25.0, np.random.default_rng(0), number)
        seen += [round(request.at * 25) + offset for offset in request.offsets["clip"]]
    assert len(set(seen)) == len(seen) == count * frames
    assert seen == sorted(seen)
    if total > frames * stride:
        assert seen[-1] < total


def begins(
    sampler: FutureClipSampler, length: int, seed: int
) -> tuple[dict[str, range], int | None]:
    """Frames of the video from first to last, by name, and the one a key frame is wanted for."""
    request = sampler.draw(length / 25, 25.0, np.random.default_rng(seed))
    first = round(request.at * 25)
    frames = {n: range(o[0] + first, o[-1] + first + 1) for n, o in request.offsets.items()}
    key = request.key_frame
    return frames, None if key is None else key + first


def test_a_video_needs_71_frames_with_the_authors_numbers() -> None:
    assert FutureClipSampler().least == 71
    assert FutureClipSampler(motion=False).least == 61
    assert FutureClipSampler(gap=None).least == 61


@example(frames=1, stride=1, count=2, gap=None, more=0, reach=0, pixels=False, seed=0)
@example(frames=1, stride=1, count=1, gap=None, more=0, reach=0, pixels=True, seed=0)
@given(
    frames=st.integers(1, 20),
    stride=st.integers(1, 4),
    count=st.integers(1, 9),
    gap=st.one_of(st.none(), st.integers(1, 5)),
    more=st.integers(0, 300),
    reach=st.integers(0, 80),
    pixels=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_windows_lie_inside_the_video_and_the_others_beside_the_motion(
    frames: int,
    stride: int,
    count: int,
    gap: int | None,
    more: int,
    reach: int,
    pixels: bool,
    seed: int,
) -> None:
    sampler = FutureClipSampler(
        frames,
        stride,
        motion_frames=count,
        gap=gap,
        reach=reach,
        motion_as="frames" if pixels else "vectors",
    )
    length = sampler.least + more
    found, key = begins(sampler, length, seed)
    assert all(shown[0] >= 0 and shown[-1] < length for shown in found.values())
    clip, motion = found["clip"], found["motion"]
    assert len(clip) == (frames - 1) * stride + 1
    moved = motion[int(pixels) :]  # the frame in front only shows what moves from
    assert len(moved) == count
    if gap is not None:
        assert moved[0] == clip[-1] + gap
    elif len(clip) > count:
        assert moved[-1] == clip[-1]
    for name in ("other0", "other1", "other2"):
        assert not set(found[name][int(pixels) :]) & set(moved)
        begin = found[name][0] + int(pixels)
        near = clip[0] - reach <= begin <= clip[-1] + 1 + reach
        assert near or abs(begin - moved[0]) == count
    assert key is not None
    assert min(shown[0] for shown in found.values()) <= key <= clip[-1] + 5


def test_the_others_lie_apart_where_there_is_room() -> None:
    for seed in range(50):
        found, _ = begins(FutureClipSampler(), 400, seed)
        windows = [set(found[name]) for name in ("motion", "other0", "other1", "other2")]
        assert len(set.union(*windows)) == 4 * 8


def test_what_is_not_wanted_is_not_read() -> None:
    rng = np.random.default_rng(0)
    alone = FutureClipSampler(context=False, motion=False).draw(9.0, 25.0, rng)
    assert set(alone.offsets) == {"clip"}
    assert alone.key_frame is None
    any_frame = FutureClipSampler(key_only=False, motion=False).draw(9.0, 25.0, rng)
    assert set(any_frame.offsets) == {"clip", "key"}
    assert any_frame.key_frame is None
    vectors = FutureClipSampler().draw(9.0, 25.0, rng)
    assert set(vectors.motion_only) == {"motion", "other0", "other1", "other2"}
    frames = FutureClipSampler(motion_as="frames").draw(9.0, 25.0, rng)
    assert frames.motion_only == frames.motion == ()
    both = FutureClipSampler(motion_as="both").draw(9.0, 25.0, rng)
    assert both.motion == vectors.motion_only
    assert both.motion_only == ()
    assert both.offsets == frames.offsets or len(both.offsets["motion"]) == 9


def test_clips_reach_the_whole_video() -> None:
    first = [begins(FutureClipSampler(), 300, seed)[0]["clip"][0] for seed in range(400)]
    assert min(first) < 10
    assert max(first) > 300 - 71 - 10


def test_draws_reach_what_is_documented_and_no_further() -> None:
    """The key frame and the other moments lie before the clip and after it."""
    keys, taus, others = set(), set(), set()
    sampler = FutureClipSampler(
        4, 2, motion_frames=2, reach=10, near=5, key_only=False, shift=(-8, 8)
    )
    for seed in range(500):
        found, _ = begins(sampler, 400, seed)
        clip = found["clip"]
        if not 20 < clip[0] < 360:  # the ends of the video are in the way
            continue
        assert len(clip) == len(found["shifted"]) == 7
        keys.add(found["key"][0] - clip[0])
        taus.add(found["shifted"][0] - clip[0])
        others |= {found[f"other{k}"][0] - clip[0] for k in range(3)}
    assert keys == set(range(-5, 7 + 5))
    assert taus == set(range(-8, 9))
    future = 6 + 3  # `gap` frames after the clip's last
    assert others == set(range(-10, 7 + 10 + 1)) - {future - 1, future, future + 1}


def test_without_loops_the_shifted_clip_lies_inside_the_video() -> None:
    """With the present as motion there is no room behind the last clips but what is left so."""
    shape = {"frames": 4, "stride": 2, "motion_frames": 2, "gap": None, "shift": (0, 12)}
    inside, looping = FutureClipSampler(**shape, loops=False), FutureClipSampler(**shape)  # type: ignore[arg-type]
    draws = [begins(inside, 60, seed)[0] for seed in range(300)]
    assert max(found["shifted"][-1] for found in draws) == 59
    assert max(found["clip"][-1] for found in draws) > 54
    assert {found["shifted"][0] - found["clip"][0] for found in draws} == set(range(13))
    assert max(begins(looping, 60, seed)[0]["shifted"][-1] for seed in range(300)) > 59


def test_a_key_frame_is_looked_for_on_both_sides_of_the_clip() -> None:
    wanted = set()
    for seed in range(500):
        found, key = begins(FutureClipSampler(4, 2, others=1, reach=30), 400, seed)
        assert key is not None
        if found["other0"][0] < found["clip"][0] - 5:
            wanted.add(key - found["clip"][0])
    assert wanted == set(range(-5, 7 + 5))


def test_a_motion_of_no_frames_is_an_error() -> None:
    with pytest.raises(UnsceneError, match="motion of 0 frames, 3 after the clip"):
        FutureClipSampler(motion_frames=0)
