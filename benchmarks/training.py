"""Training: what a DSM step costs besides its encoders, and how long it waits for data.

One short run of `unscene.train.pretrain`, with stopwatches around its parts.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from harness import Options, Row, footage, waiting_row

from unscene.methods.base import Embedder
from unscene.train import config as run_config
from unscene.train.module import PretrainModule
from unscene.train.pretrain import pretrain

WORKERS, BATCH = 2, 4


class Watch:
    """Seconds of every step, and of its encoders (forward of both, backward)."""

    def __init__(self) -> None:
        self.steps: list[tuple[float, float]] = []
        self._encoders = 0.0
        self._reached = 0.0

    def forward(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def timed(embedder: Embedder, clip: torch.Tensor) -> torch.Tensor:
            begun = time.perf_counter()
            out = original(embedder, clip)
            self._encoders += time.perf_counter() - begun
            if out.requires_grad:  # backward reaches the encoder when it reaches its output
                out.register_hook(self._arrive)
            return out

        return timed

    def _arrive(self, gradient: torch.Tensor) -> None:
        self._reached = time.perf_counter()

    def backward(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*args: Any, **kwargs: Any) -> None:
            original(*args, **kwargs)
            self._encoders += time.perf_counter() - self._reached

        return timed

    def step(self, original: Callable[..., Any]) -> Callable[..., Any]:
        """Lightning runs forward and backward inside optimizer_step."""

        def timed(*args: Any, **kwargs: Any) -> None:
            begun, self._encoders = time.perf_counter(), 0.0
            original(*args, **kwargs)
            self.steps.append((time.perf_counter() - begun, self._encoders))

        return timed


def run(options: Options) -> Iterator[Row]:
    watch, steps = Watch(), options.times(6, 3)
    with footage(12) as (paths, kind), tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        data.mkdir()
        for k, path in enumerate(paths):
            (data / f"{k}{Path(path).suffix}").symlink_to(path)
        config = run_config.build(
            {
                "data": str(data),
                "out": str(Path(folder) / "run"),
                "method": "dsm",
                "encoder": "r3d18",
                "batch_size": BATCH,
                "max_steps": steps,
                "workers": WORKERS,
                "accelerator": "cpu",
            }
        )
        with (
            patch.object(Embedder, "forward", watch.forward(Embedder.forward)),
            patch.object(PretrainModule, "backward", watch.backward(PretrainModule.backward)),
            patch.object(
                PretrainModule, "optimizer_step", watch.step(PretrainModule.optimizer_step)
            ),
        ):
            outcome = pretrain(config, report=lambda step, total, metrics: None)
    timed = watch.steps[1:]  # the first step sets everything up
    whole = statistics.median(total for total, _ in timed)
    rest = statistics.median(total - encoders for total, encoders in timed)
    share = statistics.median((total - encoders) / total for total, encoders in timed)
    threads = os.environ.get("OMP_NUM_THREADS", "?")
    note = (
        f"DSM default preset, R3D-18, 16x112x112, batch {BATCH}, CPU, {threads} thread(s), "
        f"{WORKERS} workers, {kind}"
    )
    yield Row(
        name="training.step",
        what="a DSM step outside its encoders (views, loss, optimizer, momentum encoder, queue)",
        ours=rest,
        alternative=whole,
        against="the whole step",
        unit="s/step",
        ratio=share,
        target="<= 0.15",
        repetitions=len(timed),
        note=note,
    )
    yield waiting_row("training.waiting", outcome, WORKERS, note)
