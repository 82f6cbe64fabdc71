"""Score the encoder while it trains, for a small share of the training time."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import lightning as L
import torch

from unscene.encoders import VideoEncoder
from unscene.errors import UnsceneError
from unscene.signals import Stopped, interruptible
from unscene.train.module import PretrainModule

# measure(encoder, videos, device): scores by name, of at most so many videos. It restores the
# encoder's state.
Measure = Callable[[VideoEncoder, int, torch.device], dict[str, float]]
_PILOT = 2  # videos of the first measurement, which only shows what a video costs


class Monitor(L.Callback):
    """Logs the scores of `measure`, as often as a share of the training time allows.

    It runs in the first process only; the others wait for it at their next exchange. It stands
    before the progress bar in the list of callbacks, so that its time does not count as waiting for
    data.

    The cost of a video is unknown until a first measurement of two videos, which gives no score (of
    twice as many if those could not be scored, and so on). That measurement waits until the share
    of all steps so far amounts to one step. With a share of one twentieth, runs of fewer than 20
    steps are not scored, and a short run may spend more than its share.

    Args:
        measure: see `Measure`.
        videos: number of videos to score.
        share: of the training time that scoring may take.

    Attributes:
        latest: the last scores.
        spent: seconds spent on scoring.
    """

    def __init__(self, measure: Measure, *, videos: int = 64, share: float = 0.05) -> None:
        self.measure, self.videos, self.share = measure, videos, share
        self.spent = 0.0
        self.latest: dict[str, float] = {}
        self._each: float | None = None  # seconds a video
        self._pilot = min(_PILOT, videos)
        self._steps = 0
        self._begun: float | None = None
        self._before = 0.0  # seconds of training before a --resume
        self._off = False

    def summary(self, seconds: float) -> str:
        """Summarize the last scores, and the share of `seconds` that scoring took."""
        scores = ", ".join(f"{name} {value:.2f}" for name, value in self.latest.items())
        return f"monitor: {scores} ({self.spent / max(seconds, 1e-9):.1%} of the time)"

    def on_train_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        self._begun = time.perf_counter()

    # Not a state_dict: a run that is resumed without a monitor would be warned of one left over.
    def on_save_checkpoint(
        self, trainer: L.Trainer, module: L.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        state = {"spent": self.spent, "told": dict(self.latest), "trained": self._trained}
        checkpoint["monitor"] = state

    def on_load_checkpoint(
        self, trainer: L.Trainer, module: L.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        if state := checkpoint.get("monitor"):
            self.spent, self._before = state["spent"], state["trained"]
            self.latest.update(state["told"])

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
        if self._off or trainer.should_stop or not trainer.is_global_zero:
            return
        try:
            self._keep_share(trainer, module)
        except Stopped:  # while it measured
            trainer.should_stop = True

    def _keep_share(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        self._steps += 1
        allowed = self.share * self._trained - self.spent
        if self._each is None:
            if self.share * self._steps >= 1 and allowed > 0:
                self._measured(module, self._pilot)
            return
        if allowed >= self._each * self.videos:
            self.latest.update(self._measured(module, self.videos))
            if self._off:
                return
            for logger in trainer.loggers:
                logger.log_metrics(self.latest, trainer.global_step - 1)  # as Lightning counts

    def _measured(self, module: L.LightningModule, videos: int) -> dict[str, float]:
        """Score so many videos; none if they cannot be scored. Notes the cost of a video."""
        assert isinstance(module, PretrainModule)
        began = time.perf_counter()
        scores: dict[str, float] = {}
        each: float | None = None
        try:
            # Loaders draw from the global generator.
            with torch.random.fork_rng(devices=[]), interruptible():
                scores = self.measure(module.method.encoder, videos, module.device)
            each = (time.perf_counter() - began) / videos
        except UnsceneError as error:
            # In a few videos nothing may move: only if that holds for all, none can be scored.
            self._pilot = min(2 * self._pilot, self.videos)
            if videos == self.videos:
                print(f"\nno monitoring: {error}", flush=True)
                self._off = True
        self.spent += time.perf_counter() - began
        self._each = each
        return scores
