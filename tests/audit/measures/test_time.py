"""The measure "time": what is altered, how far features move, and what cannot be shown."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import controls
import numpy as np
import pytest
import torch
from controls import Control, run_control
from torch import Tensor

from media import pan, texture, write
from unscene.audit.extractor import FeatureExtractor
from unscene.audit.footage import Footage
from unscene.audit.measures.time import HEADLINE, MOTION, SCENE, Time, repeat_middle
from unscene.audit.result import Measured
from unscene.data.catalog import Catalog
from unscene.data.listing import open_catalog
from unscene.evaluate.decoupling import PAIRS, TRAINED, UNTRAINED, decouple

pytestmark = pytest.mark.slow


def measure(function: Callable[[Tensor], Tensor], footage: Footage, **clip: int) -> Measured:
    encoder = Control(function, **clip)
    extractor = FeatureExtractor(encoder)
    time = Time(extractor, footage)
    for batch in footage.batches(encoder.spec):
        time.update(batch)
    return replace(time.compute(), forwards=extractor.forwards)


@pytest.fixture(scope="module")
def flow(places: Footage) -> Measured:
    return run_control(controls.flow, places, ["time"])["time"]


def test_what_is_reported(flow: Measured, places: Footage) -> None:
    altered, pairs = flow.details["altered"], flow.details["pairs"]
    assert tuple(altered) == (*MOTION, *SCENE)
    assert {row["side"] for row in altered.values()} == {"motion", "scene"}
    for row in altered.values():
        assert row["ci95"][0] <= row["rank"] <= row["ci95"][1]
        assert row["n"] == len(places.videos)
    assert set(pairs) == {f"{motion}>{scene}" for motion in MOTION for scene in SCENE}
    mean = np.mean([pairs[f"{motion}>{scene}"] for motion in HEADLINE for scene in SCENE])
    assert flow.scores["motion"].value == pytest.approx(mean)
    assert list(flow.scores) == ["motion", "decoupling_untrained", "decoupling_trained"]
    assert flow.details["left_out"] == {}
    # Untrained networks have less than a half.
    assert {one.chance for one in flow.scores.values()} == {None}
    assert flow.forwards == len(places.videos) * (1 + len(altered))


def test_the_decoupling_score_is_that_of_its_pairs(flow: Measured) -> None:
    """evaluate.decouple makes the same comparison: is the altered scene nearer?."""
    pairs = flow.details["pairs"]
    for name, wanted in (("untrained", UNTRAINED), ("trained", TRAINED)):
        shares = [pairs[f"{n}>{p}"] for p, n in (pair.split(">") for pair in wanted)]
        assert flow.scores[f"decoupling_{name}"].value == pytest.approx(np.mean(shares))


def test_the_decoupling_score_is_near_that_of_evaluate(places: Footage) -> None:
    """Other draws, other donors, the same question."""
    videos = places.videos[:8]
    ours = measure(controls.looks, Footage(first(places, 8)))
    theirs = decouple(Control(controls.looks), videos)
    assert set(theirs.pairs) == set(PAIRS)
    for name in ("untrained", "trained"):
        score = getattr(theirs, name)
        assert ours.scores[f"decoupling_{name}"].value == pytest.approx(score.value, abs=0.2)


def first(footage: Footage, videos: int) -> Catalog:
    return replace(footage.catalog, videos=footage.catalog.videos[:videos])


def test_ranks_are_counted_as_they_are_described(places: Footage) -> None:
    """Against a loop over windows and other videos."""
    encoder = Control(controls.averaged_frames)
    time = Time(FeatureExtractor(encoder), Footage(first(places, 8), clips=2))
    for batch in time.footage.batches(encoder.spec):
        time.update(batch)
    found = time.compute().details["altered"]
    anchors = torch.stack(time.anchors).double()
    for name in ("colour", "frozen"):
        ranks = []
        for i, cosine in enumerate(time.cosines):
            others = [j for j in range(len(anchors)) if time.files[j] != time.files[i]]
            assert len(others) == 14
            nearer = [float(anchors[i] @ anchors[j]) > cosine[name] for j in others]
            ranks.append(np.mean(nearer))
        assert found[name]["rank"] == pytest.approx(np.mean(ranks))
        distances = [1 - cosine[name] for cosine in time.cosines]
        assert found[name]["distance"] == pytest.approx(np.mean(distances))


def test_the_same_again_and_another_seed(places: Footage) -> None:
    small = first(places, 8)
    one, two = (measure(controls.flow, Footage(small, batch_size=4)) for _ in range(2))
    assert one == two
    assert measure(controls.flow, Footage(small, batch_size=4, seed=1)) != one


def test_every_alteration_is_what_it_is_called(places: Footage) -> None:
    """Seen by an encoder that hands on what it is shown."""
    shown: list[Tensor] = []

    def note(clip: Tensor) -> Tensor:
        shown.append(clip)
        return clip.flatten(1)

    footage = Footage(first(places, 2), batch_size=2)
    measure(note, footage)
    anchor, *views = shown
    by_name = dict(zip((*MOTION, *SCENE), views, strict=True))
    assert torch.equal(by_name["reversed"].flip(2), anchor)
    assert torch.equal(by_name["frozen"], anchor[:, :, 4:5].expand_as(anchor))
    for one, order in zip(anchor, by_name["shuffled"], strict=True):
        order_ = [
            int((one - frame[:, None]).abs().sum(dim=(0, 2, 3)).argmin())
            for frame in order.unbind(1)
        ]
        assert sorted(order_) == list(range(8))
        assert order_ not in (list(range(8)), list(range(8))[::-1])
    # Half the stride: every other frame is one of the clip's middle half.
    assert torch.allclose(by_name["slow"][:, :, ::2], anchor[:, :, 2:6], atol=1e-4)
    for name in ("warp", "colour", "crop", "background", "overlay", "flow", "shift", "fast"):
        assert (by_name[name] - anchor).abs().mean() > 0.003, name
    foreign = 2 * by_name["overlay"] - anchor
    far = (by_name["background"] - foreign).abs().amax(dim=1) < 1e-5
    assert 0.6 < far.float().mean() < 0.99


def test_held_frames() -> None:
    assert repeat_middle(8) == [2, 2, 3, 3, 4, 4, 5, 5]
    for frames in range(3, 20):
        assert len(repeat_middle(frames)) == frames
        assert max(repeat_middle(frames)) < frames


def test_what_videos_cannot_show_is_counted(tmp_path: Path) -> None:
    write(tmp_path / "still.mp4", [texture(48, 48)] * 40)
    for k in range(7):
        write(tmp_path / f"{k}.mp4", pan(40, (48, 48), (2, k)))
    write(tmp_path / "short.mp4", pan(16, (48, 48), (0, 2)))
    found = measure(controls.averaged_frames, Footage(open_catalog(tmp_path)))
    assert found.details["left_out"] == {
        "all: nothing moves": 1,
        "background: nothing can be cut out, or no other scene": 8,
        "fast: video too short": 1,
        "shift: video too short": 1,
    }
    # Seven files are too few for an interval: what only they can show is not reported.
    shown = {*MOTION, *SCENE} - {"fast", "shift", "background"}
    assert {name: row["n"] for name, row in found.details["altered"].items()} == dict.fromkeys(
        shown, 8
    )


def test_a_stride_of_one_holds_frames(places: Footage) -> None:
    found = measure(controls.averaged_frames, Footage(first(places, 8)), stride=1)
    assert found.details["altered"]["slow"]["n"] == 8


def test_absent(places: Footage, tmp_path: Path) -> None:
    found = measure(controls.constant, places, frames=2)
    assert "at least 3" in found.absent
    assert not found.scores
    assert found.forwards == 0
    write(tmp_path / "still.mp4", [texture(48, 48)] * 40)
    found = measure(controls.constant, Footage(open_catalog(tmp_path)))
    assert found.absent == "nothing moves in any video"
    write(tmp_path / "pan.mp4", pan(40, (48, 48), (2, 0)))
    found = measure(controls.constant, Footage(open_catalog(tmp_path)))
    reason = "only 1 video file in which something moves, and an interval takes at least 8"
    assert found.absent == reason
