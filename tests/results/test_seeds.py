"""Seeds are averaged and other experiments are not; the interval covers what it says."""

from __future__ import annotations

from itertools import count
from typing import Any

import numpy as np
import pytest
from scipy import stats

from unscene.results.seeds import average_seeds, group_seeds
from unscene.results.statistics import interval

_NUMBERS = count(1)


def row(seed: int = 0, value: float | None = None, **changes: Any) -> dict[str, Any]:
    """A row of a value that no other has, if none is given."""
    value = next(_NUMBERS) / 1000 if value is None else value
    ends = [value - 0.1, value + 0.1]
    return {"metric": "r1", "value": value, "ci95": ends, "n": 96, "seed": seed} | changes


def counted(rows: list[dict[str, Any]]) -> dict[str, int]:
    """Seeds by the name of the line."""
    return {name: average_seeds(found).seeds for name, found in group_seeds(rows).items()}


# -- which rows are seeds of one thing -------------------------------------------------------------


def test_seeds_are_one_line_wherever_their_footage_and_their_files_lie() -> None:
    rows = [
        row(
            seed,
            fingerprint=f"{seed}abc",
            steps=600,
            config={"data": f"f-{seed}/a.csv", "seed": seed, "out": f"{seed}", "warp": True},
            test={"left_out": seed, "gallery": 100},
            versions={"unscene": f"0.{seed}"},
        )
        for seed in range(3)
    ]
    rows[0]["config"] |= {"workers": 3}
    del rows[1]["config"]["warp"]  # written before there was such a setting
    assert counted(rows) == {"": 3}


def test_settings_and_steps_are_distinguished_by_what_differs() -> None:
    short, long = {"warp": True, "lr": 0.1}, {"warp": False, "lr": 0.1}
    rows = [row(0, steps=100, config=short), row(1, steps=900, config=long)]
    assert counted(rows) == {"steps 100": 1, "steps 900": 1}  # the warp adds nothing
    rows += [row(2, steps=900, config=short)]
    assert counted(rows) == {
        "steps 100, warp true": 1,
        "steps 900, warp false": 1,
        "steps 900, warp true": 1,
    }


def test_labels_of_fine_tunings_and_their_encoders_are_distinguished() -> None:
    rows = [
        row(seed, config={"labels": labels, "pretrained": {"lr": lr}, "out": f"{labels}-{lr}"})
        for seed in range(2)
        for labels in (1, 5, None)
        for lr in (0.1, 0.2)
    ]
    assert counted(rows) == {
        f"labels {labels}, pretrained lr {lr}": 2
        for labels in ("1", "5", "not given")
        for lr in (0.1, 0.2)
    }


def test_a_fine_tuning_has_its_own_seed_and_that_of_its_encoder() -> None:
    rows = [row(0, config={"seed": 0, "pretrained": {"seed": begun}}) for begun in range(3)]
    assert counted(rows) == {"": 3}
    # Rows once carried the encoder's.
    old = [row(begun, config={"seed": 0, "pretrained": {}}) for begun in range(3)]
    assert counted(old) == {"": 3}
    assert counted([old[0], old[0] | {"seed": 0, "config": rows[0]["config"]}]) == {"": 1}


def test_seeds_of_what_was_trained_further_are_seeds() -> None:
    def began(seed: int, method: str) -> dict[str, Any]:
        first = {"method": method, "steps": 5, "seed": seed, "lr": 0.1}
        return row(seed, config={"lr": 0.2, "began": first})

    assert counted([began(seed, "dsm") for seed in range(3)]) == {"": 3}
    both = [began(seed, method) for seed in range(3) for method in ("dsm", "moco")]
    assert counted(both) == {"began method dsm": 3, "began method moco": 3}
    tuned = [one | {"config": {"seed": 0, "pretrained": one["config"]}} for one in both]
    assert counted(tuned) == {
        "pretrained began method dsm": 3,
        "pretrained began method moco": 3,
    }


def test_options_are_distinguished_from_none() -> None:
    rows = [row(0, config={"encoder_options": o}) for o in ({}, {"width": 16})]
    assert list(group_seeds(rows)) == ["encoder_options none", "encoder_options width 16"]


def test_the_same_seed_on_other_videos_is_another_experiment() -> None:
    rows = [row(seed, fingerprint=f"test+{g}") for seed in range(3) for g in ("one", "two")]
    assert counted(rows) == {"train one": 3, "train two": 3}
    rows = [row(seed, fingerprint=f) for seed, f in enumerate(("a", "b", "c"))]
    assert counted(rows) == {"": 3}
    assert counted([*rows, row(0, fingerprint="d")]) == {
        f"videos {name}": 1 for name in ("a", "b", "c", "d")
    }
    rows = [row(seed, test={"gallery": g}) for seed, g in enumerate((10, 20))]
    assert counted(rows) == {"gallery 10": 1, "gallery 20": 1}


