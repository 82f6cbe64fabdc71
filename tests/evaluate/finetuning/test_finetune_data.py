"""Label subsets: balanced, nested, seeded; what validates is apart from what trains."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unscene.errors import UnsceneError
from unscene.evaluate.finetuning.data import select_labels, split_validation

LABELS = st.lists(st.sampled_from(["run", "jump", "größe", "a,b", ""]), min_size=1, max_size=80)
SEEDS = st.integers(0, 2**31)


def counts(labels: list[str], places: list[int]) -> Counter[str]:
    return Counter(labels[place] for place in places)


@given(LABELS, st.integers(1, 30), SEEDS)
def test_a_number_is_taken_of_each_class_or_all_it_has(
    labels: list[str], number: int, seed: int
) -> None:
    chosen = select_labels(labels, number, seed)
    assert chosen == sorted(set(chosen))
    have = Counter(labels)
    assert counts(labels, chosen) == {name: min(number, have[name]) for name in have}


@given(LABELS, st.floats(0.001, 1.0), SEEDS)
def test_a_share_is_taken_of_each_class_and_one_at_least(
    labels: list[str], share: float, seed: int
) -> None:
    found = counts(labels, select_labels(labels, share, seed))
    for name, have in Counter(labels).items():
        assert found[name] == max(1, int(share * have + 0.5))
        assert abs(found[name] - share * have) <= 1


@given(LABELS, st.lists(st.integers(1, 30), min_size=2, max_size=4), SEEDS)
def test_subsets_of_a_seed_are_nested(labels: list[str], numbers: list[int], seed: int) -> None:
    chosen = [set(select_labels(labels, number, seed)) for number in sorted(numbers)]
    shares = [set(select_labels(labels, number / 30, seed)) for number in sorted(numbers)]
    for smaller, larger in [*pairwise(chosen), *pairwise(shares)]:
        assert smaller <= larger


@given(LABELS, SEEDS)
def test_a_class_more_changes_nothing_for_the_others(labels: list[str], seed: int) -> None:
    with_one_more = [*labels, "new", "new"]
    chosen = [place for place in select_labels(with_one_more, 2, seed) if place < len(labels)]
    assert chosen == select_labels(labels, 2, seed)


def test_the_seed_decides_and_all_is_all() -> None:
    labels = ["a", "b"] * 50
    assert select_labels(labels, 5, 0) == select_labels(labels, 5, 0) != select_labels(labels, 5, 1)
    assert select_labels(labels, None, 0) == select_labels(labels, 1.0, 0) == list(range(100))
    # Not in the order of the files, which is that of one camera after another.
    assert {place // 2 for place in select_labels(labels, 5, 0)} != {0, 1, 2, 3, 4}


@pytest.mark.parametrize("amount", [0, -1, 0.0, 1.5, float("nan")])
def test_amounts_that_mean_nothing(amount: float) -> None:
    with pytest.raises(UnsceneError, match="labels"):
        select_labels(["a", "b"], amount, 0)


@given(LABELS, st.floats(0, 0.99), SEEDS)
def test_holdout_takes_the_labels_apart(labels: list[str], share: float, seed: int) -> None:
    train, validation = split_validation(labels, share, seed)
    assert sorted(train + validation) == list(range(len(labels)))
    assert counts(labels, train).keys() == set(labels)  # every class is still trained on
    held, have = counts(labels, validation), Counter(labels)
    assert all(count <= share * have[name] + 1e-6 for name, count in held.items())
    assert not held or len(held) * 2 >= len(have)


def test_holdout_by_hand() -> None:
    labels = ["a"] * 10 + ["b"] * 25 + ["c"] * 9
    train, validation = split_validation(labels, 0.1, 0)
    assert counts(labels, validation) == {"a": 1, "b": 2}  # c is too small to spare one
    assert validation != split_validation(labels, 0.1, 1)[1]
    assert split_validation(labels, 0.0, 0) == (list(range(44)), [])
    few = ["a"] * 10 + ["b"] * 9 + ["c"] * 9  # one class alone must not choose
    assert split_validation(few, 0.1, 0) == (list(range(28)), [])
    assert len(train) == 41


def test_what_keeps_a_label_says_nothing_about_what_validates() -> None:
    """Two draws of one video of ten agree by chance, not always."""
    labels = ["a"] * 10
    same = [
        select_labels(labels, 1, seed) == split_validation(labels, 0.1, seed)[1]
        for seed in range(200)
    ]
    assert 5 < sum(same) < 40
