"""Every evaluation shows an untrained network of the same architecture beside the encoder."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
from finetunings import Make

from interrupted import silent
from unscene.cli.evaluate import _format_scores
from unscene.encoders import create_encoder, save_encoder
from unscene.evaluate.chance import guess_classes
from unscene.evaluate.finetuning.run import finetune
from unscene.evaluate.run import evaluate, evaluate_decoupling
from unscene.results.rows import Row, read_rows
from unscene.results.tables import make_tables
from unscene.synthetic.generate import ScenesReport

FACTORY = """
import torch


def convolution():
    return torch.nn.Conv3d(3, 8, 3), {"frames": 4, "size": 32, "stride": 1}


def function():
    return (lambda clip: clip.mean(dim=(3, 4)).flatten(1)), {"frames": 4, "size": 32, "stride": 1}
"""
Run = Callable[..., list[Row]]


def save(path: Path, *, seed: int = 5, width: int = 8) -> Path:
    """A saved encoder that says that it was trained."""
    torch.manual_seed(99)
    encoder = create_encoder("r3d-narrow", width=width, stages=2)
    history = {"method": "dsm", "seed": seed, "steps": 3, "settings": {"width": width}}
    clips = {"frames": 4, "stride": 1, "size": 32}
    encoder.spec = replace(encoder.spec, trained_on=history, **clips)
    save_encoder(encoder, path)
    return path


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    return save(tmp_path / "saved")


def protocols(moving: ScenesReport) -> list[Run]:
    train, test = str(moving.train), str(moving.seen)
    return [
        partial(evaluate, "retrieve", train, clips=1),
        partial(evaluate, "probe", test, train=train, clips=1),
        partial(evaluate_decoupling, test),
    ]


def values(rows: list[Row]) -> dict[str, tuple[float, tuple[float, float]]]:
    return {row.metric: (row.value, row.ci95) for row in rows}


@pytest.mark.parametrize("protocol", [0, 1, 2])
def test_the_same_protocol_for_the_network_before_its_training(
    protocol: int, saved: Path, moving: ScenesReport, tmp_path: Path
) -> None:
    run = protocols(moving)[protocol]
    rows = run(encoder=saved)
    own, twin = rows[: len(rows) // 2], rows[len(rows) // 2 :]
    assert values(own) == values(run(encoder=saved, baseline=False))
    torch.manual_seed(5)  # of its training
    before = create_encoder("r3d-narrow", width=8, stages=2)
    before.spec = replace(before.spec, frames=4, stride=1, size=32)
    save_encoder(before, tmp_path / "before")
    alone = run(encoder=tmp_path / "before")
    assert len(alone) == len(twin)  # it is its own yardstick
    assert values(twin) == values(alone)
    assert {(row.method, row.seed, row.encoder, row.twin_of) for row in twin} == {
        ("random", 5, "r3d-narrow", own[0].run)
    }
    assert {row.twin_of for row in (*own, *alone)} == {""}
    assert all(row.chance is not None for row in rows)
    assert [row.test.keys() for row in twin] == [row.test.keys() for row in own]


def test_rows_of_the_yardstick_are_replaced_with_those_of_the_encoder(
    saved: Path, moving: ScenesReport, tmp_path: Path
) -> None:
    out, run = tmp_path / "rows.jsonl", protocols(moving)[0]
    first = run(encoder=saved, out=out)
    wide = run(encoder=save(tmp_path / "wide", width=12), out=out)
    assert run(encoder=saved, out=out) == first
    records = read_rows(out)
    assert len(records) == len(first) + len(wide)
    (table,) = make_tables(records, ["retrieval_r1"])
    assert len(table.baselines) == 2  # networks of two widths, each named by its encoder
    assert {f"random, of {rows[0].run}" for rows in (first, wide)} == table.baselines


def test_networks_of_one_architecture_are_one_line(
    saved: Path, moving: ScenesReport, tmp_path: Path
) -> None:
    run = protocols(moving)[0]
    rows = run(encoder=f"a={saved}") + run(encoder=f"b={saved}")
    rows += run(encoder=f"a={save(tmp_path / 'other', seed=6)}")
    out = tmp_path / "rows.jsonl"
    from unscene.results.rows import write_rows

    write_rows(out, rows)
    (table,) = make_tables(read_rows(out), ["retrieval_r1"])
    assert list(table.lines) == ["a", "random", "b"]
    assert (table.lines["a"]["retrieval_r1"].seeds, table.baselines) == (2, {"random"})
    assert table.lines["random"]["retrieval_r1"].seeds == 2


def test_models_from_outside(
    moving: ScenesReport,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "baseline_models.py").write_text(FACTORY)
    monkeypatch.chdir(tmp_path)
    run = protocols(moving)[0]
    rows = run(encoder="baseline_models:convolution")
    assert [row.method for row in rows] == ["convolution"] * 2 + ["random"] * 2
    assert "as the yardstick" in capsys.readouterr().err
    rows = run(encoder="baseline_models:function")
    assert {row.method for row in rows} == {"function"}
    said = capsys.readouterr().err
    assert "it is a function, and its weights cannot be reached" in said
    assert "no untrained network beside them" in said


def test_the_terminal_shows_both_and_chance(saved: Path, moving: ScenesReport) -> None:
    run = protocols(moving)[0]
    rows = run(encoder=saved)
    head, first, *_, note = _format_scores(rows).splitlines()
    assert head.split() == ["metric", "dsm", "untrained", "chance", "n"]
    mine, twin = (f"{row.value:.3f}" for row in rows if row.metric == "retrieval_r1")
    words = first.split()
    assert (words[0], words[1], words[4], words[-1]) == ("retrieval_r1", mine, twin, "8")
    assert words[-2] == f"{rows[0].chance:.3f}"
    assert "an untrained network of the same architecture" in note
    head, *_, note = _format_scores(run(encoder="r3d-narrow")).splitlines()
    assert head.split() == ["metric", "untrained", "chance", "n"]
    assert "architecture" not in note


@pytest.mark.slow
def test_a_fine_tuning_repeats_itself_untrained(make: Make, saved: Path, tmp_path: Path) -> None:
    given = {"encoder": str(saved), "encoder_options": None, "seed": 3}
    clips = dict.fromkeys(("frames", "stride", "size"))
    config = make(tmp_path / "run", **given, **clips)
    rows = finetune(config, report=silent)
    assert len(rows) == 1
    own, twin = finetune(replace(config, baseline=True), resume=True, report=silent)
    assert own.value == rows[0].value  # not trained again
    assert (own.method, twin.method, twin.twin_of) == ("dsm", "random", own.run)
    assert {**twin.test, "seconds": 0} == {**own.test, "seconds": 0}
    assert own.chance == twin.chance == 0.5
    (record,) = read_rows(tmp_path / "run" / "untrained" / "results.jsonl")
    assert (record["value"], record["twin_of"]) == (twin.value, own.run)
    # The same numbers as a fine-tuning that starts from that network.
    torch.manual_seed(3)
    before = create_encoder("r3d-narrow", width=8, stages=2)
    before.spec = replace(before.spec, frames=4, stride=1, size=32)
    save_encoder(before, tmp_path / "before")
    given["encoder"] = str(tmp_path / "before")
    alone = finetune(make(tmp_path / "alone", **given, **clips, baseline=True), report=silent)
    assert [row.classes for row in alone] == [twin.classes]


@pytest.mark.slow
def test_a_fine_tuned_model_from_outside_has_one_too(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tuned_models.py").write_text(FACTORY)
    monkeypatch.chdir(tmp_path)
    clips = {"frames": 4, "size": 32, "stride": 1}
    given = {"encoder": "tuned_models:convolution", "encoder_options": None, "baseline": True}
    own, twin = finetune(make(tmp_path / "run", **given, **clips), report=silent)
    assert (own.method, own.twin_of) == ("convolution", "")
    assert (twin.method, twin.encoder, twin.twin_of) == ("random", "convolution", own.run)
    again = finetune(make(tmp_path / "run", **given, **clips), resume=True, report=silent)
    assert [row.value for row in again] == [own.value, twin.value]


def test_guessed_classes_by_hand() -> None:
    """The mean over all orders of equally frequent classes."""
    train, test = list("aaabbccd"), list("abbcdz")
    for k in range(1, 6):
        orders = itertools.permutations("abcd")
        ranked = [o for o in orders if [train.count(n) for n in o] == [3, 2, 2, 1]]
        hits = [sum(name in order[:k] for name in test) / len(test) for order in ranked]
        assert guess_classes(train, test, k) == pytest.approx(sum(hits) / len(hits))
