"""CMD's windows: inside the video, the future where it belongs, the others beside it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from unscene.errors import UnsceneError
from unscene.video.sampling_future import FutureWindows


def begins(sampler: FutureWindows, length: int, seed: int) -> tuple[dict[str, range], int | None]:
    """Frames of the video from first to last, by name, and the one a key frame is wanted for."""
    request = sampler.draw(length / 25, 25.0, np.random.default_rng(seed))
    first = round(request.at * 25)
    frames = {n: range(o[0] + first, o[-1] + first + 1) for n, o in request.offsets.items()}
    key = request.key_frame
    return frames, None if key is None else key + first


def test_a_video_needs_71_frames_with_the_authors_numbers() -> None:
    assert FutureWindows().least == 71
    assert FutureWindows(motion=False).least == 61
    assert FutureWindows(gap=None).least == 61


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
    sampler = FutureWindows(
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
        found, _ = begins(FutureWindows(), 400, seed)
        windows = [set(found[name]) for name in ("motion", "other0", "other1", "other2")]
        assert len(set.union(*windows)) == 4 * 8


def test_what_is_not_wanted_is_not_read() -> None:
    rng = np.random.default_rng(0)
    alone = FutureWindows(context=False, motion=False).draw(9.0, 25.0, rng)
    assert set(alone.offsets) == {"clip"}
    assert alone.key_frame is None
    any_frame = FutureWindows(key_only=False, motion=False).draw(9.0, 25.0, rng)
    assert set(any_frame.offsets) == {"clip", "key"}
    assert any_frame.key_frame is None
    vectors = FutureWindows().draw(9.0, 25.0, rng)
    assert set(vectors.motion_only) == {"motion", "other0", "other1", "other2"}
    frames = FutureWindows(motion_as="frames").draw(9.0, 25.0, rng)
    assert frames.motion_only == frames.motion == ()
    both = FutureWindows(motion_as="both").draw(9.0, 25.0, rng)
    assert both.motion == vectors.motion_only
    assert both.motion_only == ()
    assert both.offsets == frames.offsets or len(both.offsets["motion"]) == 9


def test_clips_reach_the_whole_video() -> None:
    first = [begins(FutureWindows(), 300, seed)[0]["clip"][0] for seed in range(400)]
    assert min(first) < 10
    assert max(first) > 300 - 71 - 10


def test_draws_reach_what_is_documented_and_no_further() -> None:
    """The key frame and the other moments lie before the clip and after it."""
    keys, taus, others = set(), set(), set()
    sampler = FutureWindows(4, 2, motion_frames=2, reach=10, near=5, key_only=False, shift=(-8, 8))
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
    inside, looping = FutureWindows(**shape, loops=False), FutureWindows(**shape)  # type: ignore[arg-type]
    draws = [begins(inside, 60, seed)[0] for seed in range(300)]
    assert max(found["shifted"][-1] for found in draws) == 59
    assert max(found["clip"][-1] for found in draws) > 54
    assert {found["shifted"][0] - found["clip"][0] for found in draws} == set(range(13))
    assert max(begins(looping, 60, seed)[0]["shifted"][-1] for seed in range(300)) > 59


def test_a_key_frame_is_looked_for_on_both_sides_of_the_clip() -> None:
    wanted = set()
    for seed in range(500):
        found, key = begins(FutureWindows(4, 2, others=1, reach=30), 400, seed)
        assert key is not None
        if found["other0"][0] < found["clip"][0] - 5:
            wanted.add(key - found["clip"][0])
    assert wanted == set(range(-5, 7 + 5))


def test_a_motion_of_no_frames_is_an_error() -> None:
    with pytest.raises(UnsceneError, match="motion of 0 frames, 3 after the clip"):
        FutureWindows(motion_frames=0)
