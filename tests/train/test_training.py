"""Runs of a few steps: they learn, repeat, and leave an account and an encoder behind."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from unscene.data.listing import open_catalog
from unscene.encoders import load_encoder
from unscene.errors import UnsceneError
from unscene.methods.registry import resolve
from unscene.synthetic.generate import ScenesReport
from unscene.train.optimizer import compute_lr_factor
from unscene.train.pretrain import pretrain

pytestmark = pytest.mark.slow

Make = Callable[..., Any]


@pytest.mark.parametrize("method", ["moco", "dsm", "dsm-triplet"])
def test_loss_decreases(method: str, tiny: Make, tmp_path: Path) -> None:
    losses: list[float] = []
    config = tiny(
        tmp_path, method=method, max_steps=45, augmentation="none", batch_size=8, queue=8,
        schedule="constant", lr=5e-3,
    )  # fmt: skip
    pretrain(config, report=lambda step, total, metrics: losses.append(metrics["loss"]))
    # The queue begins with random features, which are easy: only when it is full does loss count.
    early, late = np.mean(losses[2:10]), np.mean(losses[-10:])
    assert late < early * 0.95


def encoder_bytes(config: Any) -> bytes:
    pretrain(config, report=lambda *_: None)
    return (Path(config.out) / "encoder.safetensors").read_bytes()


def test_same_seed_same_bytes_and_another_seed_others(tiny: Make, tmp_path: Path) -> None:
    first = encoder_bytes(tiny(tmp_path / "a"))
    assert encoder_bytes(tiny(tmp_path / "b")) == first
    assert encoder_bytes(tiny(tmp_path / "w", workers=1)) == first
    assert encoder_bytes(tiny(tmp_path / "c", seed=1)) != first


def test_a_run_computes_on_the_threads_it_is_given(tiny: Make, tmp_path: Path) -> None:
    before, seen = torch.get_num_threads(), []
    for threads in (0, 3):
        config = tiny(tmp_path / str(threads), threads=threads, max_steps=1)
        pretrain(config, report=lambda *_: seen.append(torch.get_num_threads()))
    assert seen == [before, 3]
    assert torch.get_num_threads() == before


def test_a_run_says_what_it_was_and_did(tiny: Make, tmp_path: Path, moving: ScenesReport) -> None:
    out = tmp_path / "run"
    steps: list[tuple[int, int]] = []
    outcome = pretrain(tiny(out), report=lambda step, total, metrics: steps.append((step, total)))
    assert steps == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert outcome.finished
    assert outcome.steps == 4
    assert "finished after 4 of 4 steps (2.0 epochs)" in outcome.account
    assert "8 videos used, 0 skipped" in outcome.account

    summary = json.loads((out / "summary.json").read_text())
    assert (summary["steps"], summary["total_steps"], summary["finished"]) == (4, 4, True)
    assert (summary["videos"], summary["skipped"], summary["failed"]) == (8, [], [])
    assert summary["seconds"] > 0
    assert 0 <= summary["waiting"] <= 1

    encoder = load_encoder(out)
    spec = encoder.spec
    assert (spec.name, spec.frames, spec.stride, spec.size) == ("r3d-narrow", 4, 1, 32)
    trained = spec.trained_on
    assert (trained["method"], trained["preset"], trained["seed"]) == ("dsm", "default", 0)
    assert (trained["steps"], trained["videos"]) == (4, 8)
    assert trained["data"] == open_catalog(moving.train).fingerprint()
    assert trained["settings"]["shift_range"] == [1, 3]
    assert trained["seconds"] > 0
    assert torch.isfinite(encoder(torch.randn(1, 3, 4, 32, 32))).all()

    with (out / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["step"]) for row in rows] == [0, 1, 2, 3]
    assert {"loss", "positive", "negative", "triplet", "rank1"} <= rows[0].keys()
    assert list((out / "tensorboard").glob("events*"))


def test_the_saved_encoder_is_the_trained_one(tiny: Make, tmp_path: Path) -> None:
    pretrain(tiny(tmp_path), report=lambda *_: None)
    state = torch.load(tmp_path / "last.ckpt", weights_only=False)["state_dict"]
    for name, value in load_encoder(tmp_path).state_dict().items():
        assert torch.equal(value, state[f"method.embedder.encoder.{name}"])


def test_a_file_that_goes_bad_while_training_is_counted(
    tiny: Make, tmp_path: Path, moving: ScenesReport
) -> None:
    shutil.copytree(moving.train.parent / "train", tmp_path / "data")
    config = tiny(tmp_path / "run", data=str(tmp_path / "data"))
    catalog = open_catalog(config.data)
    bad = tmp_path / "data" / "00003.mp4"
    bad.write_bytes(b"no longer a video")
    outcome = pretrain(config, catalog=catalog, report=lambda *_: None)
    assert outcome.finished
    assert "1 videos failed during training" in outcome.account
    assert str(bad) in outcome.account
    failed = json.loads((tmp_path / "run" / "summary.json").read_text())["failed"]
    assert [entry["path"] for entry in failed] == [str(bad)]


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_a_loss_that_is_not_finite_stops_with_a_remedy(
    optimizer: str, tiny: Make, tmp_path: Path
) -> None:
    config = tiny(tmp_path, optimizer=optimizer, lr=1e30, warmup=0.0, max_steps=20, save_every=1)
    with pytest.raises(UnsceneError) as caught:
        pretrain(config, report=lambda *_: None)
    message = str(caught.value)
    assert "at step" in message
    assert "learning rate" in message
    assert "--lr" in message
    assert (tmp_path / "last.ckpt").exists()


def test_an_existing_run_is_left_alone(tiny: Make, tmp_path: Path) -> None:
    config = tiny(tmp_path, max_steps=1)
    first = encoder_bytes(config)
    with pytest.raises(UnsceneError, match="already holds a run"):
        pretrain(config)
    assert (tmp_path / "encoder.safetensors").read_bytes() == first


def test_a_file_is_no_run(tiny: Make, tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_text("precious")
    with pytest.raises(UnsceneError, match=r"a\.mp4 is not a folder; name another place"):
        pretrain(tiny(tmp_path / "a.mp4"))
    assert (tmp_path / "a.mp4").read_text() == "precious"


def test_nothing_of_lightning_is_said(
    tiny: Make, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    pretrain(tiny(tmp_path, max_steps=1), report=lambda *_: None)
    output, error = capfd.readouterr()
    assert output == ""
    assert [line.partition(":")[0] for line in error.splitlines()] == ["memory"]


def test_learning_rate_schedules() -> None:
    step = resolve("dsm", "paper")
    values = [compute_lr_factor(step, at, 2000, 10) for at in (0, 799, 800, 1199, 1200, 1600, 1999)]
    assert values == pytest.approx([1, 1, 0.1, 0.1, 0.01, 0.001, 0.001])
    cosine = resolve("dsm", "default", {"warmup": 0.0})
    assert [compute_lr_factor(cosine, at, 100, 10) for at in (0, 50, 100)] == pytest.approx(
        [1, 0.5, 0]
    )
    warm = resolve("dsm", "default", {"schedule": "constant", "warmup": 0.1})
    values = [compute_lr_factor(warm, at, 100, 10) for at in (0, 4, 9, 10, 99)]
    assert values == pytest.approx([0.1, 0.5, 1, 1, 1])
    assert compute_lr_factor(resolve("dsm", "default", {"warmup": 0.5}), 0, 1, 1) > 0
