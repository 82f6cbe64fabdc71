"""What the probes read, and what they choose by."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from features_of import features

from unscene.errors import UnsceneError
from unscene.evaluate import probing as file
from unscene.evaluate.probing import probe
from unscene.evaluate.retrieval import retrieve


def noise(count: int, dim: int = 8) -> torch.Tensor:
    return torch.randn(count, dim, generator=torch.Generator().manual_seed(0))


def test_probes_read_what_is_there_and_nothing_else() -> None:
    labels = [f"c{i % 4}" for i in range(200)]
    blind, apart = noise(200), noise(200)
    for i in range(200):
        apart[i, i % 4] += 20
    sides = [
        (features(values[:100], labels[:100]), features(values[100:], labels[100:]))
        for values in (apart, blind)
    ]
    seen, unseen = (probe(*side).scores for side in sides)
    assert set(seen) == {"probe_top1", "knn_top1"}
    for metric in seen:
        assert (seen[metric].value, seen[metric].n, seen[metric].ci95[1]) == (1.0, 100, 1.0)
        assert seen[metric].classes == {f"c{i}": 1.0 for i in range(4)}
        assert unseen[metric].value == pytest.approx(0.25, abs=0.12)
        assert unseen[metric].ci95[0] < unseen[metric].value < unseen[metric].ci95[1]


def test_a_class_never_seen_counts_as_missed() -> None:
    values = torch.eye(4) * 10
    train = features(values.repeat(2, 1), list("abcdabcd"))
    found = probe(train, features(values, list("abcz"))).scores
    assert found["probe_top1"].value == 0.75
    assert found["probe_top1"].classes["z"] == 0
    with pytest.raises(UnsceneError, match="two classes"):
        probe(features(values, list("aaaa")), features(values, list("aaaa")))


def test_what_is_chosen_comes_from_the_training_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test set of shuffled labels changes no choice; a training set does."""
    labels = [f"c{i % 2}" for i in range(60)]
    values = noise(60)
    for i in range(60):
        values[i, 0] += 2 * (i % 2)
    train = features(values, labels)
    mixed = list(np.random.default_rng(1).permutation(labels))
    right, wrong = (probe(train, features(values, names)) for names in (labels, mixed))
    assert right.chosen == wrong.chosen
    tried: list[float] = []
    original = file._classify_by_neighbors

    def watch(count: float, known: np.ndarray, *rest: np.ndarray) -> object:
        tried.append(count)
        assert len(known) in (48, 60)  # four fifths to choose, all to score
        return original(count, known, *rest)

    monkeypatch.setattr(file, "_classify_by_neighbors", watch)
    probe(train, train)
    assert tried[:-1] == list(file.NEIGHBORS)


def test_groups_stay_whole() -> None:
    names = np.asarray(["a", "b"] * 20)
    groups = [f"scene {i // 4}" for i in range(40)]
    held = file.choose_validation(names, groups, 0)
    assert held.sum() == 8
    inside = {g for g, h in zip(groups, held, strict=True) if h}
    outside = {g for g, h in zip(groups, held, strict=True) if not h}
    assert not inside & outside
    tied = file.choose_validation(np.asarray(["a"] * 5 + ["b"] * 5), ["x"] * 5 + ["y"] * 5, 0)
    assert not tied.any()  # holding either scene back would leave one class


def test_segments_of_a_file_stay_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """None chooses for another one, and together they are one piece of evidence."""
    labels, files = [f"c{i // 3 % 2}" for i in range(60)], [i // 3 for i in range(60)]
    held: list[list[bool]] = []
    original = file.choose_validation

    def watch(*given: object) -> object:
        held.append(original(*given).tolist())  # type: ignore[arg-type]
        return held[-1]

    monkeypatch.setattr(file, "choose_validation", lambda *given: np.asarray(watch(*given)))
    segments = features(noise(60), labels, files=files)
    found = probe(segments, segments).scores["probe_top1"]
    assert sum(held[0]) == 12
    assert all(len(set(held[0][i : i + 3])) == 1 for i in range(0, 60, 3))
    probe(features(noise(60), labels), segments)
    assert held[1] == original(np.asarray(labels), None, 0).tolist()
    whole = probe(segments, features(noise(60), labels)).scores["probe_top1"]
    assert found.value == whole.value
    assert found.ci95 != whole.ci95


def test_features_that_are_not_finite_are_refused() -> None:
    good, bad = features(noise(6), list("ababab")), features(noise(6), list("ababab"))
    bad.values[4, 1] = float("nan")
    for sides in ((good, bad), (bad, good)):
        with pytest.raises(UnsceneError, match=r"4\.mp4: its feature is not finite"):
            probe(*sides)


def test_neighbours_are_those_of_retrieval() -> None:
    """By cosine, of features as they are: no axis is scaled to count as much as the others."""
    values, labels = noise(60) * torch.tensor([9.0] + [1.0] * 7), [f"c{i % 3}" for i in range(60)]
    train, test = features(values[:40], labels[:40]), features(values[40:], labels[40:])
    found = file._classify_by_neighbors(
        1, train.values.numpy(), np.asarray(labels[:40]), test.values.numpy()
    )
    r1 = retrieve(test, train, ks=(1,))["retrieval_r1"].value
    assert (found == np.asarray(labels[40:])).mean() == r1


def test_one_video_a_class_spares_none() -> None:
    assert not file.choose_validation(np.asarray(list("abc")), None, 0).any()
    assert file.choose_validation(np.asarray(list("aabbc")), None, 0).sum() == 2
