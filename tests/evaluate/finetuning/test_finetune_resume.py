"""A fine-tuning that was stopped and resumed equals an unbroken one."""

from __future__ import annotations

import csv
import shutil
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from finetunings import TINY, Make, films

from interrupted import at, checkpoint, crash, interrupt, silent
from unscene.config import continue_config, read_config
from unscene.data.listing import open_catalog
from unscene.errors import UnsceneError
from unscene.evaluate.finetuning.classifier import load_classifier
from unscene.evaluate.finetuning.config import build, flat
from unscene.evaluate.finetuning.module import BestWeights
from unscene.evaluate.finetuning.run import finetune
from unscene.results.rows import read_rows

pytestmark = pytest.mark.slow


def logged(out: Path) -> list[tuple[str, ...]]:
    with (out / "metrics.csv").open(newline="") as file:
        names = ("step", "loss", "top1", "validation_top1", "validation_loss")
        return sorted(tuple(row[name] for name in names) for row in csv.DictReader(file))


LONG: dict[str, Any] = {"max_steps": 6, "validation": 0.25, "lr": 1e-2}


@pytest.fixture(scope="module")
def unbroken(train: Path, exam: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("unbroken") / "run"
    given = TINY | LONG | {"data": str(exam), "train": str(train), "out": str(out)}
    finetune(build(given), report=silent)
    return out


def assert_same_run(one: Path, other: Path) -> None:
    a, b = checkpoint(one), checkpoint(other)
    assert a["global_step"] == b["global_step"]
    assert all(torch.equal(v, b["state_dict"][k]) for k, v in a["state_dict"].items())
    ours, theirs = (c["callbacks"]["Choice"] for c in (a, b))
    assert (ours["step"], ours["scores"]) == (theirs["step"], theirs["scores"])
    for name in ("encoder.safetensors", "classifier.safetensors", "confusion.csv"):
        assert (one / name).read_bytes() == (other / name).read_bytes()
    assert logged(one) == logged(other)
    values = [[row["value"] for row in read_rows(out / "results.jsonl")] for out in (one, other)]
    assert values[0] == values[1]


def test_ctrl_c_and_resume(
    make: Make, tmp_path: Path, unbroken: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = make(tmp_path, **LONG)
    with pytest.raises(KeyboardInterrupt):
        finetune(config, report=at(2, interrupt))
    assert "continue with: unscene evaluate finetune --resume" in capsys.readouterr().err
    assert 2 <= checkpoint(tmp_path)["global_step"] < 6
    assert not (tmp_path / "results.jsonl").exists()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    rows = finetune(config, resume=True, report=silent)
    assert len(rows) == 1
    assert_same_run(tmp_path, unbroken)
    assert len(finetune(config, resume=True, report=silent)) == 1  # scored again, nothing trained
    assert_same_run(tmp_path, unbroken)


@pytest.mark.parametrize("last", [False, True])
def test_a_stop_while_it_scores(
    last: bool, make: Make, tmp_path: Path, unbroken: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The score that was cut off is computed when the run is resumed."""
    real, steps = BestWeights.score, []

    def score(self: BestWeights, module: Any) -> tuple[float, float]:
        if not steps and (module.trainer.global_step == 6) is last:
            steps.append(module.trainer.global_step)
            interrupt()
            raise AssertionError("the signal comes at once")
        return real(self, module)

    monkeypatch.setattr(BestWeights, "score", score)
    config = make(tmp_path, **LONG)
    with pytest.raises(KeyboardInterrupt):
        finetune(config, report=silent)
    assert checkpoint(tmp_path)["global_step"] == steps[0]
    assert checkpoint(tmp_path)["callbacks"]["Choice"]["due"]
    finetune(config, resume=True, report=silent)
    assert_same_run(tmp_path, unbroken)


def test_the_best_weights_survive_a_stop(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def scripted(self: BestWeights, module: Any) -> tuple[float, float]:
        return (1.0, 0.0) if module.trainer.global_step == 1 else (0.5, 0.0)

    monkeypatch.setattr(BestWeights, "score", scripted)
    config = make(tmp_path, **LONG)
    with pytest.raises(KeyboardInterrupt):
        finetune(config, report=at(2, interrupt))
    saved = checkpoint(tmp_path)["callbacks"]["Choice"]["best"]
    (row,) = finetune(config, resume=True, report=silent)
    assert row.test["chosen_step"] == 1
    assert all(
        torch.equal(value, saved[name])
        for name, value in load_classifier(tmp_path).state_dict().items()
    )


def test_a_crash_goes_back_to_the_last_checkpoint(
    make: Make, tmp_path: Path, unbroken: Path
) -> None:
    config = make(tmp_path, **LONG, save_every=2)
    with pytest.raises(RuntimeError, match="power cut"):
        finetune(config, report=at(5, crash))
    assert checkpoint(tmp_path)["global_step"] == 4
    finetune(config, resume=True, report=silent)
    assert_same_run(tmp_path, unbroken)


def test_a_run_is_not_mixed_with_another(make: Make, tmp_path: Path, unbroken: Path) -> None:
    shutil.copytree(unbroken, tmp_path / "run")
    config = make(tmp_path / "run", **LONG)
    with pytest.raises(UnsceneError, match="already holds a run"):
        finetune(config)
    with pytest.raises(UnsceneError, match=r"lr: was 0\.01, now 0\.5"):
        finetune(replace(config, lr=0.5), resume=True)
    films(tmp_path / "other", {"dark": 2, "bright": 2})
    with pytest.raises(UnsceneError, match="have changed since this run began"):
        finetune(config, resume=True, train=open_catalog(tmp_path / "other"), report=silent)
    with pytest.raises(UnsceneError, match=r"no last\.ckpt"):
        finetune(make(tmp_path / "nothing"), resume=True)
    saved = read_config(unbroken / "config.yaml")
    with pytest.raises(UnsceneError, match=r"dropout: was 0\.5, now 0\.1"):
        continue_config(build, flat, saved, {"dropout": 0.1, "workers": 3})
    assert continue_config(build, flat, saved, {"workers": 3}).workers == 3


def test_a_loss_that_is_not_finite_stops_with_a_remedy(make: Make, tmp_path: Path) -> None:
    config = make(
        tmp_path,
        lr=1e30,
        optimizer="sgd",
        schedule="constant",
        warmup=0.0,
        max_steps=20,
        save_every=1,
    )
    with pytest.raises(UnsceneError, match=r"at step \d+ \(learning rate 1e\+30.*smaller --lr"):
        finetune(config, report=silent)
    assert (tmp_path / "last.ckpt").exists()
