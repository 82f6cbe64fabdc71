"""The measure "reliance" on features of which it is known what can be read from them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import controls
import numpy as np
import pytest
import torch
from controls import Control
from numpy.typing import NDArray
from torch import Tensor

from unscene.audit.extractor import FeatureExtractor
from unscene.audit.footage import Footage
from unscene.audit.measures.reliance import Reliance, _below, _folds, _gain, _intervals, _known
from unscene.audit.result import Measured
from unscene.data.catalog import Catalog, Video

CLASSES = ("left", "right", "up")


def table(count: int, label: str | None = "label", *, files: int | None = None) -> Footage:
    """Videos that nobody opens; `files` of them, the others being further segments."""
    videos = [
        Video(f"/{k % (files or count)}.mp4", CLASSES[k % len(CLASSES)]) for k in range(count)
    ]
    return Footage(Catalog("table", tuple(videos)), label=label)


def compute_from(footage: Footage, normal: Tensor, static: Tensor) -> Measured:
    """What is found if these are the features of normal and static clips."""
    reliance = Reliance(FeatureExtractor(Control(controls.constant)), footage)
    reliance.sums = {"normal": normal, "static": static}
    reliance.counts += 1
    return reliance.compute()


def readable(count: int, noise: float) -> Tensor:
    """Features that give the class away, the less the more noise there is."""
    generator = torch.Generator().manual_seed(0)
    classes = torch.eye(len(CLASSES)).repeat(count // len(CLASSES), 1)
    return classes + noise * torch.randn(count, len(CLASSES), generator=generator)


def test_classes_that_static_clips_teach_as_well_gain_nothing() -> None:
    features = readable(60, 0.1)
    found = compute_from(table(60), features, features)
    assert found.scores["classes_below_5_percent"].value == 1
    assert found.scores["gain"].value == 0
    assert found.scores["accuracy_normal"].value == found.scores["accuracy_static"].value == 1
    assert found.absent == ""


def test_classes_that_only_motion_teaches_gain() -> None:
    noise = torch.randn(60, 3, generator=torch.Generator().manual_seed(1))
    found = compute_from(table(60), readable(60, 0.1), noise)
    assert found.scores["accuracy_normal"].value == 1
    static = found.scores["accuracy_static"].value
    assert static < 0.7
    assert found.scores["gain"].value == pytest.approx((1 - static) / static)
    assert found.scores["gain"].ci95[0] > 0
    assert found.scores["classes_below_5_percent"].value == 0
    assert next(iter(found.scores)) == "classes_below_5_percent"
    classes = found.details["classes"]
    assert set(classes) == set(CLASSES)
    assert all(row["n"] == 20 and row["normal"] == 1 for row in classes.values())
    assert np.mean([row["static"] for row in classes.values()]) == pytest.approx(static)


def test_the_classifier_of_static_clips_is_tested_on_normal_ones() -> None:
    """Static features that are right, but at other values, teach nothing about normal ones."""
    features = readable(60, 0.05)
    found = compute_from(table(60), features, features[:, [1, 2, 0]])
    assert found.scores["accuracy_static"].value == 0
    assert "gain" not in found.scores  # from nothing to something has no number
    assert found.scores["classes_below_5_percent"].value == 0
    assert all(row["gain"] is None for row in found.details["classes"].values())


def test_noise_is_called_so() -> None:
    one, two = torch.randn(2, 60, 8, generator=torch.Generator().manual_seed(0))
    found = compute_from(table(60), one, two)
    assert "what classes gain is noise" in found.absent
    assert found.scores


def test_segments_of_a_file_are_tested_together() -> None:
    """Features of files, not of classes: each file of 3 segments holds all three classes."""
    files = 8
    features = torch.eye(files).repeat(3, 1)
    footage = table(3 * files, files=files)
    found = compute_from(footage, features, features)
    assert found.scores["accuracy_normal"].value <= 0.5
    names = np.array([video.label for video in footage.videos])
    folds = _folds(names, footage.files, [video.path for video in footage.videos], 0)
    assert len(set(folds.tolist())) > 1
    for file in footage.files:
        assert len(set(folds[footage.files == file].tolist())) == 1


def test_segments_of_a_file_are_one_piece_of_evidence(monkeypatch: pytest.MonkeyPatch) -> None:
    hits = np.random.default_rng(0).integers(0, 2, (2, 24)).astype(float)

    def known(self: Reliance, known: Any, tested: Any, names: Any, files: Any, folds: Any) -> Any:
        return hits[int(known[0, 0])][files]

    monkeypatch.setattr(Reliance, "_test", known)
    one, three = (
        compute_from(table(count, files=24), torch.ones(count, 2), torch.zeros(count, 2))
        for count in (24, 72)
    )
    assert set(one.scores) == set(three.scores)
    for name, score in one.scores.items():
        assert three.scores[name].value == pytest.approx(score.value)
        assert three.scores[name].ci95 == pytest.approx(score.ci95)


def labeled(*files: str) -> Footage:
    """A segment for every letter, of the class that it names."""
    videos = [Video(f"/{k}.mp4", label) for k, labels in enumerate(files) for label in labels]
    return Footage(Catalog("labeled", tuple(videos)), label="label")


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(40))
def test_files_of_several_classes_are_spread(seed: int) -> None:
    footage = replace(labeled("AAB", "A", "A", "A", "BA", "A", "A", "A"), seed=seed)
    features = torch.randn(len(footage.videos), 4, generator=torch.Generator().manual_seed(seed))
    found = compute_from(footage, features, features)
    assert set(found.details["classes"]) == {"A", "B"}
    assert found.details["left_out"]["no other part has the class"] == 0


def test_a_class_in_one_part_only_is_left_out() -> None:
    """Of three files that share three classes, two share a part, and with it a class."""
    footage = labeled("AB", "BC", "CA", "D", "D", "D", "D", "D", "D")
    features = torch.randn(len(footage.videos), 4, generator=torch.Generator().manual_seed(0))
    found = compute_from(footage, features, features)
    assert found.details["left_out"] == {
        "classes with a single file": 0,
        "no other part has the class": 2,
    }
    assert len(found.details["classes"]) == 3
    assert found.scores["accuracy_normal"].n == 10
    assert sum(row["n"] for row in found.details["classes"].values()) == 10


def test_parts_that_leave_one_class_ask_nothing() -> None:
    names = np.array(["a", "a", "b", "b", "c"])
    assert _known(names, np.array([0, 1, 0, 1, 0])).tolist() == [True] * 4 + [False]
    assert not _known(names[1:3], np.array([0, 1])).any()


def test_folds_hold_every_class() -> None:
    names = np.repeat(list(CLASSES), [9, 17, 30])
    files, paths = np.arange(len(names)), [f"{k}.mp4" for k in range(len(names))]
    folds = _folds(names, files, paths, 0)
    for fold in range(4):
        assert set(names[folds == fold]) == set(names[folds != fold]) == set(CLASSES)
    assert (folds != _folds(names, files, paths, 1)).any()


def test_what_is_left_out() -> None:
    footage = table(30)
    odd = [Video("/odd.mp4", "jump"), Video("/none.mp4", None)]
    catalog = replace(footage.catalog, videos=(*footage.videos, *odd))
    features = torch.cat([readable(30, 0.1), torch.zeros(2, 3)])
    found = compute_from(replace(footage, catalog=catalog), features, features)
    assert found.details["left_out"] == {
        "classes with a single file": 1,
        "no other part has the class": 0,
    }
    assert found.scores["accuracy_normal"].n == 30


@pytest.mark.parametrize(
    ("footage", "reason"),
    [
        (table(12, label=None), "no labels: name their column with --label"),
        (table(3), "0 classes have two files or more"),
        (table(4), "1 classes have two files or more"),
        (table(6), "only 6 video files of classes that have two or more"),
    ],
)
def test_absent(footage: Footage, reason: str) -> None:
    features = torch.zeros(len(footage.videos), 2)
    found = compute_from(footage, features, features)
    assert reason in found.absent
    assert not found.scores


@pytest.mark.slow
def test_static_clips_repeat_one_frame(places: Footage) -> None:
    shown: list[Tensor] = []

    def note(clip: Tensor) -> Tensor:
        shown.append(clip)
        return clip.mean(dim=(2, 3, 4))

    few = replace(places, catalog=replace(places.catalog, videos=places.videos[:8]))
    reliance = Reliance(FeatureExtractor(Control(note)), few)
    for batch in few.batches(reliance.extractor.spec):
        reliance.update(batch)
    normal, static = shown
    assert reliance.extractor.forwards == 16
    assert (static == static[:, :, :1]).all()
    which = [
        [t for t in range(8) if torch.equal(one[:, t], still[:, 0])]
        for one, still in zip(normal, static, strict=True)
    ]
    assert all(len(found) == 1 for found in which)
    assert len({found[0] for found in which}) > 2
    assert torch.allclose(reliance.sums["static"][batch.index], static.mean(dim=(2, 3, 4)))


@pytest.mark.parametrize(
    ("static", "normal", "below"),
    [
        ([0.5], [0.5], 1.0),
        ([0.2], [0.21], 0.0),  # 5 % exactly is not less than 5 %
        ([0.2], [0.2099], 1.0),
        ([0.0], [0.0], 1.0),
        ([0.0], [0.01], 0.0),
        ([0.5, 0.5], [0.4, 0.9], 0.5),
    ],
)
def test_what_counts_as_no_gain(static: list[float], normal: list[float], below: float) -> None:
    assert _below(np.array(static), np.array(normal)) == below


def test_gain() -> None:
    assert _gain(0.5, 0.6) == pytest.approx(0.2)
    assert _gain(0.0, 0.6) is None
    assert _gain(0.0, 0.0) == 0


def test_intervals_draw_videos_within_their_classes() -> None:
    """Against a loop over resamples."""
    rng = np.random.default_rng(0)
    names = np.repeat(["a", "b", "c"], [10, 20, 30])
    static, normal = (rng.random(60) < p for p in (0.4, 0.6))
    static, normal = static.astype(float), normal.astype(float)
    share, gain = _intervals(static, normal, names, np.arange(60))
    assert gain is not None
    below: list[float] = []
    gains: list[float] = []
    for _ in range(1000):
        drawn = [rng.choice(np.flatnonzero(names == n), (names == n).sum()) for n in "abc"]
        means = [(static[d].mean(), normal[d].mean()) for d in drawn]
        below.append(float(np.mean([n < 1.05 * s for s, n in means])))
        all_ = np.concatenate(drawn)
        gains.append(normal[all_].mean() / static[all_].mean() - 1)
    assert share.n == 3
    assert gain.n == 60
    assert gain.value == pytest.approx(normal.mean() / static.mean() - 1)
    assert _near(share.ci95, np.quantile(below, [0.025, 0.975]), 0.34)
    assert _near(gain.ci95, np.quantile(gains, [0.025, 0.975]), 0.15)


def test_the_interval_of_a_model_that_is_never_right() -> None:
    names = np.repeat(["a", "b"], 4)
    _, gain = _intervals(np.zeros(8), np.zeros(8), names, np.arange(8))
    assert gain is not None
    assert (gain.value, gain.ci95) == (0, (0, 0))


def _near(found: tuple[float, float], expected: NDArray[np.float64], by: float) -> bool:
    return bool(np.abs(np.array(found) - expected).max() <= by)


def test_several_windows_are_averaged(places: Footage, tmp_path: Path) -> None:
    few = replace(places, catalog=replace(places.catalog, videos=places.videos[:4]), clips=2)
    reliance = Reliance(FeatureExtractor(Control(controls.looks)), few)
    for batch in few.batches(reliance.extractor.spec):
        reliance.update(batch)
    assert reliance.counts.tolist() == [2] * 4
