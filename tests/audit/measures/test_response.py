"""The response over time follows the motion where it must, and not where it cannot."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import pearsonr, spearmanr
from seeing import Known, Maps, brightness, changes, constant, layout

from media import texture, write
from unscene.audit.extractor import FeatureExtractor
from unscene.audit.footage import Footage
from unscene.audit.measures.response import Response, correlate, plan_slide, respond
from unscene.audit.result import Measured
from unscene.data.listing import open_catalog

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def pacing(tmp_path_factory: pytest.TempPathFactory) -> Footage:
    """Eight videos of a thing that hurries, then rests, then hurries, at paces of its own."""
    folder = tmp_path_factory.mktemp("pacing")
    for number in range(8):
        pace = 1.5 + 1.5 * np.sin(np.arange(60) / (4 + number % 4) + number)
        ground, thing = texture(64, 64, seed=number), texture(24, 24, seed=9)
        frames = []
        for x in np.cumsum(pace).round().astype(int):
            frame = ground.copy()
            frame[20:44, (x + np.arange(24)) % 64] = 255 - thing
            frames.append(frame)
        write(folder / f"{number}.mp4", frames, options={"crf": "12"})
    return Footage(open_catalog(folder), batch_size=2)


def follow(maps: Maps, footage: Footage, stride: int = 1) -> Measured:
    extractor = FeatureExtractor(Known(maps, frames=4, stride=stride))
    measure = Response(extractor, footage)
    for batch in footage.batches(extractor.spec):
        measure.update(batch)
    return replace(measure.compute(), forwards=extractor.forwards)


# -- windows ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("total", "frames", "stride"),
    [(25, 4, 2), (40, 8, 2), (70, 16, 4), (100, 16, 4), (300, 16, 4), (9000, 16, 4), (30, 16, 1)],
)
def test_windows_lie_within_the_video(total: int, frames: int, stride: int) -> None:
    plan = plan_slide(total, frames, stride, 16)
    assert plan is not None
    assert plan.apart * plan.step == stride
    reads = plan.reads(frames)
    assert plan.start >= 0
    assert plan.start + (reads - 1) * plan.step < total
    assert 8 <= plan.windows <= 16
    assert reads <= 9 * frames * stride  # half of 16 windows end to end, and one


def test_windows_cover_a_short_video_and_the_middle_of_a_long_one() -> None:
    short, long = plan_slide(100, 16, 4, 16), plan_slide(9000, 16, 4, 16)
    assert short is not None
    assert long is not None
    assert short.start + (short.reads(16) - 1) * short.step > 90
    assert abs(long.start + (long.reads(16) - 1) * long.step / 2 - 4500) < 5
    assert plan_slide(67, 16, 4, 16) is None
    assert plan_slide(68, 16, 4, 16) is not None


# -- numbers ---------------------------------------------------------------------------------------


def test_correlations_are_those_of_scipy() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 6, 40).astype(float), rng.random(40)
    assert correlate(a, b) == pytest.approx(pearsonr(a, b).statistic)
    assert correlate(a, b, ranks=True) == pytest.approx(spearmanr(a, b).statistic)
    assert correlate(np.ones(5), np.arange(5.0)) == 0


def test_features_with_signs_respond_by_their_length() -> None:
    features = torch.tensor([[3.0, 4.0], [0.0, 2.0]])
    assert respond(features).tolist() == [3.5, 1.0]
    assert respond(features * torch.tensor([-1.0, 1.0])).tolist() == [5.0, 2.0]


# -- controls --------------------------------------------------------------------------------------


@pytest.mark.parametrize("stride", [1, 2])
def test_a_response_to_change_follows_the_motion(pacing: Footage, stride: int) -> None:
    found = follow(changes, pacing, stride)
    assert found.scores["spearman"].ci95[0] > 0.7
    assert found.scores["pearson"].ci95[0] > 0.7
    assert found.scores["frozen"].value == 0  # a still shows no change
    assert found.scores["gain"].value == found.scores["spearman"].value
    assert found.scores["spearman"].n == len(found.details["curves"]) == 8
    assert found.forwards == 2 * sum(len(curve["times"]) for curve in found.details["curves"])
    json.dumps(found.details, allow_nan=False)


def test_its_opposite_runs_against_it(pacing: Footage) -> None:
    def calm(clip: torch.Tensor) -> torch.Tensor:
        return 10 - changes(clip)

    assert follow(calm, pacing).scores["spearman"].ci95[1] < -0.7


def test_a_response_to_looks_gains_nothing_from_motion(pacing: Footage) -> None:
    found = follow(brightness, pacing).scores
    assert abs(found["spearman"].value) < 0.4
    assert abs(found["gain"].value) < 0.35
    assert found["gain"].ci95[1] < follow(changes, pacing).scores["gain"].ci95[0]


def test_a_constant_response_is_absent(pacing: Footage) -> None:
    found = follow(constant, pacing)
    assert found.absent == "the mean of its features is the same for all clips"
    assert not found.scores
    assert found.details["flat"] == 8


def test_layer_normalisation_leaves_no_response(pacing: Footage) -> None:
    def normed(clip: torch.Tensor) -> torch.Tensor:
        found = layout(clip)
        return torch.nn.functional.layer_norm(found, found.shape[1:])

    absent = follow(normed, pacing).absent
    assert absent == "the length of its features is the same for all clips"


def film(things: Sequence[int], camera: int) -> list[np.ndarray]:
    """A thing of 24 x 24 px moves over a wall, seen by a camera that pans by so many px a frame."""
    wall, thing, frames = texture(64, 200), 255 - texture(24, 24, seed=9), []
    for t, x in enumerate(things):
        shown = wall.copy()
        shown[20:44, 20 + camera * 20 + x :][:, :24] = thing
        frames.append(shown[:, camera * t :][:, :64])
    return frames


@pytest.mark.parametrize("camera", [0, 1])
def test_the_motion_it_reports_is_that_of_the_video(camera: int, tmp_path: Path) -> None:
    """A thing stands for half of the time and then moves by 2 of 64 px a frame."""
    places = [0] * 20 + [2 * t for t in range(20)]
    for name in "ab":
        write(tmp_path / f"{name}.mp4", film(places, camera), options={"crf": "12"})
    (curve, _) = follow(changes, Footage(open_catalog(tmp_path), batch_size=2)).details["curves"]
    assert curve["motion"][0] == pytest.approx(0, abs=0.15)
    # The view shows 56 of 64 px: 2 px are 3.6 % of its side; the thing has 18 % of its pixels.
    assert curve["motion"][-3] == pytest.approx(100 * 2 / 56 * (24 / 56) ** 2, rel=0.4)
    if camera == 0:  # the response `changes` is one to the camera, too
        assert curve["spearman"] > 0.7
    assert curve["times"] == sorted(curve["times"])
    assert 0 < curve["times"][0] < curve["times"][-1] < 40 / 25


# -- what has no curve -----------------------------------------------------------------------------


def test_videos_without_a_curve_are_named(tmp_path: Path) -> None:
    wide = texture(64, 160)
    write(tmp_path / "short.mp4", [wide[:, x : x + 64] for x in range(8)])
    write(tmp_path / "still.mp4", [wide[:, :64]] * 40)
    write(tmp_path / "pan.mp4", [wide[:, 2 * x : 2 * x + 64] for x in range(40)])
    write(tmp_path / "steady.mp4", film([x // 2 for x in range(40)], 0))
    found = follow(layout, Footage(open_catalog(tmp_path), batch_size=2))
    assert found.details["left_out"] == {
        "motion is the same throughout": 1,
        "nothing moves": 2,
        "video too short": 1,
    }
    assert found.absent.startswith("no video has motion that changes (")
    assert found.forwards == 0


def test_no_more_videos_are_read_than_wanted(pacing: Footage) -> None:
    extractor = FeatureExtractor(Known(changes, frames=4, stride=1))
    measure = Response(extractor, pacing, videos=2)
    found = measure.compute()
    assert len(found.details["curves"]) == 2
    assert (
        found.absent
        == "only 2 video files with motion that changes, and an interval takes at least 8"
    )
    assert not found.scores
