"""Which frames a request gets: seeking, looping, segments, shifts, key frames, odd time stamps."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import media
from unscene.errors import VideoError
from unscene.video.clip import Clip
from unscene.video.decode import read_clips
from unscene.video.probe import probe
from unscene.video.sampling import Request

Read = Callable[..., Clip]
N = 30


@pytest.fixture(scope="module")
def short(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """30 frames at 25 a second, a key frame every 10."""
    options = {"bf": "2", "g": "10", "sc_threshold": "0"}
    return media.write(tmp_path_factory.mktemp("w") / "s.mp4", media.drift(N), options=options)


@pytest.fixture(scope="module")
def long(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten minutes at 5 frames a second, a key frame every 50."""
    options = {"preset": "ultrafast", "bf": "0", "g": "50", "sc_threshold": "0"}
    path = tmp_path_factory.mktemp("w") / "long.mp4"
    return media.write(path, media.drift(3000), rate=5, options=options)


def test_a_window_takes_its_offsets_in_order(
    short: Path, read: Read, assert_frames: Callable[..., None]
) -> None:
    plain = media.decode(short)
    clip = read(short, 0.2, (0, 4, 8, 12))
    assert_frames(clip, plain, (5, 9, 13, 17))
    np.testing.assert_allclose(clip.times.numpy(), np.array([5, 9, 13, 17]) / 25, atol=1e-9)


def test_several_clips_come_from_one_pass(
    short: Path, assert_frames: Callable[..., None], packets_decoded: list[int]
) -> None:
    plain = media.decode(short)
    request = Request(0.0, {"clip": (0, 2, 4), "shifted": (3, 5, 7), "one": (6,)})
    clips = read_clips(short, request)
    assert list(clips) == ["clip", "shifted", "one"]
    for name, offsets in request.offsets.items():
        assert_frames(clips[name], plain, offsets)
    assert len(packets_decoded) <= 7 + 4  # frames 0..7 and the reordering delay, once


def test_a_late_window_of_a_long_file_decodes_from_the_key_frame_before_it(
    long: Path, read: Read, assert_frames: Callable[..., None], packets_decoded: list[int]
) -> None:
    plain = media.decode(long)
    assert len(plain) == 3000
    for first in (2749, 2750, 2751, 2799):  # around a key frame
        packets_decoded.clear()
        clip = read(long, first / 5, range(0, 8, 2))
        assert_frames(clip, plain, range(first, first + 8, 2))
        assert len(packets_decoded) <= 50 + 8


