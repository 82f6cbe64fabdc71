"""Moments cut out of files: the clip, the poster, the filmstrip."""

from __future__ import annotations

import time
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

import media
from unscene.errors import UnsceneError, VideoError
from unscene.search.cut import (
    Stopped,
    cut_moment,
    encode_jpeg,
    make_filmstrip,
    read_pictures,
    read_poster,
)
from unscene.synthetic.generate import encode_video
from unscene.video.probe import probe


def flat(path: Path, levels: list[int], size: tuple[int, int] = (48, 64)) -> Path:
    """A video of 25 fps whose frames are one gray each."""
    frames = np.stack([np.full((*size, 3), level, np.uint8) for level in levels])
    encode_video(path, frames, fps=25)
    return path


@pytest.fixture
def ramp(tmp_path: Path) -> Path:
    """Four seconds; frame t has the gray level 20 + 2 t."""
    return flat(tmp_path / "ramp.mp4", [20 + 2 * t for t in range(100)])


def levels(path: Path) -> list[float]:
    with av.open(str(path)) as container:
        return [float(f.to_ndarray(format="rgb24").mean()) for f in container.decode(video=0)]


def test_the_clip_holds_the_frames_of_the_moment(ramp: Path, tmp_path: Path) -> None:
    made = cut_moment(ramp, 1.0, 2.2, tmp_path / "out" / "a.mp4")
    found = levels(tmp_path / "out" / "a.mp4")
    assert made.frames == len(found) == 30
    assert made.bytes == (tmp_path / "out" / "a.mp4").stat().st_size
    np.testing.assert_allclose(found, [20 + 2 * t for t in range(25, 55)], atol=3)
    info = probe(tmp_path / "out" / "a.mp4")
    assert (info.codec, info.pixel_format, info.height, info.width) == ("h264", "yuv420p", 48, 64)
    assert info.duration == pytest.approx(1.2, abs=0.02)


def test_a_clip_is_small_and_upright(tmp_path: Path) -> None:
    path = media.write(tmp_path / "a.mp4", media.pan(50, (480, 640)), audio_seconds=2.0)
    media.turn(path, 90)
    cut_moment(path, 0.4, 1.4, tmp_path / "b.mp4", short_side=120)
    with av.open(str(tmp_path / "b.mp4")) as container:
        assert [stream.type for stream in container.streams] == ["video"]
    info = probe(tmp_path / "b.mp4")
    assert (info.width, info.height, info.rotation) == (120, 160, 0)
    assert (tmp_path / "b.mp4").stat().st_size < 60_000
    assert read_poster(path, 1.0, short_side=120).shape == (160, 120, 3)


def test_times_outside_the_file(ramp: Path, tmp_path: Path) -> None:
    assert cut_moment(ramp, -1.0, 0.4, tmp_path / "a.mp4").frames == 10
    assert cut_moment(ramp, 3.8, 9.0, tmp_path / "b.mp4").frames == 5
    with pytest.raises(VideoError, match="no frame can be decoded in its segment"):
        cut_moment(ramp, 5.0, 9.0, tmp_path / "c.mp4")
    for start, end in ((2.0, 2.0), (3.0, 1.0), (-2.0, -1.0), (float("nan"), 1.0)):
        with pytest.raises(UnsceneError, match=r"has no length: give a start of 0 or more"):
            cut_moment(ramp, start, end, tmp_path / "c.mp4")
    assert not (tmp_path / "c.mp4").exists()


def test_who_asks_for_a_clip_may_stop_it(ramp: Path, tmp_path: Path) -> None:
    with pytest.raises(Stopped):
        cut_moment(ramp, 0.0, 4.0, tmp_path / "a.mp4", stop=lambda: True)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["ramp.mp4"]


