"""Wherever a window begins, it shows what decoding from the start of the file shows there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest

import media
from media import Plain
from unscene.data.listing import open_catalog
from unscene.prepare.inspect import inspect
from unscene.video.clip import Clip
from unscene.video.decode import read_clips
from unscene.video.packets import may_seek
from unscene.video.probe import probe
from unscene.video.sampling import Request

Read = Callable[..., Clip]
N = 60
GROUPS = {"bf": "2", "g": "20", "sc_threshold": "0"}


def remux(
    source: Path,
    target: Path,
    change: Callable[[av.Packet], None],
    keep: Callable[[av.Packet], bool] = lambda packet: True,
) -> Path:
    """Copy the packets of a file into another container, changed."""
    with av.open(str(source)) as old, av.open(str(target), "w") as new:
        stream = new.add_stream_from_template(old.streams.video[0])
        for packet in old.demux(video=0):
            if packet.dts is not None and keep(packet):
                change(packet)
                packet.stream = stream
                new.mux(packet)
    return target


def write_palette(path: Path, changes: int) -> Path:
    """Pictures of palette indices; a palette is stored where it changes, every so many frames."""
    rng = np.random.default_rng(0)
    with av.open(str(path), "w") as out:
        stream = out.add_stream("rawvideo", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 32, "pal8"
        for i, luma in enumerate(media.drift(N)):
            if i % changes == 0:
                palette = rng.integers(0, 256, (256, 4), np.uint8)
                palette[:, 0] = 255  # opaque
            out.mux(stream.encode(av.VideoFrame.from_ndarray((luma, palette), format="pal8")))
        out.mux(stream.encode(None))
    return path


def assert_all_windows(path: Path, read: Read, plain: Plain | None = None) -> None:
    plain = plain or media.decode(path)
    assert len(plain) == N
    for first in range(0, N - 4, 7):
        clip = read(path, plain.times[first], (0, 1, 3))
        wanted = [first, first + 1, first + 3]
        np.testing.assert_array_equal(clip.y.numpy(), plain.y[wanted], err_msg=str(first))
        np.testing.assert_allclose(clip.times.numpy(), plain.times[wanted], atol=2e-3)


def test_what_the_first_packet_says_holds_for_all_windows(tmp_path: Path, read: Read) -> None:
    """x264 before version 151 predicted lossless 4:4:4 another way, and gives its version once."""
    path = tmp_path / "a.mp4"
    lossless = {"qp": "0", "x264-params": "cabac=0:8x8dct=1:partitions=i8x8:analyse=i8x8"}
    media.write(path, media.drift(N), pix_fmt="yuv444p", options={"g": "20", **lossless})
    data = path.read_bytes()
    assert data.count(b"x264 - core 1") == 1
    at = data.index(b"x264 - core 1")
    new = media.decode(path)
    path.write_bytes(data[:at] + b"x264 - core 100" + data[at + 15 :])
    old = media.decode(path)
    assert (old.y[30:] != new.y[30:]).any()  # else this test could not fail
    assert_all_windows(path, read, old)


@pytest.mark.parametrize(("name", "changes"), [("a.mov", N), ("a.avi", N), ("a.avi", 25)])
def test_a_palette_holds_until_it_changes(
    tmp_path: Path, read: Read, name: str, changes: int
) -> None:
    assert_all_windows(write_palette(tmp_path / name, changes), read)


@pytest.mark.parametrize(
    ("name", "codec", "pix_fmt"),
    [("a.mov", "qtrle", "rgb24"), ("a.avi", "cinepak", "rgb24"), ("a.avi", "msvideo1", "rgb555le")],
)
def test_codecs_that_paint_on_the_picture_before_are_decoded_from_the_start(
    tmp_path: Path, read: Read, name: str, codec: str, pix_fmt: str
) -> None:
    source = media.write(
        tmp_path / f"source{Path(name).suffix}",
        media.drift(N),
        codec,
        pix_fmt=pix_fmt,
        options={"g": "20"},
    )

    def flag(packet: av.Packet) -> None:
        packet.is_keyframe = True  # as in a .mov without a table of key frames

    assert_all_windows(remux(source, tmp_path / name, flag), read)


@pytest.mark.parametrize("key", [True, False], ids=["all are key frames", "none is"])
@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".avi", ".nut"])
def test_the_container_need_not_know_the_key_frames(
    tmp_path: Path, read: Read, suffix: str, key: bool
) -> None:
    source = media.write(tmp_path / "source.mp4", media.drift(N), "mpeg4", options={"g": "20"})

    def flag(packet: av.Packet) -> None:
        packet.is_keyframe = key

    path = remux(source, tmp_path / f"a{suffix}", flag)
    assert_all_windows(path, read)
    assert probe(path).vectors


def test_a_window_with_vectors_need_not_seek(tmp_path: Path) -> None:
    source = media.write(tmp_path / "source.mp4", media.pan(N), "mpeg4", options={"g": "20"})

    def flag(packet: av.Packet) -> None:
        packet.is_keyframe = False

    path = remux(source, tmp_path / "a.mp4", flag)
    request = Request(0.8, {"clip": (0, 4, 8)}, motion=("clip",), key_frame=0)
    ours, theirs = (read_clips(p, request) for p in (path, source))
    np.testing.assert_array_equal(ours["clip"].motion.vectors, theirs["clip"].motion.vectors)
    np.testing.assert_array_equal(ours["key"].y, theirs["key"].y)


@pytest.mark.parametrize(
    ("name", "codec"), [("a.mp4", "libx264"), ("a.avi", "mpeg4"), ("a.mkv", "ffv1")]
)
def test_common_codecs_seek(tmp_path: Path, name: str, codec: str) -> None:
    path = media.write(tmp_path / name, media.drift(5), codec)
    with av.open(str(path)) as container:
        assert may_seek(container.streams.video[0])


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("a.mp4", "libx264"),
        ("a.mkv", "libx264"),
        ("a.ts", "libx264"),
        ("a.mp4", "mpeg4"),
        ("a.mkv", "mpeg4"),
    ],
)
def test_times_that_run_back_and_forth_are_put_in_order(
    tmp_path: Path, read: Read, name: str, codec: str
) -> None:
    source = media.write(tmp_path / "source.mp4", media.drift(N), codec, options=GROUPS)

    def forget(packet: av.Packet) -> None:
        packet.pts = packet.dts  # as programs write it that know no B-frames

    path = remux(source, tmp_path / name, forget)
    plain = media.decode(path)  # MP4 hides the frames before time 0
    assert (np.diff(plain.times) < 0).any()
    assert len(plain) >= N - 2
    assert probe(path).fps == pytest.approx(25, rel=0.01)
    times = read(path, 0.0, range(len(plain))).times.numpy()
    np.testing.assert_allclose(np.diff(times), 1 / 25, atol=2e-3)
    for first in range(0, len(plain) - 6):
        clip = read(path, times[first], (0, 1, 5))
        wanted = [first, first + 1, first + 5]
        np.testing.assert_array_equal(clip.y.numpy(), plain.y[wanted], err_msg=str(first))
        np.testing.assert_allclose(clip.times.numpy(), times[wanted], atol=1e-6)


def test_a_clock_that_is_set_back_does_not_tear_a_clip_apart(tmp_path: Path, read: Read) -> None:
    one = media.write(tmp_path / "one.ts", media.drift(N), options=GROUPS).read_bytes()
    path = tmp_path / "a.ts"
    path.write_bytes(one + one)  # as pieces of a recording are joined
    plain = media.decode(path)
    assert len(plain) == 2 * N
    clip = read(path, plain.times[N - 3], (0, 2, 4, 6))
    np.testing.assert_array_equal(clip.y.numpy(), plain.y[N - 3 : N + 4 : 2])


@pytest.mark.parametrize("name", ["a.mkv", "a.ts", "a.mp4"])
def test_clips_come_from_behind_the_missing_key_frame(
    tmp_path: Path, read: Read, name: str
) -> None:
    source = media.write(tmp_path / "source.mp4", media.drift(N), options=GROUPS)
    dropped: list[av.Packet] = []

    def keep(packet: av.Packet) -> bool:
        dropped.append(packet)
        return len(dropped) > 3

    path = remux(source, tmp_path / name, lambda packet: None, keep)
    plain = media.decode(path)
    assert len(plain) == N - 20
    (video,) = open_catalog(path).videos
    assert video.info is not None
    assert video.frames == pytest.approx(N - 20, abs=1)
    for first in (0, 30):
        clip = read(path, first / 25, (0, 5), start=video.start)
        np.testing.assert_array_equal(clip.y.numpy(), plain.y[[first, first + 5]])
    found = inspect(path)
    assert (found.frames, found.missing) == (
        pytest.approx(N - 20, abs=1),
        pytest.approx(18, abs=2),
    )


@pytest.mark.slow
def test_files_from_the_wild_show_the_same_in_all_windows(footage_root: Path, read: Read) -> None:
    for path in sorted((footage_root / "odd").glob("*seek*")):
        plain = media.decode(path)
        begin = read(path, 0.0).times.item()
        for first in np.linspace(0, len(plain) - 2, 4).astype(int):
            clip = read(path, begin + plain.times[first], (0, 1))
            np.testing.assert_array_equal(clip.y.numpy(), plain.y[first : first + 2], str(path))
