"""What is the encoder worth so far? Measured while it trains, for a small share of the time."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import lightning as L
import torch

from unscene.encoders import VideoEncoder
from unscene.errors import UnsceneError
from unscene.train.module import PretrainModule

# measure(encoder, videos, device): scores by name, of at most so many videos; it leaves the encoder
# as it was.
Measure = Callable[[VideoEncoder, int, torch.device], dict[str, float]]
_PILOT = 2  # videos of the first measurement, which only tells what a video costs


class Monitor(L.Callback):
    """Logs what `measure` says, as often as a share of the training time allows.

    In the first process only; the others wait for it at their next exchange. It belongs before the
    progress bar among the callbacks, so that its time does not count as waiting for data.

    Args:
        measure: see `Measure`.
        videos: how many it is asked to take.
        share: of the training time that may go into it.

    Attributes:
        told: what was measured last.
        spent: seconds that went into it.
    """

    def __init__(self, measure: Measure, *, videos: int = 64, share: float = 0.05) -> None:
        self.measure, self.videos, self.share = measure, videos, share
        self.spent = 0.0
        self.told: dict[str, float] = {}
        self._each: float | None = None  # seconds a video
        self._begun = 0.0
        self._off = False

    def account(self, seconds: float) -> str:
        """What was measured last, and the share of so many seconds that measuring took."""
        scores = ", ".join(f"{name} {value:.2f}" for name, value in self.told.items())
        return f"monitor: {scores} ({self.spent / max(seconds, 1e-9):.1%} of the time)"

    def on_train_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        self._begun = time.perf_counter()

    def on_train_batch_end(
        self,
        trainer: L.Trainer,
        module: L.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        if self._off or not trainer.is_global_zero:
            return
        allowed = self.share * (time.perf_counter() - self._begun) - self.spent
        if self._each is None:
            if allowed > 0:
                self._each = self._timed(trainer, module, _PILOT) / _PILOT
                self.told.clear()  # two videos are no score
            return
        if allowed >= self._each * self.videos:
            self._each = self._timed(trainer, module, self.videos) / self.videos
            for logger in trainer.loggers:
                logger.log_metrics(self.told, trainer.global_step)

    def _timed(self, trainer: L.Trainer, module: L.LightningModule, videos: int) -> float:
        """Measure; returns the seconds it took."""
        assert isinstance(module, PretrainModule)
        began = time.perf_counter()
        try:
            with torch.random.fork_rng(devices=[]):  # loaders draw from the global generator
                scores = self.measure(module.method.encoder, videos, module.device)
            self.told.update(scores)
        except UnsceneError as error:
            print(f"\nno monitoring: {error}", flush=True)
            self._off = True
        seconds = time.perf_counter() - began
        self.spent += seconds
        return seconds
