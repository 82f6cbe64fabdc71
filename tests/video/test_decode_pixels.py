"""The reader's pixels are the decoder's, whatever the codec, size, depth, range or rotation."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest

import media
from unscene.prepare.inspect import inspect
from unscene.video.clip import Clip
from unscene.video.planes import PlaneReader, Planes
from unscene.video.probe import probe

B_FRAMES = {"bf": "3", "g": "20", "sc_threshold": "0"}
Read = Callable[..., Clip]


def luma_of(path: Path, dtype: type = np.uint8) -> np.ndarray:
    """First frame's luma in the depth that it was coded in."""
    with av.open(str(path)) as container:
        frame = next(container.decode(video=0))
        plane = frame.planes[0]
        rows = np.frombuffer(plane, dtype).reshape(frame.height, -1)
        return rows[:, : frame.width].astype(np.float64)


@pytest.mark.parametrize(
    ("name", "codec", "options"),
    [
        ("a.mp4", "libx264", B_FRAMES),
        ("open_gop.mp4", "libx264", {**B_FRAMES, "x264-params": "open-gop=1"}),
        ("open_gop.ts", "libx264", {**B_FRAMES, "x264-params": "open-gop=1"}),
        ("a.mkv", "libx264", B_FRAMES),
        ("a.avi", "mpeg4", {"bf": "2", "g": "20"}),
        ("b.mp4", "mpeg4", {"bf": "2", "g": "20"}),
        ("c.mp4", "libx265", {"x265-params": "keyint=20:log-level=none"}),
        ("a.webm", "libvpx-vp9", {"g": "20", "cpu-used": "8", "deadline": "realtime"}),
        ("a.flv", "flv", {"g": "20"}),
        ("a.wmv", "wmv2", {"g": "20"}),
    ],
)
def test_every_window_of_every_codec_equals_a_plain_decode(
    tmp_path: Path, read: Read, assert_frames: Callable[..., None], name, codec, options
) -> None:
    path = media.write(tmp_path / name, media.drift(60), codec, options=options)
    plain = media.decode(path)
    assert len(plain) == 60
    for first in range(0, 60 - 4, 3):
        for jitter in (-0.012, 0.0, 0.012):  # within half a frame of 25 a second
            clip = read(path, max(0.0, plain.times[first] + jitter), (0, 1, 3))
            assert_frames(clip, plain, (first, first + 1, first + 3))
            np.testing.assert_allclose(
                clip.times.numpy(), plain.times[[first, first + 1, first + 3]], atol=1e-6
            )


def test_b_frames_come_in_the_order_in_which_they_are_shown(tmp_path: Path, read: Read) -> None:
    frames = np.stack(list(media.drift(24))).astype(float)
    path = media.write(tmp_path / "b.mp4", frames.astype(np.uint8), options=B_FRAMES)
    assert "B" in media.decode(path).kinds
    assert not probe(path).exact
    shown = read(path, 0.0, range(24)).y.numpy()
    nearest = [int(np.abs(frames - frame).mean(axis=(1, 2)).argmin()) for frame in shown]
    assert nearest == list(range(24))


def test_a_reader_hands_on_copies(tmp_path: Path, read: Read) -> None:
    path = media.write(tmp_path / "a.mp4", media.drift(12))
    clip = read(path, 0.0, range(12))  # FFmpeg reuses its buffers: views would show other frames
    assert len({frame.numpy().tobytes() for frame in clip.y}) == 12
    clip.y[0] = 0  # and this must be ours to write


