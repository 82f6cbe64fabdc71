"""A method that generates what it learns from goes through the ordinary trainer, without DATA."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
import torch

import unscene
from interrupted import at, checkpoint, interrupt, silent
from unscene.cli.main import main
from unscene.config import read_config
from unscene.encoders import load_encoder
from unscene.errors import UnsceneError
from unscene.synthetic.generate import ScenesReport
from unscene.train.config import RunConfig, build, flat
from unscene.train.pretrain import pretrain

SMALL: dict[str, Any] = {
    "method": "motion-programs", "encoder_options": {"width": 8}, "frames": 5, "grid": 16,
    "batch_size": 4, "programs": 12, "dim": 8, "max_steps": 5, "workers": 0, "accelerator": "cpu",
    "shuffled": 2,
}  # fmt: skip


def config(out: Path, **changes: Any) -> RunConfig:
    return build(SMALL | {"out": str(out)} | changes)


def losses(out: Path) -> list[str]:
    with (out / "metrics.csv").open(newline="") as file:
        return [row["loss"] for row in csv.DictReader(file)]


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("generated") / "run"
    outcome = pretrain(config(out), report=silent)
    assert "Motion programs: generated, no video was read" in outcome.account
    assert "5 of 5 steps (1.7 epochs)" in outcome.account
    return out


@pytest.mark.parametrize("workers", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_a_stopped_and_resumed_run_equals_an_unbroken_one(
    workers: int, unbroken: Path, tmp_path: Path
) -> None:
    first = pretrain(config(tmp_path, workers=workers), report=at(2, interrupt))
    assert not first.finished
    again = pretrain(config(tmp_path, workers=workers), resume=True, report=silent)
    assert again.finished
    mine, theirs = (checkpoint(out)["state_dict"] for out in (tmp_path, unbroken))
    assert all(torch.equal(mine[name], theirs[name]) for name in theirs)
    assert losses(tmp_path) == losses(unbroken)


def test_the_encoder_and_the_configuration_say_what_was_done(unbroken: Path) -> None:
    encoder = load_encoder(unbroken)
    spec, history = encoder.spec, encoder.spec.trained_on
    assert (encoder.input, spec.name) == ("flow", "motion-net")
    assert (spec.frames, spec.stride, spec.size) == (5, 2, 160)
    assert (history["method"], history["steps"], history["seed"]) == ("motion-programs", 5, 0)
    assert history["settings"]["shuffled"] == 2
    assert "data" not in history
    saved = read_config(unbroken / "config.yaml")
    assert saved["data"] == ""
    assert flat(build(saved)) == saved
    assert json.loads((unbroken / "summary.json").read_text())["videos"] == 0


def test_from_the_command_line_without_data_and_evaluated(
    tmp_path: Path, moving: ScenesReport, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    line = ["pretrain", "--method", "motion-programs", "--out", str(out), "--max_steps", "2"]
    line += ["--batch_size", "2", "--grid", "16", "--frames", "4", "--workers", "0"]
    line += ["--accelerator", "cpu"]
    assert main([*line, "--encoder_options", '{"width": 8}']) == 0, capsys.readouterr().err
    assert "finished after 2 of 2 steps" in capsys.readouterr().out
    assert main(["pretrain", "--resume", "--out", str(out)]) == 0  # it is finished
    line = ["evaluate", "retrieve", str(moving.train), "--encoder", str(out), "--clips", "1"]
    assert main([*line, "--workers", "0", "--label", "motion"]) == 0


def test_data_is_refused_where_none_is_read_and_missed_where_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["pretrain", str(tmp_path), "--method", "motion-programs"]) == 1
    assert "reads no DATA; leave out" in capsys.readouterr().err
    assert main(["pretrain", "--method", "dsm"]) == 1
    assert "no DATA" in capsys.readouterr().err
    with pytest.raises(UnsceneError, match="no DATA"):
        unscene.pretrain(method="dsm", out=tmp_path / "run")
    with pytest.raises(UnsceneError, match="reads RGB"):
        unscene.pretrain(method="motion-programs", encoder="r3d-narrow", out=tmp_path / "run")
