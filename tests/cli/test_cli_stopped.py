"""Every command that reads with worker processes: Ctrl-C, SIGTERM and dead workers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from unscene.synthetic.generate import ScenesReport

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="no fork server"),
]

# A command to which something happens when it waits for its batch number AT.
_COMMAND = """
import contextlib, os, signal, sys
from unscene.cli.main import main
from unscene.data import loading
from unscene.data.processes import Worker

real, waits = loading.interruptible, 0

@contextlib.contextmanager
def interruptible():
    global waits
    waits += 1
    if waits == {at}:
        {act}
    with real():
        yield

loading.interruptible = interruptible

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
"""


def run(folder: Path, line: list[str], act: str, at: int) -> subprocess.CompletedProcess[str]:
    script = folder / "command.py"
    script.write_text(_COMMAND.replace("{act}", act).replace("{at}", str(at)))
    return subprocess.run(
        [sys.executable, script, *line],
        capture_output=True,
        text=True,
        timeout=120,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        start_new_session=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("SIGINT", "evaluate retrieve DATA --encoder r3d-narrow"),
        ("SIGTERM", "evaluate decouple DATA --encoder r3d-narrow"),
        ("SIGTERM", "audit DATA --encoder r3d-narrow --measures time --out OUT"),
        ("SIGINT", "evaluate finetune DATA --train DATA --encoder r3d-narrow --size 32 --out OUT"),
    ],
)
def test_a_signal_to_all_processes(
    name: str, line: str, moving: ScenesReport, tmp_path: Path
) -> None:
    words = {"DATA": str(moving.train), "OUT": str(tmp_path / "out")}
    flags = ["--workers", "2", "--batch_size", "2"]
    arguments = [words.get(word, word) for word in line.split()] + flags
    found = run(tmp_path, arguments, f"os.killpg(0, signal.{name})", at=2)
    assert found.returncode == 130, found.stderr
    assert found.stderr.rstrip().endswith("interrupted")
    assert "Traceback" not in found.stderr
    assert not list((tmp_path / "out").glob("*.tmp*"))


def test_a_worker_that_is_killed_ends_a_run_that_is_saved(
    flags: Callable[..., list[str]], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    line = flags(out, method="moco", max_steps=100, workers=2)
    kill = "next(iter(Worker.known)).kill()"
    found = run(tmp_path, line, kill, at=4)
    assert found.returncode == 1
    assert "unscene pretrain: a worker process was killed, most often because" in found.stderr
    assert "Traceback" not in found.stderr
    assert "is saved; continue with --resume" in found.stderr
    trained = json.loads((out / "encoder.json").read_text())["trained_on"]
    assert trained["steps"] >= 3
    assert f"step {trained['steps']} is saved" in found.stderr
