"""Files that are damaged, odd or no video: read what can be read, else one clear VideoError."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

import media
from unscene.errors import VideoError
from unscene.prepare.inspect import inspect
from unscene.video.clip import Clip
from unscene.video.decode import read_clips
from unscene.video.planes import PlaneReader, Planes
from unscene.video.probe import probe
from unscene.video.sampling import Request

Read = Callable[..., Clip]
OPTIONS = {"bf": "2", "g": "10", "sc_threshold": "0"}


@pytest.fixture(autouse=True)
def _every_file_is_closed_again(tmp_path: Path) -> Iterator[None]:
    """Of this test's folder: what earlier tests left open may be closed at any moment."""
    yield
    places = []
    for descriptor in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):  # that of the listing itself
            places.append(str(descriptor.readlink()))
    assert [place for place in places if place.startswith(str(tmp_path))] == []


@pytest.fixture
def video(tmp_path: Path) -> Path:
    path = tmp_path / "good.mp4"
    return media.write(path, media.drift(40), options=OPTIONS, muxer={"movflags": "faststart"})


def refuses(path: Path, reason: str) -> None:
    """probe and read_clips agree, name the file and the reason."""
    for use in (probe, lambda p: read_clips(p, Request(0.0, {"clip": (0,)}))):
        with pytest.raises(VideoError, match=reason) as caught:
            use(path)
        assert caught.value.path == str(path)
        assert str(caught.value).startswith(f"{path}: ")


def test_what_is_no_video_is_refused_with_its_reason(tmp_path: Path, text_file: Path) -> None:
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "folder.mp4").mkdir()
    os.mkfifo(tmp_path / "pipe.mp4")  # opening it would wait for ever
    refuses(tmp_path / "absent.mp4", "does not exist")
    refuses(tmp_path / "empty.mp4", "is empty")
    refuses(tmp_path / "folder.mp4", "is a directory")
    refuses(tmp_path / "pipe.mp4", "is not a regular file")
    refuses(text_file, "is not a video that FFmpeg can read|invalid data")


