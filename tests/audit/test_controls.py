"""Encoders whose answer is known by construction must get it from the audit."""

from __future__ import annotations

from pathlib import Path

import controls
import pytest
from controls import run_control

from unscene.audit.footage import Footage
from unscene.audit.result import Measured
from unscene.audit.run import judge
from unscene.results.rows import read_rows

pytestmark = pytest.mark.slow

EXPERIMENTS = Path(__file__).resolve().parents[2] / "experiments"

_RESULTS: dict[str, dict[str, Measured]] = {}


@pytest.fixture
def found(request: pytest.FixtureRequest, places: Footage) -> dict[str, Measured]:
    """All about one control, computed once."""
    function = request.param
    if function.__name__ not in _RESULTS:
        labeled = function in (controls.place, controls.flow, controls.hashed)
        names = ("swap", "time", "reliance") if labeled else ("swap", "time")
        _RESULTS[function.__name__] = run_control(function, places, names)
    return _RESULTS[function.__name__]


def altered(found: dict[str, Measured], name: str) -> tuple[float, float]:
    """Distance and rank."""
    row = found["time"].details["altered"][name]
    return row["distance"], row["rank"]


@pytest.mark.parametrize("found", [controls.averaged_frames, controls.looks], indirect=True)
def test_averaged_frames_are_blind_to_order(found: dict[str, Measured]) -> None:
    for name in ("reversed", "shuffled"):
        assert altered(found, name) == pytest.approx((0, 0), abs=1e-9)
        for scene in ("warp", "colour", "background", "overlay"):
            assert found["time"].details["pairs"][f"{name}>{scene}"] == 0
    assert found["swap"].scores["order"].value == 0.5
    concluded = judge(list(found.values()))
    assert concluded.value is not None
    assert concluded.value <= 0.5


@pytest.mark.parametrize("found", [controls.averaged_frames], indirect=True)
def test_averaged_frames_follow_the_scene(found: dict[str, Measured]) -> None:
    assert found["swap"].scores["motion_share"].value == 0
    assert found["swap"].details["nearest"] == {"motion": 0, "background": 1, "other": 0}
    assert found["time"].scores["motion"].value < 0.15
    assert judge(list(found.values())).sentence.startswith("It watches the scene")


@pytest.mark.parametrize("found", [controls.looks], indirect=True)
def test_an_encoder_of_looks_is_found_out(found: dict[str, Measured]) -> None:
    """It follows what moves into any scene, and does not know how it moves."""
    assert found["swap"].scores["motion_share"].ci95[0] > 0.6
    concluded = judge(list(found.values()))
    assert concluded.sentence.startswith("It follows what moves by appearance")
    assert concluded.value == 0.5


@pytest.mark.parametrize("found", [controls.place], indirect=True)
def test_an_encoder_of_the_place_scores_nothing(found: dict[str, Measured]) -> None:
    assert found["swap"].scores["motion_share"].value == 0
    assert found["time"].scores["motion"].value < 0.1
    assert found["time"].scores["decoupling_untrained"].value == 0
    assert found["reliance"].scores["classes_below_5_percent"].value >= 0.75
    assert judge(list(found.values())).value == 0


@pytest.mark.parametrize("found", [controls.flow], indirect=True)
def test_an_encoder_of_flow_is_one_of_motion(found: dict[str, Measured]) -> None:
    assert found["swap"].scores["motion_share"].value >= 0.95
    assert found["swap"].scores["order"].value >= 0.95
    assert found["time"].scores["motion"].value > 0.9
    assert found["time"].scores["decoupling_untrained"].value > 0.95
    assert altered(found, "frozen")[0] == pytest.approx(1)  # nothing flows
    assert altered(found, "background")[1] < 0.1
    normal, static = (found["reliance"].scores[f"accuracy_{k}"].value for k in ("normal", "static"))
    assert normal > static
    assert found["reliance"].scores["classes_below_5_percent"].value <= 0.5
    assert judge(list(found.values())).sentence.startswith("It watches the motion")


@pytest.mark.parametrize("found", [controls.hashed], indirect=True)
def test_random_features_score_at_chance(found: dict[str, Measured]) -> None:
    for name in ("swap", "time"):
        for metric, score in found[name].scores.items():
            assert score.ci95[0] <= 0.5 <= score.ci95[1], metric
    for name in found["time"].details["altered"]:
        distance, rank = altered(found, name)
        assert distance == pytest.approx(1, abs=0.15)
        assert rank == pytest.approx(0.5, abs=0.2)
    assert "noise" in found["reliance"].absent
    assert judge(list(found.values())).sentence.startswith("Neither")


@pytest.mark.parametrize("found", [controls.constant], indirect=True)
def test_features_that_never_change_tie_everywhere(found: dict[str, Measured]) -> None:
    for name in ("swap", "time"):
        assert {score.value for score in found[name].scores.values()} == {0.5}
    nearest = found["swap"].details["nearest"]
    assert list(nearest.values()) == pytest.approx([1 / 3] * 3)
    assert altered(found, "shuffled") == (0, 0.5)


@pytest.mark.parametrize(("seed", "size", "clip"), [(4, 48, 36), (5, 80, 56)])
def test_the_order_holds_over_seeds_and_sizes(
    seed: int, size: int, clip: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    footage = controls.scenes(
        tmp_path_factory.mktemp(f"seed-{seed}"), videos=16, size=size, seed=seed
    )
    functions = (controls.place, controls.hashed, controls.flow)
    for name, metric in (("swap", "motion_share"), ("time", "motion")):
        place, chance, flow = (
            run_control(function, footage, [name], size=clip)[name].scores[metric].value
            for function in functions
        )
        assert place < 0.15 < chance < 0.85 < flow


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_trained_encoders_keep_their_scores(seed: int) -> None:
    """The rows of experiments/audit_controls.py: too long to train here, and docs rest on them."""
    rows = read_rows(EXPERIMENTS / "rows" / "audit_controls.jsonl.gz")
    said = {
        row["method"]: row["value"]
        for row in rows
        if row["metric"] == "audit/verdict" and row["seed"] == seed
    }
    place, motion = said.pop("scene"), said.pop("motion")
    assert place < 0.1 < min(said.values())
    assert motion > 0.8
    assert max(said["random"], said["moco"]) < said["dsm"] < motion
    assert min(said["dsm-triplet"], said["unscene"]) > 0.9


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_questions_tell_good_from_trivial(seed: int) -> None:
    """The rows of experiments/audit_distinctions.py: docs rest on them."""
    rows = read_rows(EXPERIMENTS / "rows" / "audit_distinctions.jsonl.gz")
    found = {
        (row["method"], row["metric"].removeprefix("audit/distinctions/")): row
        for row in rows
        if row["seed"] == seed
    }
    order = ("color", "random", "hof", "exact-hof", "exact-time")
    blind, untrained, trivial, exact, over_time = (found[name, "motion"]["ci95"] for name in order)
    for low, high in (blind, untrained):
        assert 0.45 < low < 0.55
        assert 0.45 < high < 0.6
    assert untrained[1] < trivial[0]
    assert trivial[1] < exact[0] < over_time[0]
    for name in ("color", "random"):
        assert found[name, "scene"]["value"] < 0.05
    for name in ("hof", "hof+mbh"):  # nothing trivial saturates
        assert found[name, "order"]["value"] < 0.55
        assert found[name, "fine"]["value"] < 0.8
    assert found["exact-time", "order"]["value"] > 0.85