def test_a_row_twice_counts_once() -> None:
    rows = [row(seed) for seed in range(3)]
    assert counted([*rows, *rows]) == {"": 3}
    assert average_seeds([*rows, *rows]) == average_seeds(rows)


def test_a_thing_that_was_run_again_is_another_run() -> None:
    rows = [row(0), row(1), row(1), row(0, metric="map")]
    found = group_seeds(rows)
    assert {name: [rows.index(r) for r in run] for name, run in found.items()} == {
        "run 1": [0, 1, 3],
        "run 2": [2],
    }
    again = [row(0, versions={"unscene": v, "torch": "2"}) for v in ("0.1", "0.2")]
    assert counted(again) == {"unscene 0.1": 1, "unscene 0.2": 1}


# -- the interval ----------------------------------------------------------------------------------


def test_one_seed_and_two() -> None:
    alone = average_seeds([row(0, 0.4)])
    assert (alone.value, alone.low, alone.high, alone.seeds) == pytest.approx((0.4, 0.3, 0.5, 1))
    both = average_seeds([row(0, 0.2), row(1, 0.6, n=7)])
    assert (both.value, both.low, both.high) == pytest.approx((0.4, 0.1, 0.7))
    assert (both.n, both.most, both.seeds) == (7, 96, 2)


def test_three_seeds_with_videos_of_their_own() -> None:
    values = [20.0, 40.0, 90.0]
    found = average_seeds([row(seed, v, fingerprint=f"{seed}+x") for seed, v in enumerate(values)])
    low, high = stats.t.interval(0.95, 2, np.mean(values), stats.sem(values))
    assert found.value == pytest.approx(50)
    assert (found.low, found.high) == pytest.approx((low, high))
    agree = average_seeds([row(seed, 0.5, fingerprint=f"{seed}+x") for seed in range(4)])
    assert (agree.low, agree.high) == pytest.approx((0.45, 0.55))


@pytest.mark.parametrize("seeds", [*range(3, 13), 20, 100])
def test_any_number_of_seeds_has_the_interval_of_student(seeds: int) -> None:
    values = 100 * np.random.default_rng(seeds).random(seeds)
    found = average_seeds([row(s, v, fingerprint=f"{s}+x") for s, v in enumerate(values)])
    low, high = stats.t.interval(0.95, seeds - 1, values.mean(), stats.sem(values))
    assert found.seeds == seeds
    assert found.high - found.low == pytest.approx(high - low)
    assert (found.low + found.high) / 2 == pytest.approx(found.value)


@pytest.mark.parametrize("fingerprints", [["a+x", "a+y", "a+z"], ["", "", ""], ["a", "b", "a"]])
def test_three_seeds_that_share_videos(fingerprints: list[str]) -> None:
    of = [{"fingerprint": f, "ci95": [0.4, 0.7]} for f in fingerprints]
    agree = average_seeds([row(seed, 0.5, **more) for seed, more in enumerate(of)])
    assert (agree.low, agree.high) == pytest.approx((0.4, 0.7))  # further seeds: no further videos
    values = [0.4, 0.5, 0.6]
    rows = [row(s, values[s], fingerprint=f) for s, f in enumerate(fingerprints)]
    found, (low, high) = average_seeds(rows), stats.t.interval(0.95, 2, 0.5, stats.sem(values))
    assert found.high - found.low == pytest.approx(np.hypot(high - low, 0.2))


def test_shares_stay_shares() -> None:
    found = average_seeds([row(s, v, ci95=[0.1, 0.9]) for s, v in enumerate((0.2, 0.4, 0.9))])
    assert (found.low, found.high) == (0.0, 1.0)  # Student's t alone would leave 0..1
    assert (
        average_seeds([row(s, v, ci95=[0.1, 1.1]) for s, v in enumerate((0.2, 0.4, 0.9))]).high > 1
    )
    # What may fall below 0 (a correlation, a difference) is no share.
    assert (
        average_seeds([row(s, v, ci95=[-0.1, 0.9]) for s, v in enumerate((0.2, 0.4, 0.9))]).low < 0
    )


@pytest.mark.parametrize("spread", [0.0, 0.1])
@pytest.mark.parametrize("shared", [True, False])
def test_nineteen_of_twenty_intervals_hold_the_truth(shared: bool, spread: float) -> None:
    """Three seeds evaluated on 96 videos; without a spread, and with shared videos, they agree
    about every one."""
    rng, held, repeats = np.random.default_rng(0), 0, 200
    for _ in range(repeats):
        difficulty, rows = rng.random(96), []
        for seed in range(3):
            hard = difficulty if shared else rng.random(96)
            hits = (hard < 0.3 + spread * rng.standard_normal()).astype(np.float64)
            ends = interval(hits, resamples=200)
            mark = "" if shared else str(seed)
            rows.append(row(seed, float(hits.mean()), ci95=ends, fingerprint=mark))
        found = average_seeds(rows)
        held += found.low <= 0.3 <= found.high
    assert held >= 0.93 * repeats
