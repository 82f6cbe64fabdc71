"""The measure "swap": how donors are paired, and which donor the swapped clip is nearer to."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import controls
import numpy as np
import pytest
import torch
from controls import Control, run_control

from media import pan, texture, write
from unscene.audit.extractor import FeatureExtractor
from unscene.audit.footage import Footage
from unscene.audit.measures.swap import Swap
from unscene.audit.report.films import split_film
from unscene.audit.result import Coverage, Measured
from unscene.audit.shared_views import find_donors, shuffle_frames, swap_backgrounds
from unscene.data.listing import open_catalog
from unscene.results.statistics import share
from unscene.views.background_swap import film_scene


def some(footage: Footage, videos: int, **changes: int) -> Footage:
    catalog = replace(footage.catalog, videos=footage.catalog.videos[:videos])
    return replace(footage, catalog=catalog, **changes)


def measure(function: controls.Function, footage: Footage, **clip: int) -> tuple[Swap, Measured]:
    encoder = Control(function, **clip)
    swap = Swap(FeatureExtractor(encoder), footage)
    for batch in footage.batches(encoder.spec):
        swap.update(batch)
    return swap, swap.compute()


def test_every_clip_is_each_donor_once(places: Footage) -> None:
    extractor = FeatureExtractor(Control(controls.constant))
    for batch in places.batches(extractor.spec):
        pairs = find_donors(extractor, batch, places)
        assert pairs.moving.all()
        assert pairs.donor.tolist() == [*range(1, len(batch)), 0]
        views = swap_backgrounds(extractor, batch, pairs)
        anchor, segmentation = extractor.center(batch), extractor.segment(batch)
        for view, row in zip(views, pairs.swapped.tolist(), strict=True):
            mask = segmentation.mask[row, 0]
            own = (view - anchor[row]).abs().amax(dim=0)
            foreign = (view - segmentation.scene[pairs.donor[row]]).abs().amax(dim=0)
            assert own[mask > 0.999].max() < 1e-3
            assert foreign[mask == 0].max() < 1e-5


def test_neither_a_file_nor_a_place_is_its_own_donor(places: Footage, tmp_path: Path) -> None:
    first, second = (places.videos[i].path for i in (0, 1))
    for name, path in (("a", first), ("b", first), ("c", second)):
        shutil.copy(path, tmp_path / f"{name}.mp4")
    segments = "path,start,end\n" + "c.mp4,0,0.6\nc.mp4,0.6,1.2\n" + "a.mp4,,\nb.mp4,,\n"
    (tmp_path / "list.csv").write_text(segments)
    footage = Footage(open_catalog(tmp_path / "list.csv"))
    extractor = FeatureExtractor(Control(controls.constant))
    (batch,) = footage.batches(extractor.spec)
    pairs = find_donors(extractor, batch, footage)
    donors = {
        int(i): int(batch.index[j]) for i, j in zip(batch.index, pairs.donor, strict=True) if j >= 0
    }
    assert set(donors) == {0, 1, 2, 3}
    for motion, background in donors.items():
        assert (motion < 2) != (background < 2)
    shutil.rmtree(tmp_path)
    tmp_path.mkdir()
    for name in "ab":
        shutil.copy(first, tmp_path / f"{name}.mp4")
    alone = Footage(open_catalog(tmp_path))
    swap, found = measure(controls.constant, alone)
    assert found.details["left_out"] == {"no other scene": 2}
    assert found.absent == "only 2 video files in all, and an interval takes at least 8"
    assert not found.scores
    assert swap.extractor.forwards == 2


def test_shares_are_counted_as_they_are_described(places: Footage) -> None:
    """Against a loop: the nearest of two, of all, and of order and disorder."""
    swap, found = measure(controls.looks, some(places, 16, clips=2))
    clips = torch.stack(swap.clips).double()
    follows, orders, nearest = [], [], {"motion": 0, "background": 0, "other": 0}
    for mixed, disordered, (motion, scene) in zip(
        swap.mixed, swap.shuffled, swap.donors, strict=True
    ):
        cosines = clips @ mixed
        follows.append(float(cosines[motion] > cosines[scene]))
        gap = float(cosines[motion]) - disordered
        orders.append(0.5 if abs(gap) < 1e-6 else float(gap > 0))
        best = int(cosines.argmax())
        nearest["motion" if best == motion else "background" if best == scene else "other"] += 1
    videos = np.array([swap.files[motion] for motion, _ in swap.donors])
    assert len(follows) > len(set(videos)) >= 8
    assert found.coverage == Coverage(len(set(videos)), 16)  # videos, not clips
    for name, values in (("motion_share", follows), ("order", orders)):
        means = [np.mean(np.array(values)[videos == video]) for video in set(videos.tolist())]
        assert found.scores[name].value == pytest.approx(np.mean(means))
        assert found.scores[name].n == len(means)
    shares = {name: count / len(follows) for name, count in nearest.items()}
    assert found.details["nearest"] == pytest.approx(shares)


def test_what_is_shown_of_swapped_clips_agrees_with_the_score(places: Footage) -> None:
    """The first swapped clips of each class, with their donors, whatever the model does."""
    swap, found = measure(controls.flow, places)
    shown = found.details["shown"]
    assert [entry["label"] for entry in shown] == list(dict.fromkeys(e["label"] for e in shown))
    assert len(shown) == 4
    files = {video.path: file for video, file in zip(places.videos, places.files, strict=True)}
    donors = [tuple(swap.files[i] for i in pair) for pair in swap.donors]
    follows, _, _ = swap._compare(np.array(swap.donors))
    for entry in shown:
        pair = files[entry["video"]], files[entry["background"]]
        assert entry["follows"] == follows[donors.index(pair)]
        for name in ("motion", "background", "swapped"):
            frames = split_film(found.pictures[f"{name}-{entry['number']}.png"])
            assert frames.shape[0] == controls.FRAMES
    assert len(found.pictures) == 3 * len(shown)
    html, _ = Swap.charts([(0, "mine", found)])
    assert html.count("mine: nearer to the motion") == 4
    assert html.count('class="film"') == 12


def test_shuffled_views_are_the_same_for_all_measures(places: Footage) -> None:
    watchers = [FeatureExtractor(Control(controls.constant)) for _ in range(2)]
    batch = next(iter(places.batches(watchers[0].spec)))
    one, two = (shuffle_frames(extractor, batch, places) for extractor in watchers)
    assert torch.equal(one, two)
    other = shuffle_frames(watchers[0], batch, replace(places, seed=1))
    assert not torch.equal(one, other)


def test_a_camera_that_moves(tmp_path: Path) -> None:
    for k, speed in enumerate(((2, 0), (0, 2), (2, 2))):  # they soon leave the scene
        write(tmp_path / f"{k}.mp4", pan(40, (48, 48), speed))
    write(tmp_path / "still.mp4", [texture(48, 48)] * 40)
    few, found = measure(controls.constant, Footage(open_catalog(tmp_path)))
    reasons = {"nothing moves": 1, "the camera cannot be followed": 3}
    assert found.details["left_out"] == reasons
    assert found.coverage == Coverage(0, 4, reasons)
    # With so few it is not the camera's fault.
    assert found.absent == "only 4 video files in all, and an interval takes at least 8"
    few.files += range(4, 9)
    few.reasons += ["the camera cannot be followed"] * 5
    assert few.compute().absent == (
        "only 0 video files of 9 with something to swap, and an interval takes at least 8: "
        "something must move before a camera that is fixed or can be followed, in several scenes "
        "(nothing moves in 1, the camera cannot be followed in 8)"
    )


def test_what_moves_before_a_moving_camera_is_swapped(tmp_path: Path) -> None:
    for k, seed in enumerate((1, 2)):
        ground, patch = texture(64, 192, seed), 255 - texture(18, 18, seed + 8)
        frames = []
        for t in range(30):
            frame = ground[:, 2 * t : 2 * t + 64].copy()
            frame[24:42, 2 + t : 20 + t] = patch
            frames.append(frame)
        write(tmp_path / f"{k}.mp4", frames)
    bare = texture(64, 192, 5)
    write(tmp_path / "bare.mp4", [bare[:, 2 * t : 2 * t + 64] for t in range(30)])
    cut = texture(64, 64, 3), texture(64, 64, 4)
    write(tmp_path / "cut.mp4", [cut[t // 4 % 2] for t in range(30)])
    footage = Footage(open_catalog(tmp_path), batch_size=4)
    encoder = Control(controls.constant, frames=12, stride=2, size=64)
    extractor = FeatureExtractor(encoder)
    (batch,) = footage.batches(encoder.spec)
    donors = find_donors(extractor, batch, footage)
    names = [Path(footage.videos[i].path).stem for i in batch.index.tolist()]
    assert donors.moving.all()
    assert donors.known.tolist() == [name != "cut" for name in names]
    assert donors.cut.tolist() == [name in "01" for name in names]
    views, segments = swap_backgrounds(extractor, batch, donors), extractor.segment(batch)
    rows = donors.swapped
    assert not segments.fixed[rows].any()
    filmed = film_scene(segments.scene[donors.donor[rows]], segments.maps[rows])
    outside = (segments.mask[rows] == 0).expand_as(views)
    assert torch.equal(views[outside], filmed[outside])
    assert (filmed[:, :, 0] - filmed[:, :, -1]).abs().mean() > 0.1  # its camera moves
    swap = Swap(extractor, footage)
    swap.update(batch)
    assert dict(zip(names, swap.reasons, strict=True)) == {
        "0": "",
        "1": "",
        "bare": "only the camera moves",
        "cut": "the camera cannot be followed",
    }


def test_two_frames_have_no_order_worth_a_name(places: Footage) -> None:
    _, found = measure(controls.looks, some(places, 12), frames=2, stride=4)
    assert list(found.scores) == ["motion_share"]


def test_order_has_no_chance(places: Footage) -> None:
    """A half is what the blind have; untrained networks may have less or more."""
    found = run_control(controls.flow, places, ["swap"])["swap"].scores
    assert {name: one.chance for name, one in found.items()} == {"motion_share": 0.5, "order": None}


@pytest.mark.parametrize("wins", [0, 10, 20])
def test_an_interval_has_a_width(wins: int) -> None:
    """Wilson's, against the roots of his equation."""
    found = share(np.repeat([1.0, 0.0], [wins, 20 - wins]), np.arange(20))
    assert (found.value, found.n) == (wins / 20, 20)
    for bound in found.ci95:
        assert (bound - found.value) ** 2 == pytest.approx(1.959964**2 * bound * (1 - bound) / 20)
    assert found.ci95[1] - found.ci95[0] > 0.1


def test_clips_of_one_video_are_one_piece_of_evidence() -> None:
    many = share(np.array([1.0, 1.0, 1.0, 0.0]), np.array([5, 5, 5, 7]))
    assert (many.value, many.n) == (0.5, 2)
    assert many == share(np.array([1.0, 0.0]), np.arange(2))


def test_batches_of_encoded_clips_change_nothing(places: Footage) -> None:
    found = run_control(controls.flow, some(places, 10), ["swap"])["swap"]
    encoder = Control(controls.flow)
    swap = Swap(FeatureExtractor(encoder, batch_size=3), some(places, 10))
    for batch in swap.footage.batches(encoder.spec):
        swap.update(batch)
    assert replace(swap.compute(), forwards=swap.extractor.forwards) == found
