"""Brightening: what is dark becomes visible, what is not stays, and the motion is the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import media
from unscene.prepare.inspect import inspect
from unscene.prepare.settings import TranscodeSettings
from unscene.prepare.tone_curve import ToneCurve
from unscene.prepare.transcode import transcode
from unscene.video.decode import read_clips
from unscene.video.sampling import Request

DARK = 0.12  # of the light of `media.pan`


def dark(frames: list[np.ndarray]) -> list[np.ndarray]:
    return [(18 + (frame - 40.0) * DARK).astype(np.uint8) for frame in frames]


@given(st.integers(18, 60), st.integers(1, 180), st.floats(0.2, 4.0))
def test_the_curve_never_falls_and_one_level_becomes_no_more_than_sixteen(
    low: int, span: int, bend: float
) -> None:
    light = np.random.default_rng(0).random((64, 64)) ** bend
    levels = ToneCurve.fit([(low + span * light).astype(np.uint8)])
    luma = levels.luma.astype(int)
    assert (np.diff(luma) >= 0).all()
    assert np.diff(luma).max() <= 17  # rounded
    assert (luma.min(), luma.max() <= 235) == (16, True)
    assert levels.chroma[128] == 128
    assert (np.diff(levels.chroma.astype(int)) >= 0).all()


def test_a_dark_picture_takes_the_whole_range() -> None:
    plane = dark([media.texture(96, 128)])[0]
    levels = ToneCurve.fit([plane])
    seen = levels.luma[plane]
    assert plane.max() < 40
    assert np.percentile(seen, 1) < 40
    assert np.percentile(seen, 99) > 150
    assert 90 < np.median(seen) < 150
    assert levels.chroma[138] - 128 > 30


def test_a_picture_of_the_whole_range_stays_what_it_is() -> None:
    plane = np.linspace(16, 235, 64 * 64).reshape(64, 64).astype(np.uint8)
    levels = ToneCurve.fit([plane])
    assert np.abs(levels.luma[plane].astype(int) - plane).max() <= 2
    assert np.abs(levels.chroma - np.clip(np.arange(256.0), 16, 240)).max() <= 2


@pytest.mark.parametrize("level", [0, 16, 20, 128, 235, 255])
def test_a_picture_of_one_level_is_not_blown_up(level: int) -> None:
    levels = ToneCurve.fit([np.full((8, 8), level, np.uint8)])
    assert np.diff(levels.luma.astype(int)).max() <= 17
    assert abs(int(levels.luma[level]) - np.clip(level, 0 if level <= 16 else 16, 235)) <= 4


def test_black_bars_do_not_lift_the_picture_between_them(tmp_path: Path) -> None:
    content = np.linspace(18, 235, 64 * 64).reshape(64, 64).astype(np.uint8)
    framed = np.full((64, 200), 16, np.uint8)
    framed[:, 68:132] = content
    levels, without = ToneCurve.fit([framed]), ToneCurve.fit([content])
    assert np.abs(levels.luma - without.luma.astype(float)).max() <= 4
    assert np.abs(levels.chroma - without.chroma.astype(float)).max() <= 4
    path = media.write(tmp_path / "a.mp4", [framed] * 3, options={"crf": "1"})
    assert inspect(path).light == pytest.approx(0.5, abs=0.05)


def test_nothing_seen_changes_nothing() -> None:
    assert ToneCurve.fit([np.full((8, 8), 16, np.uint8)]).luma.tolist() == list(range(256))
    levels = ToneCurve.fit([])
    assert levels.luma.tolist() == levels.chroma.tolist() == list(range(256))


@pytest.mark.parametrize(("start", "end"), [(0.0, None), (0.2, 0.8)])  # a key frame, none
def test_a_dark_file_is_brightened_and_its_motion_is_the_same(
    tmp_path: Path, start: float, end: float | None
) -> None:
    frames = dark(media.pan(30, (96, 128), (2, 0)))
    path = media.write(tmp_path / "a.mkv", frames, options={"g": "50", "crf": "1"})
    out = tmp_path / "out.mp4"
    outcome = transcode(path, out, TranscodeSettings(0, brighten=True), start=start, end=end)
    found = media.decode(out)
    first = round(start * 25)
    before = np.stack(frames)[first : first + outcome.frames].astype(float)
    assert found.y.std() > 4 * before.std()
    assert np.corrcoef(found.y.ravel(), before.ravel())[0, 1] > 0.9
    request = Request(0.0, {"clip": tuple(range(outcome.frames))}, motion=("clip",))
    motion = read_clips(out, request)["clip"].motion
    assert motion is not None
    inner = motion.vectors[1, 2:-2, 2:-2][motion.valid[1, 2:-2, 2:-2]]
    assert inner.median(dim=0).values.tolist() == [-2, 0]


def test_frames_that_were_alike_stay_alike(tmp_path: Path) -> None:
    """One curve for the video: a light that goes on does not darken the rest."""
    still = dark([media.texture(64, 96)])[0]
    lit = still.copy()
    lit[:20, :20] = 230
    path = media.write(tmp_path / "a.mp4", [still] * 6 + [lit] * 6, options={"g": "6", "crf": "1"})
    transcode(path, tmp_path / "out.mp4", TranscodeSettings(0, gop=2, quality=1, brighten=True))
    luma = media.decode(tmp_path / "out.mp4").y.astype(int)
    assert np.abs(luma[0, 32:, 32:] - luma[11, 32:, 32:]).mean() < 3
