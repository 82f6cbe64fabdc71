"""Transcoding what is broken or out of date: clocks that jump, combs, disks that take no more."""

from __future__ import annotations

import errno
import os
import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from av.video.frame import VideoFrame

import media
from preparing import BAD
from unscene.errors import UnsceneError, VideoError
from unscene.prepare import transcode as module
from unscene.prepare.deinterlace import deinterlace
from unscene.prepare.inspect import inspect
from unscene.prepare.settings import TranscodeSettings
from unscene.prepare.transcode import transcode
from unscene.video.packets import open_container
from unscene.video.timestamps import repair_clock

KEEP = TranscodeSettings(short_side=0)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out" / "a.mp4"


@pytest.mark.parametrize("count", [50, 10])  # set back by 2 s, by less than one
@pytest.mark.parametrize("fps", [None, 25.0])
def test_a_clock_that_is_set_back_goes_on(
    tmp_path: Path, out: Path, count: int, fps: float | None
) -> None:
    path = tmp_path / "a.ts"
    parts = [media.write(tmp_path / f"{i}.ts", media.drift(count, (48, 64))) for i in range(2)]
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    assert transcode(path, out, TranscodeSettings(0, fps=fps)).frames == 2 * count
    even = np.arange(2 * count) / 25
    np.testing.assert_allclose(media.decode(out).times, even, atol=0.001)


@pytest.mark.parametrize("fps", [None, 25.0])
@pytest.mark.parametrize("codec", ["h264", "mpeg4"])
def test_a_clock_that_runs_away_is_not_followed(
    tmp_path: Path, out: Path, codec: str, fps: float | None
) -> None:
    stamps = [40 * i + (30 * 3_600_000 if i >= 10 else 0) for i in range(20)]  # by 30 hours
    path = media.write(tmp_path / "a.mkv", media.drift(20, (48, 64)), options=BAD, pts=stamps)
    transcode(path, out, TranscodeSettings(0, codec=codec, fps=fps))  # type: ignore[arg-type]
    times = media.decode(out).times
    np.testing.assert_allclose(times, np.arange(20) / 25, atol=0.002)
    assert inspect(out).duration == pytest.approx(0.8, abs=0.04)


@pytest.mark.parametrize(
    ("times", "wanted"),
    [
        ([3.0, 4.0, 9.0], [0.0, 1.0, 6.0]),
        ([0.0, 1.0, 2.0, 0.0, 1.0, 2.0], [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]),
        ([0.0, 1.0, 2.0, -50.0, -49.0, -40.0], [0.0, 1.0, 2.0, 3.0, 4.0, 13.0]),
        ([0.0, 1.0, 12.0], [0.0, 1.0, 2.0]),
        ([0.0, 1.0, 0.5, 2.0, 1.5, 4.0], [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]),  # out of order
        ([0.0, 1.0, 0.5, 2.0, 4.0], [0.0, 1.0, 2.0, 3.0, 4.0]),  # the debt is paid
        ([0.0, 0.0, 0.0, 9.0], [0.0, 1.0, 2.0, 9.0]),
    ],
)
def test_a_clock_is_made_steady(times: list[float], wanted: list[float]) -> None:
    frame = VideoFrame(16, 16)
    assert [time for _, time in repair_clock(((frame, t) for t in times), 1.0)] == wanted


@pytest.mark.parametrize("fps", [None, 25.0])
def test_an_avi_that_counts_in_milliseconds(tmp_path: Path, out: Path, fps: float | None) -> None:
    stamps = [40 * i for i in range(20)]  # between them it has empty packets, 1000 a second in all
    path = media.write(tmp_path / "a.avi", media.drift(20), "mpeg4", pts=stamps, rate=1000)
    assert transcode(path, out, TranscodeSettings(0, fps=fps)).frames == 20
    np.testing.assert_allclose(media.decode(out).times, np.arange(20) / 25, atol=0.002)
    assert inspect(out).fps == pytest.approx(25, rel=0.06)


