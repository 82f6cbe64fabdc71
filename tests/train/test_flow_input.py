"""Encoders of flow are trained by the same methods as encoders of RGB."""

from __future__ import annotations

from pathlib import Path

import pytest

from unscene.cli.main import main
from unscene.encoders import load_encoder
from unscene.synthetic.generate import ScenesReport

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("method", ["moco", "dsm-triplet"])
def test_methods_train_encoders_of_flow(method: str, tmp_path: Path, moving: ScenesReport) -> None:
    out = tmp_path / "run"
    line = ["pretrain", str(moving.train), "--out", str(out), "--method", method]
    line += ["--encoder", "r3d-narrow", "--encoder_options", '{"input": "flow", "width": 8}']
    line += ["--size", "32", "--frames", "6", "--stride", "2", "--batch_size", "4"]
    line += ["--max_steps", "2", "--workers", "0", "--accelerator", "cpu"]
    assert main(line) == 0
    encoder = load_encoder(out)
    assert encoder.input == "flow"
    assert (encoder.spec.frames, encoder.spec.trained_on["method"]) == (6, method)
    line = ["evaluate", "retrieve", str(moving.train), "--encoder", str(out), "--clips", "1"]
    assert main([*line, "--workers", "0", "--label", "motion"]) == 0
