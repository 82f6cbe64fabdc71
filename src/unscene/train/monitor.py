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

    What a video costs is not known before the first measurement, of two, which is no score (of
    twice as many, if those could not be scored, and so on). It waits until the share of all steps
    so far is one step, which takes longer unless the batch is tiny: with a twentieth, runs of fewer
    than 20 steps measure nothing, and a short one may spend more than its share.

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
        self._pilot = min(_PILOT, videos)
        self._steps = 0
        self._begun: float | None = None
        self._before = 0.0  # seconds of training before a --resume
        self._off = False

    def account(self, seconds: float) -> str:
        """What was measured last, and the share of so many seconds that measuring took."""
        scores = ", ".join(f"{name} {value:.2f}" for name, value in self.told.items())
        return f"monitor: {scores} ({self.spent / max(seconds, 1e-9):.1%} of the time)"

    def on_train_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        self._begun = time.perf_counter()

    # Not a state_dict: a run that is resumed without a monitor would be warned of one left over.
    def on_save_checkpoint(
        self, trainer: L.Trainer, module: L.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        state = {"spent": self.spent, "told": dict(self.told), "trained": self._trained}
        checkpoint["monitor"] = state

    def on_load_checkpoint(
        self, trainer: L.Trainer, module: L.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        if state := checkpoint.get("monitor"):
            self.spent, self._before = state["spent"], state["trained"]
            self.told.update(state["told"])

    @property
    def _trained(self) -> float:
        """Seconds since the first step."""
        here = 0.0 if self._begun is None else time.perf_counter() - self._begun
        return self._before + here

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
        self._steps += 1
        allowed = self.share * self._trained - self.spent
        if self._each is None:
            if self.share * self._steps >= 1 and allowed > 0:
                self._measured(module, self._pilot)
            return
        if allowed >= self._each * self.videos:
            self.told.update(self._measured(module, self.videos))
            if self._off:
                return
            for logger in trainer.loggers:
                logger.log_metrics(self.told, trainer.global_step - 1)  # as Lightning counts

    def _measured(self, module: L.LightningModule, videos: int) -> dict[str, float]:
        """The scores of so many videos, none if they cannot be had; notes what a video costs."""
        assert isinstance(module, PretrainModule)
        began = time.perf_counter()
        scores: dict[str, float] = {}
        each: float | None = None
        try:
            with torch.random.fork_rng(devices=[]):  # loaders draw from the global generator
                scores = self.measure(module.method.encoder, videos, module.device)
            each = (time.perf_counter() - began) / videos
        except UnsceneError as error:
            # A few may well stand still: only where all that it may take do, none can be scored.
            self._pilot = min(2 * self._pilot, self.videos)
            if videos == self.videos:
                print(f"\nno monitoring: {error}", flush=True)
                self._off = True
        self.spent += time.perf_counter() - began
        self._each = each
        return scores