@pytest.mark.parametrize("size", [(33, 47), (32, 47), (33, 48)])
def test_odd_sizes_keep_their_last_row_and_column(
    tmp_path: Path, read: Read, assert_frames: Callable[..., None], size: tuple[int, int]
) -> None:
    path = media.write(tmp_path / "odd.mkv", media.drift(4, size), "ffv1")
    clip = read(path, 0.0, range(4))
    assert clip.size == size
    assert clip.u.shape[1:] == ((size[0] + 1) // 2, (size[1] + 1) // 2)
    assert_frames(clip, media.decode(path), range(4))


@pytest.mark.parametrize("full_range", [False, True])
@pytest.mark.parametrize("bt709", [False, True])
def test_ten_bits_become_eight_and_flags_are_kept(
    tmp_path: Path, read: Read, full_range: bool, bt709: bool
) -> None:
    path = media.write(
        tmp_path / "ten.mp4",
        media.drift(3),
        pix_fmt="yuv420p10le",
        full_range=full_range,
        bt709=bt709,
    )
    clip = read(path)
    assert (clip.full_range, clip.matrix) == (full_range, "bt709" if bt709 else "bt601")
    scale = 255 / 1023 if full_range else 1 / 4
    assert np.abs(clip.y[0].numpy() - luma_of(path, np.uint16) * scale).max() <= 1.5


@pytest.mark.parametrize("full_range", [False, True, None])
@pytest.mark.parametrize("bt709", [False, True, None])
@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv444p"])
def test_range_and_matrix_flags_are_reported_and_luma_is_untouched(
    tmp_path: Path, read: Read, pix_fmt: str, full_range: bool | None, bt709: bool | None
) -> None:
    path = media.write(
        tmp_path / "flags.mp4", media.drift(2), pix_fmt=pix_fmt, full_range=full_range, bt709=bt709
    )
    clip = read(path)
    assert clip.full_range is bool(full_range)
    assert clip.matrix == ("bt709" if bt709 else "bt601")
    np.testing.assert_array_equal(clip.y[0].numpy(), luma_of(path))
    assert clip.u.float().mean() == pytest.approx(90, abs=2)  # U and V are not swapped
    assert clip.v.float().mean() == pytest.approx(170, abs=2)


@pytest.mark.parametrize("pix_fmt", ["bgr0", "rgb24"])
def test_rgb_becomes_limited_bt601(tmp_path: Path, read: Read, pix_fmt: str) -> None:
    codec, suffix = ("ffv1", "mkv") if pix_fmt == "bgr0" else ("png", "mov")
    colors = {"red": (255, 0, 0), "white": (255, 255, 255), "black": (0, 0, 0)}
    wanted = {"red": (81, 90, 240), "white": (235, 128, 128), "black": (16, 128, 128)}
    for name, rgb in colors.items():
        path = tmp_path / f"{name}.{suffix}"
        with av.open(str(path), "w") as out:
            stream = out.add_stream(codec, rate=25)
            stream.width, stream.height, stream.pix_fmt = 32, 32, pix_fmt
            flat = np.full((32, 32, 3), rgb, np.uint8)
            out.mux(stream.encode(av.VideoFrame.from_ndarray(flat, "rgb24")))
            out.mux(stream.encode(None))
        clip = read(path)
        seen = [int(plane[0, 8, 8]) for plane in (clip.y, clip.u, clip.v)]
        np.testing.assert_allclose(seen, wanted[name], atol=1)
        assert (clip.full_range, clip.matrix) == (False, "bt601")


@pytest.mark.parametrize(
    ("codec", "pix_fmt", "full_range"),
    [
        ("libx264", "gray", False),
        ("libx265", "gray", False),
        ("ffv1", "gray", True),
        ("ffv1", "gray10le", True),
        ("ffv1", "gray16le", True),
    ],
)
def test_greyscale_has_neutral_chroma(
    tmp_path: Path, read: Read, codec: str, pix_fmt: str, full_range: bool
) -> None:
    options = {"x265-params": "log-level=none"} if codec == "libx265" else {}
    path = media.write(
        tmp_path / "gray.mkv", media.drift(2), codec, pix_fmt=pix_fmt, options=options
    )
    clip = read(path)
    assert (clip.u == 128).all()
    assert (clip.v == 128).all()
    assert clip.full_range is full_range
    depth = {"gray10le": 4, "gray16le": 257}.get(pix_fmt, 1)
    coded = luma_of(path, np.uint8 if depth == 1 else np.uint16) / depth
    assert np.abs(clip.y[0].numpy() - coded).max() <= 1.5  # dithered


def test_short_side_shrinks_but_never_enlarges(tmp_path: Path, read: Read) -> None:
    luma = np.zeros((64, 96), np.uint8)
    luma[:, 48:] = 200
    path = media.write(tmp_path / "a.mkv", [luma] * 2, "ffv1")
    small = read(path, short_side=32)
    assert small.size == (32, 48)
    assert small.u.shape == (1, 16, 24)
    assert (small.y[0, :, :23] < 5).all()
    assert (small.y[0, :, 25:] > 195).all()
    assert read(path, short_side=64).size == (64, 96)
    assert read(path, short_side=500).size == (64, 96)


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_a_display_matrix_turns_pictures_upright(tmp_path: Path, read: Read, degrees: int) -> None:
    path = media.write(tmp_path / "a.mp4", media.pan(8), options={"qp": "0", **media.PAN})
    flat = read(path, 0.0, (0, 5))
    media.turn(path, degrees)
    info, turned = probe(path), read(path, 0.0, (0, 5))
    assert (info.height, info.width) == turned.size
    for name in ("y", "u", "v"):  # players turn clockwise by `degrees`, rot90 the other way
        wanted = np.rot90(getattr(flat, name).numpy(), -degrees // 90, axes=(1, 2))
        np.testing.assert_array_equal(getattr(turned, name).numpy(), wanted)


@pytest.mark.parametrize("tag", [None, 1, 2])
@pytest.mark.parametrize("pix_fmt", ["gray", "gray10le", "ya8"])
@pytest.mark.parametrize("short_side", [None, 32])
def test_grey_of_a_codec_that_says_its_range_is_believed(
    tmp_path: Path, read: Read, pix_fmt: str, tag: int | None, short_side: int | None
) -> None:
    path = tmp_path / "gray.mkv"
    level = 60 * (4 if pix_fmt == "gray10le" else 1)
    with av.open(str(path), "w") as out:
        stream = out.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 96, 64, pix_fmt
        if tag is not None:
            stream.codec_context.color_range = tag
        frame = av.VideoFrame(96, 64, pix_fmt)
        np.frombuffer(frame.planes[0], np.uint16 if level > 60 else np.uint8)[:] = level
        out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    with av.open(str(path)) as container:  # FFV1 invents no tag, as others do
        assert next(container.decode(video=0)).color_range == (tag or 0)
    clip = read(path, short_side=short_side)
    assert clip.full_range is (tag != 1)
    assert abs(clip.y.float().mean() - 60) <= 0.5
    assert (clip.u == 128).all()


def test_pictures_of_another_size_midway_are_scaled_to_the_largest(
    tmp_path: Path, read: Read
) -> None:
    path = tmp_path / "ab.h264"
    for name, size in (("a", (64, 96)), ("b", (128, 192))):
        part = media.write(tmp_path / f"{name}.h264", [np.full(size, 90, np.uint8)] * 5)
        with path.open("ab") as file:
            file.write(part.read_bytes())
    clip = read(path, 0.0, range(10))
    assert clip.size == (128, 192)
    assert np.abs(clip.y.numpy().astype(int) - 90).max() <= 3
    assert read(path, 0.0, range(5)).size == (64, 96)  # the largest of the window
    assert read(path, 0.28).size == (128, 192)
    assert read(path, 0.0, range(10), short_side=80).size == (80, 120)


def test_scaling_starts_no_threads(tmp_path: Path, read: Read) -> None:
    path = media.write(tmp_path / "a.mp4", media.drift(4, (480, 640)), pix_fmt="yuv444p")
    seen = []

    def sized(self: PlaneReader, frame: av.VideoFrame) -> Planes:
        planes = real(self, frame)
        seen.append(tasks() - before)  # one that an earlier test started may end meanwhile
        return planes

    def tasks() -> set[str]:
        return {path.name for path in Path("/proc/self/task").iterdir()}

    real, before = PlaneReader.__call__, tasks()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PlaneReader, "__call__", sized)
        read(path, 0.0, (0, 1))
        read(path, 0.0, (0, 1), short_side=128)
    assert seen == [set()] * 4


@pytest.mark.parametrize(("codec", "name"), [("libx264", "a.ts"), ("libvpx", "a.webm")])
def test_a_call_that_starts_small_is_read_in_its_largest_size(
    tmp_path: Path, read: Read, codec: str, name: str
) -> None:
    path = media.write_call(tmp_path / name, [(6, (36, 64)), (6, (72, 128)), (6, (36, 64))], codec)
    clip = read(path, 0.0, (0, 4, 8, 16))
    assert clip.size == (72, 128)
    large = media.decode(media.write_call(tmp_path / f"large_{name}", [(6, (72, 128))], codec))
    np.testing.assert_array_equal(clip.y[2].numpy(), large.y[2])  # the picture is not blurred
    assert read(path, 0.0, range(4)).size == (36, 64)
    assert read(path, 0.0, (0, 8), short_side=48).size == (48, 85)


def test_a_real_call_is_read_in_its_largest_size(footage_root: Path, read: Read) -> None:
    path = footage_root / "odd" / "grows_160x90_to_1920x1080.webm"
    if not path.exists():
        pytest.skip(f"{path} is absent")
    assert (probe(path).width, probe(path).height) == (1920, 1080)
    assert read(path, 0.0, (0, 8, 24)).size == (1080, 1920)
    found = inspect(path)
    assert (found.width, found.height, found.grows) == (1920, 1080, True)
