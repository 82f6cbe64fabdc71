"""What transcoding writes reads as exact motion, and is the same video."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

import media
from unscene.errors import UnsceneError, VideoError
from unscene.prepare.inspect import inspect
from unscene.prepare.settings import TranscodeSettings
from unscene.prepare.transcode import Stopped, transcode
from unscene.video.decode import read_clips
from unscene.video.sampling import Request

BAD = {"bf": "3", "refs": "4", "g": "50"}  # vectors of such a file are no motion per frame
KEEP = TranscodeSettings(short_side=0)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out" / "a.mp4"


@pytest.mark.parametrize("step", [(2, 0), (-3, 1)])
@pytest.mark.parametrize("codec", ["h264", "mpeg4"])
def test_a_pan_reads_exactly_in_every_p_frame(
    tmp_path: Path, out: Path, codec: str, step: tuple[int, int]
) -> None:
    path = media.write(tmp_path / "a.mkv", media.pan(30, (96, 128), step), options=BAD)
    before = path.read_bytes(), path.stat().st_mtime_ns
    outcome = transcode(path, out, TranscodeSettings(0, codec=codec))  # type: ignore[arg-type]
    assert (path.read_bytes(), path.stat().st_mtime_ns) == before
    assert (outcome.frames, outcome.damaged, outcome.bytes) == (30, 0, out.stat().st_size)
    kinds = media.decode(out).kinds
    assert kinds == ("I" + "P" * 11) * 2 + "I" + "P" * 5
    found = inspect(out, thorough=True)
    assert (found.verdict, found.references, found.gop) == ("ready", 1, 12)
    request = Request(0.0, {"clip": tuple(range(30))}, motion=("clip",))
    motion = read_clips(out, request)["clip"].motion
    assert motion is not None
    assert motion.exact
    for t in range(30):
        if kinds[t] == "P":  # I(x, t+1) = I(x + V, t): a picture that moves right points left
            inner = motion.valid[t, 2:-2, 2:-2]
            assert inner.float().mean() > 0.8
            seen = motion.vectors[t, 2:-2, 2:-2][inner].median(dim=0).values
            assert seen.tolist() == [-step[0], -step[1]]
        else:
            assert not motion.valid[t].any()


def test_hard_cuts_bring_no_further_key_frames(tmp_path: Path, out: Path) -> None:
    frames = [media.texture(64, 96, seed=t // 5) for t in range(24)]
    path = media.write(tmp_path / "a.mp4", frames, options=BAD)
    for codec in ("h264", "mpeg4"):
        transcode(path, out, TranscodeSettings(0, codec=codec))  # type: ignore[arg-type]
        assert media.decode(out).kinds == ("I" + "P" * 11) * 2


def test_the_picture_is_the_same(tmp_path: Path, out: Path) -> None:
    path = media.write(tmp_path / "a.mp4", media.pan(8, (96, 128)), options=BAD)
    transcode(path, out, TranscodeSettings(0, quality=4))
    old, new = media.decode(path), media.decode(out)
    for name in ("y", "u", "v"):
        error = np.abs(getattr(old, name).astype(int) - getattr(new, name))
        assert error.mean() < 2


@pytest.mark.parametrize(
    ("size", "side", "wanted"),
    [
        ((240, 320), 128, (128, 170)),
        ((320, 180), 64, (114, 64)),
        ((96, 128), 128, (96, 128)),  # never enlarged
        ((96, 128), 0, (96, 128)),
    ],
)
def test_the_short_side_shrinks_and_the_shape_stays(
    tmp_path: Path, out: Path, size: tuple[int, int], side: int, wanted: tuple[int, int]
) -> None:
    path = media.write(tmp_path / "a.mp4", media.drift(3, size))
    transcode(path, out, TranscodeSettings(side))
    assert media.decode(out).y.shape[1:] == wanted


@pytest.mark.parametrize(
    ("pix_fmt", "codec", "name", "size"),
    [
        ("yuv420p10le", "libx264", "a.mp4", (64, 96)),
        ("yuv444p", "libx264", "a.mp4", (65, 97)),
        ("gray", "ffv1", "a.mkv", (65, 97)),
        ("gray", "libx264", "a.mp4", (64, 96)),
        ("yuvj420p", "mjpeg", "a.avi", (63, 95)),
        ("bgr0", "ffv1", "a.mkv", (64, 96)),
    ],
)
@pytest.mark.parametrize("side", [0, 32])
def test_odd_formats_and_sizes(
    tmp_path: Path, out: Path, pix_fmt: str, codec: str, name: str, size: tuple[int, int], side: int
) -> None:
    frames = list(media.pan(5, size))
    path = media.write(tmp_path / name, frames, codec, pix_fmt=pix_fmt)
    assert transcode(path, out, TranscodeSettings(side, quality=4)).frames == 5
    found = inspect(out)
    assert (found.verdict, found.pixel_format, found.decoded) == ("ready", "yuv420p", 5)
    assert found.width % 2 == found.height % 2 == 0
    if side == 0:
        assert (found.height, found.width) == (size[0] // 2 * 2, size[1] // 2 * 2)
    # The reader knows ranges and matrices: both files are to look the same to it.
    old, new = (read_clips(p, Request(0.0, {"a": (0, 4)}))["a"] for p in (path, out))
    assert not new.full_range

    def light(clip: object) -> float:
        mean = clip.y.float().mean().item()  # type: ignore[attr-defined]
        return mean if clip.full_range else (mean - 16) * 255 / 219  # type: ignore[attr-defined]

    assert light(new) == pytest.approx(light(old), abs=2)


@pytest.mark.parametrize("codec", ["h264", "mpeg4"])
def test_the_matrix_players_assume_for_the_height_is_written_down(
    tmp_path: Path, out: Path, codec: str
) -> None:
    path = media.write(tmp_path / "a.mp4", media.drift(2, (720, 64)), bt709=None)
    old = read_clips(path, Request(0.0, {"a": (0,)}))["a"]
    transcode(path, out, TranscodeSettings(32, codec=codec))  # type: ignore[arg-type]
    new = read_clips(out, Request(0.0, {"a": (0,)}))["a"]
    assert new.matrix == old.matrix == "bt709"


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_rotation_is_applied(tmp_path: Path, out: Path, degrees: int) -> None:
    path = media.write(tmp_path / "a.mp4", media.pan(4, (64, 96)), options=BAD)
    media.turn(path, degrees)
    transcode(path, out, TranscodeSettings(0, quality=4))
    found = inspect(out)
    assert found.rotation == 0
    assert (found.width, found.height) == ((64, 96) if degrees != 180 else (96, 64))
    old, new = (read_clips(p, Request(0.0, {"a": (0, 3)}))["a"] for p in (path, out))
    assert (old.y.float() - new.y.float()).abs().mean() < 2


def test_uneven_times_are_kept_and_can_be_evened(tmp_path: Path, out: Path) -> None:
    stamps = [0, 40, 60, 180, 190, 400, 420, 500]
    path = media.write(tmp_path / "a.mkv", media.drift(8), options=BAD, pts=stamps)
    transcode(path, out, KEEP)
    times = media.decode(out).times
    np.testing.assert_allclose(times, np.array(stamps) / 1000, atol=0.002)
    transcode(path, out, TranscodeSettings(0, fps=20, quality=4))
    even = media.decode(out)
    np.testing.assert_allclose(even.times, np.arange(len(even)) / 20, atol=1e-4)
    plain = media.decode(path)
    shown = [max(i for i, s in enumerate(stamps) if s <= t * 1000 + 0.1) for t in even.times]
    assert (np.abs(even.y - plain.y[shown].astype(int)).mean(axis=(1, 2)) < 3).all()


@pytest.mark.parametrize(
    ("codec", "name", "rate"),
    [
        ("libx264", "a.mp4", Fraction(30000, 1001)),
        ("mpeg4", "a.avi", Fraction(25)),
        ("libx264", "a.h264", Fraction(25)),
        ("libx264", "a.ts", Fraction(50)),
        ("libvpx-vp9", "a.webm", Fraction(24000, 1001)),
    ],
)
def test_frames_and_times_survive_every_container(
    tmp_path: Path, out: Path, codec: str, name: str, rate: Fraction
) -> None:
    options = {"bf": "2"} if codec != "libvpx-vp9" else {}
    path = media.write(tmp_path / name, media.drift(40), codec, rate=rate, options=options)
    for target in ("h264", "mpeg4"):
        outcome = transcode(path, out, TranscodeSettings(0, codec=target))  # type: ignore[arg-type]
        new = media.decode(out)
        assert outcome.frames == len(new) == 40
        half = 0.5 / float(rate)
        np.testing.assert_allclose(new.times, np.arange(40) / float(rate), atol=half)
        found = inspect(out)
        assert found.duration == pytest.approx(40 / float(rate), abs=half)
        assert found.fps == pytest.approx(float(rate), rel=0.01)


@pytest.mark.parametrize("name", ["a.mp4", "a.avi", "a.h264"])
def test_a_segment_is_what_the_reader_reads(tmp_path: Path, out: Path, name: str) -> None:
    codec, options = ("mpeg4", {"g": "30"}) if name == "a.avi" else ("libx264", BAD)
    path = media.write(tmp_path / name, media.drift(150), codec, options=options)
    assert transcode(path, out, TranscodeSettings(0, quality=4), start=4.0, end=5.0).frames == 25
    offsets = (0, 12, 24)
    old = read_clips(path, Request(0.0, {"a": offsets}), start=4.0, end=5.0)["a"]
    new = read_clips(out, Request(0.0, {"a": offsets}))["a"]
    assert (old.y.float() - new.y.float()).abs().mean(dim=(1, 2)).max() < 2
    assert new.times[0] == 0


def test_damaged_files_give_what_is_left(tmp_path: Path, out: Path) -> None:
    path = media.write(tmp_path / "a.ts", media.drift(60, (64, 96)), options=BAD)
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 600] = np.random.default_rng(0).bytes(600)
    path.write_bytes(data)
    outcome = transcode(path, out, KEEP)
    assert outcome.damaged > 0
    assert 20 < outcome.frames <= 60
    assert inspect(out, thorough=True).verdict == "ready"


def test_what_cannot_be_read_leaves_nothing(tmp_path: Path, out: Path, text_file: Path) -> None:
    video = media.write(tmp_path / "b.mp4", media.drift(10))
    with pytest.raises(VideoError, match="is not a video"):
        transcode(text_file, out, KEEP)
    with pytest.raises(VideoError, match="no frame can be decoded in its segment"):
        transcode(video, out, KEEP, start=5.0)
    with pytest.raises(VideoError, match="does not exist"):
        transcode(tmp_path / "absent.mp4", out, KEEP)
    with pytest.raises(Stopped):
        transcode(video, out, KEEP, stop=lambda: True)
    assert list(out.parent.iterdir()) == []


@pytest.mark.parametrize(
    "wrong",
    [
        *({"short_side": 127}, {"short_side": -2}, {"gop": 1}, {"codec": "vp9"}, {"fps": 0.0}),
        *({"quality": 60}, {"quality": 0, "codec": "mpeg4"}),
    ],
)
def test_wrong_values_are_named(wrong: dict[str, object]) -> None:
    with pytest.raises(UnsceneError, match=f"{next(iter(wrong))} = .*; it must be"):
        TranscodeSettings(**wrong)  # type: ignore[arg-type]
