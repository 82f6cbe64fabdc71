"""Files from the wild: every codec and container at hand is read, or refused with a reason."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import media
from unscene.data.catalog import SUFFIXES
from unscene.errors import VideoError
from unscene.video.decode import read_clips
from unscene.video.probe import probe
from unscene.video.sampling import Request, UniformClipSampler

pytestmark = pytest.mark.slow

UNREADABLE = {"label_471.mp4"}  # sound, a codec FFmpeg lacks, or damage beyond repair
DAMAGED = {"corrupted.mp4"}  # may be read in part


def test_every_readable_file_is_read(footage_root: Path) -> None:
    files = [p for p in (footage_root / "codecs").rglob("*") if p.suffix in SUFFIXES]
    seen, failed = set(), set()
    sampler = UniformClipSampler(frames=4, stride=4, count=2)
    for path in sorted(files):
        if (path.name, path.stat().st_size) in seen:
            continue  # the same file came with several projects
        seen.add((path.name, path.stat().st_size))
        try:
            info = probe(path)
            late = sampler.draw(info.duration, info.fps, np.random.default_rng(0), 1)
            for request in (Request(0.0, {"clip": (0, 1, 2, 3)}), late):
                clip = read_clips(path, request, short_side=128)["clip"]
                assert len(clip) == 4, path
                assert min(clip.size) <= 128, path
                if request is not late and info.duration > 5 / info.fps:
                    assert 0 <= clip.times[0] < 0.1, path
                    assert (clip.times.diff() > 0).all(), path
        except VideoError as error:
            assert error.path == str(path)  # noqa: PT017
            failed.add(path.name)
    assert len(seen) > 80
    assert failed - DAMAGED == UNREADABLE


@pytest.mark.parametrize(("degrees", "turns"), [(0, 0), (90, 3), (180, 2), (270, 1)])
def test_phone_videos_are_turned_upright(footage_root: Path, degrees: int, turns: int) -> None:
    path = footage_root / "codecs" / "dmlc+decord" / f"video_{degrees}.mov"
    info = probe(path)
    assert info.rotation == turns
    assert (info.width > info.height) == (turns % 2 == 0)
    clip = read_clips(path, Request(0.0, {"clip": (0,)}))["clip"]
    np.testing.assert_array_equal(clip.y[0].numpy(), np.rot90(media.decode(path).y[0], turns))


def test_facts_are_those_of_the_stream_that_is_shown(footage_root: Path) -> None:
    codecs = footage_root / "codecs"
    largest = probe(codecs / "meta-pytorch+torchcodec" / "nasa_13013.mp4")
    assert (largest.width, largest.height) == (480, 270)  # 320 x 180 comes first
    assert largest.duration == pytest.approx(largest.frames / largest.fps, abs=0.01)
    pictures = probe(codecs / "dmlc+decord" / "flipping_a_pancake.mkv")
    assert pictures.duration == pytest.approx(10.333)  # the sound's 10.381


@pytest.mark.parametrize("pool", ["ucf101_pool", "hmdb51_pool", "arid6", "tabletennis8"])
def test_windows_of_data_sets_equal_a_plain_decode(footage_root: Path, pool: str) -> None:
    files = sorted(p for p in (footage_root / pool).rglob("*") if p.suffix in SUFFIXES)
    for path in files[:: max(1, len(files) // 4)][:4]:
        plain = media.decode(path)
        everything = range(len(plain))
        whole = read_clips(path, Request(0.0, {"clip": tuple(everything)}))["clip"]
        np.testing.assert_array_equal(whole.y.numpy(), plain.y, err_msg=str(path))
        assert (whole.times.diff() > 0).all(), path
        for first in everything[: -5 : max(1, len(plain) // 6)]:
            request = Request(float(whole.times[first]), {"clip": (0, 2, 5)})
            clip = read_clips(path, request)["clip"]
            wanted = [first, first + 2, first + 5]
            np.testing.assert_array_equal(clip.y.numpy(), plain.y[wanted], err_msg=str(path))
