"""Static distractors over moving clips: which models they attract, and whose features move."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from seeing import (
    Known,
    Maps,
    constant,
    edges,
    layout,
    measure_once,
    measured,
    motion,
    no_maps,
    traffic,
)

from media import texture, write
from unscene.audit.extractor import FeatureExtractor
from unscene.audit.footage import Footage
from unscene.audit.measures.adversarial import Adversarial, cut_out, paste, ratio_of_means
from unscene.audit.result import Measured
from unscene.data.listing import open_catalog
from unscene.results.statistics import interval

pytestmark = pytest.mark.slow


def measure_distractors(maps: Maps, footage: Footage) -> Measured:
    return measure_once(Adversarial, maps, footage)


# -- the clips -------------------------------------------------------------------------------------


def test_a_thing_is_laid_where_the_clip_moves_least() -> None:
    view, mask = torch.zeros(3, 4, 32, 32), torch.zeros(4, 32, 32)
    mask[:, :, :20] = 1  # all but the right hand side moves
    frame, thing = torch.ones(3, 32, 32), torch.zeros(32, 32)
    thing[4:12, 2:10] = 1
    clip, where = paste(view, mask, frame, thing)
    assert where[4:12, 20:28].min() == 1  # as near to its own place as may be
    assert where.sum() == 64
    assert torch.equal(clip, where.expand(3, 4, -1, -1))
    _, own = paste(view, torch.zeros(4, 32, 32), frame, thing)
    assert torch.equal(own, thing)


def test_a_thing_is_as_its_clip_shows_it_in_the_middle() -> None:
    view, mask = torch.rand(3, 5, 16, 16), torch.zeros(5, 16, 16)
    mask[2, 3:6, 3:6] = 1
    found = cut_out(view, mask)
    assert found is not None
    assert torch.equal(found[0], view[:, 2])
    assert torch.equal(found[1], mask[2])
    assert cut_out(view, torch.zeros(5, 16, 16)) is None
    assert cut_out(view, torch.ones(5, 16, 16)) is None


def test_ratio_of_means() -> None:
    above, below = np.array([1.0, 3.0, 2.0]), np.array([2.0, 2.0, 4.0])
    found = ratio_of_means(above, below, np.array([0, 1, 2]))
    assert found is not None
    assert found.value == pytest.approx(6 / 8)
    assert 0.5 <= found.ci95[0] < 0.75 < found.ci95[1] <= 1.5
    # With one denominator for all it is a mean, and its interval that of a mean.
    many = np.random.default_rng(0).random(60)
    plain = ratio_of_means(many, np.ones(60), np.arange(60))
    assert plain is not None
    assert plain.ci95 == pytest.approx(interval(many), abs=0.01)
    assert ratio_of_means(above, np.zeros(3), np.arange(3)) is None


# -- controls --------------------------------------------------------------------------------------


def test_a_map_of_motion_is_not_drawn_to_a_still_thing(scenes: Footage) -> None:
    found = measure_distractors(motion, scenes)
    scores = found.scores
    assert abs(scores["drawn"].value) < 0.03
    assert scores["paste_share"].value < 0.5 * found.scores["paste_share"].chance
    assert scores["paste_on_motion"].value > 0.85
    assert scores["noise_on_motion"].value > 0.85
    assert scores["static_response"].value == pytest.approx(0, abs=1e-6)
    assert found.absent == ""


def test_a_map_of_looks_is_drawn_to_it(scenes: Footage) -> None:
    found = measure_distractors(edges, scenes).scores
    assert found["drawn"].ci95[0] > 0.05
    assert found["paste_share"].value > found["paste_area"].value
    assert found["static_response"].value == pytest.approx(1, abs=0.1)
    assert found["drawn"].ci95[0] > measure_distractors(motion, scenes).scores["drawn"].ci95[1]


def test_a_constant_map_is_at_chance(scenes: Footage) -> None:
    found = measure_distractors(constant, scenes)
    assert found.scores["drawn"].value == 0
    assert found.scores["paste"].value == 0.5
    assert found.scores["paste_share"].value == pytest.approx(found.scores["paste_share"].chance)
    assert found.scores["static_response"].value == 1
    # All its features are the same: how far they move has no scale.
    assert not {name for name in found.scores if name.endswith("moved")}


def test_features_of_motion_move_when_it_stops_and_those_of_the_scene_do_not(
    scenes: Footage,
) -> None:
    moving, scene = (
        measure_distractors(traffic, scenes).scores,
        measure_distractors(layout, scenes).scores,
    )
    assert moving["static_moved"].ci95[0] > 1  # further than by showing another video
    assert scene["static_moved"].ci95[1] < 0.2
    assert moving["noise_moved"].ci95[1] < scene["noise_moved"].ci95[0]
    assert moving["paste_moved"].value < 0.1


def test_what_it_reports_is_complete(scenes: Footage) -> None:
    found = measure_distractors(motion, scenes)
    assert next(iter(found.scores)) == "drawn"
    assert found.forwards == 16 * 8  # anchor and frozen: feature and map; paste and noise: both
    names = {
        f"{kind}-{n}-{what}.png"
        for kind in ("static", "paste", "noise")
        for n in (1, 2)
        for what in ("clip", "film")
    }
    assert set(found.pictures) == names
    assert len({entry["label"] for entry in found.details["shown"]}) == 2
    json.dumps(found.details, allow_nan=False)


# -- what cannot be measured -----------------------------------------------------------------------


def test_without_maps_the_features_are_still_measured(scenes: Footage) -> None:
    class Mapless(Known):
        def forward(self, clip_BCTHW: torch.Tensor) -> torch.Tensor:
            return traffic(clip_BCTHW).flatten(1)

    extractor = FeatureExtractor(Mapless(no_maps))
    found = measured(Adversarial(extractor, scenes), scenes, extractor)
    assert found.absent == "no saliency: this model has no maps"
    assert set(found.scores) == {"static_moved", "paste_moved", "noise_moved"}
    assert found.scores["static_moved"].value > 1
    assert not found.pictures


def test_still_footage_cannot_be_altered(tmp_path: Path) -> None:
    for name in "ab":
        write(tmp_path / f"{name}.mp4", [texture(64, 64, seed=ord(name))] * 20)
    found = measure_distractors(motion, Footage(open_catalog(tmp_path), batch_size=2))
    assert found.absent == "no clip could be altered (nothing moves in 2)"
    assert not found.scores