def test_files_that_are_no_videos(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_text("nothing")
    for call in (
        lambda: cut_moment(tmp_path / "a.mp4", 0, 1, tmp_path / "b.mp4"),
        lambda: read_poster(tmp_path / "a.mp4", 0.0),
        lambda: make_filmstrip(tmp_path / "gone.mp4", 0, 1),
    ):
        with pytest.raises(VideoError):
            call()


def test_posters(ramp: Path) -> None:
    for at, level in ((0.0, 20), (2.0, 120), (3.99, 218), (60.0, 218)):
        poster = read_poster(ramp, at)
        assert poster.shape == (48, 64, 3)
        assert float(poster.mean()) == pytest.approx(level, abs=3)


def test_colors_are_those_that_a_player_shows(tmp_path: Path) -> None:
    frame = np.zeros((64, 64, 3), np.uint8)
    frame[:, :32], frame[:, 32:] = (200, 40, 60), (30, 90, 180)
    for name, options in (
        ("a.mp4", {}),
        ("b.mp4", {"full_range": True}),
        ("c.mp4", {"bt709": True}),
    ):
        with av.open(str(tmp_path / name), "w") as out:
            stream = out.add_stream("libx264", rate=25, options={"crf": "1"})
            stream.width = stream.height = 64
            stream.pix_fmt = "yuv444p"
            if "full_range" in options:
                stream.codec_context.color_range = 2
            stream.codec_context.colorspace = 1 if "bt709" in options else 6
            for _ in range(3):
                given = av.VideoFrame.from_ndarray(frame, format="rgb24")
                out.mux(
                    stream.encode(
                        given.reformat(
                            format="yuv444p",
                            dst_colorspace="ITU709" if "bt709" in options else "ITU601",
                            dst_color_range="JPEG" if "full_range" in options else "MPEG",
                        )
                    )
                )
            out.mux(stream.encode(None))
        shown = read_poster(tmp_path / name, 0.0)
        for column, color in ((8, (200, 40, 60)), (56, (30, 90, 180))):
            np.testing.assert_allclose(shown[32, column], color, atol=5, err_msg=name)


def test_pictures_are_spread_over_the_moment(ramp: Path) -> None:
    shown = read_pictures(ramp, 1.0, 2.0, 4)
    np.testing.assert_allclose(shown.mean(axis=(1, 2, 3)), [70, 86, 102, 118], atol=3)
    # The file ends inside the moment; and a moment of fewer frames than pictures.
    np.testing.assert_allclose(read_pictures(ramp, 3.0, 9.0, 3).mean(axis=(1, 2, 3))[[0, 2]],
                               [170, 218], atol=3)  # fmt: skip
    np.testing.assert_allclose(read_pictures(ramp, 1.0, 1.08, 4).mean(axis=(1, 2, 3)),
                               [70, 70, 72, 72], atol=3)  # fmt: skip
    with pytest.raises(UnsceneError, match="count 0: must be at least 1"):
        read_pictures(ramp, 0, 1, 0)


def test_a_filmstrip(ramp: Path) -> None:
    strip = make_filmstrip(ramp, 0.0, 4.0, count=3, height=24)
    assert strip.shape == (24, 3 * 32 + 2 * 2, 3)
    assert (strip[:, 32:34] == 255).all()
    np.testing.assert_allclose([strip[12, x].mean() for x in (16, 50, 84)], [20, 118, 218], atol=4)
    assert make_filmstrip(ramp, 0.0, 1.0, count=1, height=96).shape == (96, 128, 3)


def test_jpeg(ramp: Path) -> None:
    poster = read_poster(ramp, 1.0)
    poster[:, :, 0] = 250
    back = cv2.imdecode(np.frombuffer(encode_jpeg(poster), np.uint8), cv2.IMREAD_COLOR)
    assert np.abs(back[..., ::-1].astype(int) - poster).mean() < 4


@pytest.mark.parametrize("folder", ["odd", "codecs"])
def test_odd_files_give_clips_and_posters(footage_root: Path, folder: str, tmp_path: Path) -> None:
    """Damaged, growing, unseekable; one file of every codec and container."""
    if not (footage_root / folder).is_dir():
        pytest.skip(f"no {footage_root / folder}")
    files = [p for p in sorted((footage_root / folder).rglob("*")) if p.is_file()]
    seen: dict[object, Path] = {}
    for path in files:
        try:
            info = probe(path)
        except VideoError:
            continue
        key = path if folder == "odd" else (info.codec, info.pixel_format, path.suffix)
        seen.setdefault(key, path)
    assert seen, f"no video in {footage_root / folder}"
    for path in seen.values():
        info, begun = probe(path), time.monotonic()
        start = max(info.start, info.duration / 2 - 0.5)
        made = cut_moment(path, start, start + 0.6, tmp_path / "a.mp4", short_side=64)
        assert made.frames >= 1, path
        clip = probe(tmp_path / "a.mp4")
        assert min(clip.width, clip.height) <= 64, path
        strip = read_pictures(path, start, start + 0.6, 3, short_side=64)
        assert strip.shape[0] == 3, path
        # Both show the same: the first frame of the clip is the first picture.
        there, here = (
            cv2.resize(shown, (32, 32), interpolation=cv2.INTER_AREA).astype(int)
            for shown in (strip[0], read_poster(tmp_path / "a.mp4", 0.0, short_side=64))
        )
        assert np.abs(there - here).mean() < 6, path
        assert time.monotonic() - begun < 60, path
