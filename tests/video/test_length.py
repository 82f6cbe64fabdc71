"""Frame rates and lengths that files give and do not have are measured."""

from __future__ import annotations

from pathlib import Path

import pytest

import media
from unscene.data.catalog import Video
from unscene.data.loading import ClipDataset
from unscene.prepare.inspect import inspect
from unscene.video import length
from unscene.video.packets import open_container
from unscene.video.probe import probe
from unscene.video.sampling import RandomClipSampler, TiledClipSampler

FRAMES = 90
OPTIONS = {
    "libvpx": {"g": "12", "auto-alt-ref": "1", "lag-in-frames": "16"},
    "libx264": {"g": "12", "bf": "2"},
    "mpeg4": {"g": "12"},
}
CONTAINERS = [
    ("a.webm", "libvpx"),
    ("a.mkv", "libx264"),
    ("a.mp4", "libx264"),
    ("a.flv", "libx264"),
    ("a.ts", "libx264"),
    ("a.avi", "mpeg4"),
]


def write(path: Path, codec: str, rate: int, step: int) -> Path:
    """Write frames that are `step` ms apart into a file that says `rate` frames per second."""
    pts, frames = [step * i for i in range(FRAMES)], media.drift(FRAMES)
    return media.write(path, frames, codec, rate=rate, pts=pts, options=OPTIONS[codec])


def checked(path: Path) -> Video:
    return Video(str(path), info=probe(path))


def write_for_download(path: Path, codec: str) -> Path:
    """Write 150 frames at 25 a second, with the index of an MP4 at its beginning."""
    muxer, size = {"movflags": "faststart"} if path.suffix == ".mp4" else {}, (64, 96)
    return media.write(path, media.drift(150, size), codec, options=OPTIONS[codec], muxer=muxer)


def count_before(path: Path, place: int) -> int:
    """Count the frames whose packets end before a place in a file."""
    with open_container(str(path)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
    there = sum(packet.pos + packet.size <= place for packet in packets)
    assert 20 < there < 130
    return there


@pytest.mark.parametrize(("rate", "step"), [(1000, 33), (120, 200), (5, 33)])
@pytest.mark.parametrize(("name", "codec"), CONTAINERS)
def test_a_frame_rate_that_the_frames_do_not_have_is_measured(
    tmp_path: Path, name: str, codec: str, rate: int, step: int
) -> None:
    path = write(tmp_path / name, codec, rate, step)
    info, found = probe(path), inspect(path)
    assert info.fps == pytest.approx(1000 / step, rel=0.06)  # MP4 counts how long the last stays
    assert info.duration == pytest.approx(FRAMES * step / 1000, rel=0.06)
    assert (found.fps, found.duration, found.frames) == (info.fps, info.duration, FRAMES)
    assert found.missing == 0
    if name not in ("a.mp4", "a.ts"):  # which store times and no rate
        assert found.claimed_fps == (1000 if name == "a.avi" else rate)


@pytest.mark.parametrize("name", ["a.webm", "a.mp4"])
def test_clips_of_a_file_with_a_false_frame_rate_do_not_jump_back(
    tmp_path: Path, name: str
) -> None:
    muxer = {"movflags": "frag_keyframe+empty_moov"} if name == "a.mp4" else {"live": "1"}
    codec = "libvpx" if name == "a.webm" else "libx264"
    pts = [33 * i for i in range(FRAMES)]
    path = media.write(
        *(tmp_path / name, media.drift(FRAMES), codec), rate=1000, pts=pts, muxer=muxer
    )
    video = checked(path)
    dataset = ClipDataset([video], RandomClipSampler(frames=4, stride=16))
    clips = [dataset[draw, 0].clips["clip"] for draw in range(40)]
    assert min(float(clip.times.diff().min()) for clip in clips) > 15 * 0.033
    assert max(float(clip.times[-1]) for clip in clips) > 0.9 * video.duration
    tiles = TiledClipSampler(frames=4, stride=4)
    assert tiles.count(video.duration, video.info.fps) == FRAMES // 16  # type: ignore[union-attr]


@pytest.mark.parametrize(("name", "codec"), CONTAINERS)
def test_clips_come_from_the_half_of_a_file_that_is_there(
    tmp_path: Path, name: str, codec: str
) -> None:
    path = write_for_download(tmp_path / name, codec)
    assert inspect(path).missing == 0
    whole = path.read_bytes()
    there = count_before(path, len(whole) // 2)
    path.write_bytes(whole[: len(whole) // 2])
    found, video = inspect(path), checked(path)
    assert found.duration == video.duration == pytest.approx(there / 25, abs=0.1)
    if name != "a.ts":  # which gives no length
        assert found.missing + there == pytest.approx(150, abs=2)
        assert "frames missing" in found.reason
    dataset = ClipDataset([video], RandomClipSampler(frames=4, stride=2))
    starts = [float(dataset[draw, 0].clips["clip"].times[0]) for draw in range(30)]
    assert len(set(starts)) > 15


@pytest.mark.parametrize(("name", "codec"), [("a.mp4", "libx264"), ("a.avi", "mpeg4")])
def test_disk_space_that_a_download_reserved_counts_as_missing(
    tmp_path: Path, name: str, codec: str
) -> None:
    path = write_for_download(tmp_path / name, codec)
    data = bytearray(path.read_bytes())
    end = data.rindex(b"idx1") if "avi" in name else len(data)  # the index of an AVI is at its end
    data[end // 2 : end] = bytes(end - end // 2)
    there = count_before(path, end // 2)
    path.write_bytes(data)
    found = inspect(path)
    assert found.missing + there == pytest.approx(150, abs=2)
    assert found.duration == probe(path).duration == pytest.approx(there / 25, abs=0.1)


@pytest.mark.parametrize(("name", "codec"), CONTAINERS)
def test_no_more_than_the_beginning_and_the_end_of_a_good_file_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, codec: str
) -> None:
    path = media.write(tmp_path / name, media.drift(FRAMES), codec, options=OPTIONS[codec])
    monkeypatch.setattr(length, "_read_all", None)
    info = probe(path)
    assert (info.fps, info.duration) == (25, pytest.approx(FRAMES / 25, abs=0.05))


@pytest.mark.parametrize("name", ["half_downloaded.mkv", "half_downloaded_faststart.mp4"])
def test_half_of_a_real_download_is_missing(footage_root: Path, name: str) -> None:
    path = footage_root / "odd" / name
    if not path.exists():
        pytest.skip(f"{path} is absent")
    found = inspect(path)
    assert found.duration == pytest.approx(2.96, abs=0.05)
    assert found.missing == pytest.approx(76, abs=1)
