"""What stops a command reaches all of its processes at once (Ctrl-C, `timeout`, a job's end): the
run is saved all the same."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow


# Ctrl-C as early as it can come: the fork server still imports what its workers need.
@pytest.mark.parametrize(
    ("name", "sign"),
    [("SIGTERM", "metrics.csv"), ("SIGTERM", "tensorboard"), ("SIGINT", "tensorboard")],
)
def test_a_signal_to_all_processes_saves(
    name: str, sign: str, flags: Callable[..., list[str]], tmp_path: Path
) -> None:
    out = tmp_path / "a run"
    line = flags(out, method="moco", max_steps=100_000, workers=2)
    run = subprocess.Popen(
        [sys.executable, "-m", "unscene", *line],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        start_new_session=True,
    )
    try:
        deadline = time.monotonic() + 120
        while not (out / sign).exists() and time.monotonic() < deadline:
            assert run.poll() is None, run.communicate()
            time.sleep(0.05)
        os.killpg(run.pid, signal.Signals[name])
        output, error = run.communicate(timeout=60)
    finally:
        run.kill()
    assert run.returncode == 130, error
    assert "Traceback" not in error
    assert f"continue with: unscene pretrain --resume --out '{out}'" in output
    steps = json.loads((out / "summary.json").read_text())["steps"]
    assert steps > 0 or sign == "tensorboard"  # it may come before the first batch
    assert (out / "last.ckpt").is_file()
    assert (out / "encoder.safetensors").is_file()