def test_a_file_that_may_not_be_read_says_permissions(
    video: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # root may read everything
    refuses(video, "permissions")


@pytest.mark.parametrize(
    ("name", "codec", "cover"),
    [("a.m4a", "aac", False), ("a.mp3", "libmp3lame", False), ("cover.mp3", "libmp3lame", True)],
)
def test_sound_and_cover_art_are_no_video(
    tmp_path: Path, name: str, codec: str, cover: bool
) -> None:
    refuses(media.write_audio(tmp_path / name, codec, cover=cover), "has no video stream")


def test_sound_beside_the_pictures_is_passed_over(tmp_path: Path, read: Read) -> None:
    frames = list(media.drift(20))
    path = media.write(tmp_path / "av.mp4", frames, options=OPTIONS, audio_seconds=2.0)
    assert probe(path).duration == pytest.approx(0.8)  # the pictures', not the sound's
    np.testing.assert_array_equal(read(path, 0.4).y[0].numpy(), media.decode(path).y[10])


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts", ".avi", ".h264"])
def test_a_cut_file_gives_what_is_left_of_it(tmp_path: Path, read: Read, suffix: str) -> None:
    whole = tmp_path / f"whole{suffix}"
    codec = "mpeg4" if suffix == ".avi" else "libx264"
    muxer = {"movflags": "faststart"} if suffix == ".mp4" else {}
    options = OPTIONS if suffix != ".avi" else {"g": "10"}
    media.write(whole, media.drift(40, (64, 96)), codec, options=options, muxer=muxer)
    data, plain = whole.read_bytes(), media.decode(whole)
    readable = 0
    for share in (0.02, 0.1, 0.3, 0.5, 0.7, 0.9, 0.99):
        path = tmp_path / f"cut{share}{suffix}"
        path.write_bytes(data[: int(len(data) * share)])
        for at in (0.0, 0.8, 1.5):
            try:
                clip = read(path, at, (0, 1, 2, 3))
            except VideoError as error:
                assert error.path == str(path)  # noqa: PT017
                continue
            readable += 1
            assert len(clip) == 4
        if share >= 0.7:  # the start is unharmed
            np.testing.assert_array_equal(read(path).y[0].numpy(), plain.y[0])
            assert probe(path).width == 96
    assert readable >= 9


def test_the_key_frame_of_a_window_behind_a_cut_is_the_first(video: Path) -> None:
    plain = media.decode(video)
    data = video.read_bytes()
    video.write_bytes(data[: int(len(data) * 0.7)])
    clips = read_clips(video, Request(1.5, {"clip": (0,)}, key_frame=0))
    for clip in clips.values():
        np.testing.assert_array_equal(clip.y[0].numpy(), plain.y[0])


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts", ".avi", ".webm", ".h264"])
def test_flipped_bytes_never_hang_or_escape_as_another_error(
    tmp_path: Path, read: Read, suffix: str
) -> None:
    codec = {".avi": "mpeg4", ".webm": "libvpx-vp9"}.get(suffix, "libx264")
    options = {"g": "10"} if codec != "libvpx-vp9" else {"deadline": "realtime", "cpu-used": "8"}
    whole = media.write(tmp_path / f"whole{suffix}", media.drift(40), codec, options=options)
    data, readable = whole.read_bytes(), 0
    for seed in range(12):
        rng = np.random.default_rng(seed)
        damaged = np.frombuffer(data, np.uint8).copy()
        where = rng.integers(0, len(data), 1 + 4 * seed)
        damaged[where] ^= rng.integers(1, 256, len(where), dtype=np.uint8)
        path = tmp_path / f"damaged{seed}{suffix}"
        path.write_bytes(damaged.tobytes())
        for use in (lambda p: read(p, 0.7, range(0, 30, 5)), probe):
            try:
                use(path)
                readable += 1
            except VideoError:
                pass
    assert readable >= 8


def test_damage_in_the_middle_costs_its_frames_not_the_file(video: Path, read: Read) -> None:
    plain = media.decode(video)
    data = bytearray(video.read_bytes())
    start = data.index(b"mdat") + 4
    middle, size = start + (len(data) - start) // 2, (len(data) - start) // 8
    data[middle : middle + size] = bytes(size)
    video.write_bytes(data)
    clip = read(video, 0.0, range(40))
    np.testing.assert_array_equal(clip.y[:10].numpy(), plain.y[:10])  # first group of pictures
    np.testing.assert_array_equal(read(video, 1.2).y[0].numpy(), plain.y[30])  # behind the damage


def test_a_stream_that_begins_with_rubbish_is_read_from_its_first_whole_picture(
    tmp_path: Path, read: Read
) -> None:
    path = media.write(tmp_path / "a.ts", media.drift(40), options=OPTIONS)
    data = path.read_bytes()
    path.write_bytes(data[len(data) // 3 // 188 * 188 :])  # joined a running broadcast
    assert probe(path).width == 64
    assert len(read(path, 0.0, range(8))) == 8


@pytest.mark.parametrize(
    ("codec", "name"),
    [("mpeg4", "a.mp4"), ("mpeg4", "a.avi"), ("flv", "a.flv"), ("msmpeg4", "a.avi")],
)
def test_pictures_whose_key_frame_is_missing_are_damage(
    tmp_path: Path, read: Read, assert_frames: Callable[..., None], codec: str, name: str
) -> None:
    options, path = {"g": "20"}, tmp_path / name
    frames = media.drift(60, (64, 96))
    whole = media.write(tmp_path / f"whole_{name}", frames, codec, options=options)
    with av.open(str(whole)) as source, av.open(str(path), "w") as out:
        stream = source.streams.video[0]
        copy = out.add_stream_from_template(stream)
        for packet in [packet for packet in source.demux(stream) if packet.size][5:]:
            packet.pts = packet.pts if packet.pts is None else packet.pts - packet.duration * 5
            packet.dts = packet.dts if packet.dts is None else packet.dts - packet.duration * 5
            packet.stream = copy
            out.mux(packet)
    clip = read(path)  # FFmpeg would draw them over gray
    assert_frames(clip, media.decode(whole), [20])
    found = inspect(path)
    assert (found.damaged, found.verdict) == (15, "needs transcoding")
    assert "damaged" in found.reason
    assert found.decoded == 40


def write_two(path: Path, first: tuple[int, int], second: tuple[int, int], count: int) -> Path:
    """Two streams of pictures, (H, W) each; `count` pictures of the first one, 20 of the second."""
    with av.open(str(path), "w") as out:
        streams = [out.add_stream(codec, rate=25) for codec in ("mjpeg", "libx264")]
        for stream, size, kind in zip(
            streams, (first, second), ("yuvj420p", "yuv420p"), strict=True
        ):
            (stream.height, stream.width), stream.pix_fmt = size, kind
        for number, stream in enumerate(streams):
            for i, luma in enumerate(media.drift(20 if number else count, (first, second)[number])):
                frame = media.picture(luma, stream.pix_fmt)
                frame.pts, frame.time_base = i, Fraction(1, 25)
                out.mux(stream.encode(frame))
            out.mux(stream.encode(None))
    return path


def test_of_several_streams_the_one_is_read_that_players_show(tmp_path: Path, read: Read) -> None:
    path = write_two(tmp_path / "two.mkv", (32, 32), (64, 96), count=1)
    assert (probe(path).codec, probe(path).width) == ("h264", 96)
    assert inspect(path).width == 96
    assert read(path, 0.4).size == (64, 96)
    path = write_two(tmp_path / "same.mkv", (32, 32), (32, 32), count=20)
    assert len(read(path, 0.4)) == 1


def test_what_pyav_refuses_as_a_value_is_an_error_of_this_file(
    video: Path, read: Read, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuses_all(self: PlaneReader, frame: av.VideoFrame) -> Planes:
        raise ValueError("Invalid format")

    monkeypatch.setattr(PlaneReader, "__call__", refuses_all)
    with pytest.raises(VideoError, match="Invalid format"):
        read(video)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".avi"])
def test_metadata_need_not_be_utf_8(tmp_path: Path, read: Read, suffix: str) -> None:
    codec = "mpeg4" if suffix == ".avi" else "libx264"
    path = media.write(
        tmp_path / f"tag{suffix}", media.drift(4), codec, metadata={"title": "cafE au lait"}
    )
    data = path.read_bytes()
    assert b"cafE au lait" in data
    path.write_bytes(data.replace(b"cafE au lait", b"caf\xe9 au lait"))
    assert probe(path).width == 64
    assert len(read(path, 0.0, (0, 1))) == 2


NAMES = [
    b"with some  spaces.mp4",
    "视频 录像.mp4".encode(),
    "🎬🕺.mp4".encode(),
    b'it\'s "quoted".mp4',
    b"caf\xe9.mp4",  # not UTF-8: Python shows such bytes as lone surrogates
    b"-i.mp4",
    b"%03d.mp4",
    b"a#b?c&d.mp4",
]


@pytest.mark.parametrize("name", NAMES)
def test_any_file_name_will_do(video: Path, read: Read, name: bytes) -> None:
    path = video.with_name(os.fsdecode(name))
    try:
        video.rename(path)
    except OSError:
        pytest.skip("this file system refuses the name")
    assert probe(path).frames == 40
    assert len(read(path, 0.0, (0, 1))) == 2


def test_a_relative_name_with_a_colon_is_no_protocol(
    video: Path, read: Read, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(video.parent)
    for name in ("12:30:05.mp4", "concat:x.mp4", "http:x.mp4"):
        Path(name).write_bytes(video.read_bytes())
        assert len(read(name)) == 1
        assert probe(name).frames == 40


def test_a_video_error_survives_the_way_out_of_a_worker() -> None:
    import pickle

    error = pickle.loads(pickle.dumps(VideoError("a.mp4", "is broken")))
    assert (error.path, error.reason, str(error)) == ("a.mp4", "is broken", "a.mp4: is broken")
