"""The headline and sentences of the demo follow from the rows, also where a method loses."""

from __future__ import annotations

import pytest

from unscene.demo.findings import Finding, find, headline, interval, sentences
from unscene.results.rows import Row
from unscene.results.statistics import Score

TITLES = {
    "random": "Untrained",
    "moco": "MoCo",
    "dsm-triplet": "DSM (Triplet)",
    "unscene": "unscene",
}


def row(method: str, label: str, value: float, half: float = 0.03, split: str = "") -> Row:
    return Row(
        method=method,
        data="train.csv",
        split=split or ("unseen" if label == "motion" else "seen"),
        label=label,
        metric="retrieval_r1",
        value=value,
        ci95=(value - half, value + half),
        n=800,
        seed=0,
        seconds=60.0,
        steps=0 if method == "random" else 600,
        chance=0.125,
        versions={},
    )


def findings(
    motion: tuple[float, float, float, float],
    scene: tuple[float, float, float, float] = (0.5, 0.65, 0.2, 0.14),
    half: float = 0.03,
) -> list[Finding]:
    rows = [row(m, "motion", v, half) for m, v in zip(TITLES, motion, strict=True)]
    rows += [row(m, "scene", v, half) for m, v in zip(TITLES, scene, strict=True)]
    return find(rows, TITLES)


def test_the_headline_names_the_best_method_and_all_numbers() -> None:
    assert headline(findings((0.17, 0.19, 0.61, 0.8))) == (
        "In new scenes, unscene finds the same motion in 80 % of the searches, DSM (Triplet) in "
        "61 % and MoCo in 19 %."
    )
    assert headline(findings((0.17, 0.5, 0.4, 0.3))).startswith("In new scenes, MoCo finds the")


def test_overlapping_intervals_have_no_winner() -> None:
    found = headline(findings((0.17, 0.19, 0.61, 0.63)))
    assert found == (
        "unscene and DSM (Triplet) find the motion in new scenes about equally often, without a "
        "clear winner: unscene in 63 %, DSM (Triplet) in 61 % and MoCo in 19 %."
    )
    # Apart by more than the halves of both intervals: there is one.
    assert "clear winner" not in headline(findings((0.17, 0.19, 0.61, 0.63), half=0.005))


def test_no_method_may_be_better_than_no_training() -> None:
    found = headline(findings((0.2, 0.19, 0.21, 0.22)))
    assert found.startswith("No method finds the motion in new scenes clearly more often than an")
    assert "untrained encoder (20 %): unscene in 22 %" in found


def test_sentences_say_which_trainings_did_not_help() -> None:
    found = sentences(findings((0.2, 0.19, 0.61, 0.8)))
    assert found[0] == (
        "MoCo did not clearly beat the untrained encoder (20 % [17, 23]) at finding the motion."
    )
    found = sentences(findings((0.3, 0.19, 0.61, 0.8)))
    assert found[0].startswith("MoCo did clearly worse than the untrained encoder (30 % [27, 33])")
    better = sentences(findings((0.1, 0.4, 0.6, 0.8)))
    assert not any("at finding the motion" in line for line in better)


def test_sentences_weigh_motion_against_scene() -> None:
    found = sentences(findings((0.17, 0.19, 0.61, 0.8)))
    assert (
        "The untrained encoder and MoCo matched the scene clearly more often than the motion."
        in found
    )
    assert (
        "DSM (Triplet) and unscene matched the motion clearly more often than the scene." in found
    )
    assert found[-1] == "unscene did not clearly beat guessing at finding the scene."
    found = sentences(findings((0.17, 0.5, 0.61, 0.3), (0.5, 0.52, 0.7, 0.6)))
    assert "For MoCo, the intervals of motion and scene overlap: neither is clearly ahead." in found
    assert not any("guessing" in line for line in found)


def test_findings_take_motion_from_new_scenes_and_the_scene_from_training_scenes() -> None:
    rows = [row(m, label, 0.4) for m in TITLES for label in ("motion", "scene")]
    rows += [row("moco", "motion", 0.9, split="seen")]
    moco = find(rows, TITLES)[1]
    assert (moco.motion.value, moco.motion.n, moco.steps, moco.seconds) == (0.4, 800, 600, 60.0)
    assert [one.title for one in find(rows, TITLES)] == list(TITLES.values())
    for wrong in (rows[1:], [*rows, rows[0]]):
        with pytest.raises(ValueError, match="rows of random, retrieval_r1, motion, unseen"):
            find(wrong, TITLES)


def test_intervals_are_in_percent() -> None:
    assert interval(Score(0.784, (0.71, 0.84), 800)) == "78.4 % [71, 84]"
