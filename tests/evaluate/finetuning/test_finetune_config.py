"""Mistakes in the settings of fine-tuning are reported before it starts; its presets."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from finetunings import Make, films

from unscene.errors import UnsceneError
from unscene.evaluate.finetuning.config import build
from unscene.evaluate.finetuning.run import finetune
from unscene.train.optimizer import compute_lr_factor


def test_mistakes_in_the_data_are_reported_before_the_first_step(
    make: Make, tmp_path: Path, train: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("unscene.evaluate.finetuning.run._fit", None)
    films(tmp_path / "other", {"twilight": 2})
    bare = tmp_path / "bare"
    bare.mkdir()
    shutil.copy(train / "dark" / "0.mp4", bare / "a.mp4")
    out = tmp_path / "run"
    for changes, said in (
        ({"train": str(bare)}, "carry no labels"),
        ({"data": str(bare)}, "carry no labels"),
        ({"train": str(tmp_path / "other")}, "all videos are 'twilight'"),
        ({"data": str(tmp_path / "other")}, r"none of its classes \(twilight\)"),
        ({"label": "actor"}, "no label column 'actor'"),
        (
            {"encoder": "r3d-narow", "encoder_options": {}},
            "no encoder is called .* did you mean 'r3d-narrow'",
        ),
        ({"encoder": str(train), "encoder_options": {}}, r"encoder\.json"),
        ({"encoder": "c3d", "encoder_options": {}}, r"c3d takes clips of at least .* --size 16"),
        ({"encoder_options": {"in_channels": 2}}, "takes 2 channels"),
        ({"encoder": f"hf:{out.parent}", "encoder_options": {}}, "pass a folder written by"),
    ):
        with pytest.raises(UnsceneError, match=said):
            finetune(make(out, **changes))
    assert not out.exists()


def test_settings_that_mean_nothing(make: Make, tmp_path: Path) -> None:
    for changes, said in (
        ({"labels": 0}, "labels 0: must be a share"),
        ({"labels": 0.0}, r"labels 0\.0"),
        ({"labels": 5.0}, r"labels 5\.0"),
        ({"labels": "many"}, "labels 'many'"),
        ({"validation": 1.0}, "validation"),
        ({"dropout": 1.0}, "dropout"),
        ({"clips": 0}, "clips 0: must be at least 1"),
        ({"frames": 0}, "frames 0"),
        ({"workers": -1}, "workers -1: must not be negative"),
        ({"lr": 0}, "lr"),
        ({"preset": "best"}, "preset 'best': must be one of"),
        ({"learning_rate": 1}, "unknown setting 'learning_rate'"),
        ({"train": None}, "--train"),
    ):
        with pytest.raises(UnsceneError, match=said):
            make(tmp_path, **changes)
    assert [make(tmp_path, labels=text).labels for text in ("5", "1e-1")] == [5, 0.1]


def test_the_presets_are_those_of_the_paper_and_of_the_code() -> None:
    given = {"data": "a", "train": "b", "encoder": "c3d"}
    paper = build(given | {"preset": "paper"})
    assert (paper.optimizer, paper.lr, paper.momentum, paper.weight_decay) == (
        "sgd",
        0.1,
        0.9,
        5e-4,
    )
    assert (paper.epochs, paper.batch_size, paper.clips) == (45, 128, 10)
    factors = [
        compute_lr_factor(paper, step, 450, 10, drop_factor=paper.drop_factor)
        for step in (0, 99, 100, 449)
    ]
    assert factors == pytest.approx([1, 1, 0.1, 1e-4])
    code = build(given | {"preset": "official-code", "batch_size": 8})
    assert (code.lr, code.frames, code.batch_size) == (0.001, 64, 8)
    factors = [
        compute_lr_factor(code, step, 450, 10, drop_factor=code.drop_factor)
        for step in (99, 100, 449)
    ]
    assert factors == pytest.approx([1, 0.3, 0.3**6])


def test_the_config_imports_no_torch() -> None:
    code = "import sys, unscene.evaluate.finetuning.config; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