@pytest.mark.parametrize("codec", ["libx264", "mpeg2video"])
def test_interlaced_pictures_lose_their_combs(tmp_path: Path, out: Path, codec: str) -> None:
    plain = media.pan(24, (96, 128), (3, 0))
    woven = [picture.copy() for picture in plain[1::2]]
    for picture, earlier in zip(woven, plain[::2], strict=True):
        picture[1::2] = earlier[1::2]
    options = {"x264-params": "bff=1"} if codec == "libx264" else {"flags": "+ildct+ilme"}
    path = media.write(tmp_path / "a.mkv", woven, codec, options=options)
    before = inspect(path)
    assert "interlaced" in before.reason
    assert transcode(path, out, TranscodeSettings(0, quality=4)).frames == 12
    found = inspect(out, thorough=True)
    assert (found.verdict, found.frames) == ("ready", 12)
    assert found.duration == pytest.approx(before.duration)
    new, old = media.decode(out).y.astype(int), np.stack(woven).astype(int)
    errors, combed = (np.abs(frames - np.stack(plain[::2])).mean() for frames in (new, old))
    assert errors < combed / 2


def test_only_interlaced_frames_are_touched() -> None:
    frames = [media.picture(media.texture(64, 96, seed=i)) for i in range(6)]
    kept = list(deinterlace((frame, i / 2) for i, frame in enumerate(frames)))
    assert all(old is new for old, (new, _) in zip(frames, kept, strict=True))


@contextmanager
def small_disk(size: int) -> Iterator[None]:
    """Files of this process may not grow beyond `size` bytes."""
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limit[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
        signal.signal(signal.SIGXFSZ, handler)


def test_a_full_disk_is_no_fault_of_the_video(tmp_path: Path, out: Path) -> None:
    path = media.write(tmp_path / "a.mp4", media.drift(60, (64, 96)))
    with small_disk(3000), pytest.raises(UnsceneError, match="cannot be written") as caught:
        transcode(path, out, TranscodeSettings(0, quality=1))
    assert not isinstance(caught.value, VideoError)
    assert os.strerror(errno.EFBIG) in str(caught.value)
    assert list(out.parent.iterdir()) == []


def test_frames_that_do_not_arrive_are_missed(
    tmp_path: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One fewer than were sent: the fault of the format, unless the disk takes no more."""
    path = media.write(tmp_path / "a.mp4", media.drift(20, (64, 96)))
    encode = module.encode_frames
    monkeypatch.setattr(module, "encode_frames", lambda *given: encode(*given) + 1)
    with pytest.raises(VideoError, match="20 of 21 frames arrived"):
        transcode(path, out, KEEP)
    with small_disk(200_000), pytest.raises(UnsceneError, match="cannot be written") as caught:
        transcode(path, out, KEEP)
    assert not isinstance(caught.value, VideoError)
    assert list(out.parent.iterdir()) == []


def test_a_name_that_the_disk_does_not_take_costs_one_file(tmp_path: Path) -> None:
    path = media.write(tmp_path / "a.mp4", media.drift(5))
    with pytest.raises(VideoError, match=r"a\.mp4: cannot be written as .*File name too long"):
        transcode(path, tmp_path / f"{'x' * 250}.mp4", KEEP)


def test_a_folder_that_may_not_be_written_stops_everything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = media.write(tmp_path / "a.mp4", media.drift(5))

    def refuse(*args: object, **options: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(tmp_path / "out"))

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(UnsceneError, match="cannot be written") as caught:
        transcode(path, tmp_path / "out" / "a.mp4", KEEP)
    assert not isinstance(caught.value, VideoError)


@pytest.mark.parametrize(("codec", "name"), [("libx264", "a.ts"), ("libvpx", "a.webm")])
@pytest.mark.parametrize(("side", "wanted"), [(0, (192, 144)), (64, (86, 64))])
def test_a_picture_that_grows_is_written_in_its_largest_size(
    tmp_path: Path, out: Path, codec: str, name: str, side: int, wanted: tuple[int, int]
) -> None:
    parts = [(20, (48, 64)), (20, (96, 128)), (20, (96, 96)), (20, (144, 192)), (20, (48, 64))]
    path = media.write_call(tmp_path / name, parts, codec)
    assert transcode(path, out, TranscodeSettings(short_side=side)).frames == 100
    found = inspect(out)
    assert (found.width, found.height, found.frames) == (*wanted, 100)
    assert found.verdict == "ready"


def test_a_false_frame_rate_is_not_copied(tmp_path: Path, out: Path) -> None:
    pts = [33 * i for i in range(90)]
    path = media.write(tmp_path / "a.webm", media.drift(90), "libvpx", rate=1000, pts=pts)
    transcode(path, out, TranscodeSettings(short_side=0))
    with open_container(str(out)) as container:
        stream = container.streams.video[0]
        assert float(stream.average_rate or 0) == pytest.approx(30.3, abs=0.1)
        assert stream.duration * stream.time_base == pytest.approx(2.97, abs=0.02)
