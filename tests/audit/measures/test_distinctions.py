"""Which motions can a model tell apart? Controls get what they must get."""

from __future__ import annotations

from dataclasses import replace

import controls
import numpy as np
import pytest
import torch
from controls import Control
from torch import Tensor

from unscene.audit.extractor import FeatureExtractor
from unscene.audit.footage import Footage
from unscene.audit.measures.distinctions import (
    NEUTRAL,
    OPPOSED,
    Distinctions,
    average,
    compare_motions,
)
from unscene.audit.result import Measured
from unscene.results.statistics import Score

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def few(places: Footage) -> Footage:
    return replace(places, catalog=replace(places.catalog, videos=places.videos[:8]))


def measure(function: controls.Function, footage: Footage, **clip: int) -> Measured:
    extractor = FeatureExtractor(Control(function, **({"size": 36} | clip)))
    found = Distinctions(extractor, footage).compute()
    return replace(found, forwards=extractor.forwards)


def changes(clip: Tensor) -> Tensor:
    """How much changes in each frame, in rows and columns: sees that something moves, and when."""
    change = clip.mean(1).diff(dim=1).abs()
    return torch.cat([change.mean(2), change.mean(3)], dim=-1).flatten(1)


def test_a_model_that_never_changes_is_at_chance_everywhere(few: Footage) -> None:
    found = measure(controls.constant, few)
    assert list(found.scores) == ["motion", *NEUTRAL, *OPPOSED]
    assert {(one.value, one.chance) for one in found.scores.values()} == {(0.5, 0.5)}
    assert found.details == {"questions": 8}
    assert found.forwards == 8 * 6 * 4
    assert Distinctions.sentence(found) == (
        "is near chance at every kind of question in which nothing but the motion differs (50 % "
        "[50, 50]), a motion of another body (50 %), a motion of another body in another scene "
        "(50 %)."
    )
    outcome = Distinctions.outcome(found)
    assert outcome is not None
    assert (outcome.text, outcome.tone) == ("answers 0 of 7 kinds of question", "open")


def test_a_model_of_the_place_is_misled_where_the_place_speaks_against_the_motion(
    few: Footage,
) -> None:
    found = measure(controls.place, few)
    for name in NEUTRAL:  # the static scene says nothing about the motion
        assert 0.2 < found.scores[name].value < 0.8
    assert found.scores["scene"].value == 0
    outcome = Distinctions.outcome(found)
    assert outcome is not None
    assert outcome.tone == "bad"
    assert "misled by body and scene at" in Distinctions.sentence(found)


def test_averaged_frames_do_not_tell_the_order_of_events(few: Footage) -> None:
    found = measure(controls.averaged_frames, few)
    assert found.scores["order"].ci95[0] <= 0.5 <= found.scores["order"].ci95[1]


def test_flow_tells_more_than_chance(few: Footage) -> None:
    found = measure(controls.flow, few)
    assert found.scores["coarse"].value > 0.6
    assert found.scores["scene"].value > measure(controls.place, few).scores["scene"].value


def test_same_seed_same_answers(few: Footage) -> None:
    one, two = (measure(changes, few) for _ in range(2))
    assert one == two
    assert measure(changes, replace(few, seed=1)).scores != one.scores


def test_questions_are_spread_over_the_batches(few: Footage) -> None:
    """Asked with the batches or at the end: the same answers."""
    measured = Distinctions(FeatureExtractor(Control(changes, size=36)), few)
    assert (len(measured.waiting), measured.quota) == (48, 48)
    for batch in few.batches(measured.extractor.spec):
        measured.update(batch)
    assert not measured.waiting
    assert measured.compute() == replace(measure(changes, few), forwards=0)


def test_more_videos_more_questions(few: Footage) -> None:
    for videos, count in ((1, 8), (20, 20), (99, 24)):
        catalog = replace(few.catalog, videos=few.videos[:1] * videos)
        asked = Distinctions(FeatureExtractor(Control(changes)), replace(few, catalog=catalog))
        assert len(asked.waiting) == 6 * count


def test_comparisons_by_hand() -> None:
    own = torch.tensor([0.0, 1.0]).view(1, 2, 1, 1).expand(1, 2, 2, 1)  # tells the motion only
    place = own.transpose(1, 2)
    for features, neutral, opposed in (
        (own, 1.0, 1.0),
        (place, 0.5, 0.0),
        (torch.cat([own, 9 * place], -1), 1.0, 0.5),  # standardized, both count alike
        (torch.ones(1, 2, 2, 3), 0.5, 0.5),
    ):
        assert [one.tolist() for one in compare_motions(features)] == [[neutral], [opposed]]


def test_kinds_of_question_count_alike() -> None:
    found = average([np.ones(30), np.zeros(10)])
    assert found.value == 0.5
    assert found.n == 40


def test_the_answer_in_words_and_in_a_chart() -> None:
    def one(value: float) -> Score:
        return Score(value, (value - 0.05, value + 0.05), 24, chance=0.5)

    values = {"motion": 0.7, "coarse": 0.9, "fine": 0.72, "order": 0.52, "camera": 0.8,
              "small": 0.56, "body": 0.66, "scene": 0.2}  # fmt: skip
    found = Measured("distinctions", {name: one(value) for name, value in values.items()})
    assert Distinctions.sentence(found) == (
        "tells apart two different motions (90 %), two similar motions (72 %), motions before a "
        "moving camera (80 %), a motion of another body (66 %); is near chance at the order of two "
        "events (52 %), motions of a small figure (56 %); is misled by body and scene at a motion "
        "of another body in another scene (20 %)."
    )
    outcome = Distinctions.outcome(found)
    assert outcome is not None
    assert (outcome.text, outcome.tone) == ("answers 4 of 7 kinds of question", "good")
    chart, _ = Distinctions.charts([(0, "mine", found), (~0, "mine (untrained twin)", found)])
    assert chart.count('class="chance" style="left:50.00%"') >= 7
    for text in ("Order of two events", "Appearance speaks for the wrong clip", "mine 72 %"):
        assert text in chart
    assert Distinctions.outcome(Measured("distinctions")) is None
