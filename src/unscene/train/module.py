"""A method as a Lightning module: data, steps, logging."""

from __future__ import annotations

from typing import Any

import lightning as L
from torch import Tensor
from torch.utils.data import DataLoader

from unscene.data.catalog import Skipped, Video
from unscene.data.loading import Batch, StepBatches, make_loader
from unscene.methods.base import Method
from unscene.methods.settings import Settings
from unscene.train.optimizer import check_finite, optimisers, step_generator


class PretrainModule(L.LightningModule):
    """Args:
    method: what is trained.
    videos: of a checked catalog.
    seed: of windows and views.
    max_steps: optimiser steps, or None for `settings.epochs`.
    workers: reading processes.
    short_side: see `ClipDataset`.
    """

    def __init__(
        self,
        method: Method,
        videos: tuple[Video, ...],
        *,
        seed: int,
        max_steps: int | None,
        workers: int,
        short_side: int | None,
    ) -> None:
        super().__init__()
        self.method = method
        self.videos, self.seed, self.workers = videos, seed, workers
        self.short_side = short_side
        self.failures: dict[str, Skipped] = {}
        self._max_steps = max_steps

    @property
    def settings(self) -> Settings:
        return self.method.settings

    def epoch_steps(self, world: int = 1) -> int:
        """Steps that show every video once."""
        return StepBatches(len(self.videos), self.settings.batch_size, world=world).epoch_steps

    def total_steps(self, world: int = 1) -> int:
        return self._max_steps or self.settings.epochs * self.epoch_steps(world)

    def train_dataloader(self) -> DataLoader[Batch]:
        dataset = self.method.dataset(self.videos, seed=self.seed, short_side=self.short_side)
        batches = StepBatches(
            len(self.videos),
            self.settings.batch_size,
            seed=self.seed,
            rank=self.global_rank,
            world=self.trainer.world_size,
            position=lambda: self.trainer.global_step,
            steps=self.total_steps(self.trainer.world_size),
        )
        return make_loader(
            dataset, batches, workers=self.workers, pin_memory=self.device.type == "cuda"
        )

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        result = self.method(batch, step_generator(self, self.seed))
        check_finite(result.loss, self, self.settings.lr, "a higher --temperature")
        for failure in batch.failures:
            self.failures.setdefault(failure.path, failure)
        self.log_dict({"loss": result.loss.detach(), **result.metrics}, batch_size=len(batch))
        return result.loss

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        super().optimizer_step(*args, **kwargs)
        # Not in on_train_batch_end: callbacks, and so checkpoints, come before that hook.
        self.method.after_step()

    def configure_optimizers(self) -> Any:
        world = self.trainer.world_size
        return optimisers(
            self.settings,
            (p for p in self.method.parameters() if p.requires_grad),
            self.total_steps(world),
            self.epoch_steps(world),
            nesterov=self.settings.nesterov,
        )
