"""Tiny footage and tiny runs, for the rooms that train, measure and are typed at."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from unscene.methods.registry import find_method, known_methods, setting_names
from unscene.synthetic.generate import MovingScenes, ScenesReport, generate

TINY: dict[str, Any] = {
    "method": "dsm",
    "encoder": "r3d-narrow",
    "encoder_options": {"width": 8, "stages": 2},
    "size": 32,
    "frames": 4,
    "stride": 1,
    "shift_range": [1, 3],
    "batch_size": 4,
    "queue": 6,
    "dim": 8,
    "max_steps": 4,
    "workers": 0,
    "accelerator": "cpu",
}


@pytest.fixture(scope="session")
def moving(tmp_path_factory: pytest.TempPathFactory) -> ScenesReport:
    """Twelve videos of 32 x 32: two motions in two scenes; `.train` and `.seen` are CSV files."""
    spec = MovingScenes(
        train_videos=8,
        seen_videos=4,
        unseen_videos=0,
        size=32,
        frames=12,
        motions=("left", "up"),
        scenes=2,
        unseen_scenes=1,
        object_size=(8.0, 12.0),
        speed=(1.0, 2.0),
    )
    return generate(tmp_path_factory.mktemp("moving") / "scenes", spec)


@pytest.fixture(scope="session")
def tiny(moving: ScenesReport) -> Callable[..., Any]:
    """A RunConfig of a few steps: tiny(out, method="moco", ...)."""

    def make(out: Path, **changes: Any) -> Any:
        from unscene.train.config import build

        return build(TINY | {"data": str(moving.train), "out": str(out)} | changes)

    return make


@pytest.fixture(scope="session")
def flags(moving: ScenesReport) -> Callable[..., list[str]]:
    """The same as arguments of the command line: flags(out, max_steps=3, ...)."""

    def make(out: Path, **changes: Any) -> list[str]:
        values = TINY | {"out": str(out)} | changes
        line = ["pretrain", values.pop("data", str(moving.train))]
        known = values["method"] in known_methods()
        own = find_method(values["method"]).settings.names() if known else setting_names()
        for name, value in values.items():
            if name in setting_names().difference(own):  # it would be refused
                continue
            line += [f"--{name}", value if isinstance(value, str) else json.dumps(value)]
        return line

    return make


def command(line: Sequence[str], timeout: float = 300) -> subprocess.CompletedProcess[str]:
    """`unscene LINE` in a process of its own, one thread a process."""
    return subprocess.run(
        [sys.executable, "-m", "unscene", *line],
        capture_output=True,
        text=True,
        timeout=timeout,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
