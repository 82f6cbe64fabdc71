"""The programs of examples/ run, on little footage."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from unscene.synthetic.generate import ScenesReport

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"


def run(folder: Path, name: str, *arguments: object) -> str:
    """Run an example in a folder and return what it prints."""
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / name), *map(str, arguments)],
        cwd=folder,
        env=os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        timeout=250,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def test_features_of_your_videos(moving: ScenesReport, tmp_path: Path) -> None:
    printed = run(
        tmp_path, "embed_your_videos.py", "--videos", moving.train, "--clips", 1, "--out", "found"
    )
    assert "is most similar to" in printed
    with np.load(tmp_path / "found" / "features.npz") as found:
        assert found["values"].shape == (8, 64)
        assert len(found["paths"]) == len(found["labels"]) == 8
    lines = (tmp_path / "found" / "neighbors.csv").read_text().splitlines()
    assert lines[0] == "path,rank,neighbor,cosine"
    assert len(lines) == 1 + 8 * 3
    assert all(line.split(",")[0] != line.split(",")[2] for line in lines[1:])


@pytest.mark.slow
def test_moco_and_dsm_from_parts(moving: ScenesReport, tmp_path: Path) -> None:
    source = (EXAMPLES / "train_moco_and_dsm.py").read_text(encoding="utf-8")
    assert len(source.splitlines()) < 100
    printed = run(tmp_path, "train_moco_and_dsm.py", "--data", moving.train, "--steps", 2)
    for line in ("MoCo: step 2", "DSM: step 2", "DSM        recall@1 of the label"):
        assert line in printed


@pytest.mark.slow
def test_audit_of_a_model_of_transformers(moving: ScenesReport, tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    printed = run(tmp_path, "audit_transformers_model.py", "--data", moving.train, "--out", "runs")
    assert "random VideoMAE:" in printed
    assert "random VideoMAE (untrained twin)" in printed
    assert (tmp_path / "runs" / "audit" / "report.html").exists()


def test_every_example_is_run_here() -> None:
    here = Path(__file__).read_text(encoding="utf-8")
    assert [path.name for path in EXAMPLES.glob("*.py") if f'"{path.name}"' not in here] == []