@pytest.mark.parametrize(
    ("name", "codec", "rate", "count", "gop"),
    [("l.ts", "libx264", 5, 400, 200), ("l.mpg", "mpeg2video", 25, 900, 500)],
)
def test_a_key_frame_far_before_the_window_is_found_without_an_index(
    *, tmp_path: Path, read: Read, assert_frames, name: str, codec: str, rate, count, gop
) -> None:
    options = {"g": str(gop), "keyint_min": str(gop), "bf": "0"}
    options |= {"sc_threshold": "0" if codec == "libx264" else "1000000000"}
    path = media.write(tmp_path / name, media.drift(count), codec, rate=rate, options=options)
    plain = media.decode(path)
    assert [i for i, kind in enumerate(plain.kinds) if kind == "I"] == [0, gop]
    for first in (gop // 2, gop - 3, gop + gop // 2, count - 5):
        assert_frames(read(path, first / rate, (0, 1)), plain, (first, first + 1))


@pytest.mark.parametrize("name", ["a.ts", "a.avi"])
def test_mpeg_4_is_not_shown_without_its_key_frame(
    tmp_path: Path, read: Read, assert_frames: Callable[..., None], name: str
) -> None:
    path = media.write(tmp_path / name, media.drift(120, (64, 96)), "mpeg4", options={"g": "50"})
    plain = media.decode(path)
    for first in (0, 20, 45, 60, 97, 110):  # its decoder draws over gray, and says nothing
        assert_frames(read(path, first / 25, (0, 3)), plain, (first, first + 3))


@pytest.mark.parametrize("offsets", [range(0, 16, 4), range(0, 200, 7), (12,), (100, 101)])
def test_past_the_end_a_window_continues_at_the_start(
    short: Path, read: Read, assert_frames: Callable[..., None], offsets: range
) -> None:
    plain = media.decode(short)
    for first in (0, 18, 29):
        clip = read(short, first / 25, offsets)
        assert_frames(clip, plain, [(first + offset) % N for offset in offsets])


def test_a_window_beyond_the_end_is_the_one_at_the_start(
    short: Path, assert_frames: Callable[..., None]
) -> None:
    plain = media.decode(short)
    request = Request(50.0, {"clip": (0, 3)}, motion=("clip",), key_frame=0)
    clips = read_clips(short, request)
    assert_frames(clips["clip"], plain, (0, 3))
    assert_frames(clips["key"], plain, (0,))


@pytest.mark.parametrize("name", ["one.mp4", "one.avi", "one.mkv"])
def test_a_video_of_one_frame_repeats_it(tmp_path: Path, read: Read, name: str) -> None:
    codec = "mpeg4" if name.endswith("avi") else "libx264"
    path = media.write(tmp_path / name, media.drift(1), codec, options={"bf": "2"})
    plain, clip = media.decode(path), read(path, 0.0, range(0, 64, 4))
    assert (clip.y == clip.y[0]).all()
    np.testing.assert_array_equal(clip.y[0].numpy(), plain.y[0])


def test_a_segment_is_looped_inside_itself(
    short: Path, read: Read, assert_frames: Callable[..., None]
) -> None:
    plain = media.decode(short)
    clip = read(short, 0.0, range(12), start=0.2, end=0.4)  # frames 5..9
    assert_frames(clip, plain, [5 + i % 5 for i in range(12)])
    clip = read(short, 0.08, range(0, 12, 3), start=0.2, end=0.4)
    assert_frames(clip, plain, [5 + (2 + i) % 5 for i in range(0, 12, 3)])
    clip = read(short, 0.0, (0, 4, 5), start=1.0)  # to the end of the file: frames 25..29
    assert_frames(clip, plain, (25, 29, 25))


@pytest.mark.parametrize("cut", [0.4, 0.41, 0.39, 0.43])
def test_neighbouring_segments_share_no_frame_and_lose_none(
    short: Path, read: Read, cut: float
) -> None:
    before = read(short, 0.0, range(N), start=0.0, end=cut).times.unique()
    after = read(short, 0.0, range(N), start=cut).times.unique()
    assert sorted([*before.tolist(), *after.tolist()]) == pytest.approx([i / 25 for i in range(N)])


def test_a_segment_without_a_frame_is_an_error(short: Path, read: Read) -> None:
    with pytest.raises(VideoError, match="no frame can be decoded in this part"):
        read(short, 0.0, (0,), start=60.0)


@pytest.mark.parametrize(("first", "key"), [(0, 0), (9, 0), (10, 10), (11, 10), (25, 20)])
def test_the_key_frame_is_the_last_one_at_or_before_the_window(
    short: Path, assert_frames: Callable[..., None], first: int, key: int
) -> None:
    plain = media.decode(short)
    assert [i for i, kind in enumerate(plain.kinds) if kind == "I"] == [0, 10, 20]
    clips = read_clips(short, Request(first / 25, {"clip": (0, 3)}, key_frame=0))
    assert_frames(clips["key"], plain, [key])
    assert_frames(clips["clip"], plain, [first, (first + 3) % N])
    assert clips["key"].times.tolist() == pytest.approx([key / 25])


@pytest.mark.parametrize(("wanted", "key"), [(0, 0), (7, 0), (8, 10), (13, 10), (18, 20)])
def test_the_key_frame_may_be_read_at_another_offset(
    short: Path, assert_frames: Callable[..., None], wanted: int, key: int
) -> None:
    plain = media.decode(short)
    clips = read_clips(short, Request(2 / 25, {"clip": (0, 3), "late": (19,)}, key_frame=wanted))
    assert_frames(clips["key"], plain, [key])


VARIABLE = [0, 40, 80, 500, 520, 540, 1000, 2000, 2040, 2080, 2090, 3000]


@pytest.mark.parametrize("name", ["v.mkv", "v.mp4"])
@pytest.mark.parametrize("b_frames", ["0", "2"])
def test_a_variable_frame_rate_is_read_by_time_not_by_number(
    tmp_path: Path, read: Read, assert_frames: Callable[..., None], name: str, b_frames: str
) -> None:
    options = {"bf": b_frames, "g": "4", "sc_threshold": "0"}
    frames = media.drift(len(VARIABLE))
    path = media.write(tmp_path / name, frames, options=options, pts=VARIABLE)
    plain = media.decode(path)
    whole = read(path, 0.0, range(len(VARIABLE)))
    np.testing.assert_allclose(whole.times.numpy() * 1000, VARIABLE, atol=1.01)
    fps = probe(path).fps
    for at in np.arange(0.0, 3.0, 0.037):
        first = int(np.argmax(plain.times >= at - 0.5 / fps))
        assert_frames(read(path, at, fps=fps), plain, [first])


def test_times_count_from_the_first_frame(
    tmp_path: Path, read: Read, assert_frames: Callable[..., None]
) -> None:
    pts = [7000 + 40 * i for i in range(20)]
    options = {"bf": "0", "g": "5", "sc_threshold": "0"}
    path = media.write(tmp_path / "late.ts", media.drift(20), options=options, pts=pts)
    assert read(path).times.tolist() == [0.0]
    assert_frames(read(path, 0.4), media.decode(path), [10])


def test_avi_has_even_times_although_it_stores_none(footage_root: Path, read: Read) -> None:
    for path in sorted((footage_root / "ucf101_pool").glob("*/*.avi"))[:3]:
        times = read(path, 0.0, range(30)).times
        np.testing.assert_allclose(times.numpy(), np.arange(30) / probe(path).fps, atol=1e-4)


@pytest.mark.parametrize("b_frames", ["0", "3"])
def test_raw_streams_have_no_times_and_are_read_all_the_same(
    tmp_path: Path, read: Read, assert_frames: Callable[..., None], b_frames: str
) -> None:
    options = {"bf": b_frames, "g": "10"}
    path = media.write(tmp_path / "raw.h264", media.drift(N), options=options)
    plain, info = media.decode(path), probe(path)
    assert info.duration == pytest.approx(N / info.fps)
    for first, offsets in ((0, (0, 5)), (17, (0, 5)), (28, (0, 1, 2))):
        clip = read(path, first / info.fps, offsets)
        assert_frames(clip, plain, [(first + offset) % N for offset in offsets])


@pytest.mark.parametrize(
    ("name", "codec"), [("a.m1v", "mpeg1video"), ("a.m2v", "mpeg2video"), ("a.h261", "h261")]
)
def test_times_of_raw_streams_begin_at_zero(
    tmp_path: Path, read: Read, assert_frames: Callable[..., None], name: str, codec: str
) -> None:
    path = media.write(tmp_path / name, media.drift(N, (144, 176)), codec, options={"g": "10"})
    plain, info = media.decode(path), probe(path)
    assert info.duration == pytest.approx(N / info.fps)
    for first in (0, 5, 17, 28):
        clip = read(path, first / info.fps, (0, 1, 4))
        assert_frames(clip, plain, [(first + offset) % N for offset in (0, 1, 4)])
        assert clip.times[0] == pytest.approx(first / info.fps)


@pytest.mark.parametrize(("name", "codec"), [("l.mkv", "libx264"), ("l.webm", "libvpx-vp9")])
def test_a_live_recording_does_not_say_how_long_it_is(
    tmp_path: Path, read: Read, assert_frames: Callable[..., None], name: str, codec: str
) -> None:
    fast = {"cpu-used": "8", "deadline": "realtime"} if codec != "libx264" else {}
    options = {"g": "10", **fast}
    path = media.write(tmp_path / name, media.drift(N), codec, options=options, muxer={"live": "1"})
    info = probe(path)
    assert info.frames is None
    assert info.duration == pytest.approx(N / 25, abs=0.01)
    assert_frames(read(path, 1.0, (0, 4, 5)), media.decode(path), (25, 29, 0))


def test_the_length_of_an_uneven_live_recording_is_measured_in_time(tmp_path: Path) -> None:
    path = tmp_path / "v.mkv"
    options = {"bf": "0", "g": "4"}
    media.write(path, media.drift(12), options=options, pts=VARIABLE, muxer={"live": "1"})
    assert probe(path).duration == pytest.approx(3.0 + 3.0 / 11, abs=0.01)


@pytest.mark.parametrize(
    ("name", "muxer"),
    [("s.mkv", {}), ("s.mkv", {"live": "1"}), ("s.flv", {}), ("s.mp4", {}), ("s.ts", {})],
)
def test_the_length_is_that_of_the_pictures_not_of_the_sound(
    tmp_path: Path, name: str, muxer: dict[str, str]
) -> None:
    options, path = {"bf": "0", "g": "10"}, tmp_path / name
    media.write(path, media.drift(25), options=options, muxer=muxer, audio_seconds=6.0)
    assert probe(path).duration == pytest.approx(1.0, abs=0.05)
