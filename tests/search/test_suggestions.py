"""Which moments to label next, and why."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
from window_worlds import CLASSES, About, make_world

from unscene.search.classifier import fit_classifier
from unscene.search.labels import Label
from unscene.search.suggest import suggest_moments


def test_without_labels_what_is_frequent_is_asked_first() -> None:
    """Four kinds of movement, one seldom: each is asked once, the frequent ones first."""
    world = make_world(0, files=10)
    rng = np.random.default_rng(0)
    kind = np.array([0, 0, 0, 0, 1, 1, 1, 2, 2, 3])[world.windows.file]
    vectors = rng.normal(size=(4, 32))[kind] * 3 + rng.normal(size=(len(kind), 32)) * 0.3
    windows = replace(world.windows, vectors=vectors.astype(np.float32))
    found = suggest_moments(windows, world.files, [], k=4)
    rows = [int(np.flatnonzero(windows.ids == one.window)[0]) for one in found]
    assert kind[rows].tolist() == [0, 1, 2, 3]
    assert {one.kind for one in found} == {"alike"}
    shares = [int(re.findall(r"(\d+) %", one.reason)[0]) for one in found]
    assert shares == [round(100 * float((kind == k).mean())) for k in range(4)]
    # A label of the most frequent kind: the others come first then.
    row = int(np.flatnonzero(kind == 0)[0])
    path = world.files[int(windows.file[row])].path
    label = Label(path, float(windows.start[row]), float(windows.end[row]), "x")
    again = suggest_moments(windows, world.files, [label], k=3)
    rows = [int(np.flatnonzero(windows.ids == one.window)[0]) for one in again]
    assert kind[rows].tolist() == [1, 2, 3]


def test_suggestions_keep_away_from_labels_and_from_each_other() -> None:
    world = make_world(1)
    labels = world.pick(3)
    model = fit_classifier(world.windows, world.files, labels, About())
    still = np.zeros(len(world.windows), bool)
    still[: len(still) // 2] = True
    found = suggest_moments(world.windows, world.files, labels, model, k=12, still=still)
    assert len(found) == 12
    assert {one.kind for one in found} == {"uncertain", "alike", "far"}  # no class is rare
    for one in found:
        assert not still[world.windows.ids == one.window].any()
        assert one.reason.endswith((".", "?"))
        for label in labels:
            assert one.path != label.path or one.end <= label.start or one.start >= label.end
        for other in found:
            if other is not one and other.path == one.path:
                assert abs(other.start - one.start) >= 4


def test_the_rarest_class_is_looked_for() -> None:
    world = make_world(2)
    picked = world.pick(4)
    labels = [one for one in picked if one.label != "wave"]
    labels += [one for one in picked if one.label == "wave"][:1]
    model = fit_classifier(world.windows, world.files, labels, About())
    found = suggest_moments(world.windows, world.files, labels, model, k=8)
    first = next(one for one in found if one.kind == "rare")
    assert "looks like wave" in first.reason
    assert "which has only 1 label." in first.reason


def test_what_is_uncertain_is_asked_by_name() -> None:
    world = make_world(0)
    labels = world.pick(3)
    model = fit_classifier(world.windows, world.files, labels, About())
    found = suggest_moments(world.windows, world.files, labels, model, k=4)
    names = "|".join([*CLASSES, "none of the classes"])
    assert [one.kind for one in found] == ["alike", "uncertain", "alike", "uncertain"]
    for one in found[1::2]:
        match = re.fullmatch(
            rf"It could be ({names}) \((0\.\d\d)\) or ({names}) \((0\.\d\d)\)\.", one.reason
        )
        assert match
        assert abs(float(match[2]) - float(match[4])) <= 0.1


def test_few_windows_give_few_suggestions() -> None:
    world = make_world(0, files=1)
    everything = [Label("/clips/0.mp4", 0, 60, "run")]
    assert suggest_moments(world.windows, world.files, everything) == []
    few = world.windows[:3]
    assert 1 <= len(suggest_moments(few, world.files, [], k=8)) <= 3


@pytest.mark.parametrize("seed", [0, 1])
def test_the_same_seed_gives_the_same_suggestions(seed: int) -> None:
    world = make_world(seed)
    labels = world.pick(2)
    model = fit_classifier(world.windows, world.files, labels, About())
    one, two = (suggest_moments(world.windows, world.files, labels, model) for _ in range(2))
    assert one == two
